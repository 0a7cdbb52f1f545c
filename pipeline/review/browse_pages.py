"""The pages to browse labels, and what each is made of."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlencode

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import (
    RedirectResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Route

from pipeline.review.browse import PAGE_ROWS, Browser, Listed
from pipeline.review.compare import compare
from pipeline.review.filters import NO_VALUE, RANGES, SORTS, Filters, facet_title
from pipeline.review.label_columns import OUTCOMES
from pipeline.review.page_maker import PageMaker
from pipeline.review.pair_view import pair_view
from pipeline.review.reviewed_output import Reviewed
from pipeline.review.served_media import medium_response
from pipeline.review.text_search import Hit, search
from pipeline.runtime.errors import InputError
from pipeline.runtime.printable import printable

_MOST_HITS = 200


class BrowsePages:
    """Answers requests about one output; plain functions, which Starlette runs in threads."""

    def __init__(self, reviewed: Reviewed, pages: PageMaker) -> None:
        """Binds to an opened output, and what renders its pages."""
        self._reviewed, self._page = reviewed, pages.page
        self._rendered = pages.rendered
        self._browser = Browser(reviewed.first.columns, reviewed.inputs, reviewed.other_judges)
        pages.share(
            others=reviewed.others(),
            address=_address,
            facet_title=facet_title,
            range_titles=RANGES,
            sorts=SORTS,
            no_value=NO_VALUE,
        )

    @property
    def routes(self) -> list[Route]:
        """Its addresses."""
        return [
            Route("/", self.rows),
            Route("/pair", self.pair),
            Route("/media", self.media),
            Route("/search", self.search),
            Route("/compare", self.compare),
        ]

    def rows(self, request: Request) -> Response:
        """The rows that filters leave."""
        filters = Filters.parse(request.query_params.multi_items())
        found = self._browser.find(filters)
        if filters.page > found.pages:
            return RedirectResponse(f"/?{filters.on_page(found.pages).query()}", 303)
        inputs, others = self._reviewed.inputs, self._reviewed.other_judges
        return self._page(
            "rows.html.j2",
            filters=filters,
            found=found,
            places=range((filters.page - 1) * PAGE_ROWS, found.rows),
            progress=inputs.progress,
            unread=inputs.unread,
            judges_progress=others.progress,
            unread_judges=others.unread,
            judge_name=self._reviewed.judge_name,
        )

    def pair(self, request: Request) -> Response:
        """One pair; with its neighbours among the rows that filters leave."""
        given = request.query_params
        shard, row = _place_of(request)
        view = pair_view(self._reviewed, shard, row)
        if view is None:
            raise HTTPException(404, f"{shard} has no labelled row {row}.")
        rest = [(n, v) for n, v in given.multi_items() if n not in ("shard", "row", "at")]
        at = int(given.get("at", "")) if given.get("at", "").isdecimal() else None
        before, after = self._neighbours(Filters.parse(rest), at)
        return self._page(
            "pair.html.j2", pair=view, before=before, after=after, back=urlencode(rest)
        )

    def media(self, request: Request) -> Response:
        """A picture or a clip of a pair."""
        shard, row = _place_of(request)
        pair, problem = self._reviewed.pair(shard, row)
        return medium_response(self._reviewed, pair, problem, request)

    def search(self, request: Request) -> Response:
        """Hits as they are found."""
        text = request.query_params.get("text", "").strip()
        if not text:
            return self._page("search.html.j2", text="")
        head, _, tail = self._rendered("search.html.j2", text=printable(text)).partition("<!---->")
        return StreamingResponse(self._hits(text, head, tail), media_type="text/html")

    def compare(self, request: Request) -> Response:
        """Where the labels differ from others."""
        given = request.query_params
        name = given.get("with") or next((n for n, _ in self._reviewed.others()), None)
        if name is None:
            return self._page("compare.html.j2", other=None)
        page = Filters.parse([("page", given.get("page", "1"))]).page
        other = self._reviewed.source(name)
        found = compare(self._reviewed.first.columns, other.columns, page)
        return self._page("compare.html.j2", other=other, found=found, page=page, outcomes=OUTCOMES)

    def _neighbours(self, filters: Filters, at: int | None) -> list[str | None]:
        """The addresses of the pairs before and after the one at a place among those left."""
        if at is None:
            return [None, None]
        found = zip(self._browser.around(filters, at), (at - 1, at + 1), strict=True)
        return [_address(each, filters, place) if each else None for each, place in found]

    def _hits(self, text: str, head: str, tail: str) -> Iterator[str]:
        yield head
        shown = 0
        for found in search(self._reviewed, text):
            if isinstance(found, Hit):
                shown += 1
                query = urlencode({"shard": found.shard, "row": found.row})
                yield self._rendered("hit.html.j2", hit=found, query=query)
            else:
                yield self._rendered("searched.html.j2", searched=found, shown=shown)
            if shown == _MOST_HITS:
                yield self._rendered("searched.html.j2", searched=None, shown=shown)
                break
        yield tail


def _place_of(request: Request) -> tuple[str, int]:
    row = request.query_params.get("row", "")
    if not row.isdecimal():
        raise InputError(f"row: got {row!r}, expected a number from 0")
    return request.query_params.get("shard", ""), int(row)


def _address(listed: Listed, filters: Filters, place: int) -> str:
    """The address of a pair, from which one can go on among the rows that filters leave."""
    own = urlencode({"shard": listed.shard, "row": listed.row, "at": place})
    rest = filters.on_page(1).query()
    return f"/pair?{own}&{rest}" if rest else f"/pair?{own}"
