"""The driver is killed or asked to stop at any moment; what is committed stays, nothing is doubled.

Killed, it leaves what was in flight to be judged again. Asked to stop, it finishes that.
"""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
import pytest

from pipeline.store.object_store import Store
from tests.labeling import (
    Row,
    assert_exact,
    contents,
    label_arguments,
    run_label,
    run_records,
    write_config,
)
from tests.private_ray import assert_private
from tests.processes import Job, dead, processes_with, started, wait_until
from tests.shards import labels_of, pair, write_shard
from tests.without_ray import label_here

UNIT_ROWS, IN_FLIGHT = 8, 3
AT_ONCE = ("--set", "engine.script.latency_s=0")  # no matter for what is judged


def keys(output: Path, prefix: str) -> list[str]:
    return [entry.key for entry in Store(str(output)).list(prefix)]


def attempts(output: Path) -> Counter[str]:
    """How often each unit was begun, by its shard and row range."""
    folders = [key.split("/") for key in keys(output, "attempts")]
    return Counter("/".join(folder[2:5]) for folder in folders if folder[2] != "starts")


def committed(output: Path) -> set[str]:
    """The units that have a part, named as in :func:`attempts`."""
    return {key.split("/", 2)[2].removesuffix(".1.parquet") for key in keys(output, "parts")}


def wait_for(job: Job, output: Path, prefix: str, count: int) -> None:
    """Waits until so many objects are there, while the job must be running."""

    def there() -> bool:
        assert job.process.poll() is None, job.process.communicate()
        return len(keys(output, prefix)) >= count

    wait_until(there)


def without_run(labels: list[Row]) -> list[dict[str, Any]]:
    """The labels without what names the run, and the lease under which it wrote."""
    gone = ("run_id", "judged_at", "epoch")
    return [
        {name: value for name, value in row.items() if name not in gone}
        | {"votes": [vote | {"run_id": None} for vote in row["votes"]]}
        for row in labels
    ]


@pytest.mark.usefixtures("without_ray")
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
    moments: list[tuple[list[str], str]] = [
        ([], "parts"),  # its first part has just appeared
        (slow_start, "attempts"),  # the engine is starting, for what is left
    ]
    for more, prefix in moments:
        parts, begun, done = contents(output, "parts"), attempts(output), committed(output)
        with started("jobs.label", arguments + more) as job:
            wait_for(job, output, prefix, len(keys(output, prefix)) + 1)
            (folder,) = job.ray_folders()
            if more:
                assert_private(job.process.pid, Path(folder))
            code = job.kill()
        assert code == -signal.SIGKILL
        assert processes_with(folder) == []
        after = contents(output, "parts")
        assert {key: after[key] for key in parts} == parts
        now = attempts(output)
        assert {unit: now[unit] for unit in done} == {unit: begun[unit] for unit in done}
    assert run_records(output) == []
    left = 140 - sum(int(unit[-9:]) - int(unit[-19:-10]) for unit in committed(output))
    assert 0 < left < 140

    parts = contents(output, "parts")
    last = run_label(config, source, output, *AT_ONCE)
    assert (last.exit_code, last.error) == (0, "")
    assert last.event("plan")["pairs_to_do"] == last.event("done")["pairs"] == left
    after = contents(output, "parts")
    assert {key: after[key] for key in parts} == parts
    labels = assert_exact(output, shards)

    # Judged twice is only what was in flight when the driver died.
    twice = attempts(output).total() - len(committed(output))
    assert 0 <= twice <= IN_FLIGHT * len(moments)

    # As if nothing had happened.
    assert run_label(config, source, tmp_path / "calm", *AT_ONCE).exit_code == 0
    assert without_run(assert_exact(tmp_path / "calm", shards)) == without_run(labels)


