"""The gate's thresholds, and the check of a snapshot's metrics against them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Self

from pydantic import Field, model_validator

from pipeline.runtime.config_file import Frozen
from pipeline.stats.intervals import NOTHING
from pipeline.stats.wilson import FEWEST_PROMPTS
from schemas.manifest import Manifest
from schemas.probes import ENOUGH, PROBE_METRICS, probe_rates
from schemas.quality import RATES, Quality, Rate

DRIFT = ("p_a_psi", "preference_a_change")
AUDIT = "audited_accuracy"  # of all preferences, by a set that was drawn from them
METRICS = (*RATES, AUDIT, *PROBE_METRICS, *DRIFT)

Bound = Literal["at_least", "at_most"]
_WORDS: dict[Bound, str] = {"at_least": "at least", "at_most": "at most"}


class GateConfig(Frozen):
    """The thresholds that a snapshot must keep to; without any there is no gate.

    A sensible start, to be set below what your judge is known to reach::

        gate:
          at_least: {gold_agreement: 0.7, canary_agreement: 0.7, position_consistency: 0.6}
          at_most:
            tie: 0.3
            abstain: 0.3
            quarantine: 0.05
            truncation: 0.05
            longer_wins: 0.75
            p_a_psi: 0.25
            preference_a_change: 0.05
          min_n: 30

    A metric is measured on one random sample of votes, and the next run's votes give another
    value; so its 95 % interval decides. By default a check fails only where the whole interval is
    beyond the threshold: a small sample does not block by chance, a clear failure does. A metric
    under ``strict`` fails unless the whole interval keeps to the threshold: it must be shown to be
    good, which takes enough rows. A metric with a threshold and nothing to measure it on fails.

    Pairs of one prompt are alike, and intervals count them together. Agreement with gold and the
    share of longer texts have a wide interval on pairs of fewer than 20 different prompts (each
    prompt counts as one pair), and are not measured, and fail, on those of fewer than 5; the shares
    of all rows (ties, quarantine, …) are, each row being counted as independent then.

    Probes are metrics of the judge, on ``canary.input``: a nightly run judges them before its
    gate, once for a judge and a version of gold, if a threshold asks for one. Take 200 gold pairs
    or more::

        gate:
          at_least: {picture_gain: 0.1}
          at_most: {attack_success: 0.05, master_key_success: 0.02}
          strict: [master_key_success]
    """

    at_least: dict[str, float] = Field(default_factory=dict)
    """By metric (``METRICS``), what it must not fall below."""
    at_most: dict[str, float] = Field(default_factory=dict)
    """By metric, what it must not exceed; ``preference_a_change`` counts either way."""
    strict: tuple[str, ...] = ()
    """Metrics of which the worse end of the interval must keep to the threshold."""
    min_n: int = Field(default=1, ge=1)
    """A metric of fewer rows, pairs or votes counts as not measured. Of very few, no failure can
    be clear: where none of 3 is right, the interval still reaches up to 0.56.
    """

    @property
    def asks_probes(self) -> bool:
        """Whether a threshold is about what the judge does with altered pairs."""
        return not PROBE_METRICS.keys().isdisjoint((*self.at_least, *self.at_most))

    @property
    def active(self) -> bool:
        """Whether there is a threshold."""
        return bool(self.at_least or self.at_most)

    @model_validator(mode="after")
    def _known(self) -> Self:
        for name in (*self.at_least, *self.at_most, *self.strict):
            if name not in METRICS:
                raise ValueError(f"{name!r}: expected one of {', '.join(METRICS)}")
        for name, threshold in (*self.at_least.items(), *self.at_most.items()):
            if not threshold >= 0 or (name != "p_a_psi" and threshold > 1):
                raise ValueError(f"{name}: got {threshold:g}, expected a share between 0 and 1")
        if drift := sorted(set(DRIFT) & self.at_least.keys()):
            raise ValueError(f"{', '.join(drift)}: drift is bounded by at_most, not by at_least")
        unbounded = set(self.strict) - self.at_least.keys() - self.at_most.keys()
        if unbounded:
            raise ValueError(f"strict: {', '.join(sorted(unbounded))} has no threshold")
        return self


@dataclass(frozen=True)
class Check:
    """One metric against one threshold.

    Attributes:
        value, low, high: of the metric, with its 95 % interval; None where it was not measured.
        n: what it was measured on.
        detail: for people: which end of the interval decided, or why the metric is not measured.
    """

    metric: str
    value: float | None
    low: float | None
    high: float | None
    n: int
    rule: Bound
    threshold: float
    passed: bool
    detail: str

    @property
    def sentence(self) -> str:
        """The check in one line: metric, value, bounds and threshold."""
        wanted = f"expected {_WORDS[self.rule]} {self.threshold:g}"
        if self.value is None:
            return f"{self.metric}: not measured, {wanted}: {self.detail}"
        interval = "no interval"
        if self.low is not None and self.high is not None:
            interval = f"95 % interval {self.low:.4g} to {self.high:.4g}"
        got = f"got {self.value:.4g} ({interval}, n = {self.n:,})"
        return f"{self.metric}: {got}, {wanted}: {self.detail}"


def check_all(quality: Quality, config: GateConfig) -> list[Check]:
    """Every threshold of the configuration, checked; see :class:`GateConfig` for how."""
    return [
        _check(quality, config, metric, rule, threshold)
        for metric, rule, threshold in _thresholds(config)
    ]


def gate_summary(manifest: Manifest) -> str | None:
    """The gate's decision in words, with metric, value, interval and threshold of what failed.

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
        f"failed:{listed}\nit is kept as a candidate, and readers still get what was live before; "
        "if it is right nevertheless, change the thresholds (gate.at_least, gate.at_most) and "
        "publish again"
    )


