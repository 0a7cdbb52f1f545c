"""Turns counts into the rates, histograms and drift of ``schemas.quality``."""

from __future__ import annotations

from pipeline.snapshots.quality.gold_agreement import agreement_rates
from pipeline.snapshots.quality.label_counts import EDGES, SAMPLE
from pipeline.stats.arrays import Ints
from pipeline.stats.intervals import (
    NOTHING,
    change,
    clustered_share,
    mean_design_effect,
    share_by_prompt,
    stability_index,
    widened_share,
)
from pipeline.stats.tally import Tally
from schemas.labels import Status
from schemas.quality import HISTOGRAMS, RATES, Drift, Histogram, Quality, Rate

_JUDGED = (Status.LABELED, Status.TIE, Status.ABSTAINED)


def rates(tally: Tally) -> dict[str, Rate]:
    """Every one of ``RATES``."""
    status = {each: tally.numbers[f"status/{each}"] for each in Status}
    judged = sum(status[each] for each in _JUDGED)
    quarantined = status[Status.QUARANTINED]
    for_a, for_b = (tally.numbers[f"preference/{each}"] for each in "ab")
    shares = {
        "tie": (status[Status.TIE], judged),
        "abstain": (status[Status.ABSTAINED], judged),
        "quarantine": (quarantined, judged + quarantined),
        "position_consistency": (
            tally.numbers["consistent"],
            tally.numbers["consistency_known"],
        ),
        "preference_a": (for_a, for_a + for_b),
    }
    found = {
        name: widened_share(*counts, _by_prompt(tally, f"{SAMPLE}/{name}"))
        for name, counts in shares.items()
    }
    for name in ("longer_wins", "gold_longer_wins"):
        counts = _by_prompt(tally, name)
        found[name] = NOTHING if counts is None else share_by_prompt(counts)
    for name in ("truncation", "unreadable", "first_slot_wins"):
        sums = tally.tables.get(name)
        found[name] = NOTHING if sums is None else clustered_share(sums)
    found |= agreement_rates("gold", tally) | agreement_rates("canary", tally)
    return {name: found[name] for name in RATES}


def drift_effect(tally: Tally) -> float:
    """The design effect of the histogram ``p_a``."""
    counts = _by_prompt(tally, f"{SAMPLE}/p_a")
    return 1.0 if counts is None else mean_design_effect(counts)


def histograms(tally: Tally) -> dict[str, Histogram]:
    """Every one of ``HISTOGRAMS``."""
    found = {}
    for name in HISTOGRAMS:
        table = tally.tables.get(name)
        counts = [0] * (len(EDGES[name]) - 1) if table is None else table.tolist()
        found[name] = Histogram(EDGES[name], tuple(counts))
    return found


def drift(
    measured: dict[str, Rate],
    bins: dict[str, Histogram],
    judge_id: str,
    calibrated: bool,
    before: Quality,
    effect: float,
) -> Drift:
    """What changed since another snapshot; ``effect`` is that of :func:`drift_effect`."""
    other = before.histograms["p_a"]
    judge_changed = before.judge_id != judge_id
    details = []
    if judge_changed:
        details.append(f"the judge is another one ({before.judge_id[:16]} before)")
    if before.calibrated != calibrated:
        kinds = ("the share of votes", "calibrated")
        details.append(f"p_a is {kinds[calibrated]}, and was {kinds[before.calibrated]} before")
    same_bins = other.edges == bins["p_a"].edges
    if not same_bins:
        details.append("p_a was counted in other bins before: its index is not measured")
    index = stability_index(other.counts, bins["p_a"].counts, effect) if same_bins else NOTHING
    return Drift(
        against=before.snapshot_id,
        detail="; ".join(details),
        judge_changed=judge_changed,
        p_a_psi=index,
        preference_a_change=change(before.rates["preference_a"], measured["preference_a"]),
    )


def _by_prompt(tally: Tally, name: str) -> Ints | None:
    counts = tally.clusters.get(name)
    return None if counts is None else counts.sums
