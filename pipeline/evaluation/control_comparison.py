"""Compares a judge on true pairs with the same judge on the changed pairs of a control."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipeline.aggregation.judged_pairs import JudgedPair
from pipeline.evaluation import pair_measures
from pipeline.evaluation.controls import Control, ControlPairs
from pipeline.evaluation.evaluation_measures import Family, headline, statistics
from pipeline.stats.bootstrap import Difference, Estimate, Statistic, estimates, pooled, share_of
from pipeline.stats.rank_agreement import ordered_pairs

_CHANCE = 0.5  # share of preferences that follow swapped candidates by chance


@dataclass(frozen=True)
class Comparison:
    """The result of a control.

    Attributes:
        pairs: how many pairs were compared.
        left_out: pairs that were not, by reason.
        figures: ``<measure>_true``, ``<measure>_control`` and ``<measure>_difference`` of the
            main measures, all on the same pairs; ``flipped`` of swapped candidates.
        warning: what the control shows to be wrong with the judge; None if nothing.
    """

    control: Control
    pairs: int
    left_out: Mapping[str, int]
    figures: Mapping[str, Estimate]
    warning: str | None


def compare(
    made: ControlPairs,
    true: Mapping[tuple[str, int], JudgedPair],
    changed: Sequence[JudgedPair],
    family: Family,
    resamples: int,
) -> Comparison:
    """Compares the labels of a control's pairs with those of the original pairs.

    Args:
        made: the control's pairs.
        true: the judged pairs by shard and row.
        changed: the judged control pairs, as many and in the order of ``made.places``.
        family: of the judge's format.
        resamples: bootstrap resamples.
    """
    if len(changed) != len(made.places):
        raise AssertionError(f"{made.uri}: {len(made.places)} pairs, {len(changed)} labels")
    before = [true[place] for place in made.places]
    first, second = statistics(before, family), statistics(changed, family)
    wanted: dict[str, Statistic] = {}
    for name in headline(family):
        if name in first and name in second:
            wanted[f"{name}_true"], wanted[f"{name}_control"] = first[name], second[name]
            wanted[f"{name}_difference"] = Difference(first[name], second[name])
    if made.control == "swap-text":
        wanted["flipped"] = _followed(before, changed, family)
    prompts = [pair_measures.prompt_of(pair) for pair in before]
    figures = estimates(wanted, len(before), resamples, clusters=prompts)
    warning = _swap_warning(figures) if made.control == "swap-text" else None
    if made.control != "swap-text":
        warning = _picture_warning(made.control, headline(family)[0], figures)
    return Comparison(made.control, len(before), dict(made.left_out), figures, warning)


def _followed(
    before: Sequence[JudgedPair], after: Sequence[JudgedPair], family: Family
) -> Statistic:
    """The share of preferences, decided both times, that followed the candidates."""
    if family == "ranking":
        parts = []
        for one, other in zip(before, after, strict=True):
            old, new = one.label["scores"], other.label["scores"]
            alike, equal, count = ordered_pairs(new[::-1], old) if old and new else (0, 0, 0)
            parts.append((float(alike), float(count - equal)))
        return pooled(parts)
    labels = [
        (pair_measures.label_of(o), pair_measures.label_of(n))
        for o, n in zip(before, after, strict=True)
    ]
    decided = ("a", "b")
    return share_of(
        [old != new if old in decided and new in decided else None for old, new in labels]
    )


def _picture_warning(control: str, name: str, figures: Mapping[str, Estimate]) -> str | None:
    difference = figures.get(f"{name}_difference")
    if difference is not None and difference.low is not None and difference.low > 0:
        return None
    true, changed = figures.get(f"{name}_true"), figures.get(f"{name}_control")
    return (
        f"{control}: the judge's {name.replace('_', ' ')} is {_short(true)} with the true pictures "
        f"and {_short(changed)} with the changed ones: not clearly lower (difference "
        f"{_short(difference)}), so nothing shows that the judge looks at the pictures"
    )


def _swap_warning(figures: Mapping[str, Estimate]) -> str | None:
    flipped = figures["flipped"]
    if flipped.low is not None and flipped.low > _CHANCE:
        return None
    return (
        f"swap-text: {_short(flipped)} of the preferences followed the candidates when these "
        "were swapped, which is not clearly more than half: labels depend on the position"
    )


def _short(estimate: Estimate | None) -> str:
    if estimate is None or estimate.value is None:
        return "undefined"
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.3f}"
    return f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"
