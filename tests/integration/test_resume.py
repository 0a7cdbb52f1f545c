"""A run goes on from whatever parts it finds: some, of another size, or another run's."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from pipeline.parts.part_keys import Part
from tests.labeling import assert_exact, contents, label_arguments, run_label, write_config
from tests.processes import started
from tests.shards import pair, write_shard


@pytest.mark.usefixtures("without_ray")
def test_any_set_of_parts_is_completed(tmp_path: Path, model: Path) -> None:
    source, output = tmp_path / "in", tmp_path / "out"
    shards = {
        "a.parquet": [pair(number) for number in range(75)],
        "b.parquet": [pair(number) for number in range(75, 98)],
    }
    write_shard(source / "a.parquet", shards["a.parquet"], [30, 5, 40])
    write_shard(source / "b.parquet", shards["b.parquet"], 4)
    config = write_config(tmp_path / "label.yaml", model, {"input": {"unit_rows": 10}})
    assert run_label(config, source, output).exit_code == 0
    chance = random.Random(11)
    # A unit's size may change between runs: what counts is which rows have a part.
    for unit_rows in (7, 64, 1):
        parts = sorted((output / "parts").rglob("*.parquet"))
        for part in chance.sample(parts, len(parts) // 2):
            part.unlink()
        torn = parts[0].with_name(f".{parts[0].name}.0123456789ab.tmp")
        torn.write_bytes(b"PAR1 half of a part, as a crash leaves it")
        kept = contents(output, "parts")
        left = 98 - sum(part.stop - part.start for part in map(Part.of, kept) if part)
        outcome = run_label(config, source, output, "--set", f"input.unit_rows={unit_rows}")
        assert (outcome.exit_code, outcome.error) == (0, "")
        assert outcome.event("plan")["pairs_to_do"] == outcome.event("done")["pairs"] == left
        after = contents(output, "parts")
        assert {key: after[key] for key in kept} == kept
        assert_exact(output, shards)


def test_of_two_runs_at_once_one_is_kept_out(tmp_path: Path, model: Path, shared_ray: str) -> None:
    rows = [pair(number) for number in range(60)]
    write_shard(tmp_path / "in" / "a.parquet", rows)
    changes: dict[str, Any] = {
        "engine": {"script": {"latency_s": 0.1}},
        "input": {"unit_rows": 10},
    }
    config = write_config(tmp_path / "label.yaml", model, changes)
    arguments = label_arguments(config, tmp_path / "in", tmp_path / "out")
    where = {"RAY_ADDRESS": shared_ray}
    with (
        started("jobs.label", arguments, where) as one,
        started("jobs.label", arguments, where) as other,
    ):
        errors = [job.process.communicate()[1] for job in (one, other)]
    assert sorted(job.process.returncode for job in (one, other)) == [0, 5], errors
    assert_exact(tmp_path / "out", {"a.parquet": rows})
