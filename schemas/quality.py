"""quality/v1: what can be said of a snapshot's labels, in one JSON object beside its manifest.

The gate decides by it, the report draws it, and the next snapshot's drift is measured against it,
so that no snapshot is read a second time for its figures.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Self

from schemas.contract import ContractError
from schemas.json_records import Check, is_a, is_number, list_of, object_of, or_null, record
from schemas.labels import Status
from schemas.manifest import OUTCOMES
from schemas.pairs import GOLD_VALUES

QUALITY_VERSION = "quality/v1"

# The shares under `rates`. Rows are of the snapshot, in which each input row is one; "judged" rows
# are those with a label, a tie or an abstention.
RATES = {
    "tie": "ties, of judged rows",
    "abstain": "abstentions, of judged rows",
    "quarantine": "quarantined rows, of judged and quarantined ones",
    "truncation": "replies cut off at the token limit, of all votes",
    "unreadable": "replies that are no verdict for whatever reason, of all votes",
    "position_consistency": "pairs whose votes of either order say the same, of judged pairs",
    "first_slot_wins": "votes for the candidate shown first, of readable votes for either one",
    "preference_a": "labels that prefer a, of labeled pairs",
    "longer_wins": "labels that prefer the longer text, of sampled labeled pairs of texts that "
    "differ in length",
    "gold_longer_wins": "the same of a human's preferences, on sampled pairs that have them",
    "gold_agreement": "labels that prefer what a human prefers, of the corpus' pairs where both "
    "prefer one; of ranked groups, their pairs that a human orders and that are ordered alike",
    "gold_agreement_all": "labels that are the human's, ties included, of all pairs with gold: a "
    "tie for a preference, an abstention and a quarantined pair are wrong",
    "canary_agreement": "as gold_agreement, of the canaries that the run judged again",
    "canary_agreement_all": "as gold_agreement_all, of the canaries that the run judged again",
}

# What is counted under `histograms`; what lies outside of the edges is in the outermost bins.
HISTOGRAMS = {
    "margin": "judged pairs by mean score of a less that of b",
    "confidence": "judged rows by confidence",
    "p_a": "judged pairs by probability that a is preferred: calibrated, or the share of votes "
    "where there is no calibration",
    "votes_per_pair": "judged and quarantined rows by votes, unreadable ones included",
    "output_tokens": "votes by tokens written",
    "length_ratio": "sampled labeled pairs by length of a's text over that of b",
    "length_ratio_a": "those of them that prefer a",
}
# Columns of a table of agreement; its rows are GOLD_VALUES.
AGREEMENT_LABELS = ("a", "b", Status.TIE.value, Status.ABSTAINED.value, Status.QUARANTINED.value)
TOKENS = ("prompt", "output", "cached")


@dataclass(frozen=True)
class Rate:
    """A share, with its 95 % interval; None in all three where there is nothing to measure it on.

    Attributes:
        n: how many rows, pairs or votes it is a share of.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True)
