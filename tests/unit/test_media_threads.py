"""Threads that prepare pairs beside an engine."""

from __future__ import annotations

import os
import sys
import threading

import pytest

from pipeline.workers.media_threads import media_threads


def niceness() -> int:
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has niceness of threads")
def test_they_give_way_and_nothing_else_does() -> None:
    before = niceness()
    with media_threads(2) as threads:
        assert [threads.submit(niceness).result() for _ in range(2)] == [19, 19]
    assert niceness() == before
