"""The sample of pairs, as the page shows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from pipeline.pairs.contents import question_parts, text_of
from pipeline.report.pair_sample import KINDS, Specimen
from pipeline.report.report_config import GalleryConfig
from pipeline.report.report_words import KINDS as TITLES
from pipeline.report.report_words import STATUSES
from pipeline.report.thumbnails import Thumbnail, Thumbnails
from pipeline.runtime.printable import one_line, printable
from pipeline.stats.shown_numbers import shown
from schemas.labels import VERDICT, Status

_RATIONALE_CHARS = 4_000
_NAME_CHARS = 200


@dataclass(frozen=True)
class Text:
    """A text of somebody's that is not empty, made fit to be shown.

    Attributes:
        cut: of how many characters only the first are shown; 0 of a whole text.
    """

    text: str
    cut: int = 0


@dataclass(frozen=True)
class Side:
    """A response.

    Attributes:
        name: ``a``, ``b``, and so on.
        score: its mean score, where there is one.
        preferred, gold: whether the label, or a human, prefers it.
    """

    name: str
    text: Text | None
    model: Text | None
    pictures: Sequence[Thumbnail]
    score: str | None
    preferred: bool
    gold: bool


@dataclass(frozen=True)
class VoteLine:
    """A vote: in what order the responses were shown, and what the verdict is."""

    order: str
    verdict: str
    parsed: bool
    scores: str
    tokens: str
    rationale: Text | None


@dataclass(frozen=True)
class Card:
    """A pair of the sample.

    Attributes:
        query: of the address of its page in ``pairmill review``.
    """

    place: str
    query: str
    pair_id: Text
    kinds: str
    status: str
    outcome: str
    facts: Sequence[tuple[str, str]]
    flags: Sequence[str]
    problem: Text | None
    prompt: Text | None
    pictures: Sequence[Thumbnail]
    sides: Sequence[Side]
    rationale: Text | None
    votes: Sequence[VoteLine]


@dataclass(frozen=True)
class Chip:
    """A filter of the sample.

    Attributes:
        query: of the address that shows all such rows in ``pairmill review``.
    """

    kind: str
    query: str
    title: str
    count: int


def chips(specimens: Sequence[Specimen], config: GalleryConfig) -> list[Chip]:
    """The filters, with how many pairs each leaves."""
    queries = {
        "gold": "gold=differs",
        "flips": "orders=flips",
        "low": f"confidence_max={config.low_confidence:g}&sort=confidence",
    }
    return [
        Chip(
            kind,
            queries.get(kind, f"status={kind}"),
            TITLES[kind],
            sum(kind in s.kinds for s in specimens),
        )
        for kind in KINDS
    ]


def cards(
    specimens: Sequence[Specimen], thumbnails: Thumbnails | None, config: GalleryConfig
) -> list[Card]:
    """The pairs, seldom kinds first, and of each kind in the order of shards and rows.

    Args:
        specimens: what was drawn.
        thumbnails: makes them; None where nothing of the input can be read.
        config: how much of a text is shown.
    """
    ordered = sorted(specimens, key=lambda s: min(map(KINDS.index, s.kinds)))
    return [_card(specimen, thumbnails, config) for specimen in ordered]


def fit(text: str | None, most: int) -> Text | None:
    """A text without what would break a page, cut to so many characters."""
    if not text:
        return None
    whole = printable(text)
    return Text(whole) if len(whole) <= most else Text(whole[:most], len(whole))


def _card(specimen: Specimen, thumbnails: Thumbnails | None, config: GalleryConfig) -> Card:
    label, pair = specimen.label, specimen.pair
    most = config.text_chars
    problem = label["detail"] if label["status"] == Status.QUARANTINED else None
    reason = ": ".join(filter(None, (label["reason"], problem)))
    problems = ". ".join(dict.fromkeys(filter(None, (reason, specimen.problem))))
    pictures = thumbnails.of(question_parts(pair), "the prompt") if thumbnails and pair else ()
    return Card(
        place=one_line(f"{label['shard']}, row {label['row']:,}"),
        query=urlencode({"shard": label["shard"], "row": label["row"]}),
        pair_id=fit(label["pair_id"], _NAME_CHARS) or Text("(no id)"),
        kinds=" ".join(sorted(specimen.kinds)),
        status=label["status"],
        outcome=_outcome(label),
        facts=_facts(label, pair),
        flags=[TITLES[kind] for kind in ("gold", "flips", "low") if kind in specimen.kinds],
        problem=fit(problems or None, most),
        prompt=None if pair is None else fit(_prompt(pair), most),
        pictures=pictures,
        sides=[] if pair is None else _sides(label, pair, thumbnails, most),
        rationale=fit(label["rationale"], most),
        votes=[vote_line(vote) for vote in label["votes"]],
    )


def _outcome(label: Mapping[str, Any]) -> str:
    if label["status"] == Status.LABELED and label["preference"]:
        return f"prefers {label['preference']}"
    return STATUSES[label["status"]]


def _facts(label: Mapping[str, Any], pair: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    p_a = label["p_a"] if label["p_a"] is not None else label["p_a_raw"]
    confidence = label["confidence"]
    values: list[tuple[str, str | None]] = [
        ("gold", pair["gold"] if pair else None),
        (
            "confidence",
            None if confidence is None else shown(confidence, "share"),
        ),
        ("p(a)", None if p_a is None else shown(p_a, "share")),
        ("margin", None if label["margin"] is None else _signed(label["margin"])),
        ("votes", None if label["n_votes"] is None else str(label["n_votes"])),
        ("source", pair["source"] if pair else None),
    ]
    return [(name, fitted.text) for name, value in values if (fitted := fit(value, _NAME_CHARS))]


def _signed(margin: float) -> str:
    return f"{margin:+.3g}" if margin else "0"


def _prompt(pair: Mapping[str, Any]) -> str | None:
    turns = [(each["role"], text_of(each["content"]) or "") for each in pair["messages"] or ()]
    if len(turns) == 1:
        return turns[0][1]
    return "\n\n".join(f"{role}: {text}" for role, text in turns) or None


def _sides(
    label: Mapping[str, Any], pair: Mapping[str, Any], thumbnails: Thumbnails | None, most: int
) -> list[Side]:
    responses = pair["candidates"] or ()
    scores = label["scores"] or []
    found = []
    for number, response in enumerate(responses):
        name, response = chr(ord("a") + number), response or {}
        score = scores[number] if number < len(scores) else None
        found.append(
            Side(
                name=name,
                text=fit(text_of(response.get("content")), most),
                model=fit(response.get("model"), _NAME_CHARS),
                pictures=thumbnails.of(response["content"], f"response {name}")
                if thumbnails and response
                else (),
                score=None if score is None else f"{score:.3g}",
                preferred=label["preference"] == name,
                gold=pair["gold"] == name,
            )
        )
    return found


def vote_line(vote: Mapping[str, Any]) -> VoteLine:
    """A vote as a line.

    Args:
        vote: as labels v2 have it.
    """
    parsed = vote["outcome"] == VERDICT
    scores = vote["scores"]
    if not scores:
        scores = [vote["score_a"], vote["score_b"]]
    known = [f"{score:g}" for score in scores if score is not None]
    letters = [*vote["order"]]
    order = f"{letters[0]} first" if len(letters) == 2 else ", ".join(letters)
    choice = vote["choice"]
    verdict = {None: "", "tie": "tie"}.get(choice, f"prefers {choice}")
    if vote["option"] in ("both_good", "both_bad"):
        verdict = vote["option"].replace("_", " ")
    if not parsed:
        verdict = f"unparseable: {vote['outcome'].replace('_', ' ')}"
    return VoteLine(
        order=order,
        verdict=verdict,
        parsed=parsed,
        scores=" : ".join(known),
        tokens=f"{vote['output_tokens']:,} tokens" if vote["output_tokens"] is not None else "",
        rationale=fit(vote["rationale"], _RATIONALE_CHARS),
    )
