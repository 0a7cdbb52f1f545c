"""Requests to a judge's server: one retry loop, one pause for all, and what each answer means."""

from __future__ import annotations

import asyncio
import email.utils
import itertools
import json
import os
import random
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

from pipeline.engines.engine_config import EndpointConfig
from pipeline.runtime.clock import utc_now
from pipeline.runtime.errors import EndpointError, RowRejected
from schemas.labels import Reason

_CONNECT_S = 30
_MOST_BYTES = 16 * 2**20  # of an answer; a reply of 16,384 tokens has less than 1 MB
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.5, 30.0
# Statuses after which the same request may succeed; 5xx too.
_PASSING = frozenset((408, 409, 425, 429))
# Statuses that concern this request and not the next: it is refused for what it holds.
_OF_THE_ROW = frozenset((400, 413, 422))
_TOO_LONG = re.compile(
    r"context.{0,20}(length|window)|maximum.{0,20}(length|tokens)|max_model_len|too (long|large)",
    re.IGNORECASE,
)
_SPAN = re.compile(r"([\d.]+)(ms|s|m|h)", re.ASCII)
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True)
class _Failed:
    """An attempt after which the request is tried again.

    Attributes:
        why: for people.
        wait_s: how long the server asks all requests to wait; None where it says nothing.
    """

    why: str
    wait_s: float | None = None


class Endpoint:
    """One server; bound to the event loop that asks it first."""

    def __init__(self, config: EndpointConfig, timeout_s: float) -> None:
        """Binds to a server; nothing is sent.

        Args:
            config: where it is, and how long a request is tried again.
            timeout_s: how long one attempt may take.
        """
        self._config, self._timeout_s = config, timeout_s
        self._url = str(config.url)
        self._session: aiohttp.ClientSession | None = None
        self._resumes = 0.0  # when requests may be sent again, by the monotonic clock

    async def get(self, path: str) -> dict[str, Any]:
        """The JSON object at ``path``; as :meth:`post`."""
        return await self._ask("GET", path, None)

    async def post(self, path: str, body: bytes) -> dict[str, Any]:
        """Sends a JSON body; returns the JSON object of the answer.

        Raises:
            RowRejected: the server refuses this one request for what it holds.
            TimeoutError: the server took the request and does not answer in time.
            EndpointError: it refuses or fails requests whatever they hold.
        """
        return await self._ask("POST", path, body)

    async def close(self) -> None:
        """Closes the connections."""
        if self._session is not None:
            await self._session.close()

    async def _ask(self, method: str, path: str, body: bytes | None) -> dict[str, Any]:
        failing_since: float | None = None
        for attempt in itertools.count():
            await self._resumed()
            answer = await self._attempt(method, path, body)
            if not isinstance(answer, _Failed):
                return answer
            now = time.monotonic()
            failing_since = failing_since or now
            wait = answer.wait_s
            if wait is None:
                most = min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2**attempt)
                wait = random.uniform(most / 2, most)
            if now + wait - failing_since > self._config.retry_s:
                raise EndpointError(
                    f"{self._url}: {answer.why}; tried {attempt + 1} times in "
                    f"{now - failing_since:.0f} s (engine.endpoint.retry_s "
                    f"{self._config.retry_s:g}). When it serves again, the same command goes on"
                )
            if answer.wait_s is not None:
                self._resumes = max(self._resumes, now + wait)
            else:
                await asyncio.sleep(wait)
        raise AssertionError("unreachable")

    async def _resumed(self) -> None:
        """Waits while the server has asked for a pause; requests go on one after the other."""
        while (left := self._resumes - time.monotonic()) > 0:
            await asyncio.sleep(left + random.uniform(0, 0.1 * left))

    async def _attempt(
        self, method: str, path: str, body: bytes | None
    ) -> dict[str, Any] | _Failed:
        session = self._started()
        try:
            async with (
                asyncio.timeout(self._timeout_s),
                session.request(
                    method, f"{self._url}{path}", data=body, allow_redirects=False
                ) as answer,
            ):
                text = await _read(answer)
                status, headers = answer.status, answer.headers
        except aiohttp.ClientError as error:
            return _Failed(f"no answer ({type(error).__name__}: {error})")
        if text is None:
            return _Failed(f"an answer of more than {_MOST_BYTES:,} bytes")
        return self._meaning(status, headers, text)

    def _meaning(
        self, status: int, headers: Mapping[str, str], text: str
    ) -> dict[str, Any] | _Failed:
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            found = None
        if isinstance(found, dict) and "error" in found and status == 200:
            status = _status_inside(found["error"])  # as proxies of several servers answer
        if status == 200:
            if isinstance(found, dict):
                return found
            return _Failed(f"status 200 with something else than a JSON object: {_shown(text)}")
        said = f"status {status}: {_shown(_message(found) or text)}"
        if status in _OF_THE_ROW:
            reason = Reason.TOO_LONG if _TOO_LONG.search(said) else Reason.BAD_ROW
            raise RowRejected(reason, f"the judge's server refuses the request, {said}")
        if status in _PASSING or status >= 500:
            return _Failed(said, pause_of(headers))
        if status in (401, 403):
            key = self._config.key_env
            state = "is set" if os.environ.get(key) else "is not set"
            said = f"{said}; its key is read from the environment variable {key}, which {state}"
        if 300 <= status < 400:
            said = f"{said}; it redirects to {_shown(headers.get('Location', '?'))}"
        raise EndpointError(f"{self._url}: {said}; check engine.endpoint and judge.model.name")

    def _started(self) -> aiohttp.ClientSession:
        if self._session is None:
            key = os.environ.get(self._config.key_env)
            headers = {"Content-Type": "application/json", "Accept": "application/json"}
            if key:
                headers["Authorization"] = f"Bearer {key}"
            self._session = aiohttp.ClientSession(
                headers=headers,
                connector=aiohttp.TCPConnector(limit=0),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S),
                trust_env=True,  # proxies, as everything else here
            )
        return self._session


