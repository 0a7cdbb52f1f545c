"""The other side of :mod:`pipeline.runtime.disposable`: the parent that forks, and its children.

Only the standard library is imported here, and the modules that the parent is told to import.
"""

from __future__ import annotations

import importlib
import io
import mmap
import os
import pickle
import signal
import socket
import struct
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

FORK, STATUS, DONE, ITEM, FAILED, ASKED = range(6)
_HEAD = struct.Struct("<BQIQ")  # kind, bytes of the pickle, number of buffers, bytes in memory file
_SIZE = struct.Struct("<Q")
_INLINE = 2**16  # bytes; larger buffers go through memory that both sides map
_CHUNK = 2**20

_serving: socket.socket | None = None


def ask(value: Any) -> Any:
    """In a called function: what the caller's ``granted`` has for ``value``; else None."""
    if _serving is None:
        return None
    send(_serving, ASKED, value)
    return receive(_serving)[1]


def main(control_fd: int, modules: Sequence[str]) -> None:
    """Imports, then forks processes as it is told to, until the other side is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole group
    control = socket.socket(fileno=control_fd)
    try:
        for name in modules:
            importlib.import_module(name)
    except Exception as error:  # noqa: BLE001  raised again on the other side
        send(control, FAILED, _picklable(error))
        return
    send(control, DONE, None)
    children: set[int] = set()
    with suppress(EOFError, ConnectionError):
        while True:
            fds: list[int] = []
            kind, value = receive(control, fds=fds)
            if kind == FORK:
                pid = os.fork()
                if pid == 0:
                    control.close()
                    os.environ.clear()
                    os.environ.update(value)
                    _serve(socket.socket(fileno=fds[0]))
                os.close(fds[0])
                children.add(pid)
                send(control, DONE, pid)
            else:
                pid = abs(value)
                if value < 0:
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                # One whose own parent was killed is no child of this one.
                known = pid in children
                status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) if known else -9
                children.discard(pid)
                send(control, DONE, status)
    for pid in children:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _serve(connection: socket.socket) -> None:
    """Runs functions one after the other, until the other side is gone; never returns."""
    global _serving
    _serving = connection
    status = 1
    try:
        while True:
            _answer(connection, *receive(connection))
    except (EOFError, ConnectionError):
        status = 0
    finally:
        os._exit(status)


def _answer(connection: socket.socket, kind: int, call: tuple[Any, Sequence[Any]]) -> None:
    function, arguments = call
    try:
        result = function(*arguments)
        if kind == ITEM:
            for item in result:
                send(connection, ITEM, item)
                receive(connection)  # until it is taken, so that one at most waits
            result = None
    except Exception as error:  # noqa: BLE001  raised again on the other side
        send(connection, FAILED, _picklable(error))
    else:
        send(connection, DONE, result)


def _picklable(error: Exception) -> Exception:
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # noqa: BLE001  whatever its own code raises
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


def send(connection: socket.socket, kind: int, value: Any, fds: Sequence[int] = ()) -> None:
    """Sends a message; large buffers of ``value`` through memory that the other side maps."""
    buffers: list[pickle.PickleBuffer] = []
    body = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    views = [buffer.raw() for buffer in buffers]
    large = sum(view.nbytes for view in views if view.nbytes > _INLINE)
    sizes = b"".join(_SIZE.pack(view.nbytes) for view in views)
    shared = _memory_file([view for view in views if view.nbytes > _INLINE]) if large else None
    sent = [*fds, *([shared] if shared is not None else [])]
    try:
        head = _HEAD.pack(kind, len(body), len(views), large)
        if sent:
            socket.send_fds(connection, [head], sent)
        else:
            connection.sendall(head)
        connection.sendall(sizes + body)
        for view in views:
            if view.nbytes <= _INLINE:
                connection.sendall(view)
    finally:
        if shared is not None:
            os.close(shared)


def receive(
    connection: socket.socket, until: float | None = None, fds: list[int] | None = None
) -> tuple[int, Any]:
    """Receives a message: its kind and value.

    Args:
        connection: from where.
        until: monotonic time after which TimeoutError is raised.
        fds: receives the file descriptors that came along.

    Raises:
        EOFError: the other side is gone.
        TimeoutError: it is too late.
    """
    _limit(connection, until)
    head, found, _, _ = socket.recv_fds(connection, _HEAD.size, 2)
    head += _exactly(connection, _HEAD.size - len(head), until)
    kind, length, count, large = _HEAD.unpack(head)
    lengths = _exactly(connection, count * _SIZE.size, until)
    sizes = [size for (size,) in _SIZE.iter_unpack(lengths)]
    body = _exactly(connection, length, until)
    mapped = _mapped(found.pop(), large) if large else memoryview(b"")
    buffers, position = [], 0
    for size in sizes:
        if size > _INLINE:
            buffers.append(mapped[position : position + size])
            position += size
        else:
            buffers.append(memoryview(_exactly(connection, size, until)))
    if fds is not None:
        fds += found
    return kind, pickle.loads(body, buffers=buffers)


def _memory_file(views: Sequence[memoryview]) -> int:
    fd = os.memfd_create("pairmill")
    for view in views:
        rest = view.cast("B") if view.ndim != 1 or view.format != "B" else view
        while rest:
            rest = rest[os.write(fd, rest) :]
    return fd


def _mapped(fd: int, size: int) -> memoryview:
    try:
        return memoryview(mmap.mmap(fd, size, prot=mmap.PROT_READ | mmap.PROT_WRITE))
    finally:
        os.close(fd)


def _exactly(connection: socket.socket, size: int, until: float | None) -> bytes:
    data = io.BytesIO()
    left = size
    while left:
        _limit(connection, until)
        piece = connection.recv(min(left, _CHUNK))
        if not piece:
            raise EOFError
        data.write(piece)
        left -= len(piece)
    return data.getvalue()


def _limit(connection: socket.socket, until: float | None) -> None:
    if until is not None:
        connection.settimeout(max(0.001, until - time.monotonic()))


if sys.platform != "linux":  # what Ray and vLLM need anyway
    raise ImportError("disposable processes need Linux: memfd_create")
