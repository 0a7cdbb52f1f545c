"""Runs a measurement in a process of its own, and measures that process's memory (on Linux)."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import ParamSpec, Self, TypeVar

Result = TypeVar("Result")
Arguments = ParamSpec("Arguments")
_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_RESET_PEAK = "5"  # see proc_pid_clear_refs(5)


def in_fresh_process(
    work: Callable[Arguments, Result], *arguments: Arguments.args, **named: Arguments.kwargs
) -> Result:
    """Calls ``work`` (a module's function) in a new interpreter, so that nothing is warm.

    What the process prints goes to standard error: standard output is for the figures. Of vLLM's
    own logs only errors are shown, unless ``VLLM_LOGGING_LEVEL`` asks for more.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context, initializer=_begin) as pool:
        return pool.submit(work, *arguments, **named).result()


def _begin() -> None:
    os.dup2(2, 1)  # the descriptor itself: engines and their processes write there too
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")  # it would tell a screenful of settings


class PeakMemory:
    """How much this process's resident memory grows within a block, at its highest.

    Attributes:
        grown_bytes: the growth; None where the system does not tell (it is read from ``/proc``).
    """

    def __init__(self) -> None:
        self.grown_bytes: int | None = None
        self._before: int | None = None

    def __enter__(self) -> Self:
        if _RESET.exists():
            _RESET.write_text(_RESET_PEAK, encoding="ascii")
            self._before = _status_bytes("VmRSS")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._before is not None:
            self.grown_bytes = _status_bytes("VmHWM") - self._before


def _status_bytes(name: str) -> int:
    lines = _STATUS.read_text(encoding="ascii").splitlines()
    (line,) = (line for line in lines if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024
