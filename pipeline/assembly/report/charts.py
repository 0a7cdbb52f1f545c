"""Charts as inline SVG: a few plain kinds, coloured by the page's style sheet.

Lengths are pixels; a chart is drawn at about its own width, so that its texts keep their size.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from pipeline.assembly.report.scales import Scale, Unit, bounds, shown, tick_label, ticks

WIDTH = 360
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 12, 10, 36
_LETTER = 6.2  # about the width of a letter at an axis


@dataclass(frozen=True)
class Point:
    """A value of a run, with its interval where there is one."""

    label: str
    value: float | None
    low: float | None = None
    high: float | None = None
    mark: bool = False


def histogram(
    edges: Sequence[float], counts: Sequence[int], x: str, y: str, unit: Unit = "number"
) -> Markup:
    """Counts between edges."""
    canvas = _Canvas(190, (edges[0], edges[-1]), (0, max(*counts, 1) * 1.05))
    canvas.grid(unit, "count", x, y)
    for (start, stop), count in zip(itertools.pairwise(edges), counts, strict=True):
        title = f"{shown(start, unit)} to {shown(stop, unit)}: {count:,}"
        canvas.bar(start, stop, count, title)
    return canvas.svg(f"{y} by {x}: {_peak(edges, counts, unit)}")


def columns(names: Sequence[str], counts: Sequence[int], x: str, y: str) -> Markup:
    """A column for each name, its count on top."""
    canvas = _Canvas(190, (-0.5, len(names) - 0.5), (0, max(*counts, 1) * 1.15))
    canvas.grid(None, "count", x, y)
    for place, (name, count) in enumerate(zip(names, counts, strict=True)):
        canvas.bar(place - 0.38, place + 0.38, count, f"{name}: {count:,}")
        canvas.text(canvas.x(place), canvas.bottom + 14, name, "middle")
        if count and len(names) <= 9:
            canvas.text(canvas.x(place), canvas.y(count) - 4, f"{count:,}", "middle", "value")
    listed = ", ".join(f"{name}: {count:,}" for name, count in zip(names, counts, strict=True))
    return canvas.svg(f"{y} by {x}: {listed}")


def bars(names: Sequence[str], counts: Sequence[int], x: str) -> Markup:
    """A lying bar for each name, its count at the end."""
    step, left = 24, 20 + _LETTER * max(map(len, names))
    canvas = _Canvas(step * len(names) + 8, (0, max(*counts, 1) * 1.18), (0, 1), left, 4, 4)
    for place, (name, count) in enumerate(zip(names, counts, strict=True)):
        top = 4 + place * step
        canvas.text(left - 8, top + 15, name, "end", "name")
        canvas.add(
            "rect", x=left, y=top + 4, width=canvas.x(count) - left, height=step - 9, class_="fill"
        )
        canvas.text(canvas.x(count) + 5, top + 15, f"{count:,}", "start", "value")
    listed = ", ".join(f"{name}: {count:,}" for name, count in zip(names, counts, strict=True))
    return canvas.svg(f"{x}: {listed}")


def intervals(points: Sequence[Point], x: str, even: float | None = None) -> Markup:
    """Shares with their intervals, one below the other; ``even`` is where no bias would be."""
    step = 30
    canvas = _Canvas(step * len(points) + 44, (0, 1), (0, 1), 128)
    canvas.grid("share", None, x, "")
    if even is not None:
        canvas.line([(canvas.x(even), canvas.top), (canvas.x(even), canvas.bottom)], "reference")
    for place, point in enumerate(points):
        y = canvas.top + step * (place + 0.5)
        canvas.text(120, y + 4, point.label, "end", "name")
        if point.value is None:
            canvas.text(134, y + 4, "not measured", "start", "axis")
            continue
        if point.low is not None and point.high is not None:
            canvas.line([(canvas.x(point.low), y), (canvas.x(point.high), y)], "whisker")
        canvas.dot(canvas.x(point.value), y, 4.5, f"{point.label}: {_with_interval(point)}")
    listed = "; ".join(f"{point.label}: {_with_interval(point)}" for point in points)
    return canvas.svg(f"{x}: {listed}")


def calibration(stated: Sequence[float], observed: Sequence[float], pairs: Sequence[int]) -> Markup:
    """Observed share of a preference for ``a`` by its stated probability."""
    canvas = _Canvas(236, (0, 1), (0, 1))
    canvas.grid("share", "share", "stated probability that a is preferred", "observed")
    canvas.line([(canvas.x(0), canvas.y(0)), (canvas.x(1), canvas.y(1))], "reference")
    places = [(canvas.x(p), canvas.y(q)) for p, q in zip(stated, observed, strict=True)]
    canvas.line(places, "line")
    texts = []
    for (x, y), p, q, count in zip(places, stated, observed, pairs, strict=True):
        texts.append(f"stated {shown(p, 'share')}, observed {shown(q, 'share')}, {count:,} pairs")
        canvas.dot(x, y, 3 + 5 * (count / max(pairs)) ** 0.5, texts[-1])
    return canvas.svg("Calibration: " + "; ".join(texts))


def trend(points: Sequence[Point], unit: Unit, y: str) -> Markup:
    """A value over the runs, oldest first, with its interval as a band.

    A run with ``mark`` set is the first of another judge: a line stands before it.
    """
    known = [p for p in points if p.value is not None]
    spread = [v for p in known for v in (p.value, p.low, p.high) if v is not None]
    canvas = _Canvas(132, (0, max(1, len(points) - 1)), bounds(spread, unit), bottom=24)
    canvas.grid(None, unit, "", "", most=3)
    for place, point in enumerate(points):
        if point.mark:
            x = canvas.x(place - 0.5)
            canvas.line([(x, canvas.top), (x, canvas.bottom)], "change")
    for run in _runs_of(points):
        if all(p.low is not None and p.high is not None for _, p in run):
            above = [(canvas.x(i), canvas.y(p.high)) for i, p in run if p.high is not None]
            below = [(canvas.x(i), canvas.y(p.low)) for i, p in run if p.low is not None]
            canvas.area([*above, *below[::-1]])
        canvas.line([(canvas.x(i), canvas.y(p.value)) for i, p in run if p.value is not None])
        for i, p in run:
            if p.value is not None:
                last = i == len(points) - 1
                title = f"{p.label}: {_with_interval(p, unit)}"
                canvas.dot(canvas.x(i), canvas.y(p.value), 3.5 if last else 2.2, title)
    canvas.text(canvas.left, canvas.bottom + 16, points[0].label, "start")
    if len(points) > 1:
        canvas.text(canvas.right, canvas.bottom + 16, points[-1].label, "end")
    first, last_known = known[0], known[-1]
    return canvas.svg(
        f"{y} over {len(points)} runs: {_with_interval(first, unit)} on {first.label}, "
        f"{_with_interval(last_known, unit)} on {last_known.label}"
    )


def _with_interval(point: Point, unit: Unit = "share") -> str:
    if point.low is None or point.high is None:
        return shown(point.value, unit)
    low, high = shown(point.low, unit), shown(point.high, unit)
    return f"{shown(point.value, unit)} ({low} to {high})"


def _runs_of(points: Sequence[Point]) -> list[list[tuple[int, Point]]]:
    """Neighbouring points that have a value, with their places."""
    groups = itertools.groupby(enumerate(points), key=lambda pair: pair[1].value is not None)
    return [list(group) for known, group in groups if known]


def _peak(edges: Sequence[float], counts: Sequence[int], unit: Unit) -> str:
    total = sum(counts)
    if not total:
        return "none"
    most = max(range(len(counts)), key=lambda place: counts[place])
    start, stop = shown(edges[most], unit), shown(edges[most + 1], unit)
    return f"{total:,} in all, most of them ({counts[most]:,}) from {start} to {stop}"


class _Canvas:
    """Collects the marks of one chart."""

    def __init__(
        self,
        height: float,
        x: tuple[float, float],
        y: tuple[float, float],
        left: float = _LEFT,
        top: float = _TOP,
        bottom: float = _BOTTOM,
    ) -> None:
        self._parts: list[Markup] = []
        self._height = height
        self.left, self.right = left, WIDTH - _RIGHT
        self.top, self.bottom = top, height - bottom
        self.x = Scale(*x, self.left, self.right)
        self.y = Scale(*y, self.bottom, self.top)

    def grid(
        self, x: Unit | None, y: Unit | None, x_title: str, y_title: str, most: int = 5
    ) -> None:
        """Axes: round values of those that have a unit, and titles."""
        if y is not None:
            for value in ticks(self.y.low, self.y.high, most):
                at = self.y(value)
                self.line([(self.left, at), (self.right, at)], "grid")
                self.text(self.left - 6, at + 4, tick_label(value, y), "end")
        if x is not None:
            for value in ticks(self.x.low, self.x.high, 6):
                at = self.x(value)
                self.line([(at, self.bottom), (at, self.bottom + 4)], "tick")
                self.text(at, self.bottom + 15, tick_label(value, x), "middle")
        self.line([(self.left, self.bottom), (self.right, self.bottom)], "base")
        middle = (self.left + self.right) / 2
        self.text(middle, self._height - 4, x_title, "middle", "title")
        self.text(self.left, self.top - 1, y_title, "start", "title")

    def add(self, tag: str, content: str = "", **attributes: object) -> None:
        """A mark; a trailing underscore of a name is dropped."""
        listed = Markup(" ").join(
            Markup('{}="{}"').format(name.rstrip("_").replace("_", "-"), value)
            for name, value in attributes.items()
        )
        self._parts.append(Markup("<{0} {1}>{2}</{0}>").format(tag, listed, content))

    def line(self, points: Sequence[tuple[float, float]], kind: str = "line") -> None:
        listed = " ".join(f"{x:g},{y:g}" for x, y in points)
        self.add("polyline", points=listed, class_=kind)

    def area(self, points: Sequence[tuple[float, float]]) -> None:
        self.add("polygon", points=" ".join(f"{x:g},{y:g}" for x, y in points), class_="band")

    def bar(self, start: float, stop: float, value: float, title: str) -> None:
        x, y = self.x(start), self.y(value)
        width, height = max(1.0, self.x(stop) - x - 1), round(self.bottom - y, 2)
        hint = Markup("<title>{}</title>").format(title)
        self.add("rect", hint, x=x, y=y, width=f"{width:g}", height=f"{height:g}", class_="fill")

    def dot(self, x: float, y: float, radius: float, title: str) -> None:
        hint = Markup("<title>{}</title>").format(title)
        self.add("circle", hint, cx=x, cy=y, r=f"{radius:.3g}", class_="dot")

    def text(self, x: float, y: float, text: str, anchor: str, kind: str = "axis") -> None:
        if text:
            self.add("text", text, x=round(x, 2), y=round(y, 2), text_anchor=anchor, class_=kind)

    def svg(self, label: str) -> Markup:
        """The chart; ``label`` says in words what it shows."""
        return Markup('<svg viewBox="0 0 {} {:g}" role="img" aria-label="{}">{}</svg>').format(
            WIDTH, self._height, escape(label), Markup("").join(self._parts)
        )
