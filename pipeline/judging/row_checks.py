"""Whether a judging format can ask about a row; each refusal is a quarantined row.

What breaks the pairs contract itself is found earlier, for whole columns at a time
(``contract_checks.row_problems``).
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.judging.judge_config import CandidateKind, JudgeConfig
from pipeline.judging.votes import LETTERS
from pipeline.pairs.contents import (
    contents_of,
    media_of,
    opening,
    question_parts,
    text_of,
)
from pipeline.pairs.conversations import ANSWERED, ROLES
from pipeline.pairs.pair_hash import Piece
from pipeline.runtime.errors import RowRejected
from schemas.labels import Reason
from schemas.pairs import GOLD_VALUES

# What a candidate of each kind must be made of, and what it must not hold.
_MADE_OF: dict[CandidateKind, tuple[str, tuple[str, ...]]] = {
    "text": ("text", ("image", "video")),
    "image": ("image", ("video",)),
    "edit": ("image", ("video",)),
    "video": ("video", ("image",)),
}


def check_candidates(row: Mapping[str, Any], judge: JudgeConfig) -> None:
    """Checks that the judge's format can be asked about a row's candidates.

    Args:
        row: a row of pairs v2.
        judge: its format, kind of candidates and media limits.

    Raises:
        RowRejected: bad_row, with what is wrong.
    """
    candidates = row["candidates"] or []
    if not any(candidates) and not decided_by_gold(row, judge):
        candidates = []
    least, most = judge.declared_format.counts
    if not least <= len(candidates) <= most:
        expected = f"{least}" if least == most else f"{least} to {most}"
        raise _bad(
            f"the row has {len(candidates)} candidates; the format {judge.format} takes {expected}"
        )
    named = zip(LETTERS, candidates, strict=False)
    empty = [_check_candidate(f"candidate {name}", each, judge.candidates) for name, each in named]
    if (problem := next(filter(None, empty), None)) and not decided_by_gold(row, judge):
        raise _bad(problem)
    parts = [part for content in contents_of(row) for part in content]
    if judge.candidates == "edit" and not media_of(question_parts(row), "image"):
        raise _bad("no source image in the question; judge.candidates 'edit' needs one")
    limits = {
        "image": (judge.media.max_images, "judge.media.max_images"),
        "video": (judge.media.video.max_videos, "judge.media.video.max_videos"),
    }
    for kind, (limit, setting) in limits.items():
        count = len(media_of(parts, kind))
        if count > limit:
            raise _bad(f"the row has {count} {kind}s; the limit is {limit} ({setting})")


def decided_by_gold(row: Mapping[str, Any], judge: JudgeConfig) -> bool:
    """Whether a person's answer labels the pair where its candidates leave nothing to compare."""
    return judge.declared_format.about == "pair" and row["gold"] in GOLD_VALUES


def nothing_to_compare(candidates: Sequence[Sequence[Piece]], kind: CandidateKind) -> str | None:
    """Why candidates cannot be compared: one is empty, or two are equal, media included."""
    needed, _ = _MADE_OF[kind]
    for letter, pieces in zip(LETTERS, candidates, strict=False):
        if not any(of == needed and (of != "text" or value.strip()) for of, value in pieces):
            return f"candidate {letter} is empty"
    for (i, first), (j, second) in itertools.combinations(enumerate(candidates), 2):
        if list(first) == list(second):
            return f"candidates {LETTERS[i]} and {LETTERS[j]} are equal"
    return None


def check_question(row: Mapping[str, Any]) -> None:
    """Checks that a row's messages ask something.

    Raises:
        RowRejected: there are none, or one by the user is empty, or one has an unknown role, or
            the last is neither the user's nor a tool's.
    """
    messages = row["messages"]
    if not messages:
        raise _bad("there is no question: messages hold nothing")
    for message in messages:
        if message is None or message["role"] not in ROLES:
            raise _bad(f"message {message!r}: expected a role of {', '.join(ROLES)}")
        if message["role"] == "user" and not message["content"]:
            raise _bad("a message by the user is empty")
    if (last := messages[-1]["role"]) not in ANSWERED:
        raise _bad(f"the conversation ends with {last}, expected {' or '.join(ANSWERED)}")
    text = text_of(messages[0]["content"])
    if len(messages) == 1 and text is not None and not text.strip():
        raise _bad("the question has no text")


def question_of(
    row: Mapping[str, Any], asked: Sequence[Sequence[Piece]]
) -> tuple[tuple[Piece, ...], tuple[Piece, ...]]:
    """The question as the judge reads it: the media that it begins with, and what follows.

    A conversation has its roles named; media that its user begins with stand before all of it. A
    system message without content says nothing, and is left out.

    Args:
        row: one that ``check_question`` passes.
        asked: the contents of its messages, with their media.
    """
    turns = [
        (message, content)
        for message, content in zip(row["messages"], asked, strict=True)
        if content or message["role"] != "system"
    ]
    messages, asked = [each for each, _ in turns], [content for _, content in turns]
    first = opening(messages)
    opened = asked[first]
    count = next((n for n, (kind, _) in enumerate(opened) if kind == "text"), len(opened))
    context, rest = opened[:count], opened[count:]
    if len(asked) == 1:
        return tuple(context), tuple(rest)
    pieces: list[Piece] = []
    for number, message in enumerate(messages):
        pieces.append(("text", "\n\n" * bool(number) + f"{message['role'].capitalize()}: "))
        pieces += rest if number == first else asked[number]
    return tuple(context), tuple(pieces)


def _check_candidate(
    name: str, candidate: Mapping[str, Any] | None, kind: CandidateKind
) -> str | None:
    """Why a candidate is empty; None if it is not.

    Raises:
        RowRejected: it holds media that its kind must not.
    """
    if candidate is None:
        return f"{name} is null"
    content = candidate["content"]
    needed, forbidden = _MADE_OF[kind]
    for medium in forbidden:
        if media_of(content, medium):
            takes = needed if needed == "text" else f"{needed}s"
            raise _bad(f"{name} has {medium}s; judge.candidates {kind!r} takes {takes} only")
    if needed == "text":
        return None if (text_of(content) or "").strip() else f"{name} is empty: it has no text"
    return None if media_of(content, needed) else f"{name} is empty: it has no {needed}s"


def _bad(detail: str) -> RowRejected:
    return RowRejected(Reason.BAD_ROW, detail)
