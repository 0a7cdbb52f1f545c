"""Memory for decoding is shared by all threads, and large pictures stay within it."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

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


# What decoding adds to a process at most, by the size of what the kernel says it has.
MANY = """
import sys, threading, warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from pipeline.media.decode_budget import DecodeBudget, give_memory_back
from pipeline.media.images import decode_image
from pipeline.media.media_config import MediaConfig

give_memory_back()
warnings.simplefilter("ignore")
page, stop = 4_096, threading.Event()
def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * page
media, data = MediaConfig(factor=1, min_pixels=1, max_pixels=10**7), Path(sys.argv[1]).read_bytes()
decode_image(Path(sys.argv[2]).read_bytes(), media)  # imports
before, most = resident(), 0
def watch():
    global most
    while not stop.wait(0.002):
        most = max(most, resident())
watcher = threading.Thread(target=watch)
watcher.start()
budget = DecodeBudget(int(sys.argv[3]))
with ThreadPoolExecutor(16) as pool:
    sizes = set(pool.map(lambda _: decode_image(data, media, budget).size, range(int(sys.argv[4]))))
stop.set()
watcher.join()
print(len(sizes), most - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_many_small_files_of_large_pictures_stay_within_the_budget(tmp_path: Path) -> None:
    """Sixteen threads, pictures of 9 MP that take 45 MB each: 720 MB at once without a budget."""
    image = Image.new("P", (3_000, 3_000), 1)
    image.putpalette(bytes(range(48)))
    (tmp_path / "large.png").write_bytes(encoded(image, transparency=0))
    (tmp_path / "small.png").write_bytes(encoded(scene()))
    assert (tmp_path / "large.png").stat().st_size < 20_000
    arguments = [tmp_path / "large.png", tmp_path / "small.png", 200_000_000, 32]
    child = subprocess.run(
        [sys.executable, "-c", MANY, *map(str, arguments)], capture_output=True, text=True
    )
    assert child.stderr == ""
    sizes, most = map(int, child.stdout.split())
    assert sizes == 1
    assert most < 450_000_000  # what the allocator keeps for each thread comes on top
