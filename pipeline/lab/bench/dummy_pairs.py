"""Pairs of meaningless content that cost as much as real ones: to store, decode and judge.

Texts have usual lengths; pictures and clips are noise that compresses as photographs do.
"""

from __future__ import annotations

import functools
import io
import os
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

from pipeline.lab.tiny_judge.clip_files import encode_clip
from pipeline.pairs.contents import Part, asked_by_user, media_part, pair_row, text_part
from schemas.contract import table_of
from schemas.pairs import PAIRS_V2

Row = dict[str, Any]
CLIP_SIDES, CLIP_FPS, CLIP_FRAMES = (640, 360), 8, 64
QUESTION_WORDS, ANSWER_WORDS = 30, 150
DRAWN_WORDS = 4_000  # the vocabulary of the texts is a little smaller: some are drawn twice
_SHARD_GRAIN = 8
_QUALITY = 90


def write_picture_shards(folder: Path, shards: int, rows: int, size: tuple[int, int]) -> None:
    """Writes shards of so many pairs: a picture of ``size`` pixels, two answers of ~150 words.

    A shard that is there already is left alone.
    """

    def media(seed: int) -> Part:
        return media_part("image", _file(noise_jpeg(size, seed, _SHARD_GRAIN)))

    _write_shards(folder, shards, rows, media)


def write_clip_shards(folder: Path, shards: int, rows: int) -> None:
    """The same with a clip of eight seconds instead of the picture."""
    _write_shards(folder, shards, rows, lambda seed: media_part("video", _file(noise_clip(seed))))


def noise_jpeg(size: tuple[int, int], seed: int, grain: int = 6) -> bytes:
    """A JPEG of smooth noise: as large as of a photograph, a byte or two for three pixels.

    Args:
        size: width and height, pixels.
        seed: the same seed gives the same picture.
        grain: pixels between two random ones; the coarser, the smaller the JPEG.
    """
    buffer = io.BytesIO()
    _noise(size, seed, grain).save(buffer, "JPEG", quality=_QUALITY)
    return buffer.getvalue()


def noise_clip(seed: int) -> bytes:
    """An MP4 of a camera that moves over a picture of smooth noise for eight seconds."""
    wide, tall = CLIP_SIDES
    scene = _noise((wide + 4 * CLIP_FRAMES, tall), seed, grain=6)
    frames = [scene.crop((4 * n, 0, 4 * n + wide, tall)) for n in range(CLIP_FRAMES)]
    return encode_clip(frames, CLIP_FPS)


def dummy_text(rng: random.Random, words: int) -> str:
    """A text of so many words, none of them real."""
    return " ".join(rng.choices(dummy_words(), k=words))


@functools.cache
def dummy_words() -> list[str]:
    """The words of all texts."""
    syllables = [first + last for first in "bcdfglmnprst" for last in ("a", "e", "in", "or", "us")]
    rng = random.Random("words")
    return sorted({"".join(rng.choices(syllables, k=3)) for _ in range(DRAWN_WORDS)})


def _write_shards(folder: Path, shards: int, rows: int, media: Callable[[int], Part]) -> None:
    folder.mkdir(parents=True, exist_ok=True)

    def write(number: int) -> None:
        path = folder / f"pairs-{number:03d}.parquet"
        if path.exists():
            return
        rng = random.Random(number)
        pairs = [_row(f"pair-{number}-{row}", media, rng) for row in range(rows)]
        temporary = path.with_suffix(".tmp")  # an interrupted write is not taken for a shard
        pq.write_table(table_of(pairs, PAIRS_V2), temporary, write_page_checksum=True)
        temporary.replace(path)

    with ThreadPoolExecutor(os.cpu_count()) as threads:  # codecs and NumPy release the GIL
        list(threads.map(write, range(shards)))


def _row(pair_id: str, media: Callable[[int], Part], rng: random.Random) -> Row:
    answers = [dummy_text(rng, round(rng.lognormvariate(0, 0.3) * ANSWER_WORDS)) for _ in range(2)]
    question = text_part(dummy_text(rng, QUESTION_WORDS))
    asked = asked_by_user(media(rng.getrandbits(32)), question)
    return pair_row(pair_id, asked, [[text_part(answer)] for answer in answers])


def _file(data: bytes) -> Row:
    return {"bytes": data, "path": None}


def _noise(size: tuple[int, int], seed: int, grain: int) -> Image.Image:
    coarse = np.random.default_rng(seed).integers(
        0, 256, (size[1] // grain, size[0] // grain, 3), dtype=np.uint8
    )
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)