class Histogram:
    """Counts between edges, one edge more than counts; a bin holds its lower edge."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True)
class Agreement:
    """Labels beside gold.

    Attributes:
        source: URI of the gold pairs.
        pairs: how many have gold and a row in the snapshot (or among the canaries).
        confusion: pairs by gold (rows, ``GOLD_VALUES``) and label (columns,
            ``AGREEMENT_LABELS``); None of formats whose gold are scores.
        stated, observed, counts: a calibration curve: for every bin that is not empty the mean
            probability that a is preferred, the share that a human prefers (ties are one half),
            and the number of pairs.
    """

    source: str
    pairs: int
    confusion: tuple[tuple[int, ...], ...] | None
    stated: tuple[float, ...] = ()
    observed: tuple[float, ...] = ()
    counts: tuple[int, ...] = ()


@dataclass(frozen=True)
class Drift:
    """What changed since another snapshot.

    Attributes:
        against: the snapshot that was live; None where there was none.
        detail: for people: what it rests on, a change of judge, or why it cannot be measured.
        judge_changed: whether the two are by different judges.
        p_a_psi: population stability index of the histogram ``p_a``; 0 is no change, 0.1 little,
            0.25 much. ``n`` is the smaller of both numbers of pairs.
        preference_a_change: ``preference_a`` less that of the other, with its sign.
    """

    against: str | None
    detail: str
    judge_changed: bool
    p_a_psi: Rate
    preference_a_change: Rate


@dataclass(frozen=True)
class Quality:
    """The figures of one snapshot.

    Attributes:
        format: the judge's answer format.
        rows: input rows, and ``counts`` of them by outcome.
        quarantined_by_reason: rows.
        votes: all of them, and ``votes_by_outcome``.
        tokens: sums over all votes, ``TOKENS``.
        calibrated: whether the histogram ``p_a`` and the curves are of calibrated probabilities.
        rates: ``RATES`` by name, every one of them.
        histograms: ``HISTOGRAMS`` by name, every one of them.
        gold: of the corpus itself; None where none of its rows has gold.
        canary: of the run's canaries; None where it had none.
        drift: against the snapshot before.
        notes: for people: what could not be read or measured, and why.
    """

    snapshot_id: str
    judge_id: str
    format: str
    rows: int
    counts: Mapping[str, int]
    quarantined_by_reason: Mapping[str, int]
    votes: int
    votes_by_outcome: Mapping[str, int]
    tokens: Mapping[str, int]
    calibrated: bool
    rates: Mapping[str, Rate]
    histograms: Mapping[str, Histogram]
    gold: Agreement | None
    canary: Agreement | None
    drift: Drift
    notes: tuple[str, ...] = ()

    def to_json(self) -> bytes:
        """The object as it is stored.

        Raises:
            ContractError: it contradicts itself.
        """
        _check(self, "quality")
        whole = {"version": QUALITY_VERSION, **asdict(self)}
        return json.dumps(whole, indent=1, allow_nan=False).encode()

    @classmethod
    def parse(cls, data: bytes, where: str) -> Self:
        """Reads a stored object.

        Args:
            data: the object.
            where: its URI, for messages.

        Raises:
            ContractError: it is none, is of another version, or contradicts itself.
        """
        try:
            stored = json.loads(data)
        except ValueError as error:
            raise ContractError(f"{where}: not JSON ({error})") from error
        version = stored.pop("version", None) if isinstance(stored, dict) else None
        if version != QUALITY_VERSION:
            raise ContractError(
                f"{where}: its version is {version!r}, expected {QUALITY_VERSION!r}; use the "
                "version of this software that wrote it"
            )
        quality = record(cls, stored, where, _CHECKS, _NESTED)
        _check(quality, where)
        return quality


def _check(quality: Quality, where: str) -> None:
    if problems := list(_problems(quality)):
        raise ContractError(f"{where}: it contradicts itself:\n  " + "\n  ".join(problems[:20]))


def _problems(quality: Quality) -> list[str]:
    found = [
        f"{what} are {sorted(got)}, expected {sorted(expected)}"
        for what, got, expected in (
            ("counts", quality.counts, OUTCOMES),
            ("rates", quality.rates, RATES),
            ("histograms", quality.histograms, HISTOGRAMS),
            ("tokens", quality.tokens, TOKENS),
        )
        if set(got) != set(expected)
    ]
    sums = (
        ("counts", sum(quality.counts.values()), quality.rows),
        ("votes_by_outcome", sum(quality.votes_by_outcome.values()), quality.votes),
        (
            "quarantined_by_reason",
            sum(quality.quarantined_by_reason.values()),
            quality.counts.get(Status.QUARANTINED, 0),
        ),
    )
    found += [
        f"{name}: they sum to {got}, expected {sum_}" for name, got, sum_ in sums if got != sum_
    ]
    drift = {"p_a_psi": quality.drift.p_a_psi, "change": quality.drift.preference_a_change}
    for name, rate in {**quality.rates, **drift}.items():
        ends = [end for end in (rate.low, rate.value, rate.high) if end is not None]
        if len(ends) not in (0, 3) or ends != sorted(ends) or (rate.n > 0) != bool(ends):
            found.append(f"{name}: low, value, high and n are {rate}")
    for name, histogram in quality.histograms.items():
        if len(histogram.edges) != len(histogram.counts) + 1:
            found.append(f"histogram {name}: {len(histogram.edges)} edges")
    for name, agreement in (("gold", quality.gold), ("canary", quality.canary)):
        shape = agreement and agreement.confusion and [*map(len, agreement.confusion)]
        if shape and shape != [len(AGREEMENT_LABELS)] * len(GOLD_VALUES):
            found.append(f"{name}: the confusion has rows of {shape} columns")
    return found


_OBJECT = is_a(dict)
_CHECKS: dict[str, Check] = {
    "str": is_a(str),
    "int": is_a(int),
    "bool": is_a(bool),
    "str | None": or_null(is_a(str)),
    "float | None": or_null(is_number),
    "tuple[str, ...]": list_of(is_a(str)),
    "tuple[int, ...]": list_of(is_a(int)),
    "tuple[float, ...]": list_of(is_number),
    "tuple[tuple[int, ...], ...] | None": or_null(list_of(list_of(is_a(int)))),
    "Mapping[str, int]": object_of(is_a(int)),
    "Mapping[str, Rate]": object_of(_OBJECT),
    "Mapping[str, Histogram]": object_of(_OBJECT),
    "Agreement | None": or_null(_OBJECT),
    "Rate": _OBJECT,
    "Drift": _OBJECT,
}
_NESTED: dict[str, type] = {
    "Mapping[str, Rate]": Rate,
    "Mapping[str, Histogram]": Histogram,
    "Agreement | None": Agreement,
    "Rate": Rate,
    "Drift": Drift,
}
