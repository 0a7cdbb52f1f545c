"""Threads that prepare pairs beside an engine."""

from __future__ import annotations

import os
import sys
import threading

import pytest

from pipeline.labeling.prompting import media_threads


def niceness() -> int:
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has niceness of threads")
def test_they_give_way_and_nothing_else_does() -> None:
    before = niceness()
    both = threading.Barrier(2)

    def wait_and_tell() -> int:
        both.wait(60)
        return niceness()

    with media_threads(2) as threads:
        told = [threads.submit(wait_and_tell) for _ in range(2)]
        assert [each.result() for each in told] == [min(19, before + 4)] * 2
    assert niceness() == before
