"""The workers that have something to do start side by side; the pool shrinks when less is left."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.lab.bench.process_watch import ProcessTreeCpu
from pipeline.labeling.cluster.ray_nodes import cores_of_worker
from pipeline.store.object_store import Store
from tests.labeling import assert_exact, run_label, write_config
from tests.shards import pair, write_shard

CHANGES: dict[str, Any] = {
    "judge": {"votes": {"max_votes": 2}},
    "engine": {
        # On two cores that others use, the second worker's process is there long after the first's.
        "script": {"latency_s": 1, "start_s": 20, "faults": {"<slow>": "hang"}},
        "request_timeout_s": 20,
    },
    "input": {"unit_rows": 1},
    "workers": {"min": 1, "max": 2},
    "quarantine": {"max_fraction": 1},
}


def starts(output: Path) -> int:
    """How many workers a run began to start."""
    return sum(entry.key.endswith(".begun") for entry in Store(str(output)).list("attempts"))


def started_side_by_side(output: Path) -> bool:
    """Whether every worker began to start before the first of them was ready."""
    marks = [Path(output, entry.key) for entry in Store(str(output)).list("attempts")]
    times = {
        state: [mark.stat().st_mtime for mark in marks if mark.suffix == state]
        for state in (".begun", ".ready")
    }
    return max(times[".begun"]) < min(times[".ready"])


@pytest.mark.usefixtures("shared_ray")
def test_workers_start_side_by_side_and_the_pool_shrinks_when_less_is_left(
    tmp_path: Path, model: Path
) -> None:
    rows = [pair(number, images=None) for number in range(40)]
    rows[3]["prompt"] += "<slow>"  # the last to be done, and long after the others
    write_shard(tmp_path / "in" / "a.parquet", rows, 1)
    config = write_config(tmp_path / "label.yaml", model, CHANGES)
    with ProcessTreeCpu() as cpu:
        outcome = run_label(config, tmp_path / "in", tmp_path / "out")
    assert (outcome.exit_code, outcome.error) == (0, "")
    assert starts(tmp_path / "out") == 2
    assert started_side_by_side(tmp_path / "out")
    # A process has no title for a moment while Ray changes it, and is then not counted.
    alive = [count for _, count in cpu.workers if count]
    assert (max(alive), alive[-1]) == (2, 1)
    assert_exact(tmp_path / "out", {"a.parquet": rows}, {("a.parquet", 3): "timeout"})


@pytest.mark.usefixtures("shared_ray")
def test_no_second_worker_starts_for_what_one_holds(tmp_path: Path, model: Path) -> None:
    rows = [pair(0, images=None)]
    write_shard(tmp_path / "in" / "a.parquet", rows, 1)
    config = write_config(tmp_path / "label.yaml", model, CHANGES)
    start = ("--set", "engine.script.start_s=4")
    outcome = run_label(config, tmp_path / "in", tmp_path / "out", *start)
    assert (outcome.exit_code, outcome.error) == (0, "")
    assert starts(tmp_path / "out") == 1
    assert_exact(tmp_path / "out", {"a.parquet": rows})


@pytest.mark.usefixtures("shared_ray")
def test_a_worker_has_the_share_of_cores_that_it_has_of_gpus() -> None:
    assert [cores_of_worker(gpus) for gpus in (1, 2)] == [1, 2]  # of two each