def pause_of(headers: Mapping[str, str], now: float | None = None) -> float | None:
    """For how many seconds a server asks for no further request; None where it says nothing.

    Args:
        headers: ``retry-after-ms``, ``retry-after`` (seconds or a date), or the
            ``x-ratelimit-reset-…`` of a limit of which nothing remains.
        now: Unix time; the current one by default.
    """
    if (milliseconds := _number(headers.get("retry-after-ms"))) is not None:
        return milliseconds / 1_000
    if (after := headers.get("retry-after")) is not None:
        if (seconds := _number(after)) is not None:
            return seconds
        date = email.utils.parsedate_tz(after)
        if date is not None:
            now = utc_now().timestamp() if now is None else now
            return max(0.0, email.utils.mktime_tz(date) - now)
    waits = [
        sum(float(count) * _SECONDS[unit] for count, unit in _SPAN.findall(reset))
        for limit in ("requests", "tokens")
        if headers.get(f"x-ratelimit-remaining-{limit}") == "0"
        and (reset := headers.get(f"x-ratelimit-reset-{limit}"))
    ]
    return max(waits, default=None)


def _number(text: str | None) -> float | None:
    return float(text) if text and re.fullmatch(r"\d{1,9}(\.\d+)?", text.strip()) else None


async def _read(answer: aiohttp.ClientResponse) -> str | None:
    """The body as text; None where it is too long."""
    chunks, size = [], 0
    async for chunk in answer.content.iter_chunked(2**16):
        size += len(chunk)
        if size > _MOST_BYTES:
            return None
        chunks.append(chunk)
    return b"".join(chunks).decode("utf-8", errors="replace")


def _status_inside(error: object) -> int:
    code = error.get("code") if isinstance(error, dict) else None
    return code if isinstance(code, int) and 300 <= code < 600 else 502


def _message(found: object) -> str | None:
    if not isinstance(found, dict):
        return None
    error = found.get("error", found)
    message = error.get("message") if isinstance(error, dict) else error
    return message if isinstance(message, str) else None


def _shown(text: str) -> str:
    return repr(text.strip()[:300])
