"""Numbers as people read them in reports and charts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Unit = Literal["share", "count", "number", "seconds", "usd"]


@dataclass(frozen=True)
class Point:
    """A value of a chart, with its interval where it has one."""

    label: str
    value: float | None
    low: float | None = None
    high: float | None = None


def shown(value: float | None, unit: Unit = "number") -> str:
    """A value as a text; a dash if it is None."""
    if value is None:
        return "\N{EN DASH}"
    if unit == "share":
        return f"{100 * value:.1f} %"
    if unit == "count":
        return f"{value:,.0f}"
    if unit == "usd":
        return f"${value:,.4f}" if 0 < value < 0.1 else f"${value:,.2f}"
    if unit == "seconds":
        return _duration(value)
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.3g}"


def with_interval(point: Point, unit: Unit = "share") -> str:
    """A value and its interval as a text."""
    if point.low is None or point.high is None:
        return shown(point.value, unit)
    low, high = shown(point.low, unit), shown(point.high, unit)
    return f"{shown(point.value, unit)} ({low} to {high})"


def tick_label(value: float, unit: Unit = "number") -> str:
    """A value as a short text for an axis."""
    if unit == "share":
        return f"{100 * value:.4g} %"
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"
