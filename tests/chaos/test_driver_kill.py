"""The driver is killed again and again; what it committed stays, and nothing is doubled."""

from __future__ import annotations

import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from pipeline.core.storage import Store
from tests.labeling import (
    Row,
    assert_exact,
    contents,
    label_arguments,
    run_label,
    run_records,
    write_config,
)
from tests.processes import Job, processes_with, started, wait_until
from tests.shards import pair, write_shard

UNIT_ROWS, IN_FLIGHT = 8, 3


def keys(output: Path, prefix: str) -> list[str]:
    return [entry.key for entry in Store(str(output)).list(prefix)]


def attempts(output: Path) -> Counter[str]:
    """How often each unit was begun, by its shard and row range."""
    folders = [key.split("/") for key in keys(output, "attempts")]
    return Counter("/".join(folder[2:4]) for folder in folders if folder[2] != "starts")


def committed(output: Path) -> set[str]:
    """The units that have a part, named as in :func:`attempts`."""
    return {key.split("/", 2)[2].removesuffix(".parquet") for key in keys(output, "parts")}


def wait_for(job: Job, output: Path, prefix: str, count: int) -> None:
    """Waits until so many objects are there, while the job must be running."""

    def there() -> bool:
        assert job.process.poll() is None, job.process.communicate()
        return len(keys(output, prefix)) >= count

    wait_until(there)


def without_run(labels: list[Row]) -> list[dict[str, Any]]:
    return [{k: v for k, v in row.items() if k not in ("run_id", "judged_at")} for row in labels]


@pytest.mark.usefixtures("shared_ray")
def test_killed_at_any_moment_and_run_again(tmp_path: Path, model: Path) -> None:
    source, output = tmp_path / "in", tmp_path / "out"
    shards = {
        "a.parquet": [pair(number) for number in range(100)],
        "b.parquet": [pair(number) for number in range(100, 140)],
    }
    for name, rows in shards.items():
        write_shard(source / name, rows, 20)
    changes = {
        "engine": {"script": {"latency_s": 0.15}, "units_in_flight": IN_FLIGHT},
        "input": {"unit_rows": UNIT_ROWS},
    }
    config = write_config(tmp_path / "label.yaml", model, changes)
    arguments = label_arguments(config, source, output)
    slow_start = ["--set", "engine.script.start_s=600"]
    killed, stopped = (signal.SIGKILL, -9), (signal.SIGTERM, 15)  # Ray exits with the number
    moments = [
        (slow_start, "attempts", 1, killed),  # the engine is starting
        ([], "parts", 1, killed),  # its first part has just appeared
        ([], "parts", 4, killed),  # some more
        ([], "parts", 2, stopped),  # as `ray job stop` does
    ]
    for more, prefix, count, (how, expected) in moments:
        parts, begun, done = contents(output, "parts"), attempts(output), committed(output)
        with started("jobs.label", arguments + more) as job:
            wait_for(job, output, prefix, len(keys(output, prefix)) + count)
            (folder,) = job.ray_folders()
            code = job.kill(how)
        assert code == expected
        assert processes_with(folder) == []
        after = contents(output, "parts")
        assert {key: after[key] for key in parts} == parts
        now = attempts(output)
        assert {unit: now[unit] for unit in done} == {unit: begun[unit] for unit in done}
    assert run_records(output) == []
    left = 140 - sum(int(unit[-9:]) - int(unit[-19:-10]) for unit in committed(output))
    assert 0 < left < 140

    parts = contents(output, "parts")
    last = run_label(config, source, output)
    assert (last.exit_code, last.error) == (0, "")
    assert last.event("plan")["pairs_to_do"] == last.event("done")["pairs"] == left
    after = contents(output, "parts")
    assert {key: after[key] for key in parts} == parts
    labels = assert_exact(output, shards)

    # Judged twice is only what was in flight when the driver died.
    twice = attempts(output).total() - len(committed(output))
    assert 0 <= twice <= IN_FLIGHT * len(moments)

    # As if nothing had happened.
    assert run_label(config, source, tmp_path / "calm").exit_code == 0
    assert without_run(assert_exact(tmp_path / "calm", shards)) == without_run(labels)
