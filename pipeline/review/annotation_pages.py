"""The pages of gold sets: how far each is, and what an annotator is asked."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode

from markupsafe import Markup
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from pipeline.gold.gold_sets import checked_name, set_names
from pipeline.gold.set_agreement import agreement_of
from pipeline.review.access import Access, Tokens
from pipeline.review.annotation import Annotation, Asked
from pipeline.review.page_maker import PageMaker
from pipeline.review.pair_view import candidates_of, messages_of
from pipeline.review.reviewed_output import Reviewed
from pipeline.review.served_media import medium_response
from pipeline.runtime.errors import InputError
from schemas.gold import DrawnPair

_MOST_BODY = 2**16
_KEPT = "elsewhere"
_GONE = "The pair is not in these labels any more: it was removed or rewritten since it was drawn."


class AnnotationPages:
    """Answers requests about the gold sets of one output."""

    def __init__(self, reviewed: Reviewed, tokens: Tokens, pages: PageMaker) -> None:
        """Binds to an output; sets are read when they are first asked for."""
        self._reviewed, self._tokens, self._page = reviewed, tokens, pages.page
        self._sets: dict[str, Annotation] = {}
        self._opening = threading.Lock()

    @property
    def routes(self) -> list[Route]:
        """Its addresses; those of annotators begin with ``/annotate``."""
        return [
            Route("/sets", self.sets),
            Route("/set", self.set),
            Route("/annotate", self.annotate, methods=["GET"]),
            Route("/annotate", self.answered, methods=["POST"]),
            Route("/annotate/undo", self.undone, methods=["POST"]),
            Route("/annotate/media", self.media),
        ]

    def sets(self, request: Request) -> Response:
        """All sets of the output."""
        names = set_names(self._reviewed.output)
        found = [(name, *self._counts(self._opened(name))) for name in names]
        return self._page("sets.html.j2", sets=found)

    def set(self, request: Request) -> Response:
        """One set: progress, pace, agreement, links for annotators, and what to do with it."""
        annotation = self._opened(request.query_params.get("name", ""))
        given = annotation.given
        invited = request.query_params.get("invite", "").strip()
        people = annotation.annotators()
        if invited:
            people = sorted({*people, checked_name(invited, "annotator")})
        return self._page(
            "set.html.j2",
            gold=annotation.set,
            counts=self._counts(annotation),
            work=[(annotation.work(who), self._link(request, annotation, who)) for who in people],
            agreement=agreement_of(given, annotation.set.adjudicators),
            invited=invited,
            output=self._reviewed.output.uri,
            input=self._reviewed.input_uri,
            snapshot=self._reviewed.snapshot_id,
        )

    def annotate(self, request: Request) -> Response:
        """The next pair, or the one that the address names."""
        annotation, access = self._of(request)
        who, named = access.annotator, request.query_params.get("pair")
        asked = annotation.asked(who, named) if named else annotation.next(who)
        work = annotation.work(who)
        shared: dict[str, Any] = {"gold": annotation.set, "work": work, "who": who}
        kept = request.query_params.get("kept") == _KEPT
        if asked is None:
            return self._page("annotated.html.j2", **shared)
        pair, problem = self._pair(asked.pair)
        sides = list(candidates_of(pair)) if pair else []
        if asked.order == "ba":
            sides.reverse()
        return self._page(
            "annotate.html.j2",
            **shared,
            asked=asked,
            chosen=_chosen(asked),
            messages=list(messages_of(pair)) if pair else [],
            sides=sides,
            problem=problem,
            kept=kept,
        )

    async def answered(self, request: Request) -> Response:
        """Stores an answer, and goes on to the next pair."""
        form = await _form(request)
        return await run_in_threadpool(self._answer, request, form)

    async def undone(self, request: Request) -> Response:
        """Takes the last answer back, and shows its pair."""
        await _form(request)
        return await run_in_threadpool(self._undo, request)

    def media(self, request: Request) -> Response:
        """A picture or a clip of a pair of the annotator's set."""
        annotation, access = self._of(request)
        asked = annotation.asked(access.annotator, request.query_params.get("pair", ""))
        return medium_response(self._reviewed, *self._pair(asked.pair), request)

    def _answer(self, request: Request, form: Mapping[str, str]) -> Response:
        annotation, access = self._of(request)
        after = form.get("after", "")
        if not after.isdecimal():
            raise InputError(f"after: got {after!r}, expected the number of a revision")
        given = annotation.answer(
            access.annotator,
            form.get("pair", ""),
            form.get("choice", ""),
            form.get("note", ""),
            int(after),
        )
        if given.mine:
            return RedirectResponse("/annotate", 303)
        query = urlencode({"pair": given.pair_hash, "kept": _KEPT})
        return RedirectResponse(f"/annotate?{query}", 303)

    def _undo(self, request: Request) -> Response:
        annotation, access = self._of(request)
        given = annotation.undo(access.annotator)
        query = urlencode({"pair": given.pair_hash}) if given else ""
        return RedirectResponse(f"/annotate?{query}", 303)

    def _of(self, request: Request) -> tuple[Annotation, Access]:
        access: Access = request.scope["access"]
        if not access.annotator:
            raise HTTPException(
                403, "Answers are somebody's: open the link of an annotator, on the set's page."
            )
        return self._opened(access.set_name), access

    def _opened(self, name: str) -> Annotation:
        with self._opening:
            if name not in self._sets:
                self._sets[name] = Annotation(self._reviewed.output, name)
            return self._sets[name]

    def _pair(self, drawn: DrawnPair) -> tuple[dict[str, Any] | None, str | None]:
        """A pair as it was drawn, or why it cannot be shown."""
        place = (drawn.shard, drawn.row) if drawn.shard and drawn.row is not None else None
        if place is None or self._hash_at(*place) != drawn.pair_hash:
            place = self._reviewed.find_pair(drawn.pair_hash)
        return self._reviewed.pair(*place) if place else (None, _GONE)

    def _hash_at(self, shard: str, row: int) -> str | None:
        source = self._reviewed.first
        key = source.keys.get(shard)
        found = source.rows.rows(shard, key, row, row + 1) if key else []
        return found[0]["pair_hash"] if found else None

    def _counts(self, annotation: Annotation) -> tuple[int, int, int]:
        """Pairs of a set, those with an answer that stands, and answers."""
        standing = [each for each in annotation.given if each.said is not None]
        return len(annotation.set.pairs), len({g.pair_hash for g in standing}), len(standing)

    def _link(self, request: Request, annotation: Annotation, who: str) -> Markup:
        """An annotator's address; as markup, since pages show no queries of addresses otherwise."""
        access = Access(who, annotation.set.name)
        query = {"set": annotation.set.name, "who": who, "token": self._tokens.of(access)}
        root = f"{request.url.scheme}://{request.url.netloc}"
        return Markup.escape(f"{root}/annotate?{urlencode(query)}")


def _chosen(asked: Asked) -> str:
    """The number of the answer that was given, as it is shown; empty without one."""
    numbers = {"tie": "3", "cannot_say": "4", asked.order[0]: "1", asked.order[1]: "2"}
    return numbers.get(asked.given.said or "", "")


async def _form(request: Request) -> dict[str, str]:
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > _MOST_BODY:
            raise HTTPException(413, f"An answer and its note have at most {_MOST_BODY:,} bytes.")
    return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))
