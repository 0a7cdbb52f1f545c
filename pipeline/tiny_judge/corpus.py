"""Pair shards of synthetic scenes: real input for the demo, the tests and the CPU benchmarks."""

import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.tiny_judge.pairs import pair_row, sample_pair
from pipeline.tiny_judge.scenes import encode, render
from schemas.contract import table_of
from schemas.pairs import PAIRS

SIZES = ((224, 224), (320, 240), (240, 320), (640, 480), (300, 200), (160, 160))
_GROUP_ROWS = 256


def scene_rows(count: int, seed: int) -> list[dict[str, Any]]:
    """Rows of pairs v1 about held-out scenes, none of which the tiny judge was trained on.

    Args:
        count: number of pairs.
        seed: the same seed gives the same rows, pictures included.
    """
    rng = random.Random(seed)
    nothing: dict[str, Any] = dict.fromkeys(PAIRS.names)
    rows = []
    for number in range(count):
        pair = sample_pair(rng, held_out=True)
        picture = render(pair.scene, rng, rng.choice(SIZES))
        data = encode(picture, rng.choice(("PNG", "JPEG")))
        rows.append(nothing | pair_row(pair, f"scene-{seed}-{number}", data))
    return rows


def write_scene_shards(folder: Path, shards: int, rows_a_shard: int, seed: int) -> None:
    """Writes shards of scene pairs; a shard that is there already is left alone."""
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(shards):
        path = folder / f"scenes-{index:03d}.parquet"
        if not path.exists():
            table: pa.Table = table_of(scene_rows(rows_a_shard, seed + index), PAIRS)
            temporary = path.with_suffix(".tmp")
            pq.write_table(table, temporary, row_group_size=_GROUP_ROWS, write_page_checksum=True)
            temporary.replace(path)
