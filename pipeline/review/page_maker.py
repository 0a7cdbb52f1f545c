"""Makes pages of templates; every text of people and models is escaped."""

from __future__ import annotations

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markdown_it import MarkdownIt
from markupsafe import Markup
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from pipeline.runtime.printable import printable

_MARKDOWN = MarkdownIt("commonmark", {"html": False}).disable("image")


class PageMaker:
    """Renders templates with what all pages share."""

    def __init__(self, **shared: Any) -> None:
        """Reads the templates of this package."""
        self._environment = Environment(
            loader=PackageLoader("pipeline.review", "html"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters |= {
            "printable": lambda text: printable(str(text)),
            "markdown": lambda text: Markup(_MARKDOWN.render(printable(text))),
        }
        self._environment.globals |= shared

    def share(self, **values: Any) -> None:
        """Adds to what all pages share."""
        self._environment.globals |= values

    def rendered(self, template: str, **values: Any) -> str:
        """A template as text."""
        return self._environment.get_template(template).render(**values)

    def page(self, template: str, status: int = 200, **values: Any) -> Response:
        """A page."""
        return HTMLResponse(self.rendered(template, **values), status)

    def bad_request(self, request: Request, error: Exception) -> Response:
        """What was asked for cannot be."""
        return self._error(400, "That cannot be shown", str(error))

    def store_fails(self, request: Request, error: Exception) -> Response:
        """The store does not answer, or refuses to keep what it was given."""
        title = "The store does not answer as it should"
        if request.method == "POST":
            title = "Your answer is not stored: go back and give it again"
        return self._error(503, title, str(error))

    def http_error(self, request: Request, error: Exception) -> Response:
        """There is no such page, or it cannot be asked for in this way."""
        assert isinstance(error, HTTPException)
        title = "There is no such page" if error.status_code == 404 else "That cannot be done"
        return self._error(error.status_code, title, error.detail)

    def _error(self, status: int, title: str, text: str) -> Response:
        return self.page("error.html.j2", status, title=title, text=text)
