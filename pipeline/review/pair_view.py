"""Everything that is known of one pair: what was asked, what each judge said, and by what rule."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from pipeline.pairs.contents import text_of
from pipeline.report.gallery import VoteLine, vote_line
from pipeline.review.reason_words import REASONS
from pipeline.review.reviewed_output import Reviewed
from pipeline.review.shown_text import Piece, differences, shown
from schemas.labels import BY_SEVERAL, Status

_FACTS = ("status", "reason", "preference", "tie_kind", "confidence", "p_a", "p_a_raw", "margin")


@dataclass(frozen=True)
class Shown:
    """A part of a message or of a response.

    Attributes:
        kind: ``text``, ``image`` or ``video``.
        pieces: of a text.
        at: of a medium, its place within the pair.
    """

    kind: str
    pieces: Sequence[Piece] = ()
    at: str = ""


@dataclass(frozen=True)
class Candidate:
    """A response.

    Attributes:
        name: its letter.
        score: its mean score by the deciding judge, if it has one.
        criteria: each criterion's mean score.
    """

    name: str
    parts: Sequence[Shown]
    model: str
    preferred: bool
    gold: bool
    score: str
    criteria: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Opinion:
    """What one judge says of the pair: the label of the day, and every vote."""

    judge_id: str
    name: str
    decided: bool
    facts: Mapping[str, str]
    votes: Sequence[VoteLine]


@dataclass(frozen=True)
class PairView:
    """A pair as its page shows it.

    Attributes:
        problem: why its texts and pictures cannot be shown, or None.
        reason: of a row in quarantine: what happened, the detail, and what to do.
        former: its label in the snapshot before, in words; None without one.
        lineage: where its label comes from.
        as_row: the pair as JSON, without the bytes of media.
    """

    shard: str
    row: int
    pair_id: str
    label: Mapping[str, Any]
    facts: Mapping[str, str]
    problem: str | None = None
    reason: tuple[str, str, str] | None = None
    gold: str | None = None
    source: str = ""
    messages: Sequence[tuple[str, Sequence[Shown]]] = ()
    candidates: Sequence[Candidate] = ()
    opinions: Sequence[Opinion] = ()
    former: str | None = None
    lineage: Mapping[str, str] = field(default_factory=dict)
    as_row: str = ""


def pair_view(reviewed: Reviewed, shard: str, row: int) -> PairView | None:
    """The page of a pair; None of a row that has no label.

    Raises:
        InputError: labels are corrupt.
        StorageError: the store fails.
    """
    label = reviewed.label(shard, row)
    if label is None:
        return None
    # Each of these waits for the store many times, one request after another.
    with ThreadPoolExecutor(3) as threads:
        reading = threads.submit(reviewed.pair, shard, row)
        others = threads.submit(reviewed.labels_by_judges, label)
        before = threads.submit(reviewed.former_label, label)
    pair, problem = reading.result()
    quarantined = label["status"] == Status.QUARANTINED
    about = REASONS.get(label["reason"] or "", ("", ""))
    gold = reviewed.people.get(label["pair_hash"] or "", pair["gold"] if pair else None)
    opinions = [_opinion(each, label, reviewed) for each in others.result()]
    return PairView(
        shard=shard,
        row=row,
        pair_id=shown(label["pair_id"] or "(no id)"),
        label=label,
        facts=_facts(label),
        problem=problem,
        reason=(about[0], shown(label["detail"] or ""), about[1]) if quarantined else None,
        gold=gold,
        source=shown(pair["source"] or "") if pair else "",
        messages=list(messages_of(pair)) if pair else (),
        candidates=list(candidates_of(pair, label, gold)) if pair else (),
        opinions=opinions,
        former=_former(before.result()),
        lineage=reviewed.lineage(label),
        as_row=json.dumps(_without_bytes(pair), indent=1, ensure_ascii=False) if pair else "",
    )


def media_at(pair: Mapping[str, Any], at: str) -> tuple[str, Mapping[str, Any]] | None:
    """The kind and the reference of a medium of a pair; None if there is none at this place.

    Args:
        pair: a row of pairs v2.
        at: ``m`` for messages or ``c`` for candidates, then the number of the message or candidate
            and that of the part, such as ``m0.1``.
    """
    holders = {"m": pair["messages"], "c": pair["candidates"]}.get(at[:1]) or ()
    number, _, part = at[1:].partition(".")
    if not (number.isdecimal() and part.isdecimal() and int(number) < len(holders)):
        return None
    content = (holders[int(number)] or {}).get("content") or ()
    if int(part) >= len(content) or content[int(part)]["type"] == "text":
        return None
    found = content[int(part)]
    return found["type"], found[found["type"]] or {"bytes": None, "path": None}


def messages_of(pair: Mapping[str, Any]) -> Iterator[tuple[str, list[Shown]]]:
    """The conversation of a pair: each message's role and parts."""
    for number, message in enumerate(pair["messages"] or ()):
        parts = _shown_parts((message or {}).get("content") or (), f"m{number}")
        yield shown((message or {}).get("role") or "user"), list(parts)


