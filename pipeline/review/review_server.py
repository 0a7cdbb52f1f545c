"""Serves the review pages: on this machine alone, unless a person allows more."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlencode

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from pipeline.review.access import Access, Guard, Tokens
from pipeline.review.annotation_pages import AnnotationPages
from pipeline.review.browse_pages import BrowsePages
from pipeline.review.page_maker import PageMaker
from pipeline.review.reviewed_output import Reviewed
from pipeline.runtime.errors import ConfigError, InputError, StorageError
from pipeline.runtime.printable import printable

TOKEN_VARIABLE = "PAIRMILL_REVIEW_TOKEN"
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_LEAST_TOKEN = 16  # characters
_WAITING = 128  # connections


def serve(
    reviewed: Reviewed, host: str, port: int, tell: Callable[[str], None], *, network: bool
) -> None:
    """Serves until it is interrupted.

    Args:
        reviewed: what is shown.
        host: the address to listen on.
        port: the port; 0 takes any that is free.
        tell: receives the address with its token once it can be opened.
        network: whether an address other than this machine's own is allowed.

    Raises:
        ConfigError: the address is not allowed or taken, or the token from the environment is weak.
    """
    if host not in _LOOPBACK and not network:
        raise ConfigError(
            f"--host {host}: others on the network could open the pages; expected 127.0.0.1, or "
            "--allow-network beside it: the connection is not encrypted, so put a proxy with TLS "
            "before it"
        )
    tokens = Tokens(_given_secret())
    listening = _bound(host, port)
    port = listening.getsockname()[1]
    named = "127.0.0.1" if host in ("0.0.0.0", "127.0.0.1") else host
    hosts = _LOOPBACK | {host, named, *([socket.gethostname()] if network else [])}
    app = Guard(application(reviewed, tokens), tokens, hosts, port)
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, server_header=False, lifespan="off"
    )
    reading = threading.Thread(target=reviewed.read_columns, name="columns", daemon=True)
    reading.start()
    shown = f"[{named}]" if ":" in named else named
    tell(f"http://{shown}:{port}/?{urlencode({'token': tokens.of(Access())})}")
    try:
        uvicorn.Server(config).run([listening])
    finally:
        reviewed.stop_reading()
        listening.close()


def application(reviewed: Reviewed, tokens: Tokens) -> Starlette:
    """All pages, without what guards them."""
    pages = PageMaker(source=reviewed.first, output=printable(reviewed.output.uri))
    browse, annotate = BrowsePages(reviewed, pages), AnnotationPages(reviewed, tokens, pages)
    static = Mount("/static", StaticFiles(directory=Path(__file__).parent / "static"))
    return Starlette(
        routes=[*browse.routes, *annotate.routes, static],
        exception_handlers={
            InputError: pages.bad_request,
            ConfigError: pages.bad_request,
            StorageError: pages.store_fails,
            HTTPException: pages.http_error,
        },
    )


def _given_secret() -> str | None:
    """The secret of the environment, with which links outlive a restart."""
    secret = os.environ.get(TOKEN_VARIABLE)
    if secret is not None and len(secret) < _LEAST_TOKEN:
        raise ConfigError(f"{TOKEN_VARIABLE}: expected at least {_LEAST_TOKEN} characters")
    return secret


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(_WAITING)  # from here on a browser is served, a little later
    except OSError as error:
        listening.close()
        raise ConfigError(
            f"--host {host} --port {port}: {error.strerror}; is another server running there? "
            "--port 0 takes any that is free"
        ) from error
    return listening
