"""The benchmark of commits: every step of every store, and shares of a unit's time."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.lab.bench.commit_bench import bench_commit


def test_shares_are_of_the_time_of_a_unit(tmp_path: Path) -> None:
    made = bench_commit([str(tmp_path / "a"), str(tmp_path / "b")], 20, 2, [10, 40])
    assert [row["store"] for row in made["rows"]] == ["local", "local"]
    for row in made["rows"]:
        assert row["part_bytes"] > 20 * 2 * 200
        assert row["share_at_40_per_s"] == pytest.approx(4 * row["share_at_10_per_s"], abs=3e-6)
        assert row["share_at_10_per_s"] == pytest.approx(row["read_back_ms"] / 2_000, abs=6e-6)
    parts = list((tmp_path / "a/parts").rglob("*.1.parquet"))
    assert len(parts) == 2
