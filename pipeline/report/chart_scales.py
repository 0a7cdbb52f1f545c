"""Values as charts take them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


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


Unit = Literal["share", "count", "number", "seconds", "usd"]
_STEPS = (1, 2, 2.5, 5, 10)


def shown(value: float | None, unit: Unit = "number") -> str:
    """A value for people; a dash where there is none."""
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


def tick_label(value: float, unit: Unit = "number") -> str:
    """A value at an axis: short."""
    if unit == "share":
        return f"{100 * value:.4g} %"
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round values between two bounds, at most ``most`` of them."""
    span = high - low
    if span <= 0:
        return [low]
    size = 10.0 ** math.floor(math.log10(span / most))
    step = next(size * by for by in (*_STEPS, 20, 25, 50) if span / (size * by) <= most - 1)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(number * step, 12) for number in range(first, last + 1)]


@dataclass(frozen=True)
class Scale:
    """Takes values between ``low`` and ``high`` to places between ``start`` and ``stop``."""

    low: float
    high: float
    start: float
    stop: float

    def __call__(self, value: float) -> float:
        share = (value - self.low) / ((self.high - self.low) or 1)
        return round(self.start + share * (self.stop - self.start), 2)


def bounds(values: Sequence[float], unit: Unit) -> tuple[float, float]:
    """The ends of an axis that shows values with some room.

    Shares never go beyond 0 and 1; amounts begin at 0, so that heights can be compared.
    """
    low, high = min(values), max(values)
    room = 0.12 * (high - low) or (0.02 if unit == "share" else 0.1 * abs(high) or 1)
    low, high = low - room, high + room
    if unit == "share":
        return max(0.0, low), min(1.0, high)
    return (0.0 if min(values) >= 0 else low), high


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"
