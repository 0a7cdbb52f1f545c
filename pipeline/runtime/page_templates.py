"""Templates of pages: what anybody wrote is escaped, and shown without what could act on a page."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from pipeline.runtime.printable import one_line, printable


def page_templates(package: str, folder: str = ".") -> Environment:
    """The templates in a folder of a package; a name that is not given to one is an error.

    Their filter ``one_line`` shows a name within a line.
    """
    templates = Environment(
        loader=PackageLoader(package, folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_fit,
    )
    templates.filters["one_line"] = one_line
    return templates


def _fit(value: object) -> object:
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value
