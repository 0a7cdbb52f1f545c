"""What is recorded equals what is stored, and idleness is what a clock says."""

from __future__ import annotations

import asyncio
import io
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest
from rich.console import Console

from pipeline.engines.engine import Rendered, Reply, Sampling
from pipeline.engines.engine_config import EngineConfig
from pipeline.engines.scripted_engine import ScriptedEngine
from pipeline.judging.judge_config import JudgeConfig
from pipeline.labeling import prometheus_metrics as metrics
from pipeline.labeling.attempts import Starts
from pipeline.labeling.label_config import LabelConfig
from pipeline.labeling.label_run import label as label_pairs
from pipeline.labeling.pair_judge import Judge
from pipeline.labeling.run_metrics import RunMetrics
from pipeline.labeling.run_request import RunRequest
from pipeline.labeling.unit_result import RowCounts, UnitResult
from pipeline.labeling.worker_activity import Activity, Work
from pipeline.media.media_store import MediaStore
from pipeline.runtime.errors import EngineDeadError
from pipeline.runtime.reporter import Reporter
from pipeline.store.object_store import Store
from tests.judging import JUDGE_ID, pairs_of, runner, scripted, text_pair, unit
from tests.recording import Recorded
from tests.shards import labels_of, pair, shard_bytes
from tests.without_ray import label_here


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_names_say_what_they_count() -> None:
    assert len(metrics.METRICS) == len({metric.name for metric in metrics.METRICS}) == 22
    for metric in metrics.METRICS:
        assert metric.name.startswith("pairmill_")
        assert metric.name.endswith("_total") == (metric.kind == "counter"), metric.name
        assert bool(metric.bounds) == (metric.kind == "histogram"), metric.name
        assert metric.text.endswith("."), metric.name
    assert metrics.UNIT_SECONDS.exported == (
        "ray_pairmill_unit_seconds_bucket",
        "ray_pairmill_unit_seconds_count",
        "ray_pairmill_unit_seconds_sum",
    )
    assert metrics.PAIRS.exported == ("ray_pairmill_pairs_total",)


def test_idle_seconds_are_those_without_a_request() -> None:
    recorded, clock = Recorded(), Clock()
    activity = Activity(recorded, clock)
    clock.now += 5  # ready, and nothing to do
    with activity.unit():
        clock.now += 3  # a unit, but nothing asked yet
        with activity.request():
            clock.now += 20
            with activity.request():
                clock.now += 2
            assert recorded.last(metrics.REQUESTS_IN_FLIGHT) == 1
            activity.tick()
            clock.now += 1
        clock.now += 4
        activity.tick()
        clock.now += 6
        activity.tick()
    assert recorded.sum(metrics.ENGINE_IDLE) == 5 + 3 + 4 + 6
    assert recorded.sum(metrics.STAGE_SECONDS, stage="read") == 5
    assert recorded.sum(metrics.STAGE_SECONDS, stage="engine") == 23 + 2
    assert recorded.sum(metrics.JUDGMENTS) == 2
    clock.now += 8
    activity.tick()
    assert recorded.sum(metrics.STAGE_SECONDS, stage="read") == 5 + 8
    assert recorded.last(metrics.UNITS_IN_FLIGHT) == 0


def test_work_is_counted_once_whoever_takes_it_and_when() -> None:
    clock = Clock()
    activity = Activity(clock=clock, time_of_day=clock.now)
    clock.now += 1.5
    with activity.request():
        clock.now += 2
        with activity.request(), activity.stage("decode"):
            clock.now += 1
            first = activity.take_work()
            assert first == Work(requests=Counter({101: 0, 102: 1, 103: 1, 104: 2}))
            clock.now += 0.25
    clock.now += 1
    second = activity.take_work()
    assert second.requests == {105: 0}
    assert second.stage_s == {"decode": 1.25, "engine": 3.25 + 1.25}
    assert activity.take_work() == Work()
    first.add(second)
    assert first.requests == {101: 0, 102: 1, 103: 1, 104: 2, 105: 0}


