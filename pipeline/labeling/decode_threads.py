"""Threads that prepare pairs without holding up the engine that is to judge them."""

from __future__ import annotations

import contextlib
import os
import sys
from concurrent.futures import ThreadPoolExecutor

_NICER = 4  # gets 0.41 times as much of a core that others want, too


def media_threads(count: int) -> ThreadPoolExecutor:
    """Makes so many threads, which give way to others of the process where cores are short.

    At the start of a run all of them decode what the next minutes need, while the event loop beside
    them and vLLM's engine core have a GPU to fill.
    """
    return ThreadPoolExecutor(count, thread_name_prefix="prepare", initializer=_give_way)


def _give_way() -> None:
    if sys.platform == "linux":  # elsewhere it would concern the whole process
        with contextlib.suppress(OSError):  # a sandbox may forbid it
            os.nice(_NICER)
