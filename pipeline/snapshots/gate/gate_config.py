"""The thresholds of the gate."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from pipeline.runtime.config_file import Frozen
from schemas.quality import RATES

DRIFT = ("p_a_psi", "preference_a_change")
METRICS = (*RATES, *DRIFT)


class GateConfig(Frozen):
    """What a snapshot must keep to; without thresholds there is no gate.

    A sensible start, to be put below what your judge is known to reach::

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

    A figure is a draw: another night's votes give another one. So its 95 % interval decides, and
    not the figure. By default a check fails only where the whole interval is beyond the threshold:
    a small sample does not block by chance, a clear failure does. A metric under ``strict`` fails
    unless the whole interval keeps to the threshold: it must be shown to be good, which takes
    enough rows. A metric that has a threshold and nothing to measure it on fails.

    Attributes:
        at_least: by metric (``METRICS``), what it must not fall below.
        at_most: by metric, what it must not exceed; ``preference_a_change`` counts either way.
        strict: metrics of which the worse end of the interval must keep to the threshold.
        min_n: fewer rows, pairs or votes than this are nothing to measure on. Of very few, no
            failure can be clear: where none of 3 is right, the interval still reaches up to 0.56.
    """

    at_least: dict[str, float] = Field(default_factory=dict)
    at_most: dict[str, float] = Field(default_factory=dict)
    strict: tuple[str, ...] = ()
    min_n: int = Field(default=1, ge=1)

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
