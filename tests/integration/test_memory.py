"""Twice the bytes that the object store holds pass through it, and none goes to disk."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from pipeline.lab.bench.ray_watch import spilled_bytes
from tests.labeling import assert_exact, run_label, write_config
from tests.shards import pair, picture, shard_bytes

MiB = 2**20
SHARDS, ROWS, PICTURE_BYTES = 5, 32, 1_500_000  # 240 MB through a store of 120 MiB


@pytest.mark.usefixtures("shared_ray")
def test_nothing_is_spilled(tmp_path: Path, model: Path) -> None:
    noise = random.Random(7)
    shards = {}
    for number in range(SHARDS):
        rows = []
        for row in range(ROWS):
            # Bytes after the end of a picture are not looked at; they cannot be compressed.
            data = picture(row) + noise.randbytes(PICTURE_BYTES)
            rows.append(pair(number * ROWS + row, images=[{"bytes": data, "path": None}]))
        path = tmp_path / "in" / f"{number}.parquet"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(shard_bytes(rows, 8))
        shards[path.name] = [pair(number * ROWS + row, images=None) for row in range(ROWS)]
    changes = {
        # Readers are ahead of an engine that takes its time to start, as real ones do.
        "engine": {"script": {"latency_s": 0.05, "start_s": 3}},
        "input": {"unit_rows": 64, "unit_bytes": 16 * MiB},
    }
    before = spilled_bytes()
    config = write_config(tmp_path / "label.yaml", model, changes)
    outcome = run_label(config, tmp_path / "in", tmp_path / "out")
    assert (outcome.exit_code, outcome.error) == (0, "")
    assert_exact(tmp_path / "out", shards)
    assert spilled_bytes() == before
