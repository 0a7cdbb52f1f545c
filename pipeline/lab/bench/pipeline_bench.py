"""The whole job against the bare engine on the same requests."""

from __future__ import annotations

import io
import os
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from pipeline.engines.engine_registry import start_engine
from pipeline.judging.label_parts import judge_parts_prefix
from pipeline.lab.bench.bench_requests import Rates, ask_all, prompts_of
from pipeline.lab.bench.bench_tables import say
from pipeline.lab.bench.fresh_process import in_fresh_process
from pipeline.lab.bench.gpu_watch import GpuWatch
from pipeline.lab.bench.object_store_bytes import created_bytes
from pipeline.lab.bench.timeline import Timeline, committed_timeline
from pipeline.lab.bench.worker_watch import WorkerWatch, metrics_urls, report_every_second
from pipeline.labeling.label_config import LabelConfig
from pipeline.labeling.label_run import label
from pipeline.labeling.ray_session import ray_session
from pipeline.pairs.shards import list_shards, open_input
from pipeline.runtime.reporter import Reporter
from pipeline.store.object_store import Store

_WORKER_NICENESS = 15  # what Ray gives its workers


Peers = Mapping[str, Callable[[], Rates]]
BARE, JOB = "bare engine", "whole job"


def bench_pipeline(
    config: LabelConfig, input_uri: str, output_uri: str, repeats: int, peers: Peers | None = None
) -> dict[str, Any]:
    """The whole job against the bare engine on the same requests, alternately.

    The bare engine is given every prompt at once, prepared before the clock starts; the job
    reads Parquet, decodes, judges and commits labels, from its first unit to its last commit.

    Args:
        config: greedy sampling makes both sides generate the same tokens.
        input_uri: pair shards.
        output_uri: an empty place; each repeat writes into a folder of its own.
        repeats: how often each side runs.
        peers: others that reply to the same requests, by name.

    Returns:
        A row of medians for each side, and the ratios of the job's judgments/s to the others'.
    """
    jobs: list[JobRun] = []

    def run_next_job() -> Rates:
        jobs.append(run_job(config, input_uri, f"{output_uri}/{len(jobs)}"))
        return jobs[-1].rates

    def bare() -> Rates:
        return in_fresh_process(run_raw, config, input_uri)

    sides: Peers = {BARE: bare, JOB: run_next_job, **(peers or {})}
    runs: dict[str, list[Rates]] = {name: [] for name in sides}
    for _ in range(repeats):
        for name, run in sides.items():
            runs[name].append(run())
            say(f"{name}: {runs[name][-1].row()}")
    others = {name: some for name, some in runs.items() if name != JOB}
    ratios = {name: _ratios(runs[JOB], some, ratio_of) for name, some in others.items()}
    steady = {name: _ratios(runs[JOB], some, steady_ratio) for name, some in others.items()}
    middle = sorted(range(repeats), key=lambda number: ratios[BARE][number])[repeats // 2]
    return {
        "benchmark": "pipeline",
        "rows": [{"side": name, **median_row(some)} for name, some in runs.items()],
        "pairs": runs[BARE][0].pairs,
        "repeats": repeats,
        "ratio_to": {name: statistics.median(each) for name, each in ratios.items()},
        "steady_ratio_to": {name: statistics.median(each) for name, each in steady.items()},
        "ratios": ratios,
        "steady_ratios": steady,
        **jobs[middle].details(input_uri),
        "first_label_s": statistics.median(job.pace.first_label_s for job in jobs),
        "tail_s": statistics.median(job.pace.tail_s for job in jobs),
        "cores": os.cpu_count(),
        "notes": [
            "medians; ratio: judgments/s of the job over those of another side, run by run; "
            "steady: by pairs that are complete, from a quarter of them to their half, so without "
            "the first and the last ones; with less than 4 times as many requests as "
            "engine.max_num_seqs it tells of a wave; the bare engine has had the pictures of all "
            "requests processed by then, which the job does throughout",
            "first_label_s: from the first label's unit reaching its worker to that label; "
            "tail_s: the last tenth of the labels",
            "gpu_idle_s: of that time and until the last label, by the driver's own count",
            "object store: bytes put into Ray's, by its own statistics; input: the shards' files",
            "pair_s: mean seconds; prepare: a pair's media and layout, waiting for a thread "
            "included; engine: one reply, waiting for a place included; commit: a unit's part; "
            "less what a worker did in its last second, so have more units than two or three",
        ],
    }


def run_raw(config: LabelConfig, input_uri: str) -> Rates:
    """The bare engine, given every prompt at once; to be called in a process of its own.

    That gives way to others as much as Ray's workers do: on a busy machine they would be compared
    with an engine that does not.
    """
    os.nice(_WORKER_NICENESS)
    engine = start_engine(config.judge, config.engine)
    try:
        prompts = prompts_of(config, input_uri, engine)
        return ask_all(engine, prompts, config.judge)
    finally:
        engine.close()


@dataclass(frozen=True)
class JobRun:
    """One run of the job.

    Attributes:
        store_bytes: put into Ray's object store.
        stage_s: seconds that pairs, replies and units spent in the workers' stages.
        in_flight: replies that engines owed, by the time of the clock.
        units: committed.
        gpu: what the GPUs did meanwhile.
    """

    rates: Rates
    pace: Timeline
    store_bytes: int
    stage_s: Mapping[str, float]
    in_flight: Sequence[tuple[float, int]]
    units: int
    gpu: GpuWatch

    def details(self, input_uri: str) -> dict[str, Any]:
        """What is told of one run: where its time went, and what it moved."""
        began = self.pace.first_at - self.pace.first_label_s
        ended = began + self.rates.seconds
        idle = self.gpu.idle_seconds(began, ended)
        pairs, kib = self.rates.pairs, 1_024
        return {
            "object_store_kb_a_pair": round(self.store_bytes / pairs / kib, 2),
            "input_kb_a_pair": round(_bytes_of(input_uri) / pairs / kib, 2),
            "pair_s": self.pair_seconds(),
            "gpu_idle_s": None if idle is None else round(idle, 1),
            "labels_by_second": self.pace.by_second,
            "in_flight": [(self._since(when), count) for when, count in self.in_flight],
            "gpu": [
                (self._since(sample.at), sample.busy, round(sample.watts))
                for sample in self.gpu.samples
                if sample.at <= ended
            ],
        }

    def _since(self, when: float) -> float:
        return round(when - self.pace.first_at, 1)

    def pair_seconds(self) -> dict[str, float]:
        """Mean seconds of what is done for a pair."""
        of = {"decode": self.rates.pairs, "engine": self.rates.judgments, "commit": self.units}
        named = {"decode": "prepare"}
        return {
            named.get(stage, stage): round(self.stage_s.get(stage, 0.0) / max(count, 1), 4)
            for stage, count in of.items()
        }


def run_job(config: LabelConfig, input_uri: str, output_uri: str) -> JobRun:
    """The whole labeling job, in this process and its Ray."""
    report_every_second()
    with ray_session(config.workers), WorkerWatch(metrics_urls()) as watch, GpuWatch() as gpu:
        result = label(config, input_uri, output_uri, silent(), dry_run=False)
        crossed = created_bytes()
    counts = result.counts
    output = Store(output_uri)
    units = sum(1 for _ in output.list(judge_parts_prefix(result.judge_id)))
    pace = committed_timeline(output, result.judge_id, result.judging_seconds)
    rates = Rates(
        counts.pairs,
        counts.judgments,
        counts.output_tokens,
        result.judging_seconds,
        pace.full_per_s * counts.judgments / counts.pairs,
        counts.prompt_tokens,
        counts.cached_tokens,
    )
    return JobRun(rates, pace, crossed, watch.stage_seconds(), watch.in_flight, units, gpu)


def _bytes_of(input_uri: str) -> int:
    store, prefix = open_input(input_uri)
    return sum(entry.size for entry in list_shards(store, prefix))


def median_row(runs: Sequence[Rates]) -> dict[str, float]:
    """The medians of several runs."""
    rows = [run.row() for run in runs]
    return {name: statistics.median(row[name] for row in rows) for name in rows[0]}


def _ratios(
    ours: Sequence[Rates], others: Sequence[Rates], ratio: Callable[[Rates, Rates], float]
) -> list[float]:
    return [round(ratio(job, other), 3) for job, other in zip(ours, others, strict=True)]


def ratio_of(ours: Rates, other: Rates) -> float:
    """Judgments/s of one run over those of another: pairs may cost more votes than two."""
    return (ours.judgments / ours.seconds) / (other.judgments / other.seconds)


def steady_ratio(ours: Rates, other: Rates) -> float:
    """The same of the middle half of the replies."""
    return ours.steady_judgments_per_s / other.steady_judgments_per_s


def silent() -> Reporter:
    """A reporter whose reports nobody sees."""
    return Reporter(Console(file=io.StringIO()))
