"""The other side of :mod:`pipeline.runtime.disposable`: the parent that forks, and its children.

A call's time is limited by an alarm of its own process, which ends it wherever it is: no Python has
to run for that, and what it waits for on behalf of others can be left out.

Only the standard library is imported here, and the modules that the parent is told to import, with
what these would import later.
"""

from __future__ import annotations

import gc
import importlib
import os
import pickle
import resource
import signal
import socket
import struct
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import Any

FORK, STATUS, DONE, ITEM, FAILED, ASKED = range(6)
_HEAD = struct.Struct("<BQIQ")  # kind, bytes of the pickle, number of buffers, bytes in memory file
_INLINE = 2**16  # bytes; larger buffers go through a file in memory
_KEPT = 2**25  # bytes of such a file that are kept for the next message
# pyarrow imports it at its first conversion, for half a second: nothing that runs here needs it.
_UNNEEDED = ("pandas",)
# What it imports then even so: once before processes are forked, not in each of them (7 MB).
_CONVERTING = ("numpy.ma", "dateutil.relativedelta")

_serving: Channel | None = None


def ask(value: Any) -> Any:
    """In a called function: what the caller's ``granted`` has for ``value``; else None."""
    if _serving is None:
        return None
    with uncounted():
        _serving.send(ASKED, value)
        return _serving.receive()[1]


@contextmanager
def uncounted() -> Iterator[None]:
    """In a called function: what takes place in the block is not counted as its time."""
    if _serving is None:
        yield
        return
    left, _ = signal.setitimer(signal.ITIMER_REAL, 0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, left)


class _Refused(MetaPathFinder):
    """Does not let modules be imported; whoever can do without does."""

    def find_spec(self, fullname: str, *rest: object) -> None:
        if fullname in _UNNEEDED:
            raise ModuleNotFoundError(f"{fullname} is not imported here", name=fullname)


def main(control_fd: int, modules: Sequence[str], memory: int | None) -> None:
    """Imports, then forks processes as it is told to, until the other side is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole group
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGALRM])
    control = Channel(socket.socket(fileno=control_fd))
    sys.meta_path.insert(0, _Refused())
    try:
        for name in modules:
            importlib.import_module(name)
    except Exception as error:  # noqa: BLE001  raised again on the other side
        control.send(FAILED, _picklable(error))
        return
    for name in _CONVERTING if "pyarrow" in sys.modules else ():
        with suppress(ImportError):
            importlib.import_module(name)
    if memory is not None:
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        soft = _data_bytes() + memory
        soft = soft if hard == resource.RLIM_INFINITY else min(soft, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
    gc.freeze()  # a collection writes to all that it looks at, and so copies it in every process
    control.send(DONE, None)
    children: set[int] = set()
    with suppress(EOFError, ConnectionError):
        while True:
            fds: list[int] = []
            kind, value = control.receive(fds=fds)
            if kind == FORK:
                environment, wanted = value
                _import_later(wanted)
                pid = os.fork()
                if pid == 0:
                    control.close()
                    os.environ.clear()
                    os.environ.update(environment)
                    _serve(Channel(socket.socket(fileno=fds[0])))
                os.close(fds[0])
                children.add(pid)
                control.send(DONE, pid)
            else:
                pid = abs(value)
                if value < 0:
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                # One whose own parent was killed is no child of this one.
                known = pid in children
                status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) if known else -9
                children.discard(pid)
                control.send(DONE, status)
    for pid in children:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _import_later(modules: Sequence[str]) -> None:
    """Imports what has been asked for since; what cannot be imported fails who needs it."""
    if missing := [name for name in modules if name not in sys.modules]:
        for name in missing:
            with suppress(Exception):
                importlib.import_module(name)
        gc.freeze()


def _data_bytes() -> int:
    """What counts for the limit already: imports alone may take more than a small one."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    (line,) = (line for line in lines if line.startswith("VmData:"))
    return int(line.split()[1]) * 1024


def _serve(channel: Channel) -> None:
    """Runs functions one after the other, until the other side is gone; never returns."""
    global _serving
    _serving = channel
    status = 1
    try:
        while True:
            _answer(channel, *channel.receive())
    except (EOFError, ConnectionError):
        status = 0
    finally:
        os._exit(status)


def _answer(channel: Channel, kind: int, call: tuple[Any, Sequence[Any], float | None]) -> None:
    function, arguments, seconds = call
    try:
        _alarm(seconds)
        result = function(*arguments)
        if kind == ITEM:
            for item in result:
                _alarm(None)
                channel.send(ITEM, item)
                channel.receive()  # until it is taken, so that one at most waits
                _alarm(seconds)
            result = None
        _alarm(None)
    except Exception as error:  # noqa: BLE001  raised again on the other side
        _alarm(None)
        channel.send(FAILED, _picklable(error))
    else:
        channel.send(DONE, result)


