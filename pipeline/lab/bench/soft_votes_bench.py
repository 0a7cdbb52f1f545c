"""What soft votes cost: one engine, the same requests with and without them by turns."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from statistics import median
from typing import Any

from pipeline.engines.engine import Engine, Rendered, Reply, Sampling
from pipeline.engines.engine_registry import start_engine
from pipeline.judging.endings import ending_of
from pipeline.judging.soft_verdicts import SoftReader
from pipeline.lab.bench.bench_requests import prompts_of
from pipeline.lab.bench.fresh_process import in_fresh_process, stderr_reporter
from pipeline.lab.bench.results_table import report_run
from pipeline.labeling.label_config import LabelConfig
from pipeline.labeling.pair_judge import QUEUE_FACTOR
from pipeline.runtime.config_file import load_config
from pipeline.runtime.phases import phase

# Of the replies, between which the rate is taken: slots are filled before and left empty behind.
_FROM, _TO = 0.25, 0.8


def bench_soft_votes(
    config_path: str, overrides: Sequence[str], input_uri: str, repeats: int
) -> dict[str, Any]:
    """Asks about every pair in both orders, each verdict's log-probabilities read or not.

    Args:
        config_path: of the job's configuration.
        overrides: of it; ``judge.sampling.soft_votes`` is set.
        input_uri: pair shards.
        repeats: runs of each way, after one of each that is left out.
    """
    settings = [*overrides, "judge.sampling.soft_votes=true"]
    runs = in_fresh_process(_measure, config_path, settings, input_uri, repeats)
    rows = [{"votes": name, **_middle([run for run in runs if run["votes"] == name])}
            for name in ("sampled", "soft")]  # fmt: skip
    cost = 1 - rows[1]["judgments_per_s"] / rows[0]["judgments_per_s"]
    return {
        "benchmark": "soft-votes",
        "rows": rows,
        "runs": runs,
        "cost": round(cost, 4),
        "repeats": repeats,
        "notes": [
            f"cost: {100 * cost:.1f} % of the judgments/s; medians, by turns, in one engine",
            f"judgments_per_s: from {100 * _FROM:.0f} to {100 * _TO:.0f} % of the replies, so that "
            "neither filling the slots counts nor the last replies, with which no others are in "
            f"flight; as in a job, {QUEUE_FACTOR:g} requests are in flight for each slot",
        ],
    }


def _measure(
    config_path: str, overrides: Sequence[str], input_uri: str, repeats: int
) -> list[dict[str, Any]]:
    config = load_config(LabelConfig, config_path, list(overrides), own_sections=True)
    with phase(stderr_reporter(), "starting the engine"):
        engine = start_engine(config.judge, config.engine)
    prompts = prompts_of(config, input_uri, engine)
    runs = asyncio.run(_by_turns(engine, config, prompts, repeats))
    engine.close()
    return runs


async def _by_turns(
    engine: Engine, config: LabelConfig, prompts: Sequence[Rendered], repeats: int
) -> list[dict[str, Any]]:
    runs = []
    for number in range(repeats + 1):
        for name in ("sampled", "soft"):
            # Seeds of its own: each run's replies are new, and its prompts are in the cache.
            run = {"votes": name, **await _run(engine, config, prompts, name == "soft", number)}
            if number:  # the first of each compiles and fills the cache
                report_run(name, run)
                runs.append(run)
    return runs


async def _run(
    engine: Engine, config: LabelConfig, prompts: Sequence[Rendered], soft: bool, number: int
) -> dict[str, Any]:
    judge = config.judge
    settings = judge.sampling
    how = Sampling(settings.temperature, settings.top_p, settings.max_tokens, number)
    if soft:
        how = replace(how, soft=SoftReader(judge.declared_format, 2, judge.reply_prefix))
    in_flight = asyncio.Semaphore(round(engine.at_once * QUEUE_FACTOR))
    ended: list[float] = []

    async def ask(place: int, prompt: Rendered) -> Reply:
        media = bool(prompt.chat.images or prompt.chat.clips)
        ending = ending_of(judge, 2, prompt.chat.user, media=media)
        name = f"{'soft' if soft else 'sampled'}-{number}-{place}"
        async with in_flight:
            reply = await engine.reply(name, prompt, replace(how, ending=ending))
        ended.append(time.monotonic())
        return reply

    spent = time.process_time()
    replies = await asyncio.gather(*(ask(place, each) for place, each in enumerate(prompts)))
    first, last = (round(share * (len(ended) - 1)) for share in (_FROM, _TO))
    return {
        "judgments_per_s": round((last - first) / (ended[last] - ended[first]), 2),
        "read": sum(reply.slot is not None for reply in replies),
        "output_tokens_a_judgment": round(sum(r.output_tokens for r in replies) / len(replies), 1),
        # Of this process, which feeds the engine core.
        "cpu_ms_a_judgment": round(1_000 * (time.process_time() - spent) / len(replies), 2),
    }


def _middle(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    names = ("judgments_per_s", "read", "output_tokens_a_judgment", "cpu_ms_a_judgment")
    return {name: round(median(run[name] for run in runs), 3) for name in names}