def candidates_of(
    pair: Mapping[str, Any], label: Mapping[str, Any] | None = None, gold: str | None = None
) -> Iterator[Candidate]:
    """The responses of a pair, what differs between two of them marked.

    Args:
        pair: a row of pairs v2.
        label: whose scores and winner are shown; without one nothing of any judge is.
        gold: what people say; without it nothing of theirs is shown.
    """
    responses = [each or {} for each in pair["candidates"] or ()]
    texts = [text_of(each.get("content")) or "" for each in responses]
    marked = list(differences(*texts)) if len(texts) == 2 else [None] * len(texts)
    scores = label["scores"] or [] if label else []
    criteria = label["criteria"] or [] if label else []
    for number, response in enumerate(responses):
        name, content = chr(ord("a") + number), response.get("content") or ()
        parts = list(_shown_parts(content, f"c{number}"))
        pieces = marked[number]
        if pieces is not None and sum(part.kind == "text" for part in parts) == 1:
            parts = [Shown("text", pieces) if p.kind == "text" else p for p in parts]
        yield Candidate(
            name=name,
            parts=parts,
            model=shown(response.get("model") or "") if label else "",
            preferred=label is not None and label["preference"] == name,
            gold=gold == name,
            score=f"{scores[number]:.3g}" if number < len(scores) else "",
            criteria=[
                (shown(each["name"]), f"{each['scores'][number]:.3g}")
                for each in criteria
                if number < len(each["scores"])
            ],
        )


def _shown_parts(content: Sequence[Mapping[str, Any]], holder: str) -> Iterator[Shown]:
    for number, part in enumerate(content):
        if part["type"] == "text":
            yield Shown("text", [Piece(shown(part["text"] or ""))])
        else:
            yield Shown(part["type"], at=f"{holder}.{number}")


def _opinion(row: Mapping[str, Any], label: Mapping[str, Any], reviewed: Reviewed) -> Opinion:
    judge_id, decider = row["judge_id"], label["decided_by"] or label["judge_id"]
    decider = label["judge_id"] if decider == BY_SEVERAL else decider
    return Opinion(
        judge_id=judge_id,
        name=reviewed.judge_name(judge_id),
        decided=judge_id == decider,
        facts=_facts(row),
        votes=[vote_line(vote) for vote in row["votes"] or ()],
    )


def _facts(label: Mapping[str, Any]) -> dict[str, str]:
    found = {name: label[name] for name in _FACTS if label.get(name) is not None}
    return {n: f"{v:.3g}" if isinstance(v, float) else shown(str(v)) for n, v in found.items()}


def _former(former: Mapping[str, Any] | None) -> str | None:
    if former is None:
        return None
    said = former["preference"] or former["status"]
    sure = former["confidence"]
    return f"{said}, confidence {sure:.3g}" if sure is not None else str(said)


def _without_bytes(value: Any) -> Any:
    """A row as JSON can have it: of bytes only how many there are."""
    if isinstance(value, Mapping):
        return {name: _without_bytes(each) for name, each in value.items() if name != "defect"}
    if isinstance(value, list | tuple):
        return [_without_bytes(each) for each in value]
    return f"({len(value):,} bytes)" if isinstance(value, bytes) else value
