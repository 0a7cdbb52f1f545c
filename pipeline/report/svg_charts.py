"""Charts: a few plain kinds, each with what it shows in words for those who do not see it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from markupsafe import Markup

from pipeline.report.chart_scales import Point, Unit, bounds, shown, tick_label, with_interval
from pipeline.report.svg_canvas import LETTER, Canvas, Spot

_HEIGHT = 200


def histogram(
    edges: Sequence[float], counts: Sequence[int], x: str, y: str, unit: Unit = "number"
) -> Markup:
    """Counts between edges, on a linear axis."""
    canvas = Canvas(_HEIGHT, (edges[0], edges[-1]), (0, max(*counts, 1) * 1.05))
    canvas.y_axis("count", y)
    for (start, stop), count in zip(itertools.pairwise(edges), counts, strict=True):
        title = f"{shown(start, unit)} to {shown(stop, unit)}: {count:,}"
        canvas.bar(start, stop, count, title)
    canvas.x_axis(unit, x)
    return canvas.svg(f"{y} by {x}: {_peak(edges, counts, unit)}")


def log_histogram(edges: Sequence[float], counts: Sequence[int], x: str, y: str) -> Markup:
    """Counts between edges that multiply: bins of one width, some of their edges written."""
    edges, counts = _trimmed(edges, counts)
    canvas = Canvas(_HEIGHT, (0, len(counts)), (0, max(*counts, 1) * 1.05))
    canvas.y_axis("count", y)
    for place, count in enumerate(counts):
        title = f"{edges[place]:,.3g} to {edges[place + 1]:,.3g}: {count:,}"
        canvas.bar(place, place + 1, count, title)
    canvas.x_axis(None, x)
    for place in range(0, len(edges), -(-len(edges) // 8)):
        canvas.tick(place, tick_label(edges[place]))
    return canvas.svg(f"{y} by {x}: {_peak(edges, counts, 'number')}")


def columns(names: Sequence[str], counts: Sequence[int], x: str, y: str) -> Markup:
    """A column for each name, its count on top."""
    canvas = Canvas(_HEIGHT, (-0.5, len(names) - 0.5), (0, max(*counts, 1) * 1.15))
    canvas.y_axis("count", y)
    every = -(-len(names) // 14)
    for place, (name, count) in enumerate(zip(names, counts, strict=True)):
        canvas.bar(place - 0.38, place + 0.38, count, f"{name}: {count:,}")
        if place % every == 0:
            canvas.text(canvas.x(place), canvas.bottom + 18, name, "middle")
        if count and len(names) <= 9:
            canvas.text(canvas.x(place), canvas.y(count) - 4, f"{count:,}", "middle", "value")
    canvas.x_axis(None, x)
    return canvas.svg(f"{y} by {x}: {_listed(names, counts)}")


def bars(names: Sequence[str], counts: Sequence[int], what: str) -> Markup:
    """A lying bar for each name, its count at the end."""
    step, left = 24, 16 + LETTER * max(map(len, names))
    canvas = Canvas(
        step * len(names) + 8, (0, max(*counts, 1) * 1.25), (0, 1), left=left, top=4, bottom=4
    )
    for place, (name, count) in enumerate(zip(names, counts, strict=True)):
        top = 4 + place * step
        canvas.text(left - 8, top + 15, name, "end", "name")
        canvas.lying_bar(top + 3, step - 8, count, f"{name}: {count:,}")
        canvas.text(canvas.x(count) + 5, top + 15, f"{count:,}", "start", "value")
    return canvas.svg(f"{what}: {_listed(names, counts)}")


def intervals(points: Sequence[Point], x: str, even: float | None = None) -> Markup:
    """Shares with their intervals, one below the other; ``even`` is where no bias would be."""
    step, left = 28, 16 + LETTER * max(len(point.label) for point in points)
    canvas = Canvas(step * len(points) + 64, (0, 1), (0, 1), left=left)
    for place, point in enumerate(points):
        y = canvas.top + step * (place + 0.5)
        canvas.text(canvas.left - 8, y + 4, point.label, "end", "name")
        if point.value is None:
            canvas.text(canvas.left + 8, y + 4, "nothing to measure it on", "start")
            continue
        if point.low is not None and point.high is not None:
            canvas.line([(canvas.x(point.low), y), (canvas.x(point.high), y)], "whisker")
        canvas.dot(canvas.x(point.value), y, 4.5, f"{point.label}: {with_interval(point)}")
        high, low = canvas.x(point.high or point.value), canvas.x(point.low or point.value)
        inside = high + 9 + LETTER * 6 < canvas.right
        place_of = (high + 9, "start") if inside else (low - 9, "end")
        canvas.text(place_of[0], y + 4, shown(point.value, "share"), place_of[1], "value")
    canvas.x_axis("share", x)
    if even is not None:
        at = canvas.x(even)
        canvas.line([(at, canvas.top), (at, canvas.bottom)], "reference")
        canvas.text(at, canvas.top - 8, "no bias", "middle")
    listed = "; ".join(f"{point.label}: {with_interval(point)}" for point in points)
    return canvas.svg(f"{x}: {listed}")


def calibration(stated: Sequence[float], observed: Sequence[float], pairs: Sequence[int]) -> Markup:
    """Observed share of a preference for ``a`` by its stated probability."""
    canvas = Canvas(264, (0, 1), (0, 1))
    canvas.y_axis("share", "humans prefer a")
    canvas.x_axis("share", "stated probability that a is preferred")
    canvas.line([(canvas.x(0), canvas.y(0)), (canvas.x(1), canvas.y(1))], "reference")
    places = [(canvas.x(p), canvas.y(q)) for p, q in zip(stated, observed, strict=True)]
    canvas.line(places)
    texts = []
    for (x, y), p, q, count in zip(places, stated, observed, pairs, strict=True):
        texts.append(f"stated {shown(p, 'share')}, observed {shown(q, 'share')}, {count:,} pairs")
        canvas.dot(x, y, 2.5 + 3.5 * (count / max(pairs)) ** 0.5, texts[-1])
    return canvas.svg("Calibration: " + "; ".join(texts))


def shares_by_bin(
    edges: Sequence[float], counts: Sequence[int], shares: Sequence[float | None]
) -> Markup:
    """How often ``a`` is preferred by a's length over b's, whose edges multiply."""
    canvas = Canvas(_HEIGHT, (0, len(counts)), (0, 1))
    canvas.y_axis("share", "a is preferred")
    canvas.x_axis(None, "length of a's text / length of b's")
    for number in range(0, len(edges), 4):
        canvas.tick(number, f"{edges[number]:.3g}\N{MULTIPLICATION SIGN}")
    canvas.line([(canvas.left, canvas.y(0.5)), (canvas.right, canvas.y(0.5))], "reference")
    known = [(n + 0.5, share) for n, share in enumerate(shares) if share is not None]
    canvas.line([(canvas.x(place), canvas.y(share)) for place, share in known])
    texts = []
    for place, share in known:
        count, number = counts[int(place)], int(place)
        texts.append(
            f"{edges[number]:.2g} to {edges[number + 1]:.2g} times as long: "
            f"{shown(share, 'share')} of {count:,}"
        )
        radius = 2 + 3.5 * (count / max(counts)) ** 0.5
        canvas.dot(canvas.x(place), canvas.y(share), radius, texts[-1])
    return canvas.svg("Preference for a by length: " + "; ".join(texts))


def trend(points: Sequence[Point], unit: Unit, y: str) -> Markup:
    """A value over the runs, oldest first, with its interval as a band.

    At least one of them has a value.
    """
    known = [p for p in points if p.value is not None]
    spread = [v for p in known for v in (p.value, p.low, p.high) if v is not None]
    end = max(1, len(points) - 1)
    canvas = Canvas(138, (-0.03 * end, 1.03 * end), bounds(spread, unit), top=10, bottom=26)
    canvas.y_axis(unit, "", most=4)
    for place, point in enumerate(points):
        if point.mark:
            at = canvas.x(place - 0.5)
            canvas.line([(at, canvas.top), (at, canvas.bottom)], "change")
    for stretch in _stretches(points):
        _draw_stretch(canvas, stretch, unit, len(points) - 1)
    canvas.text(canvas.left, canvas.bottom + 16, points[0].label, "start")
    if len(points) > 1:
        canvas.text(canvas.right, canvas.bottom + 16, points[-1].label, "end")
    first, last = known[0], known[-1]
    return canvas.svg(
        f"{y} over {len(points)} runs: {with_interval(first, unit)} on {first.label}, "
        f"{with_interval(last, unit)} on {last.label}"
    )


def mark(point: Point, threshold: float | None = None) -> Markup:
    """A share with its interval in the space of a table's cell; the numbers stand beside it."""
    canvas = Canvas(18, (0, 1), (0, 1), left=6, right=6, top=2, bottom=2, width=120)
    middle = 9.0
    canvas.line([(canvas.left, middle), (canvas.right, middle)], "grid")
    if threshold is not None:
        at = canvas.x(min(1.0, threshold))
        canvas.line([(at, 2), (at, 16)], "threshold")
    if point.low is not None and point.high is not None:
        low, high = (canvas.x(min(1.0, end)) for end in (point.low, point.high))
        canvas.line([(low, middle), (high, middle)], "whisker")
    if point.value is not None:
        canvas.dot(canvas.x(min(1.0, point.value)), middle, 3.5, "")
    return canvas.svg(f"{point.label}: {with_interval(point)}")


