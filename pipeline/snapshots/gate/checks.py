"""Holds the figures of a snapshot against thresholds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from pipeline.snapshots.gate.gate_config import DRIFT, GateConfig
from schemas.manifest import Manifest
from schemas.quality import Quality, Rate

Rule = Literal["at_least", "at_most"]
_WORDS: dict[Rule, str] = {"at_least": "at least", "at_most": "at most"}


@dataclass(frozen=True)
class Check:
    """One metric against one threshold.

    Attributes:
        value, low, high: the figure and its 95 % interval; None where it could not be measured.
        n: what it was measured on.
        detail: for people: what decided, or why there is nothing to decide by.
    """

    metric: str
    value: float | None
    low: float | None
    high: float | None
    n: int
    rule: Rule
    threshold: float
    passed: bool
    detail: str

    @property
    def sentence(self) -> str:
        """The check in one line: metric, value, bounds and threshold."""
        wanted = f"expected {_WORDS[self.rule]} {self.threshold:g}"
        if self.value is None:
            return f"{self.metric}: not measured, {wanted}: {self.detail}"
        interval = f"95 % interval {self.low:.4g} to {self.high:.4g}, n = {self.n:,}"
        return f"{self.metric}: got {self.value:.4g} ({interval}), {wanted}: {self.detail}"


def check_all(quality: Quality, config: GateConfig) -> list[Check]:
    """Every threshold of the configuration, checked; see :class:`GateConfig` for how."""
    return [
        _check(quality, config, metric, rule, threshold)
        for metric, rule, threshold in _thresholds(config)
    ]


def _thresholds(config: GateConfig) -> Iterator[tuple[str, Rule, float]]:
    for metric, threshold in config.at_least.items():
        yield metric, "at_least", threshold
    for metric, threshold in config.at_most.items():
        yield metric, "at_most", threshold


def _check(
    quality: Quality, config: GateConfig, metric: str, rule: Rule, threshold: float
) -> Check:
    rate = _rate(quality, metric)
    if rate.low is None or rate.high is None or rate.n < config.min_n:
        passed, said = _unmeasured(quality, config, metric, rate.n)
    else:
        # The end that speaks for the snapshot decides, or (strict) the one that speaks against it.
        strict = metric in config.strict
        upper = (rule == "at_least") is not strict
        bound = rate.high if upper else rate.low
        passed = bound >= threshold if rule == "at_least" else bound <= threshold
        verdict = "keeps to" if passed else "fails"
        said = f"the {'upper' if upper else 'lower'} end of the interval {verdict} it"
        said += " (strict)" if strict else ""
        if metric in DRIFT and quality.drift.detail:
            said = f"{said}; {quality.drift.detail}"
    return Check(
        metric, rate.value, rate.low, rate.high, rate.n, rule, threshold, passed, detail=said
    )


def _unmeasured(quality: Quality, config: GateConfig, metric: str, n: int) -> tuple[bool, str]:
    """Whether a metric may be without a figure, and why it is."""
    if metric in DRIFT and quality.drift.against is None:
        return True, quality.drift.detail
    if n:
        return False, f"n = {n} is too little to measure it on, gate.min_n is {config.min_n}"
    said = [quality.drift.detail] if metric in DRIFT else []
    if metric.startswith("gold_agreement") and quality.gold is None:
        said.append("no row of the input has gold")
    if metric.startswith("canary_") and quality.canary is None:
        said.append("no canaries of this run are known")
    return False, "; ".join(
        ["there is nothing to measure it on", *filter(None, said), *quality.notes]
    )


def _rate(quality: Quality, metric: str) -> Rate:
    if metric == "p_a_psi":
        return quality.drift.p_a_psi
    if metric == "preference_a_change":
        return _size(quality.drift.preference_a_change)
    return quality.rates[metric]


def _size(change: Rate) -> Rate:
    """A change without its sign: its interval reaches down to 0 where it holds 0."""
    if change.value is None or change.low is None or change.high is None:
        return change
    ends = sorted((abs(change.low), abs(change.high)))
    low = 0.0 if change.low <= 0 <= change.high else ends[0]
    return Rate(abs(change.value), low, ends[1], change.n)


def gate_summary(manifest: Manifest) -> str | None:
    """What the gate said of a snapshot, with metric, value, bounds and threshold of what failed.

    None where nothing was checked.
    """
    checks = [Check(**check) for check in (manifest.gate or {}).get("checks", ())]
    if not checks:
        return None
    failed = [check for check in checks if not check.passed]
    if not failed:
        return f"gate: {len(checks)} of {len(checks)} checks passed"
    listed = "".join(f"\n  {check.sentence}" for check in failed)
    return (
        f"gate: snapshot {manifest.snapshot_id} is blocked, {len(failed)} of {len(checks)} checks "
        f"failed:{listed}\nit is kept as a candidate, and readers see what they saw; if it is "
        "right all the same, change the thresholds (gate.at_least, gate.at_most) and publish again"
    )
