"""What is made of a picture once, and how long it is kept."""

from __future__ import annotations

import gc
from concurrent.futures import ThreadPoolExecutor

from PIL import Image

from pipeline.engines.once_a_picture import OnceAPicture


def test_made_once_and_let_go_with_its_picture() -> None:
    asked: list[int] = []

    def make(picture: Image.Image) -> int:
        asked.append(picture.width)
        return len(asked)

    once = OnceAPicture(make)
    first, second = Image.new("RGB", (4, 4)), Image.new("RGB", (4, 4))
    assert [once.of(each) for each in (first, second, first, second)] == [1, 2, 1, 2]
    del first
    gc.collect()
    assert len(once) == 1
    assert once.of(second) == 2
    del second
    gc.collect()
    assert len(once) == 0


def test_places_that_are_used_again_are_other_pictures() -> None:
    def shade_of(picture: Image.Image) -> object:
        return picture.getpixel((0, 0))

    once = OnceAPicture(shade_of)

    def shades(start: int) -> list[bool]:
        # Each picture is let go before the next is made: most take the place of the one before.
        return [
            once.of(Image.new("L", (1, 1), shade % 256)) == shade % 256
            for shade in range(start, start + 2_000)
        ]

    with ThreadPoolExecutor(4) as threads:
        assert all(all(found) for found in threads.map(shades, range(4)))
    gc.collect()
    assert len(once) == 0