def test_who_ran_a_job_learns_what_its_workers_did(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    label_here(monkeypatch)
    source = Store(str(tmp_path / "in"))
    source.put("a.parquet", shard_bytes([pair(number, images=None) for number in range(3)]))
    engine = {"kind": "scripted", "script": {"latency_s": 1.1}}
    judge = {"model": {"name": "tiny-judge"}}
    config = LabelConfig.model_validate({"judge": judge, "engine": engine})
    where = (source.uri, str(tmp_path / "out"), Reporter(Console(file=io.StringIO())))
    work = label_pairs(config, *where, RunRequest()).work
    assert set(work.stage_s) == {"decode", "engine", "commit"}
    assert work.stage_s["engine"] >= 6 * 1.1
    seconds = sorted(work.requests)
    assert seconds == list(range(seconds[0], seconds[-1] + 1))
    assert 1 <= max(work.requests.values()) <= 6  # of each pair both orders at once


class FullBeforeItReplies(ScriptedEngine):
    """Replies to no request until so many wait."""

    full, waiting = 12, 0

    async def reply(self, request_id: str, prompt: Rendered, sampling: Sampling) -> Reply:
        self.waiting += 1
        while self.waiting < self.full:
            await asyncio.sleep(0)
        return await super().reply(request_id, prompt, sampling)


def test_a_worker_counts_what_it_does(tmp_path: Path) -> None:
    recorded, config = Recorded(), JudgeConfig()
    how = EngineConfig(kind="scripted", decode_threads=2, max_num_seqs=8)
    media = MediaStore(("/nowhere",), 1)
    engine = FullBeforeItReplies(config, how)
    judge = Judge(engine, config, how, media, activity=Activity(recorded))
    output = Store(str(tmp_path))
    pairs = pairs_of([text_pair(number) for number in range(30)])
    asyncio.run(runner(judge, output).run(unit(0, 30), pairs))
    votes = [vote for label in labels_of(output.uri) for vote in label["votes"]]
    assert recorded.sum(metrics.JUDGMENTS) == len(votes) == 60
    in_flight = (metrics.UNITS_IN_FLIGHT, metrics.PAIRS_IN_FLIGHT, metrics.REQUESTS_IN_FLIGHT)
    assert [recorded.last(metric) for metric in in_flight] == [0, 0, 0]
    assert [recorded.highest[metric.name, ()] for metric in in_flight] == [1, 6, 12]
    for stage in ("decode", "engine", "commit"):
        assert recorded.sum(metrics.STAGE_SECONDS, stage=stage) > 0


def _unheard(marks: Mapping[str, int]) -> None:
    """Of engine starts, these tests look at what is recorded only."""


def test_what_a_driver_counts_is_what_is_stored(tmp_path: Path) -> None:
    output, recorded = Store(str(tmp_path)), Recorded()
    script = {"faults": {"BAD": "malformed", "CUT": "truncated"}}
    marks = {3: "BAD", 7: "CUT", 8: "CUT"}
    rows = [text_pair(number, marks.get(number, "")) for number in range(20)]
    work = runner(scripted(script)[0], output)
    starts = Starts(output, JUDGE_ID, "run")
    with RunMetrics(recorded, 25, starts, _unheard) as counted:
        counted.count(asyncio.run(work.run(unit(0, 12), pairs_of(rows[:12]))))
        counted.count(asyncio.run(work.run(unit(12, 20), pairs_of(rows[12:]))))
    labels = labels_of(output.uri)
    votes = [vote for label in labels for vote in label["votes"]]
    got = {key: value for key, value in recorded.sums.items() if value}
    expected = Counter[tuple[str, tuple[tuple[str, str], ...]]]()
    for label in labels:
        expected["pairmill_pairs_total", (("outcome", label["status"]),)] += 1
        if label["reason"]:
            expected["pairmill_quarantined_total", (("reason", label["reason"]),)] += 1
    for vote in votes:
        expected["pairmill_votes_total", (("outcome", vote["outcome"]),)] += 1
        for kind in ("prompt", "output"):
            expected["pairmill_tokens_total", (("kind", kind),)] += vote[f"{kind}_tokens"]
    assert got == expected
    assert expected["pairmill_quarantined_total", (("reason", "truncated"),)] == 2
    assert recorded.last(metrics.PAIRS_TO_DO) == 25
    assert recorded.last(metrics.PAIRS_LEFT) == 5
    assert len(recorded.observed["pairmill_unit_seconds", ()]) == 2


def test_canaries_and_reused_labels_are_counted_apart(tmp_path: Path) -> None:
    recorded, starts = Recorded(), Starts(Store(str(tmp_path)), JUDGE_ID, "run")
    with RunMetrics(recorded, 9, starts, _unheard) as counted:
        counts = RowCounts("run", 2, Counter(labeled=3, tie=1), votes=Counter(verdict=4))
        counted.count(UnitResult(unit(0, 4), counts, 1.0))
        counted.count(UnitResult(unit(0, 4), counts, 1.0, corpus=1))
    assert recorded.sum(metrics.PAIRS, outcome="labeled") == 3
    assert recorded.sum(metrics.CANARIES, outcome="labeled") == 3
    assert recorded.sum(metrics.VOTES, outcome="verdict") == 8
    assert recorded.sum(metrics.REUSED) == 2
    assert recorded.last(metrics.PAIRS_LEFT) == 5


def test_deaths_and_starts_are_counted(tmp_path: Path) -> None:
    output, recorded = Store(str(tmp_path)), Recorded()
    starts = Starts(output, JUDGE_ID, "run")
    pairs = pairs_of([text_pair(number, "KILLER") for number in range(3)])
    dying = runner(scripted({"faults": {"KILLER": "die"}})[0], output)
    with starts.watched(1, 3), pytest.raises(EngineDeadError):
        asyncio.run(dying.run(unit(0, 3), pairs))
    with pytest.raises(RuntimeError), starts.watched(1, 3):
        raise RuntimeError("does not become ready")
    heard: list[Mapping[str, int]] = []
    with RunMetrics(recorded, 3, starts, heard.append) as counted:
        counted.count(asyncio.run(runner(scripted()[0], output).run(unit(0, 3), pairs)))
    assert recorded.sum(metrics.DEATHS) == 1
    assert recorded.last(metrics.ENGINE_STARTS, state="begun") == 2
    assert recorded.last(metrics.ENGINE_STARTS, state="ready") == 1
    assert heard[-1] == {"begun": 2, "ready": 1}
