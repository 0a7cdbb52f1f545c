"""Makes pair shards for tests: rows of pairs v1 with real pictures in them."""

from __future__ import annotations

import functools
import io
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from pipeline.parts.part_keys import ShardParts
from pipeline.store.object_store import Store
from schemas.pairs import PAIRS


@functools.lru_cache(maxsize=1_024)
def picture(seed: int = 0, size: tuple[int, int] = (56, 56), kind: str = "PNG") -> bytes:
    """An encoded picture whose pixels depend on ``seed``.

    By default of a size that needs no resizing, so that processes without an engine need no torch.
    """
    noise = random.Random(seed).randbytes(3 * size[0] * size[1])
    image = Image.frombytes("RGB", size, noise)
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


def response(text: str | None, **more: Any) -> dict[str, Any]:
    """A response of pairs v1."""
    return {"text": text, "images": None, "videos": None, "model": None} | more


def pair(number: int, **more: Any) -> dict[str, Any]:
    """Row ``number`` of pairs v1; the scripted engine prefers a, b or a tie, in turn."""
    score_a, score_b = [(9, 2), (3, 8), (5, 5)][number % 3]
    row: dict[str, Any] = dict.fromkeys(PAIRS.names)
    row |= {
        "pair_id": f"pair-{number}",
        "prompt": f"What is in picture {number}?",
        "images": [{"bytes": picture(number), "path": None}],
        "response_a": response(f"Answer {number}, score={score_a}"),
        "response_b": response(f"Reply {number}, score={score_b}"),
        "source": "tests",
    }
    return row | more


def shard_bytes(
    rows: list[dict[str, Any]], group_rows: int | Sequence[int] = 16, **options: Any
) -> bytes:
    """A pair shard with row groups of ``group_rows``, or of exactly the sizes given."""
    buffer = pa.BufferOutputStream()
    table = pa.Table.from_pylist(rows, schema=PAIRS)
    if isinstance(group_rows, int):
        pq.write_table(table, buffer, row_group_size=group_rows, **options)
        return bytes(buffer.getvalue())
    if sum(group_rows) != len(rows):
        raise ValueError(f"row groups of {group_rows} do not make {len(rows)} rows")
    with pq.ParquetWriter(buffer, PAIRS, **options) as writer:
        start = 0
        for size in group_rows:
            writer.write_table(table.slice(start, size), row_group_size=max(1, size))
            start += size
    return bytes(buffer.getvalue())


def write_shard(
    path: Path, rows: list[dict[str, Any]], group_rows: int | Sequence[int] = 16
) -> None:
    """Writes a pair shard to a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(shard_bytes(rows, group_rows))


def labels_of(output: str | Path) -> list[dict[str, Any]]:
    """Every row of every part that counts under an output root, sorted by shard and row."""
    store = Store(str(output))
    folders: dict[str, list[str]] = {}
    for entry in store.list("parts"):
        folders.setdefault(entry.key.rpartition("/")[0], []).append(entry.key)
    parts = [part for keys in folders.values() for part in ShardParts.of(keys).parts]
    rows: list[dict[str, Any]] = []
    for part in parts:
        rows += pq.read_table(pa.BufferReader(store.read(part.key))).to_pylist()
    return sorted(rows, key=lambda row: (row["shard"], row["row"], row["judge_id"]))
