"""A process that decodes large pictures in many threads stays within its budget."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.pictures import encoded, scene

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