def _alarm(seconds: float | None) -> None:
    """Ends this process after so many seconds; None: no more."""
    signal.setitimer(signal.ITIMER_REAL, seconds or 0)


def _picklable(error: Exception) -> Exception:
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # noqa: BLE001  whatever its own code raises
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


class Channel:
    """One end of a connection between two processes that send messages in turn.

    Large buffers go through a file in memory that each end keeps for what it sends: new pages cost
    several times what it takes to copy them. Who receives a message has copied it before anything
    else is sent.
    """

    def __init__(self, connection: socket.socket) -> None:
        """Takes the socket."""
        self._socket, self._memory = connection, -1

    def close(self) -> None:
        """Closes the socket."""
        self._socket.close()
        if self._memory >= 0:
            os.close(self._memory)
            self._memory = -1

    def limit(self, seconds: float | None) -> None:
        """How long each step of sending and receiving may wait."""
        self._socket.settimeout(seconds)

    def send(self, kind: int, value: Any, fds: Sequence[int] = ()) -> None:
        """Sends a message, and descriptors with it."""
        buffers: list[pickle.PickleBuffer] = []
        body = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
        views = [buffer.raw() for buffer in buffers]
        sizes = [view.nbytes for view in views]
        large = sum(size for size in sizes if size > _INLINE)
        if large:
            self._write([view for view in views if view.nbytes > _INLINE])
            fds = [*fds, self._memory]
        head = _HEAD.pack(kind, len(body), len(views), large)
        lengths = struct.pack(f"<{len(sizes)}Q", *sizes)
        # As one piece: a table of many columns has more buffers than one call takes (IOV_MAX).
        small = b"".join(view for view in views if view.nbytes <= _INLINE)
        pieces = [head + lengths, body, small]
        sent = socket.send_fds(self._socket, pieces, fds) if fds else self._socket.sendmsg(pieces)
        for piece in pieces:
            view = memoryview(piece)
            if sent < view.nbytes:
                self._socket.sendall(view[sent:])
            sent = max(0, sent - view.nbytes)

    def receive(self, until: float | None = None, fds: list[int] | None = None) -> tuple[int, Any]:
        """Receives a message: its kind and value.

        Args:
            until: monotonic time after which TimeoutError is raised.
            fds: receives the file descriptors that came along.

        Raises:
            EOFError: the other side is gone.
            TimeoutError: it is too late.
        """
        self._wait(until)
        start, found, _, _ = socket.recv_fds(self._socket, _HEAD.size, 2)
        head = start + bytes(self._exactly(_HEAD.size - len(start), until))
        kind, length, count, large = _HEAD.unpack(head)
        sizes = struct.unpack(f"<{count}Q", self._exactly(8 * count, until))
        body = self._exactly(length + sum(size for size in sizes if size <= _INLINE), until)
        memory = found.pop() if large else -1
        buffers, at, inline = list[bytes](), 0, length
        for size in sizes:
            if size > _INLINE:
                buffers.append(_read(memory, size, at))
                at += size
            else:
                buffers.append(bytes(body[inline : inline + size]))
                inline += size
        if large:
            if large > _KEPT:
                os.ftruncate(memory, 0)
            os.close(memory)
        if fds is not None:
            fds += found
        return kind, pickle.loads(body[:length], buffers=buffers)

    def _write(self, views: Sequence[memoryview]) -> None:
        if self._memory < 0:
            self._memory = os.memfd_create("pairmill")
        at = 0
        for view in views:
            rest = view
            while rest:
                written = os.pwrite(self._memory, rest, at)
                at, rest = at + written, rest[written:]

    def _exactly(self, size: int, until: float | None) -> memoryview:
        view = memoryview(bytearray(size))
        rest = view
        while rest:
            self._wait(until)
            read = self._socket.recv_into(rest)
            if not read:
                raise EOFError
            rest = rest[read:]
        return view

    def _wait(self, until: float | None) -> None:
        if until is not None:
            self._socket.settimeout(max(0.001, until - time.monotonic()))


def _read(memory: int, size: int, at: int) -> bytes:
    data = os.pread(memory, size, at)
    while len(data) < size:  # one call reads 2 GiB at most
        data += os.pread(memory, size - len(data), at + len(data))
    return data


if sys.platform != "linux":  # what Ray and vLLM need anyway
    raise ImportError("disposable processes need Linux: memfd_create")
