"""A proxy before an S3 server that plants faults, each chosen by a seed.

One request a connection: what a client sends is forwarded byte for byte but for headers that
are not signed.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import unquote, urlsplit

Kind = Literal["5xx", "reset", "lost", "truncated", "slow", "stale", "refused", "down"]
_BURST = 3  # requests after one that fails with 5xx
_DOWN_S = 0.2  # at most, in which connections are refused
_SLOW_S = 0.05  # between pieces
_XML = '<?xml version="1.0"?><Error><Code>{}</Code><Message>planted</Message></Error>'
_FAILING = [
    (500, "InternalError"),
    (502, "BadGateway"),
    (503, "SlowDown"),
    (429, "TooManyRequests"),
]
_REFUSING = [
    (403, "AccessDenied"),
    (403, "RequestTimeTooSkewed"),
    (403, "SignatureDoesNotMatch"),
    (400, "ExpiredToken"),
    (401, "Unauthorized"),
]


@dataclass
class Plan:
    """What is planted from now on.

    Attributes:
        shares: of the requests, by kind of fault.
        seed: decides which requests.
        planted: how many faults of each kind there were.
        requests: how many requests there were.
    """

    shares: dict[Kind, float]
    seed: int
    planted: Counter[str] = field(default_factory=Counter)
    requests: int = 0

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.burst = 0

    def choose(self, line: str) -> Kind | None:
        """The fault of the next request.

        Args:
            line: the request's first, with what is quoted in its URL as it is meant.
        """
        self.requests += 1
        if self.burst:
            self.burst -= 1
            return "5xx"
        chosen = next((k for k, share in self.shares.items() if self.rng.random() < share), None)
        self.burst = self.rng.randrange(_BURST) if chosen == "5xx" else 0
        return chosen


class FaultProxy:
    """A running proxy.

    Attributes:
        endpoint: its URL.
        plan: of the faults; may be replaced at any time.
    """

    def __init__(self, upstream: tuple[str, int]) -> None:
        self.endpoint, self.plan = "", Plan({}, 0)
        self._upstream, self._address = upstream, ("127.0.0.1", 0)
        self._server: asyncio.Server | None = None
        self._listings: dict[bytes, bytes] = {}

    async def listen(self) -> None:
        """Takes connections; again at the same address where it has before."""
        self._server = await asyncio.start_server(self.serve, *self._address, limit=2**24)
        self._address = self._server.sockets[0].getsockname()
        self.endpoint = "http://{}:{}".format(*self._address)

    def close(self) -> None:
        """Refuses connections."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answers the one request of a connection."""
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await self._answer(reader, writer)
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head, body = await _read_request(reader, writer)
        plan, method = self.plan, head.split(b" ", 1)[0]
        fault = plan.choose(unquote(head.partition(b"\r\n")[0].decode()))
        listing = head.split(b"\r\n", 1)[0] if b"list-type=2" in head else None
        if fault == "5xx" or fault == "refused":
            plan.planted[fault] += 1
            codes = _FAILING if fault == "5xx" else _REFUSING
            writer.write(_error(method, *plan.rng.choice(codes)))
            await writer.drain()
            return
        if fault == "reset" and plan.rng.random() < 0.5:
            plan.planted[fault] += 1
            writer.transport.abort()
            return
        if fault == "down" and self._server is not None:
            plan.planted[fault] += 1
            self.close()
            writer.transport.abort()
            await asyncio.sleep(plan.rng.uniform(0, _DOWN_S))
            await self.listen()
            return
        if fault == "stale" and listing in self._listings:
            plan.planted[fault] += 1
            writer.write(self._listings[listing])
            await writer.drain()
            return
        answer = await self._forwarded(head, body)
        if listing is not None and fault != "stale":
            self._listings[listing] = answer
        if (fault == "lost" and method in (b"PUT", b"POST")) or fault == "reset":
            plan.planted[fault] += 1
            writer.transport.abort()
        elif fault == "truncated" and (end := answer.find(b"\r\n\r\n") + 4) < len(answer):
            plan.planted[fault] += 1
            writer.write(answer[: end + plan.rng.randrange(len(answer) - end)])
            await writer.drain()
        elif fault == "slow":
            plan.planted[fault] += 1
            piece = max(1, len(answer) // 4)
            for start in range(0, len(answer), piece):
                writer.write(answer[start : start + piece])
                await writer.drain()
                await asyncio.sleep(_SLOW_S)
        else:
            writer.write(answer)
            await writer.drain()

    async def _forwarded(self, head: bytes, body: bytes) -> bytes:
        reader, writer = await asyncio.open_connection(*self._upstream)
        try:
            writer.write(head + body)
            await writer.drain()
            return await reader.read()
        finally:
            writer.close()


async def _read_request(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> tuple[bytes, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head[:-4].split(b"\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (x.partition(b":") for x in lines)}
    if headers.get(b"expect"):
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    body = b""
    if headers.get(b"transfer-encoding") == b"chunked":
        while True:
            line = await reader.readuntil(b"\r\n")
            piece = await reader.readexactly(int(line.split(b";")[0], 16) + 2)
            body += line + piece
            if len(piece) == 2:
                break
    elif length := int(headers.get(b"content-length", b"0")):
        body = await reader.readexactly(length)
    own = (b"connection:", b"expect:")  # neither is signed
    kept = [line for line in lines if not line.lower().startswith(own)]
    return b"\r\n".join([*kept, b"Connection: close", b"", b""]), body


def _error(method: bytes, status: int, code: str) -> bytes:
    body = b"" if method == b"HEAD" else _XML.format(code).encode()
    head = f"HTTP/1.1 {status} planted\r\nContent-Type: application/xml\r\nConnection: close\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


@contextlib.contextmanager
def fault_proxy(upstream: str) -> Iterator[FaultProxy]:
    """Runs a proxy before the server at a URL, in a thread of this process."""
    address = urlsplit(upstream)
    assert address.hostname is not None
    assert address.port is not None
    where, loop = (address.hostname, address.port), asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="fault proxy", daemon=True)
    thread.start()

    proxy = FaultProxy(where)
    asyncio.run_coroutine_threadsafe(proxy.listen(), loop).result()
    try:
        yield proxy
    finally:
        asyncio.run_coroutine_threadsafe(_end(proxy), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _end(proxy: FaultProxy) -> None:
    """Takes no more connections, and ends those that are open."""
    proxy.close()
    open_ones = asyncio.all_tasks() - {asyncio.current_task()}
    for task in open_ones:
        task.cancel()
    await asyncio.gather(*open_ones, return_exceptions=True)
