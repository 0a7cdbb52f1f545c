"""Pair shards of synthetic scenes: real input for the demo, the tests and the CPU benchmarks."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.lab.tiny_judge.case_rows import row_of
from pipeline.lab.tiny_judge.cases import Case
from pipeline.lab.tiny_judge.tasks import named
from schemas.contract import table_of
from schemas.pairs import PAIRS

ONE_PICTURE: Final = "pairwise_scores/text/picture"
_GROUP_ROWS: Final = 256


def scene_rows(count: int, seed: int, task: str = ONE_PICTURE) -> list[dict[str, Any]]:
    """Rows of pairs v1 about held-out scenes, none of which the tiny judge was trained on.

    Args:
        count: number of rows.
        seed: the same seed gives the same rows, pictures and clips included.
        task: judging format and kind of candidates, such as ``pairwise_options/image``; of texts
            also what the question is about: ``pairwise_scores/text/pictures``, or several of
            these in turn if left out. ``pipeline.lab.tiny_judge.tasks`` has them all.

    Raises:
        ValueError: there is no such task.
    """
    return [row for _, row in scene_cases(count, seed, task)]


def scene_cases(
    count: int, seed: int, task: str = ONE_PICTURE
) -> list[tuple[Case, dict[str, Any]]]:
    """The same rows, each with the case that it shows."""
    tasks = named(task)
    rng = random.Random(f"{seed}/{task}")
    cases = []
    for number in range(count):
        case = tasks[number % len(tasks)].draw(rng, held_out=True)
        cases.append((case, row_of(case, f"scene-{seed}-{number}", rng)))
    return cases


def write_scene_shards(
    folder: Path, shards: int, rows_a_shard: int, seed: int, task: str = ONE_PICTURE
) -> None:
    """Writes shards of scene pairs; a shard that is there already is left alone."""
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(shards):
        path = folder / f"scenes-{index:03d}.parquet"
        if not path.exists():
            table: pa.Table = table_of(scene_rows(rows_a_shard, seed + index, task), PAIRS)
            temporary = path.with_suffix(".tmp")
            pq.write_table(table, temporary, row_group_size=_GROUP_ROWS, write_page_checksum=True)
            temporary.replace(path)
