"""Compares two judges on the same gold, pair by pair: does one beat the other, by how much?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.aggregation.judged_pairs import JudgedPair
from pipeline.evaluation import pair_measures
from pipeline.evaluation.evaluation_measures import Family, headline, statistics
from pipeline.judging.judge_cards import judge_of
from pipeline.stats.bootstrap import Difference, Estimate, Statistic, estimates


@dataclass(frozen=True)
class Against:
    """Two judges on the same gold.

    Attributes:
        judge_id: of the other one.
        names: what the two are, for people.
        pairs: gold pairs that both have a label of; measured are these alone.
        left_out: gold pairs that only one of them has a label of.
        figures: ``<measure>_this``, ``_other`` and ``_gain`` of the main measures.
        verdict: ``better``, ``worse``, ``not shown to differ`` or ``not measured``, by the interval
            of the first measure's gain.
        statement: the same in a sentence.
        warning: of a rubric that is not shown to beat none; None otherwise.
    """

    judge_id: str
    names: tuple[str, str]
    pairs: int
    left_out: int
    figures: Mapping[str, Estimate]
    verdict: str
    statement: str
    warning: str | None


def compare_judges(
    this: tuple[Mapping[str, Any], Sequence[JudgedPair]],
    other: tuple[Mapping[str, Any], Sequence[JudgedPair]],
    family: Family,
    resamples: int,
) -> Against:
    """Compares the labels that two judges gave to the same gold pairs.

    Args:
        this, other: the card of each, and its judged pairs.
        family: of both judges' formats.
        resamples: bootstrap resamples; whole prompts are drawn.
    """
    rows = [{_place(row): row for row in judged} for _, judged in (this, other)]
    shared = [place for place in rows[0] if place in rows[1]]
    pairs = [[of_judge[place] for place in shared] for of_judge in rows]
    first, second = (statistics(each, family) for each in pairs)
    wanted: dict[str, Statistic] = {}
    for name in headline(family):
        if name in first and name in second:
            wanted[f"{name}_this"], wanted[f"{name}_other"] = first[name], second[name]
            wanted[f"{name}_gain"] = Difference(first[name], second[name])
    prompts = [pair_measures.prompt_of(row) for row in pairs[0]]
    figures = estimates(wanted, len(shared), resamples, clusters=prompts)
    names = (_name(this[0]), _name(other[0]))
    measure = headline(family)[0]
    verdict = _verdict(figures.get(f"{measure}_gain"))
    statement = _statement(names, measure, figures, len(shared), verdict)
    rubrics = [judge_of(dict(card)).rubric is not None for card, _ in (this, other)]
    warning = None
    if rubrics == [True, False] and verdict != "better":
        warning = f"the rubric is not shown to beat none: {statement}"
    left_out = len(rows[0].keys() ^ rows[1].keys())
    judge_id = str(other[0]["judge_id"])
    return Against(judge_id, names, len(shared), left_out, figures, verdict, statement, warning)


def _place(row: JudgedPair) -> tuple[str, int]:
    return row.label["shard"], row.label["row"]


def _name(card: Mapping[str, Any]) -> str:
    judge = judge_of(dict(card))
    bundle = judge.bundle if isinstance(judge.bundle, str) else judge.bundle.name
    rubric = ""
    if judge.rubric is not None:
        count = len(judge.rubric.criteria)
        rubric = f", a rubric of {count} criteria" if count else ", rubrics of rows"
    return f"{judge.model.name} ({bundle}/{judge.format}{rubric}; {card['judge_id'][:12]})"


def _verdict(gain: Estimate | None) -> str:
    if gain is None or gain.low is None or gain.high is None:
        return "not measured"
    if gain.low > 0:
        return "better"
    return "worse" if gain.high < 0 else "not shown to differ"


def _statement(
    names: tuple[str, str],
    measure: str,
    figures: Mapping[str, Estimate],
    pairs: int,
    verdict: str,
) -> str:
    this, other, gain = (figures.get(f"{measure}_{of}") for of in ("this", "other", "gain"))
    if this is None or other is None or gain is None or gain.value is None:
        return f"{names[0]} and {names[1]}: nothing to compare on {pairs} pairs"
    said = {
        "better": f"{names[0]} is better than {names[1]}",
        "worse": f"{names[0]} is worse than {names[1]}",
        "not shown to differ": f"{names[0]} is not shown to differ from {names[1]}",
        "not measured": f"whether {names[0]} differs from {names[1]} is not measured: too few "
        "different prompts",
    }[verdict]
    interval = "" if gain.low is None else f" [{gain.low:+.3f}, {gain.high:+.3f}]"
    return (
        f"{said}: {measure.replace('_', ' ')} {this.value:.3f} against {other.value:.3f} on the "
        f"same {pairs} gold pairs, a gain of {gain.value:+.3f}{interval}"
    )
