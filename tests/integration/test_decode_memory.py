"""A process that decodes large pictures in many threads stays within its budget."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image

from pipeline.lab.bench.process_watch import PeakMemory, ProcessTreeMemory
from pipeline.media.decode_budget import DecodeBudget, give_memory_back
from pipeline.media.decoder import MediaDecoder
from pipeline.media.images import decode_image
from pipeline.media.media_config import MediaConfig
from tests.pictures import encoded, scene

CASE = Path(__file__).parents[1] / "media_cases" / "png_1.9GB_14KB.png"  # 119 MP
pytestmark = pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")

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


class _Asked(DecodeBudget):
    """Remembers what was reserved."""

    bytes = 0.0

    @contextmanager
    def reserve(self, needed: float) -> Iterator[None]:
        """Reserves nothing."""
        self.bytes = needed
        yield


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_what_is_reserved_is_what_a_picture_takes() -> None:
    """A palette with transparency: the most that is held beside a picture itself."""
    image = Image.new("P", (7_000, 7_000), 1)
    image.putpalette(bytes(range(48)))
    data, limits, budget = encoded(image, transparency=0), MediaConfig(), _Asked()
    give_memory_back()
    decode_image(encoded(scene()), limits)
    with PeakMemory() as peak:
        decode_image(data, limits, budget)
    assert peak.grown_bytes is not None
    assert budget.bytes / 2 < peak.grown_bytes < budget.bytes


@pytest.mark.long
@pytest.mark.timeout(1_200)  # two minutes of a core
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("pictures", [1, 32])
def test_512_rows_of_14_kb_pngs_that_take_640_mb_each_stay_within_the_plan(
    pictures: int, record_property: Callable[[str, object], None]
) -> None:
    """Of one picture, which is decoded once; and of 32 files, of which each is decoded alone.

    Looking more often than twice a second takes a core of its own: it walks all pages.
    """
    memory, threads, data = 2**30, 16, CASE.read_bytes()
    files = [data + bytes([number]) for number in range(pictures)]
    rows = [files[row * pictures // 512] for row in range(512)]
    decoder = MediaDecoder(MediaConfig(), memory, threads)
    with ThreadPoolExecutor(threads) as pool:
        with ProcessTreeMemory(0.5) as before:  # every thread has its process then
            small = [encoded(scene()) + bytes([number]) for number in range(4 * threads)]
            assert len(list(pool.map(decoder.image, small))) == 64
        with ProcessTreeMemory(0.5) as during:
            sizes = set(pool.map(lambda each: decoder.image(each).size, rows))
    record_property("peak_bytes", during.peak_bytes)
    record_property("before_bytes", before.peak_bytes)
    assert sizes == {(980, 980)}
    assert during.peak_bytes - before.peak_bytes < memory
