"""A store that is further away: a relay before a server of this machine, each request delayed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

_PIECE_BYTES = 2**18
_METHODS = (b"GET ", b"HEAD ", b"PUT ", b"POST ", b"DELETE ")
_ENDPOINT = "AWS_ENDPOINT_URL"


@dataclass
class Relay:
    """Passes on what clients and a server say to each other.

    Attributes:
        requests: how many there were.
    """

    host: str
    port: int
    delay_s: float
    requests: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Passes on one connection."""
        with contextlib.suppress(OSError, asyncio.CancelledError):
            there, back = await asyncio.open_connection(self.host, self.port)
            await asyncio.gather(self._asked(reader, back), _passed(there, writer))

    async def _asked(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(_PIECE_BYTES):
            if piece.startswith(_METHODS):
                self.requests += 1
                await asyncio.sleep(self.delay_s)
            writer.write(piece)
            await writer.drain()
        writer.close()


async def _passed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while piece := await reader.read(_PIECE_BYTES):
        writer.write(piece)
        await writer.drain()
    writer.close()


@contextlib.contextmanager
def distant_store(delay_s: float) -> Iterator[Relay]:
    """Has every request to the store of ``AWS_ENDPOINT_URL`` wait within the block.

    It stands in for a bucket of another zone; a request is what begins with a method's name.

    Raises:
        ValueError: no endpoint of plain HTTP is set.
    """
    endpoint = os.environ.get(_ENDPOINT, "")
    address, loop = urlsplit(endpoint), asyncio.new_event_loop()
    if address.scheme != "http" or address.hostname is None or address.port is None:
        raise ValueError(f"{_ENDPOINT}: got {endpoint!r}, expected http://HOST:PORT")
    relay = Relay(address.hostname, address.port, delay_s)
    thread = threading.Thread(target=loop.run_forever, name="relay", daemon=True)
    thread.start()
    starting = asyncio.start_server(relay.serve, "127.0.0.1", 0)
    server = asyncio.run_coroutine_threadsafe(starting, loop).result()
    os.environ[_ENDPOINT] = "http://{}:{}".format(*server.sockets[0].getsockname())
    try:
        yield relay
    finally:
        os.environ[_ENDPOINT] = endpoint
        asyncio.run_coroutine_threadsafe(_ended(server), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _ended(server: asyncio.Server) -> None:
    """Takes no more connections, and ends those that are open."""
    server.close()
    open_ones = asyncio.all_tasks() - {asyncio.current_task()}
    for task in open_ones:
        task.cancel()
    await asyncio.gather(*open_ones, return_exceptions=True)