def _thresholds(config: GateConfig) -> Iterator[tuple[str, Bound, float]]:
    for metric, threshold in config.at_least.items():
        yield metric, "at_least", threshold
    for metric, threshold in config.at_most.items():
        yield metric, "at_most", threshold


def _check(
    quality: Quality, config: GateConfig, metric: str, rule: Bound, threshold: float
) -> Check:
    rate = _rate(quality, metric)
    if rate.low is None or rate.high is None or rate.n < config.min_n:
        passed, detail = _unmeasured(quality, config, metric, rate)
    else:
        # The end that favours the snapshot decides, or under `strict` the other one.
        strict = metric in config.strict
        upper = (rule == "at_least") is not strict
        end = rate.high if upper else rate.low
        passed = end >= threshold if rule == "at_least" else end <= threshold
        verb = "keeps to" if passed else "fails"
        detail = f"the {'upper' if upper else 'lower'} end of the interval {verb} it"
        detail += " (strict)" if strict else ""
        if metric in PROBE_METRICS and rate.n < ENOUGH:
            detail += f"; of fewer than {ENOUGH} pairs little can be shown"
        if metric in DRIFT and quality.drift.detail:
            detail = f"{detail}; {quality.drift.detail}"
    return Check(metric, rate.value, rate.low, rate.high, rate.n, rule, threshold, passed, detail)


def _unmeasured(quality: Quality, config: GateConfig, metric: str, rate: Rate) -> tuple[bool, str]:
    """Whether a metric passes although it is not measured, and why it is not."""
    if metric in DRIFT and quality.drift.against is None:
        return True, quality.drift.detail
    if rate.n and rate.n < config.min_n:
        return False, f"n = {rate.n} is too little to measure it on, gate.min_n is {config.min_n}"
    if rate.n:
        return False, (
            f"not measured, since its {rate.n} pairs are of fewer than {FEWEST_PROMPTS} different "
            "prompts; add pairs of other prompts, or leave this threshold out"
        )
    causes = ["there is nothing to measure it on"]
    if metric in DRIFT:
        causes.append(quality.drift.detail)
    if metric.startswith("gold_agreement") and quality.gold is None:
        causes.append("no row of the input has gold")
    if metric == AUDIT:
        causes.append("no answers about pairs that were drawn at random (gold.set, pairmill audit)")
    if metric in PROBE_METRICS:
        causes.append(
            "no probe that counts fits the judge's gold pairs"
            if quality.probes
            else "this judge was not probed on canary.input: pairmill nightly does it"
        )
    if metric.startswith("canary_") and quality.canary is None:
        causes.append("no canaries of this run are known")
    return False, "; ".join(filter(None, [*causes, *quality.notes]))


def _rate(quality: Quality, metric: str) -> Rate:
    if metric == "p_a_psi":
        return quality.drift.p_a_psi
    if metric == AUDIT:
        return quality.audit or NOTHING
    if metric in PROBE_METRICS:
        return probe_rates(quality.probes)[metric]
    if metric == "preference_a_change":
        return _magnitude(quality.drift.preference_a_change)
    return quality.rates[metric]


def _magnitude(change: Rate) -> Rate:
    """A change without its sign: its interval reaches down to 0 where it holds 0."""
    if change.value is None or change.low is None or change.high is None:
        return change
    ends = sorted((abs(change.low), abs(change.high)))
    low = 0.0 if change.low <= 0 <= change.high else ends[0]
    return Rate(abs(change.value), low, ends[1], change.n)
