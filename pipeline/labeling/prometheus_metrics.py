"""The metrics of a run: every exported name, in one table, and the interface that records them.

Ray exports most of them as ``ray_<name>`` on every node's metrics port, with the labels that it
adds itself (``NodeAddress``, ``WorkerId``, …). ``judge`` is the first digits of the judge's id.
What a run has committed is counted by its driver, exactly, from unit results; the current state is
recorded by the workers, and the last ten seconds of one that is killed may be lost.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol


@dataclass(frozen=True)
class Metric:
    """One metric.

    Attributes:
        name: its name in Ray; see :attr:`exported`.
        text: its help text.
        labels: besides ``judge``, which all metrics of Ray have.
        bounds: of a histogram's buckets.
        by_ray: whether Ray exports it.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    text: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()
    by_ray: bool = True

    @property
    def exported(self) -> tuple[str, ...]:
        """Its names in Prometheus."""
        name = f"ray_{self.name}" if self.by_ray else self.name
        if self.kind == "histogram":
            return (f"{name}_bucket", f"{name}_count", f"{name}_sum")
        return (name,)


# Of the driver.
PAIRS = Metric("pairmill_pairs_total", "counter", "Pairs committed.", ("outcome",))
QUARANTINED = Metric("pairmill_quarantined_total", "counter", "Pairs quarantined.", ("reason",))
REUSED = Metric("pairmill_reused_total", "counter", "Pairs labelled by votes of an earlier run.")
VOTES = Metric(
    "pairmill_votes_total",
    "counter",
    "Votes of committed pairs: verdict, or why the reply could not be parsed.",
    ("outcome",),
)
TOKENS = Metric(
    "pairmill_tokens_total",
    "counter",
    "Tokens of committed votes: prompt, output, and those of the prompt that were cached.",
    ("kind",),
)
CANARIES = Metric("pairmill_canaries_total", "counter", "Canaries committed.", ("outcome",))
DEATHS = Metric(
    "pairmill_unit_deaths_total",
    "counter",
    "Earlier attempts at committed units that were lost with their worker.",
)
UNIT_SECONDS = Metric(
    "pairmill_unit_seconds",
    "histogram",
    "From a unit's arrival at its worker to its commit.",
    bounds=(1, 3, 10, 30, 60, 120, 300, 600, 1_800),
)
PAIRS_TO_DO = Metric("pairmill_run_pairs", "gauge", "Pairs that the run has planned.")
PAIRS_LEFT = Metric("pairmill_run_pairs_left", "gauge", "Pairs that the run has yet to commit.")
ENGINE_STARTS = Metric(
    "pairmill_run_engine_starts",
    "gauge",
    "Engine starts of the run so far: begun, and those of them that became ready.",
    ("state",),
)
# Of the workers.
JUDGMENTS = Metric(
    "pairmill_judgments_total",
    "counter",
    "Replies that the engine has given, those to lost and re-judged pairs included.",
)
UNITS_IN_FLIGHT = Metric("pairmill_units_in_flight", "gauge", "Units that the worker is judging.")
PAIRS_IN_FLIGHT = Metric("pairmill_pairs_in_flight", "gauge", "Pairs that the worker is judging.")
REQUESTS_IN_FLIGHT = Metric(
    "pairmill_requests_in_flight",
    "gauge",
    "Requests that the engine has not answered yet, waiting ones included.",
)
ENGINE_IDLE = Metric(
    "pairmill_engine_idle_seconds_total",
    "counter",
    "Seconds in which a started engine had no request: its GPU was idle.",
)
STAGE_SECONDS = Metric(
    "pairmill_stage_seconds_total",
    "counter",
    "read: seconds that the worker had no unit; decode, engine, commit: seconds that pairs, "
    "replies and units spent there, summed over those at the same time.",
    ("stage",),
)
ENGINE_START_SECONDS = Metric(
    "pairmill_engine_start_seconds", "gauge", "How long this worker's engine took to start."
)

# Of the last nightly run, stored where they can be read while nothing runs.
NIGHT_SUCCEEDED = Metric(
    "pairmill_night_success_timestamp_seconds",
    "gauge",
    "End of the last nightly run that succeeded.",
    by_ray=False,
)
NIGHT_ENDED = Metric(
    "pairmill_night_end_timestamp_seconds", "gauge", "End of the last nightly run.", by_ray=False
)
NIGHT_SECONDS = Metric(
    "pairmill_night_seconds", "gauge", "Duration of the last nightly run.", by_ray=False
)
NIGHT_EXIT_CODE = Metric(
    "pairmill_night_exit_code",
    "gauge",
    "Exit code of the last nightly run: 0 done, 3 gate refused, 6 budget spent, 143 stopped.",
    by_ray=False,
)

METRICS = tuple(value for value in list(globals().values()) if isinstance(value, Metric))


class Recorder(Protocol):
    """Records metrics; may be called from any thread."""

    def add(self, metric: Metric, value: float, **labels: str) -> None:
        """Adds to a counter."""

    def set(self, metric: Metric, value: float, **labels: str) -> None:
        """Sets a gauge."""

    def observe(self, metric: Metric, value: float, **labels: str) -> None:
        """Adds a value to a histogram."""

    def repeat(self) -> None:
        """Sets all gauges to their values again; call it every few seconds, or Ray drops them."""


class Unrecorded:
    """No-op recorder."""

    def add(self, metric: Metric, value: float, **labels: str) -> None:
        """Does nothing."""

    def set(self, metric: Metric, value: float, **labels: str) -> None:
        """Does nothing."""

    def observe(self, metric: Metric, value: float, **labels: str) -> None:
        """Does nothing."""

    def repeat(self) -> None:
        """Does nothing."""
