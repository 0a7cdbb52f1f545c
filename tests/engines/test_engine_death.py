"""A real engine dies: its requests fail, and a whole run loses nothing.

What a run does about it is also shown with the scripted engine, in tests/chaos/test_poison.py, and
that an engine ends with its worker in tests/unit/test_orphans.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from pathlib import Path

import psutil
import pytest

from jobs.demo import CONFIG
from pipeline.engines import vllm_start
from pipeline.engines.engine import Chat
from pipeline.lab.tiny_judge.scene_corpus import write_scene_shards
from pipeline.runtime.errors import EngineDeadError
from pipeline.store.object_store import Store
from tests.engines.conftest import GREEDY, start_tiny
from tests.processes import Job, started, wait_until
from tests.shards import labels_of

pytestmark = pytest.mark.engine
SHARDS, ROWS = 2, 24
ENGINE = "VLLM::EngineCore"


def _processes(of: int, name: str) -> list[psutil.Process]:
    """Those below a process whose command line has this name in it."""
    found = []
    for process in psutil.Process(of).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if name in " ".join(process.cmdline()):
                found.append(process)
    return found


def _kill_after_more_parts(job: Job, output: Store, name: str) -> psutil.Process:
    before = len(list(output.list("parts")))
    pid = job.process.pid
    wait_until(lambda: len(list(output.list("parts"))) > before and _processes(pid, name))
    victim = _processes(pid, name)[0]
    victim.send_signal(signal.SIGKILL)
    victim.wait()
    return victim


@pytest.mark.parametrize(
    ("replied", "apart"),
    [
        (False, True),
        pytest.param(False, False, marks=pytest.mark.long),
        pytest.param(True, False, marks=pytest.mark.long),
    ],
)
def test_requests_of_an_engine_that_dies_end_with_its_death(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, replied: bool, apart: bool
) -> None:
    others = set(_processes(os.getpid(), ENGINE))
    monkeypatch.setattr(vllm_start, "is_forked_apart", lambda: apart)  # as with a GPU, and without
    judge = start_tiny(tmp_path)
    (engine,) = set(_processes(os.getpid(), ENGINE)) - others
    chat = Chat("system", ("Which one?",))
    if replied:  # vLLM sets up what reads replies with the first request
        assert judge.answers([chat])
    engine.suspend()  # so that the request cannot end before it
    prompt = judge.engine.render(chat)
    reply = asyncio.run_coroutine_threadsafe(
        judge.engine.reply("in-flight", prompt, GREEDY), judge.loop
    )
    # Ray ends the fork server that an engine comes from, and not the engine.
    (psutil.Process(engine.ppid()) if apart else engine).kill()
    with pytest.raises(EngineDeadError, match="vLLM's engine core died"):
        reply.result()
    with pytest.raises(EngineDeadError, match="vLLM's engine core died"):
        judge.run(judge.engine.reply("later", prompt, GREEDY))
    judge.engine.close()


@pytest.mark.long
@pytest.mark.timeout(1_200)  # three engines start, one after the other
def test_dead_engine_and_dead_worker_cost_nothing_but_time(tmp_path: Path) -> None:
    source, output = tmp_path / "in", Store(str(tmp_path / "out"))
    write_scene_shards(source, SHARDS, ROWS, seed=3)
    # Few sequences and small units: slow enough that there is work left to lose.
    slow = ["engine.max_num_seqs=8", "engine.units_in_flight=1", "input.unit_rows=8"]
    overrides = [word for setting in slow for word in ("--set", setting)]
    where = ["--input", str(source), "--output", output.uri]
    with started("jobs.label", ["--config", str(CONFIG), *where, *overrides]) as job:
        _kill_after_more_parts(job, output, ENGINE)
        _kill_after_more_parts(job, output, "ray::MapWorker(MapBatches(JudgeActor))")
        # The guard ends the engine that lost its worker: two at once would not fit a GPU.
        wait_until(lambda: len(_processes(job.process.pid, ENGINE)) <= 1)
        stdout, stderr = job.process.communicate()
    assert job.process.returncode == 0, stdout + stderr
    labels = labels_of(output.uri)
    rows = [(label["shard"], label["row"]) for label in labels]
    assert rows == [(f"scenes-{s:03d}.parquet", r) for s in range(SHARDS) for r in range(ROWS)]
    assert {label["status"] for label in labels} <= {"labeled", "tie"}
    units = len({(label["shard"], label["unit"]) for label in labels})
    begun = [mark.key for mark in output.list("attempts") if "/starts/" not in mark.key]
    assert len(set(begun)) == len(begun) <= units + 2  # a unit in flight, at most, at each death
