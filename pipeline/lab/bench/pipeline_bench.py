"""The whole job against the bare engine on the same requests."""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pipeline.engines.engine_registry import start_engine, start_scorer
from pipeline.lab.bench.bench_requests import Rates, ask_all, prompts_of, score_all
from pipeline.lab.bench.fresh_process import in_fresh_process, stderr_reporter
from pipeline.lab.bench.job_run import JobRun, run_job
from pipeline.lab.bench.results_table import report_run
from pipeline.labeling.label_config import LabelConfig
from pipeline.media.images import image_tokens
from pipeline.runtime.phases import phase

BARE, JOB = "bare engine", "whole job"
_WORKER_NICENESS = 15  # that of Ray's workers

Sides = Mapping[str, Callable[[], Rates]]
"""By name, what replies to the requests and returns its rates."""


def bench_pipeline(
    config: LabelConfig, input_uri: str, output_uri: str, repeats: int, peers: Sides | None = None
) -> dict[str, Any]:
    """The whole job against the bare engine on the same requests, alternately.

    The bare engine is given every prompt at once, prepared before the clock starts; the job
    reads Parquet, decodes, judges and commits labels, from its first unit to its last commit.

    Args:
        config: greedy sampling makes both sides generate the same tokens.
        input_uri: pair shards.
        output_uri: an empty folder; each repeat writes into one of its own below it.
        repeats: how often each side runs.
        peers: further sides.

    Returns:
        A row of medians for each side, and the ratios of the job's judgments/s to the others'.
    """
    jobs: list[JobRun] = []

    def run_next_job() -> Rates:
        jobs.append(run_job(config, input_uri, f"{output_uri}/{len(jobs)}"))
        return jobs[-1].rates

    def bare() -> Rates:
        return in_fresh_process(run_raw, config, input_uri)

    sides: Sides = {BARE: bare, JOB: run_next_job, **(peers or {})}
    runs: dict[str, list[Rates]] = {name: [] for name in sides}
    for _ in range(repeats):
        for name, run in sides.items():
            runs[name].append(run())
            report_run(name, runs[name][-1].row())
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
            "a judgment of a reward model is a pair of scores; shared_share: prompt tokens that "
            "the second candidate has in common with the first, which the cache may serve",
            "medians; ratio: judgments/s of the job over those of another side, run by run; "
            "steady: by pairs that are complete, from a quarter of them to their half, so without "
            "the first and the last ones; with less than 4 times as many requests as "
            "engine.max_num_seqs it is the rate of one wave; the bare engine has processed the "
            "pictures of all requests by then, which the job does throughout",
            "first_label_s: from the first label's unit reaching its worker to that label; "
            "tail_s: the last tenth of the labels",
            "first_request_s: from the process's first line of the job, before Ray starts, to its "
            "first request; half_empty_s: from the last second with more than half of the "
            "engines' slots taken to the last commit; -: at no whole second more than half were",
            "gpu_idle_s: from the first unit's arrival to the last label, by the driver's counters",
            "object store: bytes put into Ray's, by its own statistics; input: the shards' files",
            "pair_s: mean seconds; prepare: a pair's media and layout, waiting for a thread "
            "included; engine: one reply, waiting for a slot included; commit: a unit's part",
        ],
    }


def run_raw(config: LabelConfig, input_uri: str) -> Rates:
    """The bare engine, given every prompt at once; to be called in a process of its own.

    The process gets the niceness of Ray's workers; otherwise it would get more of a busy machine's
    CPU than the workers it is compared with.
    """
    os.nice(_WORKER_NICENESS)
    if config.judge.declared_format.family == "reward":
        return _run_raw_scorer(config, input_uri)
    with phase(stderr_reporter(), "starting the engine"):
        engine = start_engine(config.judge, config.engine)
    try:
        prompts = prompts_of(config, input_uri, engine)
        return ask_all(engine, prompts, config.judge)
    finally:
        engine.close()


def _run_raw_scorer(config: LabelConfig, input_uri: str) -> Rates:
    with phase(stderr_reporter(), "starting the engine"):
        engine = start_scorer(config.judge, config.engine)
    try:
        prompts = prompts_of(config, input_uri, engine)
        pictures = [picture for prompt in prompts[:1] for picture in prompt.chat.images]
        sizes = [image_tokens(picture, config.judge.media.factor) for picture in pictures]
        return score_all(engine, prompts, max(sizes, default=1))
    finally:
        engine.close()


def median_row(runs: Sequence[Rates]) -> dict[str, float]:
    """The medians of several runs."""
    rows = [run.row() for run in runs]
    return {name: statistics.median(row[name] for row in rows) for name in rows[0]}


def ratio_of(ours: Rates, other: Rates) -> float:
    """Judgments/s of one run over those of another; not pairs/s, as their votes may differ."""
    return (ours.judgments / ours.seconds) / (other.judgments / other.seconds)


def steady_ratio(ours: Rates, other: Rates) -> float:
    """The same while requests wait."""
    return ours.steady_judgments_per_s / other.steady_judgments_per_s


def _ratios(
    ours: Sequence[Rates], others: Sequence[Rates], ratio: Callable[[Rates, Rates], float]
) -> list[float]:
    return [round(ratio(job, other), 3) for job, other in zip(ours, others, strict=True)]