def test_asked_to_stop_it_commits_what_is_in_flight(
    tmp_path: Path, model: Path, shared_ray: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, output = tmp_path / "in", tmp_path / "out"
    shards = {"a.parquet": [pair(number) for number in range(120)]}
    write_shard(source / "a.parquet", shards["a.parquet"], 60)
    changes = {
        "engine": {"script": {"latency_s": 0.25}, "units_in_flight": 2, "max_num_seqs": 4},
        "input": {"unit_rows": 30},
        "workers": {"max": 1},
    }
    config = write_config(tmp_path / "label.yaml", model, changes)
    arguments = label_arguments(config, source, output)
    with started("jobs.label", arguments, {"RAY_ADDRESS": shared_ray}) as job:
        # Of two units of 30 pairs each that are in flight, three pairs are judged at once.
        wait_for(job, output, "parts", 1)
        wait_until(lambda: len(attempts(output)) >= 3)
        job.process.send_signal(signal.SIGTERM)
        stdout, stderr = job.process.communicate()
    assert job.process.returncode == 143, stderr
    labels = labels_of(str(output))
    (record,) = run_records(output)
    assert (record["state"], record["pairs"]) == ("stopped", len(labels))
    assert 30 < record["pairs"] < 90  # not two units more
    assert stderr.splitlines()[-2:] == [
        "SIGTERM: finishing what is in flight; once more ends it at once",
        f"stopped by SIGTERM: {len(labels)} of 120 pairs to do are labelled and committed; "
        "the same command goes on from there",
    ]
    assert json.loads(stdout.splitlines()[-1])["event"] == "stopped"

    # Not one pair was judged in vain, and none is judged again.
    label_here(monkeypatch)
    last = run_label(config, source, output, *AT_ONCE)
    assert (last.exit_code, last.error) == (0, "")
    assert last.event("done")["pairs"] == 120 - len(labels)
    assert_exact(output, shards)
    assert [run["state"] for run in run_records(output)] == ["stopped", "done"]
    assert record["judgments"] + last.event("done")["judgments"] == 240


@pytest.mark.usefixtures("without_ray")
def test_interrupted_it_says_so_and_goes_on_later(tmp_path: Path, model: Path) -> None:
    """Ctrl-C, which a terminal sends to every process of the job."""
    source, output = tmp_path / "in", tmp_path / "out"
    shards = {"a.parquet": [pair(number) for number in range(60)]}
    write_shard(source / "a.parquet", shards["a.parquet"], 60)
    changes = {
        "engine": {"script": {"latency_s": 0.25}, "units_in_flight": 1, "max_num_seqs": 4},
        "input": {"unit_rows": 10},
    }
    config = write_config(tmp_path / "label.yaml", model, changes)
    arguments = label_arguments(config, source, output)
    with started("jobs.label", arguments) as job:
        wait_for(job, output, "parts", 2)
        (folder,) = job.ray_folders()
        own = psutil.Process(job.process.pid).children(recursive=True)
        os.killpg(job.process.pid, signal.SIGINT)
        stdout, stderr = job.process.communicate()
    assert job.process.returncode == 130, stderr
    # Beside what Ray's own code logs, and that it was started once more on a machine too busy.
    beside = ("logging.cc", "Ray did not start")
    said = [line for line in stderr.splitlines() if not any(each in line for each in beside)]
    assert said == ["interrupted; the same command goes on where this run stopped"]
    assert json.loads(stdout.splitlines()[-1])["event"] == "stopped"
    wait_until(lambda: all(dead(process) for process in own))
    assert not Path(folder).exists()
    (record,) = run_records(output)
    assert record["state"] == "stopped"
    assert record["pairs"] <= len(labels_of(str(output))) < 60

    last = run_label(config, source, output, *AT_ONCE)
    assert (last.exit_code, last.error) == (0, "")
    assert_exact(output, shards)
    assert [run["state"] for run in run_records(output)] == ["stopped", "done"]


def test_asked_to_stop_it_drops_what_takes_too_long(
    tmp_path: Path, model: Path, shared_ray: str
) -> None:
    source, output = tmp_path / "in", tmp_path / "out"
    rows = [pair(number) for number in range(20)]
    write_shard(source / "a.parquet", rows, 20)
    changes = {"engine": {"script": {"faults": {"What is in": "hang"}}}}
    config = write_config(tmp_path / "label.yaml", model, changes)
    arguments = label_arguments(config, source, output, "--set", "workers.stop_seconds=1")
    with started("jobs.label", arguments, {"RAY_ADDRESS": shared_ray}) as job:
        wait_until(lambda: attempts(output).total() == 1)
        job.process.send_signal(signal.SIGTERM)
        _, stderr = job.process.communicate()
    assert job.process.returncode == 143, stderr
    assert "stopped by SIGTERM: 0 of 20 pairs" in stderr.splitlines()[-1]
    assert committed(output) == set()
    (record,) = run_records(output)
    assert (record["state"], record["pairs"]) == ("stopped", 0)
