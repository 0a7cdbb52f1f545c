"""A real engine dies under a live worker, then a worker under a live engine: nothing is lost."""

from __future__ import annotations

import contextlib
import signal
from pathlib import Path

import psutil
import pytest

from jobs.demo import CONFIG
from pipeline.lab.tiny_judge.scene_corpus import write_scene_shards
from pipeline.store.object_store import Store
from tests.processes import Job, started, wait_until
from tests.shards import labels_of

pytestmark = pytest.mark.engine
SHARDS, ROWS = 2, 24


def _processes(job: Job, name: str) -> list[psutil.Process]:
    found = []
    for process in psutil.Process(job.process.pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if name in " ".join(process.cmdline()):
                found.append(process)
    return found


def _kill_after_more_parts(job: Job, output: Store, name: str) -> psutil.Process:
    before = len(list(output.list("parts")))
    wait_until(lambda: len(list(output.list("parts"))) > before and _processes(job, name))
    victim = _processes(job, name)[0]
    victim.send_signal(signal.SIGKILL)
    victim.wait()
    return victim


@pytest.mark.timeout(1_200)  # three engines start, one after the other
def test_dead_engine_and_dead_worker_cost_nothing_but_time(tmp_path: Path) -> None:
    source, output = tmp_path / "in", Store(str(tmp_path / "out"))
    write_scene_shards(source, SHARDS, ROWS, seed=3)
    # Few sequences and small units: slow enough that there is work left to lose.
    slow = ["engine.max_num_seqs=8", "engine.units_in_flight=1", "input.unit_rows=8"]
    overrides = [word for setting in slow for word in ("--set", setting)]
    where = ["--input", str(source), "--output", output.uri]
    with started("jobs.label", ["--config", str(CONFIG), *where, *overrides]) as job:
        _kill_after_more_parts(job, output, "VLLM::EngineCore")
        _kill_after_more_parts(job, output, "ray::MapWorker(MapBatches(JudgeActor))")
        # The guard ends the engine that lost its worker: two at once would not fit a GPU.
        wait_until(lambda: len(_processes(job, "VLLM::EngineCore")) <= 1)
        stdout, stderr = job.process.communicate()
    assert job.process.returncode == 0, stdout + stderr
    labels = labels_of(output.uri)
    rows = [(label["shard"], label["row"]) for label in labels]
    assert rows == [(f"scenes-{s:03d}.parquet", r) for s in range(SHARDS) for r in range(ROWS)]
    assert {label["status"] for label in labels} <= {"labeled", "tie"}
    units = len({(label["shard"], label["unit"]) for label in labels})
    begun = [mark.key for mark in output.list("attempts") if "/starts/" not in mark.key]
    assert len(set(begun)) == len(begun) <= units + 2  # a unit in flight, at most, at each death
