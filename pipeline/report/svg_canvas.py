"""A chart's drawing area: axes and marks as inline SVG, coloured by the page's style sheet.

Lengths are pixels; a chart is drawn at about its own width, so that its texts keep their size.
"""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from pipeline.report.chart_scales import Scale, Unit, tick_label, ticks

WIDTH = 360
LETTER = 6.4  # about the width of a letter at an axis
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 24, 24, 40
Spot = tuple[float, float]


class Canvas:
    """Collects the marks of one chart.

    Attributes:
        left, right, top, bottom: where the plot ends, in pixels.
        x, y: take values to pixels.
    """

    def __init__(
        self,
        height: float,
        x: tuple[float, float],
        y: tuple[float, float],
        *,
        left: float = _LEFT,
        top: float = _TOP,
        bottom: float = _BOTTOM,
        right: float = _RIGHT,
        width: float = WIDTH,
    ) -> None:
        """An empty chart between the given ends of its axes."""
        self._parts: list[Markup] = []
        self._width, self._height = width, height
        self.left, self.right = left, width - right
        self.top, self.bottom = top, height - bottom
        self.x = Scale(*x, self.left, self.right)
        self.y = Scale(*y, self.bottom, self.top)

    def y_axis(self, unit: Unit, title: str, most: int = 5) -> None:
        """Lines at round values, and what they are of."""
        for value in ticks(self.y.low, self.y.high, most):
            at = self.y(value)
            self.line([(self.left, at), (self.right, at)], "grid")
            self.text(self.left - 9, at + 4, tick_label(value, unit), "end")
        self.text(self.left, self.top - 12, title, "start", "title")

    def x_axis(self, unit: Unit | None, title: str) -> None:
        """The base line, round values if there is a unit, and what they are of."""
        if unit is not None:
            for value in ticks(self.x.low, self.x.high, 6):
                self.tick(value, tick_label(value, unit))
        self.line([(self.left, self.bottom), (self.right, self.bottom)], "base")
        self.text((self.left + self.right) / 2, self._height - 5, title, "middle", "title")

    def tick(self, value: float, text: str) -> None:
        """One value of the x axis."""
        at = self.x(value)
        self.line([(at, self.bottom), (at, self.bottom + 4)], "base")
        self.text(at, self.bottom + 18, text, "middle")

    def line(self, spots: Sequence[Spot], kind: str = "line") -> None:
        listed = " ".join(f"{x:g},{y:g}" for x, y in spots)
        self._add("polyline", "", points=listed, class_=kind)

    def area(self, spots: Sequence[Spot]) -> None:
        self._add("polygon", "", points=" ".join(f"{x:g},{y:g}" for x, y in spots), class_="band")

    def bar(self, start: float, stop: float, value: float, title: str) -> None:
        """A standing bar, between two values of x."""
        x, y = self.x(start), self.y(value)
        width, height = max(1.0, self.x(stop) - x - 1), self.bottom - y
        self._box(x, y, width, height, title)

    def lying_bar(self, top: float, height: float, value: float, title: str) -> None:
        """A bar from the left edge to a value of x."""
        self._box(self.left, top, max(1.0, self.x(value) - self.left), height, title)

    def dot(self, x: float, y: float, radius: float, title: str, kind: str = "dot") -> None:
        self._add("circle", title, cx=f"{x:g}", cy=f"{y:g}", r=f"{radius:.3g}", class_=kind)

    def text(self, x: float, y: float, text: str, anchor: str, kind: str = "axis") -> None:
        if text:
            self._parts.append(
                Markup('<text x="{:g}" y="{:g}" text-anchor="{}" class="{}">{}</text>').format(
                    round(x, 2), round(y, 2), anchor, kind, text
                )
            )

    def svg(self, label: str) -> Markup:
        """The chart; ``label`` says in words what it shows."""
        head = '<svg viewBox="0 0 {:g} {:g}" width="{:g}" role="img" aria-label="{}">{}</svg>'
        marks = Markup("").join(self._parts)
        return Markup(head).format(self._width, self._height, self._width, label, marks)

    def _box(self, x: float, y: float, width: float, height: float, title: str) -> None:
        size = {"width": f"{width:g}", "height": f"{max(0.0, round(height, 2)):g}"}
        self._add("rect", title, x=f"{x:g}", y=f"{y:g}", **size, class_="fill")

    def _add(self, tag: str, title: str, **attributes: str) -> None:
        """A mark with a hint for the pointer; a trailing underscore of a name is dropped."""
        listed = Markup(" ").join(
            Markup('{}="{}"').format(name.rstrip("_"), value) for name, value in attributes.items()
        )
        hint = Markup("<title>{}</title>").format(title) if title else ""
        self._parts.append(Markup("<{0} {1}>{2}</{0}>").format(tag, listed, hint))
