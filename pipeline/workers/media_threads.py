"""Threads that prepare pairs without holding up the engine that is to judge them."""

from __future__ import annotations

import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

_LOWEST = 19


def media_threads(count: int) -> ThreadPoolExecutor:
    """Makes so many threads, the last to be served where cores are short.

    At the start of a run all of them decode what the next minutes need, while the event loop beside
    them and vLLM's engine core have a GPU to fill.
    """
    return ThreadPoolExecutor(count, thread_name_prefix="prepare", initializer=_give_way)


def _give_way() -> None:
    if sys.platform == "linux":  # elsewhere it would concern the whole process
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LOWEST)
