"""Puts media where they stand: at ``<image>`` and ``<video>`` in texts, at parts that lack theirs.

Media without any place stand before the conversation, as in pairs v1: they begin the user's first
message.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from pipeline.pairs.contents import KINDS, Part, leading, media_part, text_part
from pipeline.pairs.conversations import Unfit

PLACEHOLDER = re.compile(r"<(image|video)>")


def place(
    contents: Sequence[Sequence[Part]],
    held: Mapping[str, Sequence[Any]],
    strict: Collection[str] = (),
    first: int = 0,
) -> list[list[Part]]:
    """Fills the places for media, kind by kind, in reading order.

    Args:
        contents: parts, message by message.
        held: the media to place, by kind (``image``, ``video``), in order.
        strict: kinds whose placeholders ask for media even where a row holds none of them;
            otherwise such a placeholder is a text like any other.
        first: the content that media without a place begin.

    Raises:
        Unfit: there are places, and not as many as media.
    """
    placed = [list(parts) for parts in contents]
    mere = all(part["type"] == "text" for parts in placed for part in parts)
    if mere and not strict and not any(held.values()):  # as most are
        return placed
    for kind in KINDS:
        media = list(held.get(kind, ()))
        if media or kind in strict:
            placed = [_split(parts, kind) for parts in placed]
        count = len([part for parts in placed for part in parts if _is_place(part, kind)])
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
            before, rest_of_it = leading(placed[first])
            placed[first] = [*before, *(media_part(kind, each) for each in media), *rest_of_it]
    return placed


def _is_place(part: Part, kind: str) -> bool:
    return bool(part["type"] == kind and part[kind] is None)


def _split(parts: list[Part], kind: str) -> list[Part]:
    """Placeholders of a kind as parts; line breaks between them and the content's ends go."""
    mark = f"<{kind}>"
    if not any(mark in (part["text"] or "") for part in parts):
        return parts
    split: list[Part] = []
    for part in parts:
        pieces = PLACEHOLDER.split(part["text"] or "") if part["type"] == "text" else []
        if kind not in pieces[1::2]:
            split.append(part)
            continue
        for index, piece in enumerate(pieces):
            if index % 2 and piece == kind:
                split.append(media_part(kind, None))
            else:
                split.append(text_part(f"<{piece}>" if index % 2 else piece))
    return _trimmed([part for part in split if part["text"] != ""])


def _trimmed(parts: list[Part]) -> list[Part]:
    first, rest = leading(parts)
    if first and rest:
        rest[0] = text_part(rest[0]["text"].lstrip("\n"))
    last, before = leading(rest[::-1])
    if last and before:
        before[0] = text_part(before[0]["text"].rstrip("\n"))
    return [part for part in [*first, *before[::-1], *last[::-1]] if part["text"] != ""]
