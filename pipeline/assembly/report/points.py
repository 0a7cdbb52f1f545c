"""Values as charts take them."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.assembly.report.scales import Unit, shown


@dataclass(frozen=True)
class Point:
    """A value, of a run or of a kind, with its interval where there is one.

    Attributes:
        mark: of a run: whether it is the first of another judge.
    """

    label: str
    value: float | None
    low: float | None = None
    high: float | None = None
    mark: bool = False


def with_interval(point: Point, unit: Unit = "share") -> str:
    """A value and its interval, in words."""
    if point.low is None or point.high is None:
        return shown(point.value, unit)
    low, high = shown(point.low, unit), shown(point.high, unit)
    return f"{shown(point.value, unit)} ({low} to {high})"
