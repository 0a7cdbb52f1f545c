"""The whole job against the bare engine on the same requests."""

from __future__ import annotations

import io
import os
import statistics
from collections.abc import Sequence
from typing import Any

from rich.console import Console

from pipeline.assembly.bench.fresh_process import in_fresh_process
from pipeline.assembly.bench.requests import Rates, ask_all, prompts_of
from pipeline.assembly.bench.timeline import Timeline, committed_timeline
from pipeline.assembly.progress import Reporter
from pipeline.assembly.run import label
from pipeline.core.config import LabelConfig
from pipeline.core.storage import Store
from pipeline.workers.engine_start import start_engine


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
    raw, job, lines = [], [], []
    for number in range(repeats):
        raw.append(in_fresh_process(run_raw, config, input_uri))
        rates, line = run_job(config, input_uri, f"{output_uri}/{number}")
        job.append(rates)
        lines.append(line)
    ratios = [ratio_of(ours, bare) for ours, bare in zip(job, raw, strict=True)]
    return {
        "benchmark": "pipeline",
        "rows": [
            {"side": "bare engine", **median_row(raw)},
            {"side": "whole job", **median_row(job)},
        ],
        "pairs": raw[0].pairs,
        "repeats": repeats,
        "ratio": round(statistics.median(ratios), 3),
        "ratios": [round(ratio, 3) for ratio in ratios],
        "first_label_s": statistics.median(line.first_label_s for line in lines),
        "tail_s": statistics.median(line.tail_s for line in lines),
        "steady_pairs_per_s": statistics.median(line.steady_per_s for line in lines),
        "labels_by_second": lines[-1].by_second,
        "cores": os.cpu_count(),
        "notes": [
            "medians; ratio: judgments/s of the job over those of the bare engine, run by run",
            "first_label_s: from the first label's unit reaching its worker to that label; "
            "tail_s: the last tenth of the labels",
        ],
    }


def run_raw(config: LabelConfig, input_uri: str) -> Rates:
    """The bare engine, given every prompt at once; best in a process of its own."""
    engine = start_engine(config.judge, config.engine)
    try:
        prompts = prompts_of(config, input_uri, engine)
        return ask_all(engine, prompts, config.judge)
    finally:
        engine.close()


def run_job(config: LabelConfig, input_uri: str, output_uri: str) -> tuple[Rates, Timeline]:
    """The whole labeling job, in this process and its Ray."""
    result = label(config, input_uri, output_uri, silent(), dry_run=False)
    tally = result.tally
    rates = Rates(
        tally.pairs,
        tally.judgments,
        tally.output_tokens,
        result.judging_seconds,
        tally.prompt_tokens,
        tally.cached_tokens,
    )
    return rates, committed_timeline(Store(output_uri), result.judge_id, result.judging_seconds)


def median_row(runs: Sequence[Rates]) -> dict[str, float]:
    """The medians of several runs."""
    rows = [run.row() for run in runs]
    return {name: statistics.median(row[name] for row in rows) for name in rows[0]}


def ratio_of(ours: Rates, other: Rates) -> float:
    """Judgments/s of one run over those of another: pairs may cost more votes than two."""
    return (ours.judgments / ours.seconds) / (other.judgments / other.seconds)


def silent() -> Reporter:
    """A reporter whose reports nobody sees."""
    return Reporter(Console(file=io.StringIO()))
