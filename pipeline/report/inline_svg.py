"""A chart of matplotlib as inline SVG that follows the page's width, font and colours."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping
from xml.etree.ElementTree import Element, SubElement, fromstring, tostring

from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.axes import Axes

from pipeline.stats import charts

# The page's style sheet has a light and a dark variant of each.
_COLOURS = {
    charts.MAIN: "var(--fill)",
    charts.QUIET: "var(--soft)",
    charts.INK: "var(--ink)",
    charts.GRID: "var(--line)",
    charts.PAGE: "var(--page)",
    "none": "none",
}
_STYLE = ("fill-opacity", "stroke-width", "stroke-dasharray", "text-anchor")
_SVG, _HREF = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}href"
_SHAPES = f".//{_SVG}defs/{_SVG}path[@id]"
_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))


def inline_svg(axes: Axes, words: str) -> Markup:
    """The figure of these axes, without ids, so that many fit on a page.

    Args:
        axes: made in the style of ``charts``; their marks' hints become titles.
        words: what the chart shows, for those who do not see it.

    Raises:
        KeyError: a colour that the page has no variants of.
    """
    buffer, figure = io.BytesIO(), axes.get_figure(root=True)
    assert figure is not None
    with rc_context({"svg.fonttype": "none"}):  # texts, not outlines: the page has the font
        figure.savefig(buffer, format="svg", metadata=_METADATA, transparent=True)
    drawn = fromstring(buffer.getvalue())
    size = drawn.attrib["viewBox"]
    made = Element("svg", {"viewBox": size, "width": size.split()[2], "role": "img"})
    made.set("aria-label", words)
    shapes = {shape.attrib["id"]: shape.attrib["d"] for shape in drawn.findall(_SHAPES)}
    made.extend([*_marks(drawn, shapes)])
    return Markup(tostring(made, encoding="unicode").replace(" />", "/>"))


def _marks(drawn: Element, shapes: Mapping[str, str], hint: str = "") -> Iterator[Element]:
    """What is seen, without matplotlib's groups, clip paths and styles."""
    for child in drawn:
        tag = child.tag.removeprefix(_SVG)
        if tag in ("g", "a"):
            yield from _marks(child, shapes, child.get(_HREF, hint))
        elif tag in ("path", "use", "text"):
            mark = _mark(tag, child, shapes)
            if hint:
                SubElement(mark, "title").text = hint
            if mark.get("d") != "" and (mark.get("fill") != "none" or "stroke" in mark.attrib):
                yield mark


def _mark(tag: str, drawn: Element, shapes: Mapping[str, str]) -> Element:
    """A path, circle or text. Style becomes attributes: the page's policy forbids style texts."""
    if tag == "path":
        made = _path(drawn.get("d", ""))
    else:
        x, y = (_short(drawn.attrib[name]) for name in ("x", "y"))
        if tag == "use":  # by its id, which might occur twice on a page
            made = _path(shapes[drawn.attrib[_HREF].removeprefix("#")])
            made.set("transform", f"translate({x} {y})")
        else:
            made = Element("text", {"x": x, "y": y})
            made.text = drawn.text
    for entry in filter(None, drawn.get("style", "").split(";")):
        name, value = (part.strip() for part in entry.split(":", 1))
        if name in ("fill", "stroke"):
            made.set(name, _COLOURS[value])
        elif name in _STYLE:
            made.set(name, value)
    return made


def _path(drawn: str) -> Element:
    """A path, on one line; curves are dots, which matplotlib writes as eight arcs."""
    if "C" not in drawn:
        return Element("path", {"d": re.sub(" ?([MLz]) ?", r"\1", _short(drawn))})
    numbers = [float(number) for number in re.findall(r"[-\d.]+", drawn)]
    (left, right), (top, bottom) = ((min(of), max(of)) for of in (numbers[::2], numbers[1::2]))
    sizes = {"cx": left + right, "cy": top + bottom, "r": right - left}
    return Element("circle", {name: f"{size / 2:.1f}" for name, size in sizes.items()})


def _short(numbers: str) -> str:
    """Numbers to a tenth of a pixel, on one line."""
    rounded = re.sub(r"-?\d+\.\d+", lambda found: f"{float(found[0]):.1f}", numbers)
    return " ".join(rounded.split())
