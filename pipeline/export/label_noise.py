"""ε: how many of an export's labels disagree with people, by what is known of exactly these rows.

What a judge thinks of itself is no measure of that. ε is stated where people have labelled some of
the exported rows, or pairs of a random gold set, which are held out and selected as these are; or
where the judge's calibration was checked on labels that were selected alike. Else it is absent,
with the reason.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from pipeline.aggregation.calibration import Calibration
from pipeline.aggregation.policy import PolicyConfig, label_rule, rule_record
from pipeline.export.export_config import SelectionConfig
from pipeline.export.export_parts import GoldCounts, PartReceipt
from pipeline.judging.judge_config import JudgeConfig
from pipeline.stats.arrays import Floats, Ints
from pipeline.stats.error_rate import Check
from pipeline.stats.wilson import LEAST_PROMPTS
from schemas.manifest import Manifest

MOST_HALF_WIDTH, MOST_EPSILON = 0.03, 0.4  # beyond these, smoothing by ε does more harm than good
EARLIER = "the export was written by an earlier version, which did not measure it; export again"


@dataclass(frozen=True)
class LabelNoise:
    """ε with its 95 % interval.

    Attributes:
        value, low, high: None where it is not measured.
        basis: for people: what it was measured on, or why it was not.
    """

    value: float | None
    low: float | None
    high: float | None
    basis: str

    @property
    def smoothing(self) -> float | None:
        """The label smoothing to train with; None where ε is unknown, uncertain or too large."""
        if self.value is None or self.low is None or self.high is None:
            return None
        sure = (self.high - self.low) / 2 <= MOST_HALF_WIDTH and self.value < MOST_EPSILON
        return self.value if sure else None


@dataclass(frozen=True)
class Checked:
    """``GoldCounts`` in 32 bytes a prompt, which they take several hundred of.

    Attributes:
        prompts: the keys, each once.
        counts: of each prompt, shape (prompts, 3).
    """

    prompts: Ints
    counts: Floats

    @classmethod
    def of(cls, gold: GoldCounts) -> Self:
        """The same counts."""
        counts = np.array([*gold.values()], np.float64).reshape(-1, 3)
        return cls(np.array([*map(int, gold)], np.int64), counts)

    @classmethod
    def joined(cls, some: Sequence[Checked]) -> Self:
        """The sums of several."""
        keys = np.concatenate([np.empty(0, np.int64), *(each.prompts for each in some)])
        prompts, places = np.unique(keys, return_inverse=True)
        counts = np.zeros((len(prompts), 3))
        np.add.at(counts, places, np.concatenate([counts[:0], *(each.counts for each in some)]))
        return cls(prompts, counts)

    @property
    def rows(self) -> int:
        """How many rows people have labelled."""
        return int(self.counts[:, 0].sum())


@dataclass(frozen=True)
class Preferences:
    """The exported rows of which one response is better.

    Attributes:
        rows: how many, ``calibrated`` of them with a calibrated probability.
        stated: sum of 1 - p over these.
        gold: those of them that people have labelled.
        held_out: the same of pairs of gold sets, which are selected as these are and not exported.
    """

    rows: int
    calibrated: int
    stated: float
    gold: Checked
    held_out: Checked


def preferences_of(
    receipts: Sequence[PartReceipt], gold: Sequence[Checked], held_out: GoldCounts
) -> Preferences:
    """What all parts of an export found, beside the pairs that are held out of it.

    Args:
        receipts: of the parts.
        gold: that of the parts, in the order of their numbers, or the sums differ in the last bits.
        held_out: of these pairs.
    """
    rows = sum(receipt.preferences for receipt in receipts)
    calibrated = sum(receipt.calibrated for receipt in receipts)
    stated = math.fsum(receipt.stated for receipt in receipts)
    return Preferences(rows, calibrated, stated, Checked.joined(gold), Checked.of(held_out))


def label_noise(
    found: Preferences, manifest: Manifest, judge: JudgeConfig, selection: SelectionConfig
) -> LabelNoise:
    """ε of an export."""
    known = 0 < found.rows == found.calibrated
    counts = Checked.joined([found.gold, found.held_out]).counts
    if not known:
        counts[:, 2] = 0
    check = Check.of(counts)
    if check.prompts >= LEAST_PROMPTS:
        corrected = ", and the calibration of the others" if known else ""
        basis = f"{_checked(found)}, of {check.prompts:,} prompts{corrected}"
        return _measured(check, found.stated / found.rows if known else 0.0, basis)
    some = f"{check.pairs:,} of these rows, of {check.prompts} prompts, have"
    some = some if check.pairs else "none of these rows has"
    absent = f"{some} labels by people, expected rows of {LEAST_PROMPTS} prompts or more"
    fitted = _fitted(manifest) if known else None
    if fitted is None:
        return _unknown(f"{absent}, or a calibration")
    figures, fitted_to = fitted
    held_out = Check.stored(figures)
    if held_out is None:
        return _unknown(
            f"{absent}; the calibration's card, of an earlier version, has no check of it"
        )
    if held_out.prompts < LEAST_PROMPTS:
        return _unknown(f"{absent}; the calibration was checked on {held_out.prompts} prompts")
    if not _unselected(manifest, judge, selection):
        return _unknown(
            f"{absent}; the calibration was checked on all labels, and these are selected"
        )
    whose = "panel" if manifest.judges else "judge"
    basis = (
        f"the {whose}'s calibration, checked on {held_out.pairs:,} labels of {held_out.prompts:,} "
        f"prompts of `{fitted_to}` that its fit had not seen"
    )
    return _measured(held_out, found.stated / found.rows, basis)


def _fitted(manifest: Manifest) -> tuple[Mapping[str, float], str] | None:
    """What was measured of the probabilities, and on which gold: of a calibration, or a panel."""
    if manifest.policy is not None and manifest.policy.rule.get("kind") == "panel":
        return manifest.policy.rule["figures"], f"gold/{manifest.policy.rule['gold_set']}"
    stored = manifest.judge.get("calibration")
    if stored is None:
        return None
    calibration = Calibration.model_validate(stored)
    return calibration.figures, calibration.gold


def _checked(found: Preferences) -> str:
    """Which rows people have labelled."""
    of_rows, of_sets = found.gold.rows, found.held_out.rows
    kinds = [f"{of_rows:,} of these rows that people have labelled"] * bool(of_rows)
    return " and ".join(
        [*kinds, *[f"{of_sets:,} pairs of gold sets, selected alike and held out"] * bool(of_sets)]
    )


def _unknown(why: str) -> LabelNoise:
    return LabelNoise(None, None, None, why)


def _measured(check: Check, stated: float, basis: str) -> LabelNoise:
    value, low, high = (round(each, 6) for each in check.error_rate(stated))
    return LabelNoise(value, low, high, basis)


def _unselected(manifest: Manifest, judge: JudgeConfig, selection: SelectionConfig) -> bool:
    """Whether labels are exported whatever they and their texts are, by the judge's own rule."""
    plain = label_rule(judge.votes, PolicyConfig())
    rule = dict(manifest.policy.rule) if manifest.policy is not None else {}
    own = rule == rule_record(plain) or (rule.get("kind") == "panel" and not rule["min_confidence"])
    by_label = selection.min_confidence or selection.tiers or selection.position_consistent_only
    by_text = selection.max_similarity is not None or selection.balance_length
    return own and not by_label and not by_text
