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
from pipeline.pairs.pair_hash import Content
from pipeline.runtime.errors import RowRejected
from schemas.labels import Reason
from schemas.pairs import GOLD_VALUES

ROLES = ("system", "user", "assistant")
RESPONSES = ("response_a", "response_b")
# What a candidate of each kind must be made of, and what it must not hold.
_MADE_OF: dict[CandidateKind, tuple[str, tuple[str, ...]]] = {
    "text": ("text", ("images", "videos")),
    "image": ("images", ("videos",)),
    "edit": ("images", ("videos",)),
    "video": ("videos", ("images",)),
}
_NOTHING: dict[str, Any] = {"text": None, "images": None, "videos": None, "model": None}


def candidates_of(row: Mapping[str, Any], judge: JudgeConfig) -> list[Mapping[str, Any]]:
    """The candidates that the judge's format asks about, in the row's order.

    Args:
        row: a row of pairs v1.
        judge: its format, kind of candidates and media limits.

    Raises:
        RowRejected: bad_row, with what is wrong.
    """
    candidates = _responses(row, judge)
    empty = [_check_candidate(*each, judge.candidates) for each in candidates.items()]
    if (problem := next(filter(None, empty), None)) and not decided_by_gold(row, judge):
        raise _bad(problem)
    if judge.candidates == "edit" and not row["images"]:
        raise _bad("no source image in images; judge.candidates 'edit' needs one")
    limits = {"images": judge.media.max_images, "videos": judge.media.video.max_videos}
    settings = {"images": "judge.media.max_images", "videos": "judge.media.video.max_videos"}
    for media, limit in limits.items():
        holders = [row, *filter(None, candidates.values())]
        count = sum(len(holder[media] or ()) for holder in holders)
        if count > limit:
            raise _bad(f"the row has {count} {media}; the limit is {limit} ({settings[media]})")
    return [each or _NOTHING for each in candidates.values()]


def decided_by_gold(row: Mapping[str, Any], judge: JudgeConfig) -> bool:
    """Whether a person's answer labels the pair where its candidates leave nothing to compare."""
    return judge.declared_format.about == "pair" and row["gold"] in GOLD_VALUES


def nothing_to_compare(candidates: Sequence[Content], kind: CandidateKind) -> str | None:
    """Why candidates cannot be compared: one is empty, or two are equal, media included."""
    for letter, content in zip(LETTERS, candidates, strict=False):
        if _is_empty(getattr(content, _MADE_OF[kind][0])):
            return f"candidate {letter} is empty"
    for (i, first), (j, second) in itertools.combinations(enumerate(candidates), 2):
        if first == second:
            return f"candidates {LETTERS[i]} and {LETTERS[j]} are equal"
    return None


def question_of(row: Mapping[str, Any]) -> str:
    """The question as the judge reads it: the prompt, or a conversation with its roles named.

    Raises:
        RowRejected: both or neither are given, or a message lacks text or has an unknown role.
    """
    prompt, messages = row["prompt"], row["messages"]
    if prompt and messages:
        raise _bad("both prompt and messages are given, expected one of them")
    if prompt and prompt.strip():
        return str(prompt)
    if not messages:
        raise _bad("prompt is empty, and there are no messages")
    turns = []
    for message in messages:
        if message is None or message["role"] not in ROLES or not message["content"]:
            raise _bad(f"message {message!r}: expected a role of {', '.join(ROLES)} and content")
        turns.append(f"{message['role'].capitalize()}: {message['content']}")
    if messages[-1]["role"] != "user":
        raise _bad(f"the conversation ends with {messages[-1]['role']}, expected user")
    return str(messages[0]["content"]) if len(turns) == 1 else "\n\n".join(turns)


def _responses(row: Mapping[str, Any], judge: JudgeConfig) -> dict[str, Mapping[str, Any]]:
    least, most = judge.declared_format.counts
    found = row["candidates"] or ()
    responses = {name: row[name] for name in RESPONSES}
    if not found and (least == most == 2 or (least <= 2 <= most and all(responses.values()))):
        return responses
    if not least <= len(found) <= most:
        expected = f"{least}" if least == most else f"{least} to {most}"
        raise _bad(
            f"the row has {len(found)} candidates; the format {judge.format} takes {expected}"
        )
    return {f"candidate {LETTERS[index]}": each for index, each in enumerate(found)}


def _check_candidate(
    name: str, candidate: Mapping[str, Any] | None, kind: CandidateKind
) -> str | None:
    """Why a candidate is empty; None if it is not.

    Raises:
        RowRejected: it holds media that its kind must not.
    """
    if candidate is None:
        return f"{name} is null"
    needed, forbidden = _MADE_OF[kind]
    for media in forbidden:
        if candidate[media]:
            raise _bad(f"{name} has {media}; judge.candidates {kind!r} takes {needed} only")
    return f"{name} is empty: it has no {needed}" if _is_empty(candidate[needed]) else None


def _is_empty(content: object) -> bool:
    return not content or (isinstance(content, str) and not content.strip())


def _bad(detail: str) -> RowRejected:
    return RowRejected(Reason.BAD_ROW, detail)
