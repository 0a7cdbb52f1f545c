"""Contents of messages and candidates: parts of text and media, in their order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from schemas.pairs import PAIRS_V2

Part = dict[str, Any]  # as `schemas.pairs.CONTENT_PART`
Media = dict[str, Any]  # as `schemas.pairs.MEDIA`
Message = dict[str, Any]

KINDS = ("image", "video")


def text_part(value: str) -> Part:
    """A part that is a text."""
    return {"type": "text", "text": value, "image": None, "video": None}


def media_part(kind: str, value: Media | None) -> Part:
    """A part that is an ``image`` or a ``video``; without media, a place for one."""
    return {"type": kind, "text": None, "image": None, "video": None} | {kind: value}


def text_of(parts: Sequence[Mapping[str, Any]] | None) -> str | None:
    """The texts of a content as one; None if it has none."""
    texts = [part["text"] for part in parts or () if part["type"] == "text"]
    return "".join(filter(None, texts)) if texts else None


def shown_text(parts: Sequence[Mapping[str, Any]]) -> str:
    """A content for people, with ``<image>`` or ``<video>`` where a medium stands."""
    return "".join(p["text"] or "" if p["type"] == "text" else f"<{p['type']}>" for p in parts)


def media_of(parts: Sequence[Mapping[str, Any]] | None, kind: str) -> list[Media | None]:
    """The pictures or the clips of a content; a null is one that is missing."""
    return [part[kind] for part in parts or () if part["type"] == kind]


def leading(parts: Sequence[Part]) -> tuple[list[Part], list[Part]]:
    """The media that a content begins with, and the rest of it."""
    count = next((n for n, part in enumerate(parts) if part["type"] == "text"), len(parts))
    return list(parts[:count]), list(parts[count:])


def opening(messages: Sequence[Message]) -> int:
    """The place of the user's first message, before which media that have no place stand."""
    roles = [each["role"] for each in messages]
    return roles.index("user") if "user" in roles else 0


def contents_of(row: Mapping[str, Any]) -> Iterator[list[Part]]:
    """The contents of a row of pairs v2: of its messages, then of its candidates."""
    for each in (*(row["messages"] or ()), *(row["candidates"] or ())):
        yield (each and each["content"]) or []


def question_parts(row: Mapping[str, Any]) -> list[Part]:
    """All parts of a row's messages."""
    return [part for each in row["messages"] or () for part in (each and each["content"]) or ()]


def candidate_texts(row: Mapping[str, Any]) -> list[str | None]:
    """The text of each candidate; None where it has none."""
    return [text_of(each and each["content"]) for each in row["candidates"] or ()]


def pair_row(
    pair_id: str, asked: Sequence[Message], answers: Sequence[Sequence[Part]], **more: Any
) -> dict[str, Any]:
    """A row of pairs v2.

    Args:
        pair_id: its id.
        asked: messages of ``role`` and ``content``.
        answers: the contents of its candidates.
        more: further columns.
    """
    candidates = [{"content": list(parts), "model": None} for parts in answers]
    row: dict[str, Any] = dict.fromkeys(PAIRS_V2.names)
    return row | {"pair_id": pair_id, "messages": list(asked), "candidates": candidates} | more


def asked_by_user(*parts: Part) -> list[Message]:
    """A conversation of one message by the user."""
    return [{"role": "user", "content": list(parts)}]
