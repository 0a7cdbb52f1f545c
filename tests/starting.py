"""Servers that tests start: a busy machine may start one too slowly, so each is tried twice."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

import psutil

from tests.processes import processes_with

Started = TypeVar("Started")
_TAIL_BYTES = 4_000  # of each log: a crash of Ray writes more than one screen


class NotStartedError(Exception):
    """A server did not start: which one, why, and the ends of its logs."""

    def __init__(self, server: str, why: object, logs: Iterable[Path]) -> None:
        """Reads the logs, which may be gone later."""
        super().__init__(f"{server} did not start: {why}\n{_tails(logs)}")


def start_or_retry(start: Callable[[], Started]) -> Started:
    """What ``start`` returns at its first or second call.

    Args:
        start: starts a server; leaves nothing behind where it raises ``NotStartedError``.

    Raises:
        NotStartedError: of the second call, caused by that of the first.
    """
    try:
        return start()
    except NotStartedError as error:
        first = error
    try:
        return start()
    except NotStartedError as second:
        raise second from first


def free_port() -> int:
    """A port of the loopback interface that nothing listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def ray_logs(folder: Path) -> list[Path]:
    """The logs that say why a Ray node did not start, of the Ray whose temporary folder this is.

    Its other logs are long and say what went well.
    """
    names = ("gcs_server.err", "raylet.err", "dashboard.log")
    return [log for name in names for log in folder.glob(f"session_2*/logs/{name}")]


def end_family(pid: int, folder: Path) -> None:
    """Kills a process, what it started, and whatever else names its temporary folder."""
    with contextlib.suppress(psutil.NoSuchProcess):
        leader = psutil.Process(pid)
        for member in [leader, *leader.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()
    end_all_with(folder)


def end_all_with(folder: Path) -> None:
    """Kills every process whose command line names a temporary folder of a test."""
    for left in processes_with(str(folder)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(left, signal.SIGKILL)


def _tails(logs: Iterable[Path]) -> str:
    shown = []
    for log in logs:
        text = log.read_bytes()[-_TAIL_BYTES:].decode(errors="replace").strip()
        if text:
            shown.append(f"--- end of {log.name} ---\n{text}")
    return "\n".join(shown) or "its logs are empty"
