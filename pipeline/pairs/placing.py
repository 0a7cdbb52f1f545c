"""Puts media where they stand: at ``<image>`` and ``<video>`` in texts, at parts that lack theirs.

Media without any place stand before the question, as in pairs v1.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from pipeline.pairs.conversations import Part, Unfit, media_part, text_part

KINDS = ("image", "video")
_PLACEHOLDER = re.compile(r"<(image|video)>")


def place(
    contents: Sequence[Sequence[Part]],
    held: Mapping[str, Sequence[Any]],
    strict: Collection[str] = (),
) -> list[list[Part]]:
    """Fills the places for media, kind by kind, in reading order.

    Args:
        contents: parts, message by message; the last one is the question's.
        held: the media to place, by kind (``image``, ``video``), in order.
        strict: kinds whose placeholders ask for media even where a row holds none of them;
            otherwise such a placeholder is a text like any other.

    Raises:
        Unfit: there are places, and not as many as media.
    """
    placed = [list(parts) for parts in contents]
    for kind in KINDS:
        media = list(held.get(kind, ()))
        if media or kind in strict:
            placed = [_split(parts, kind) for parts in placed]
        count = sum(_is_place(part, kind) for parts in placed for part in parts)
        if count and count != len(media):
            raise Unfit(
                f"got {len(media)} {kind}s, expected {count}: the texts have places for so many"
            )
        if count:
            rest = iter(media)
            placed = [
                [media_part(kind, next(rest)) if _is_place(p, kind) else p for p in parts]
                for parts in placed
            ]
        elif media:
            _put_first(placed, [media_part(kind, each) for each in media])
    return placed


def leading(parts: Sequence[Part]) -> tuple[list[Part], list[Part]]:
    """The media that a content begins with, and the rest of it."""
    count = next((n for n, part in enumerate(parts) if part["type"] == "text"), len(parts))
    return list(parts[:count]), list(parts[count:])


def with_placeholders(contents: Sequence[Sequence[Part]]) -> list[str]:
    """Contents as texts, a placeholder for each of their media.

    There are none if all media lead the last content: then they stand before the question.
    """
    last = leading(contents[-1])[1] if contents else []
    plain = not any(part["type"] != "text" for parts in [*contents[:-1], last] for part in parts)
    marks = {kind: "" if plain else f"<{kind}>" for kind in KINDS}
    return ["".join(p["text"] or marks.get(p["type"], "") for p in parts) for parts in contents]


def _is_place(part: Part, kind: str) -> bool:
    return bool(part["type"] == kind and part[kind] is None)


def _put_first(contents: list[list[Part]], media: list[Part]) -> None:
    if not contents:
        raise Unfit(f"got {len(media)} {media[0]['type']}s, expected messages that they belong to")
    pictures, rest = leading(contents[-1])
    contents[-1] = [*pictures, *media, *rest]


def _split(parts: Sequence[Part], kind: str) -> list[Part]:
    """Placeholders of a kind as parts; line breaks between them and the content's ends go."""
    split: list[Part] = []
    for part in parts:
        pieces = _PLACEHOLDER.split(part["text"] or "") if part["type"] == "text" else []
        if kind not in pieces[1::2]:
            split.append(part)
            continue
        for index, piece in enumerate(pieces):
            if index % 2 and piece == kind:
                split.append(media_part(kind, None))
            else:
                split.append(text_part(f"<{piece}>" if index % 2 else piece))
    if split == list(parts):
        return split
    if split[0]["type"] == "text" and not split[0]["text"]:
        split = split[1:]
    return _trimmed([part for part in split if part["text"] != ""])


def _trimmed(parts: list[Part]) -> list[Part]:
    first, rest = leading(parts)
    if first and rest:
        rest[0] = text_part(rest[0]["text"].lstrip("\n"))
    last, before = leading(rest[::-1])
    if last and before:
        before[0] = text_part(before[0]["text"].rstrip("\n"))
    return [part for part in [*first, *before[::-1], *last[::-1]] if part["text"] != ""]
