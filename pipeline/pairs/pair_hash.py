"""The identity of a pair: a hash of all that the judge is shown of it.

A pair that pairs v1 can state, which is one whose media stand before the question or before the
text of an answer, has the hash that it always had.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.pairs.contents import KINDS, Message, Part, leading, opening, text_of
from pipeline.runtime.digest import digest

_json = json.JSONEncoder(sort_keys=True, ensure_ascii=False).encode  # json.dumps makes one a call
Piece = tuple[str, Any]  # ("text", str), or ("image" or "video", bytes): a part with its medium


@dataclass(frozen=True)
class Content:
    """A text and encoded media: of a candidate, or of the context."""

    text: str | None
    images: tuple[bytes, ...] = ()
    videos: tuple[bytes, ...] = ()

    def hashed(self) -> dict[str, Any]:
        """The content with each picture and video replaced by its hash."""
        media = {"images": self.images, "videos": self.videos}
        hashes = {name: [_sha256(data) for data in each] for name, each in media.items()}
        return {"text": self.text, **hashes}


def pair_hash(
    row: Mapping[str, Any], asked: Sequence[Sequence[Piece]], answers: Sequence[Sequence[Piece]]
) -> str:
    """Identity of what is judged: messages, candidates, and the bytes of all media.

    Identifiers, gold, source and model names are left out: they do not change a verdict.

    Args:
        row: a row of pairs v2, with the texts that a row of pairs v1 had if they were others.
        asked: the contents of its messages, with their media.
        answers: those of its candidates.
    """
    kept = row.get("hashed_question")
    question = json.loads(kept) if kept else v1_question(row["messages"])
    if question is None:
        question, context = _in_place(row["messages"], asked), Content(None)
    else:
        context = _held([piece for pieces in asked for piece in pieces], None)
    kept = row.get("hashed_answers")
    texts = json.loads(kept) if kept else None
    candidates = []
    for number, (each, pieces) in enumerate(zip(row["candidates"], answers, strict=True)):
        content = (each and each["content"]) or []
        if texts is not None:
            candidates.append(_held(pieces, texts[number]).hashed())
        elif _media_first(content):
            candidates.append(_held(pieces, text_of(content)).hashed())
        else:
            candidates.append({"content": _hashed(pieces)})
    return v1_hash(question, candidates, context)


def v1_hash(
    question: Mapping[str, Any], candidates: Sequence[Mapping[str, Any]], context: Content
) -> str:
    """The hash of a pair, of its ``prompt`` or ``messages``, and of what is in its candidates."""
    content = {
        "prompt": question["prompt"],
        "messages": question["messages"],
        "context": context.hashed(),
        "candidates": list(candidates),
    }
    return digest(_json(content))


def v1_question(messages: Sequence[Message]) -> dict[str, Any] | None:
    """``prompt`` or ``messages`` of pairs v1; None where it cannot say where the media stand."""
    first = opening(messages)
    for number, each in enumerate(messages):
        parts = each["content"]
        if number != first and any(part["type"] != "text" for part in parts):
            return None
        if number == first and not _media_first(parts):
            return None
    texts = [text_of(each["content"]) or "" for each in messages]
    if len(messages) == 1 and messages[0]["role"] == "user":
        return {"prompt": texts[0], "messages": None}
    turns = [
        {"role": each["role"], "content": text} for each, text in zip(messages, texts, strict=True)
    ]
    return {"prompt": None, "messages": turns or None}


def _media_first(content: Sequence[Part]) -> bool:
    """Whether pictures, then clips, then texts make a content."""
    media, rest = leading(content)
    kinds = [part["type"] for part in media]
    return kinds == sorted(kinds) and all(part["type"] == "text" for part in rest)


def _in_place(messages: Sequence[Message], asked: Sequence[Sequence[Piece]]) -> dict[str, Any]:
    turns = [
        {"role": each["role"], "content": _hashed(pieces)}
        for each, pieces in zip(messages, asked, strict=True)
    ]
    return {"prompt": None, "messages": turns}


def _held(pieces: Sequence[Piece], text: str | None) -> Content:
    images, videos = (tuple(value for of, value in pieces if of == kind) for kind in KINDS)
    return Content(text, images, videos)


def _hashed(pieces: Sequence[Piece]) -> list[list[str]]:
    return [[kind, value if kind == "text" else _sha256(value)] for kind, value in pieces]


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
