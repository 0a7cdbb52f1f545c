"""What soft votes cost: one engine, the same requests with and without them by turns."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

from pipeline.engines.engine import CachingEngine, Engine, Rendered, Reply, Sampling
from pipeline.engines.engine_registry import start_engine
from pipeline.judging.endings import ending_of
from pipeline.judging.soft_verdicts import SoftReader
from pipeline.lab.bench.bench_requests import pairs_in, prompts_of
from pipeline.lab.bench.fresh_process import in_fresh_process, stderr_reporter
from pipeline.lab.bench.results_table import report_run
from pipeline.labeling.label_config import LabelConfig
from pipeline.labeling.pair_judge import QUEUE_FACTOR
from pipeline.runtime.config_file import load_config
from pipeline.runtime.errors import ConfigError
from pipeline.runtime.phases import phase

_LEAST_MEASURED = 0.25  # of the replies, by which a rate is taken


def bench_soft_votes(
    config_path: str, overrides: Sequence[str], input_uri: str, repeats: int
) -> dict[str, Any]:
    """Asks about every pair in both orders, each verdict's log-probabilities read or not.

    Args:
        config_path: of the job's configuration.
        overrides: of it; ``judge.sampling.soft_votes`` is set.
        input_uri: pair shards.
        repeats: runs of each way, after a short one of each that is left out.

    Raises:
        ConfigError: too few pairs for the engine's slots.
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
            "judgments_per_s: once each slot was filled again, and while prompts wait for slots; "
            f"as in a job, {QUEUE_FACTOR:g} requests are in flight for each slot, and no prompt is "
            "in the cache from an earlier run",
        ],
    }


def _measure(
    config_path: str, overrides: Sequence[str], input_uri: str, repeats: int
) -> list[dict[str, Any]]:
    config = load_config(LabelConfig, config_path, list(overrides), own_sections=True)
    # Too few are refused before an engine starts.
    _measured(2 * pairs_in(config, input_uri), config.engine.max_num_seqs)
    with phase(stderr_reporter(), "starting the engine"):
        engine = start_engine(config.judge, config.engine)
    prompts = prompts_of(config, input_uri, engine)
    runs = asyncio.run(_by_turns(engine, config, prompts, repeats))
    engine.close()
    return runs


async def _by_turns(
    engine: Engine, config: LabelConfig, prompts: Sequence[Rendered], repeats: int
) -> list[dict[str, Any]]:
    measured = _measured(len(prompts), engine.at_once)
    for soft in (False, True):  # what is compiled with the first requests
        await _run(engine, config, prompts[: engine.at_once], soft, 0)
    runs = []
    for number in range(1, repeats + 1):
        for name in ("sampled", "soft"):
            if isinstance(engine, CachingEngine):
                await engine.forget_prompts()
            # Seeds of its own: each run's replies are new.
            run = await _run(engine, config, prompts, name == "soft", number)
            rate = (measured[1] - measured[0]) / (run.ended[measured[1]] - run.ended[measured[0]])
            row = {"votes": name, "judgments_per_s": round(rate, 2), **run.row()}
            report_run(name, row)
            runs.append(row)
    return runs


def _measured(requests: int, slots: int) -> tuple[int, int]:
    """Replies, by their number, between which all slots are filled and prompts wait for them."""
    first, last = slots, requests - round(slots * QUEUE_FACTOR)
    if last - first < _LEAST_MEASURED * requests:
        least = math.ceil(slots * (1 + QUEUE_FACTOR) / (1 - _LEAST_MEASURED))
        raise ConfigError(
            f"{requests:,} requests for {slots:,} slots: at least {least:,} are needed, two for "
            "each pair; give more --shards, or a lower engine.max_num_seqs"
        )
    return first, last


@dataclass(frozen=True)
class _Run:
    """The replies of a run, when each ended, and the CPU of this process, which feeds the core."""

    replies: Sequence[Reply]
    ended: Sequence[float]
    cpu_s: float

    def row(self) -> dict[str, Any]:
        count = len(self.replies)
        return {
            "read": sum(reply.slot is not None for reply in self.replies),
            "output_tokens_a_judgment": round(
                sum(reply.output_tokens for reply in self.replies) / count, 1
            ),
            "cached_share": round(
                sum(reply.cached_tokens for reply in self.replies)
                / sum(reply.prompt_tokens for reply in self.replies),
                3,
            ),
            "cpu_ms_a_judgment": round(1_000 * self.cpu_s / count, 2),
        }


async def _run(
    engine: Engine, config: LabelConfig, prompts: Sequence[Rendered], soft: bool, number: int
) -> _Run:
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
    return _Run(replies, ended, time.process_time() - spent)


def _middle(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    names = [name for name in runs[0] if name != "votes"]
    return {name: round(median(run[name] for run in runs), 3) for name in names}
