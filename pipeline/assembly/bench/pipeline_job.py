"""The whole job against the bare engine on the same requests."""

from __future__ import annotations

import io
import os
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from pipeline.assembly.bench.fresh_process import in_fresh_process
from pipeline.assembly.bench.object_store import created_bytes
from pipeline.assembly.bench.requests import Rates, ask_all, prompts_of
from pipeline.assembly.bench.timeline import Timeline, committed_timeline
from pipeline.assembly.bench.worker_watch import (
    WorkerWatch,
    metrics_urls,
    report_every_second,
)
from pipeline.assembly.cluster import ray_session
from pipeline.assembly.plan import list_shards, open_input
from pipeline.assembly.progress import Reporter
from pipeline.assembly.run import label
from pipeline.core.config import LabelConfig
from pipeline.core.storage import Store
from pipeline.core.units import judge_parts_prefix
from pipeline.workers.engine_start import start_engine

_WORKER_NICENESS = 15  # what Ray gives its workers


def bench_pipeline(
    config: LabelConfig, input_uri: str, output_uri: str, repeats: int
) -> dict[str, Any]:
    """The whole job against the bare engine on the same requests, alternately.

    The bare engine is given every prompt at once, prepared before the clock starts; the job
    reads Parquet, decodes, judges and commits labels, from its first unit to its last commit.

    Args:
        config: greedy sampling makes both sides generate the same tokens.
        input_uri: pair shards.
        output_uri: an empty place; each repeat writes into a folder of its own.
        repeats: how often each side runs.

    Returns:
        ``raw``, ``pipeline`` (medians) and ``ratio`` of their judgments/s.
    """
    raw, jobs = [], []
    for number in range(repeats):
        raw.append(in_fresh_process(run_raw, config, input_uri))
        jobs.append(run_job(config, input_uri, f"{output_uri}/{number}"))
    ratios = [ratio_of(job.rates, bare) for job, bare in zip(jobs, raw, strict=True)]
    paces = [job.pace for job in jobs]
    steady = [steady_ratio(job.rates, bare) for job, bare in zip(jobs, raw, strict=True)]
    middle = sorted(range(repeats), key=lambda number: ratios[number])[repeats // 2]
    shown = jobs[middle]
    return {
        "benchmark": "pipeline",
        "rows": [
            {"side": "bare engine", **median_row(raw)},
            {"side": "whole job", **median_row([job.rates for job in jobs])},
        ],
        "pairs": raw[0].pairs,
        "repeats": repeats,
        "ratio": round(statistics.median(ratios), 3),
        "ratios": [round(ratio, 3) for ratio in ratios],
        "steady_ratio": round(statistics.median(steady), 3),
        "steady_ratios": [round(ratio, 3) for ratio in steady],
        "first_label_s": statistics.median(pace.first_label_s for pace in paces),
        "tail_s": statistics.median(pace.tail_s for pace in paces),
        "object_store_kb_a_pair": round(shown.store_bytes / shown.rates.pairs / 1_024, 2),
        "input_kb_a_pair": round(_bytes_of(input_uri) / shown.rates.pairs / 1_024, 2),
        "pair_s": shown.pair_seconds(),
        "labels_by_second": shown.pace.by_second,
        "in_flight": [
            (round(when - shown.pace.first_at, 1), count) for when, count in shown.in_flight
        ],
        "cores": os.cpu_count(),
        "notes": [
            "medians; ratio: judgments/s of the job over those of the bare engine, run by run; "
            "steady: in the middle half of the replies, without the first and the last ones",
            "first_label_s: from the first label's unit reaching its worker to that label; "
            "tail_s: the last tenth of the labels",
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
    """

    rates: Rates
    pace: Timeline
    store_bytes: int
    stage_s: Mapping[str, float]
    in_flight: Sequence[tuple[float, int]]
    units: int

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
    with ray_session(config.workers), WorkerWatch(metrics_urls()) as watch:
        result = label(config, input_uri, output_uri, silent(), dry_run=False)
        crossed = created_bytes()
    tally = result.tally
    output = Store(output_uri)
    units = sum(1 for _ in output.list(judge_parts_prefix(result.judge_id)))
    pace = committed_timeline(output, result.judge_id, result.judging_seconds)
    rates = Rates(
        tally.pairs,
        tally.judgments,
        tally.output_tokens,
        result.judging_seconds,
        pace.steady_per_s * tally.judgments / tally.pairs,
        tally.prompt_tokens,
        tally.cached_tokens,
    )
    return JobRun(rates, pace, crossed, watch.stage_seconds(), watch.in_flight, units)


def _bytes_of(input_uri: str) -> int:
    store, prefix = open_input(input_uri)
    return sum(entry.size for entry in list_shards(store, prefix))


def median_row(runs: Sequence[Rates]) -> dict[str, float]:
    """The medians of several runs."""
    rows = [run.row() for run in runs]
    return {name: statistics.median(row[name] for row in rows) for name in rows[0]}


def ratio_of(ours: Rates, other: Rates) -> float:
    """Judgments/s of one run over those of another: pairs may cost more votes than two."""
    return (ours.judgments / ours.seconds) / (other.judgments / other.seconds)


def steady_ratio(ours: Rates, other: Rates) -> float:
    """The same of the middle half of the replies."""
    return ours.steady_judgments_per_s / other.steady_judgments_per_s


def silent() -> Reporter:
    """A reporter whose reports nobody sees."""
    return Reporter(Console(file=io.StringIO()))