def _draw_stretch(
    canvas: Canvas, stretch: Sequence[tuple[int, Point]], unit: Unit, last: int
) -> None:
    """Neighbouring points that all have a value."""
    spots: list[Spot] = []
    above: list[Spot] = []
    below: list[Spot] = []
    for place, point in stretch:
        x = canvas.x(place)
        spots.append((x, canvas.y(point.value or 0)))
        if point.low is not None and point.high is not None:
            above.append((x, canvas.y(point.high)))
            below.append((x, canvas.y(point.low)))
    if len(above) == len(spots) > 1:
        canvas.area([*above, *below[::-1]])
    elif len(above) == len(spots):
        canvas.line([above[0], below[0]], "whisker")
    canvas.line(spots)
    for (place, point), (x, y) in zip(stretch, spots, strict=True):
        title = f"{point.label}: {with_interval(point, unit)}"
        canvas.dot(x, y, 4.5 if place == last else 3, title)


def _stretches(points: Sequence[Point]) -> list[list[tuple[int, Point]]]:
    """Neighbouring points that have a value, with their places."""
    groups = itertools.groupby(enumerate(points), key=lambda pair: pair[1].value is not None)
    return [list(group) for known, group in groups if known]


def _trimmed(
    edges: Sequence[float], counts: Sequence[int]
) -> tuple[Sequence[float], Sequence[int]]:
    """Without the empty bins at both ends, but for one of them."""
    full = [place for place, count in enumerate(counts) if count] or [0]
    first, last = max(0, full[0] - 1), min(len(counts), full[-1] + 2)
    return edges[first : last + 1], counts[first:last]


def _listed(names: Sequence[str], counts: Sequence[int]) -> str:
    return ", ".join(f"{name}: {count:,}" for name, count in zip(names, counts, strict=True))


def _peak(edges: Sequence[float], counts: Sequence[int], unit: Unit) -> str:
    total = sum(counts)
    if not total:
        return "none"
    most = max(range(len(counts)), key=lambda place: counts[place])
    start, stop = shown(edges[most], unit), shown(edges[most + 1], unit)
    return f"{total:,} in all, most of them ({counts[most]:,}) from {start} to {stop}"
