"""The whole job against the bare engine on the same requests."""

from __future__ import annotations

import asyncio
import io
import os
import statistics
import time
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from pipeline.assembly.plan import make_plan, open_input
from pipeline.assembly.progress import Reporter
from pipeline.assembly.run import label
from pipeline.core.config import LabelConfig
from pipeline.core.storage import Store
from pipeline.workers.engine import Engine, Rendered, Reply, Sampling
from pipeline.workers.engine_start import start_engine
from pipeline.workers.judge import Judge
from pipeline.workers.media import MediaStore
from pipeline.workers.read_pairs import read_units, unit_of

_MiB = 2**20


@dataclass(frozen=True)
class Rates:
    """What was done in how long, the engine's start left out."""

    pairs: int
    judgments: int
    output_tokens: int
    seconds: float

    def row(self) -> dict[str, float]:
        """The rates as a row of a table."""
        return {
            "pairs_per_s": round(self.pairs / self.seconds, 2),
            "judgments_per_s": round(self.judgments / self.seconds, 2),
            "output_tokens_per_s": round(self.output_tokens / self.seconds, 1),
            "seconds": round(self.seconds, 2),
        }


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
        ``raw``, ``pipeline`` (medians) and ``ratio`` of their pairs/s.
    """
    raw, job = [], []
    for number in range(repeats):
        raw.append(_raw(config, input_uri))
        job.append(_job(config, input_uri, f"{output_uri}/{number}"))
    medians = {
        name: {key: statistics.median(run.row()[key] for run in runs) for key in runs[0].row()}
        for name, runs in (("raw", raw), ("pipeline", job))
    }
    ratios = [
        ours.row()["pairs_per_s"] / bare.row()["pairs_per_s"]
        for ours, bare in zip(job, raw, strict=True)
    ]
    return {
        "benchmark": "pipeline",
        **medians,
        "pairs": raw[0].pairs,
        "ratio": round(statistics.median(ratios), 3),
        "ratios": [round(ratio, 3) for ratio in ratios],
        "cores": os.cpu_count(),
    }


def _raw(config: LabelConfig, input_uri: str) -> Rates:
    engine = start_engine(config.judge, config.engine)
    try:
        return asyncio.run(_raw_replies(config, input_uri, engine))
    finally:
        engine.close()


async def _raw_replies(config: LabelConfig, input_uri: str, engine: Engine) -> Rates:
    source, _ = open_input(input_uri)
    media = MediaStore([source.uri], config.judge.media.max_bytes)
    judge = Judge(engine, config.judge, config.engine, media)
    plan = make_plan(input_uri, Store("/nonexistent"), config.input, config.judge, "raw")
    prompts: list[Rendered] = []
    for task in plan.tasks:
        for table in read_units(source, task, config.input.columns, config.input.unit_bytes):
            _, pairs = unit_of(table)
            for index in range(len(pairs)):
                prompts.extend(judge.prepare(pairs[index]).prompts.values())
    how = config.judge.sampling
    sampling = Sampling(how.temperature, how.top_p, how.max_tokens, seed=0)
    await engine.reply("warm-up", prompts[0], sampling)
    began = time.monotonic()
    replies: list[Reply] = await asyncio.gather(
        *(engine.reply(f"raw-{i}", prompt, sampling) for i, prompt in enumerate(prompts))
    )
    seconds = time.monotonic() - began
    tokens = sum(reply.output_tokens for reply in replies)
    return Rates(len(prompts) // 2, len(prompts), tokens, seconds)


def _job(config: LabelConfig, input_uri: str, output_uri: str) -> Rates:
    reporter = silent()
    result = label(config, input_uri, output_uri, reporter, dry_run=False)
    tally = result.tally
    return Rates(tally.pairs, tally.judgments, tally.output_tokens, result.judging_seconds)


def silent() -> Reporter:
    return Reporter(Console(file=io.StringIO()))
