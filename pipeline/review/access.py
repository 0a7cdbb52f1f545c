"""Who may see what: a token in the first address, then a cookie; other pages cannot use either."""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass
from http.cookies import SimpleCookie
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_TOKEN = "token"
_ANNOTATE = "/annotate"  # what annotators may open, and nobody else
_HEADERS = {
    "content-security-policy": "default-src 'none'; img-src 'self'; media-src 'self'; "
    "style-src 'self'; script-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
_UNKNOWN = (
    "This address needs its token: open the one that `pairmill review` has printed, or the link "
    "that you were given.\n"
)


@dataclass(frozen=True)
class Access:
    """What a token opens.

    Attributes:
        annotator: empty of the owner, who sees everything; an annotator sees their set alone.
        set_name: of an annotator.
    """

    annotator: str = ""
    set_name: str = ""


class Tokens:
    """The tokens of one server, all made of one secret, so that they outlive a restart with it."""

    def __init__(self, secret: str | None = None) -> None:
        """Takes the secret, or makes one that dies with this process."""
        self.owner = secret or secrets.token_urlsafe(32)

    def of(self, access: Access) -> str:
        """The token that opens what ``access`` says."""
        if not access.annotator:
            return self.owner
        stated = f"{access.set_name}\0{access.annotator}".encode()
        return hmac.new(self.owner.encode(), stated, "sha256").hexdigest()

    def cookie(self, access: Access) -> str:
        """The value of a cookie."""
        return urlencode({"set": access.set_name, "who": access.annotator, _TOKEN: self.of(access)})

    def opened(self, given: dict[str, str]) -> Access | None:
        """What a token in an address or a cookie opens; None of a wrong one."""
        access = Access(given.get("who", ""), given.get("set", ""))
        token = given.get(_TOKEN, "").encode()
        return access if hmac.compare_digest(token, self.of(access).encode()) else None


class Guard:
    """Lets only those in who have a token, and only from this server's own pages.

    A name that leads here from elsewhere (DNS rebinding) is refused by ``Host``; a page elsewhere
    that posts here by ``Origin`` and by the cookie, which is not sent along then.
    """

    def __init__(self, app: ASGIApp, tokens: Tokens, hosts: frozenset[str], port: int) -> None:
        """Guards an application.

        Args:
            app: the application.
            tokens: that open it.
            hosts: the names under which it may be asked for.
            port: on which it is served; each server has a cookie of its own.
        """
        self._app, self._tokens, self._hosts = app, tokens, hosts
        self._port = port

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves a request, or refuses it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                fixed = [(n.encode(), v.encode()) for n, v in _HEADERS.items()]
                message["headers"] = [*message["headers"], *fixed]
            await send(message)

        refused = self._refused(scope)
        await (refused or self._app)(scope, receive, sending)

    def _refused(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        host = urlsplit(f"//{headers.get('host', '')}")
        if (host.hostname or "") not in self._hosts:
            return PlainTextResponse("This server does not go by that name.\n", 421)
        origin = headers.get("origin")
        if scope["method"] not in ("GET", "HEAD") and urlsplit(origin or "").netloc != host.netloc:
            return PlainTextResponse("Posted from another page.\n", 403)
        if scope["path"].startswith("/static/"):
            return None
        query = dict(parse_qsl(scope["query_string"].decode("latin-1")))
        if _TOKEN in query:
            return self._entered(scope, query)
        annotates = scope["path"].startswith(_ANNOTATE)
        cookie = SimpleCookie(headers.get("cookie", "")).get(self._cookie_name(annotates))
        access = self._tokens.opened(dict(parse_qsl(cookie.value))) if cookie else None
        if access is None or bool(access.annotator) != annotates:
            return PlainTextResponse(_UNKNOWN, 401)
        scope["access"] = access
        return None

    def _cookie_name(self, annotates: bool) -> str:
        """One for the owner and one for an annotator: a browser may be both."""
        return f"pairmill_{'annotate' if annotates else 'review'}_{self._port}"

    def _entered(self, scope: Scope, query: dict[str, str]) -> Response:
        """Takes the token out of the address and into a cookie."""
        access = self._tokens.opened(query)
        if access is None:
            return PlainTextResponse(f"The token is wrong. {_UNKNOWN}", 401)
        rest = urlencode({n: v for n, v in query.items() if n not in (_TOKEN, "who", "set")})
        to = RedirectResponse(scope["path"] + (f"?{rest}" if rest else ""), 303)
        name, value = self._cookie_name(bool(access.annotator)), self._tokens.cookie(access)
        to.set_cookie(name, value, httponly=True, samesite="strict", path="/")
        return to
