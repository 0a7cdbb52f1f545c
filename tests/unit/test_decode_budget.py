"""Memory for decoding is shared by all threads, and large pictures stay within it."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.media.decode_budget import UNLIMITED, DecodeBudget
from pipeline.media.images import decode_image
from pipeline.media.media_config import MediaConfig
from pipeline.runtime.errors import RowRejected
from schemas.labels import Reason
from tests.pictures import encoded, scene

TOTAL = 100


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(0, 3 * TOTAL), min_size=1, max_size=40))
def test_no_more_is_held_than_there_is(needs: list[int]) -> None:
    budget, lock = DecodeBudget(TOTAL), threading.Lock()
    held: list[int] = []
    most = 0

    def use(needed: int) -> None:
        nonlocal most
        with budget.reserve(needed):
            with lock:
                held.append(min(needed, TOTAL))
                most = max(most, sum(held))
            with lock:
                held.remove(min(needed, TOTAL))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(use, needs))
    assert most <= TOTAL
    assert not held


def test_a_large_one_waits_for_all_and_is_not_passed_by_others() -> None:
    budget, order = DecodeBudget(TOTAL), list[str]()
    small_in, large_waits = threading.Event(), threading.Event()
    release = threading.Event()

    def small() -> None:
        with budget.reserve(60):
            small_in.set()
            release.wait()
            order.append("first")

    def large() -> None:
        large_waits.set()
        with budget.reserve(5 * TOTAL):
            order.append("large")

    threads = [threading.Thread(target=small), threading.Thread(target=large)]
    threads[0].start()
    small_in.wait()
    threads[1].start()
    large_waits.wait()
    assert order == []
    release.set()
    for thread in threads:
        thread.join()
    assert order == ["first", "large"]


def test_what_fails_gives_its_bytes_back() -> None:
    budget = DecodeBudget(TOTAL)
    for _ in range(3):
        with pytest.raises(RuntimeError, match="broken"), budget.reserve(TOTAL):
            raise RuntimeError("broken")
    with UNLIMITED.reserve(10**15), UNLIMITED.reserve(10**15):
        pass


@pytest.mark.parametrize("kind", ["WEBP", "AVIF"])
def test_formats_that_need_more_memory_may_have_fewer_pixels(kind: str) -> None:
    data = encoded(scene(), kind)
    area = 120 * 80
    assert decode_image(data, MediaConfig(max_decoded_pixels=2 * area))
    with pytest.raises(RowRejected, match=r"8 for each of judge\.media\.") as refusal:
        decode_image(data, MediaConfig(max_decoded_pixels=area))
    assert refusal.value.reason is Reason.MEDIA_TOO_LARGE
    assert decode_image(encoded(scene()), MediaConfig(max_decoded_pixels=area))
