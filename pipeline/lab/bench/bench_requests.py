"""The requests of a benchmark: the prompts of real pairs, and how fast they are replied to."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.engines.engine import Engine, Rendered, Reply, Sampling
from pipeline.judging.endings import ending_of
from pipeline.judging.judge_config import JudgeConfig
from pipeline.lab.bench.timeline import full_rate
from pipeline.labeling.label_config import LabelConfig
from pipeline.labeling.pair_judge import Judge
from pipeline.labeling.plan import make_plan
from pipeline.labeling.read_pairs import read_units, unit_of
from pipeline.media.media_store import MediaStore
from pipeline.pairs.shards import open_input
from pipeline.store.object_store import Store

_VERDICT = "</answer>"
# At 8 requests and more vLLM samples by a kernel that takes 5 s to compile on a new machine.
_WARM_UP = 16


@dataclass(frozen=True)
class Rates:
    """What was done in how long, the engine's start left out.

    Attributes:
        steady_judgments_per_s: of complete pairs, from a quarter of them to their half.
        prompt_tokens, cached_tokens: of all prompts, and what of them came from the prefix cache;
            0 and 0 where a side does not say.
        after_verdict: share of the replies' characters that follow the last verdict, where a
            reply has one; None where replies are not looked at.
    """

    pairs: int
    judgments: int
    output_tokens: int
    seconds: float
    steady_judgments_per_s: float
    prompt_tokens: int = 0
    cached_tokens: int = 0
    after_verdict: float | None = None

    def row(self) -> dict[str, float]:
        """The rates as a row of a table."""
        figures = {
            "pairs_per_s": round(self.pairs / self.seconds, 2),
            "judgments_per_s": round(self.judgments / self.seconds, 2),
            "steady_judgments_per_s": round(self.steady_judgments_per_s, 2),
            "output_tokens_per_s": round(self.output_tokens / self.seconds, 1),
            "output_tokens_a_judgment": round(self.output_tokens / max(self.judgments, 1), 1),
            "seconds": round(self.seconds, 2),
        }
        if self.prompt_tokens:
            figures["cached_share"] = round(self.cached_tokens / self.prompt_tokens, 3)
        if self.after_verdict is not None:
            figures["after_verdict"] = self.after_verdict
        return figures


def prompts_of(config: LabelConfig, input_uri: str, engine: Engine) -> list[Rendered]:
    """Both orders of every pair, beside each other as the job asks them."""
    source, _ = open_input(input_uri)
    media = MediaStore([*config.input.media_roots, source.uri], config.judge.media.max_bytes)
    judge = Judge(engine, config.judge, config.engine, media)
    plan = make_plan(input_uri, Store("/nonexistent"), config.input, config.judge, "raw")
    prompts: list[Rendered] = []
    for task in plan.tasks:
        for table in read_units(source, task, config.input.columns, config.input.unit_bytes):
            _, pairs = unit_of(table)
            for index in range(len(pairs)):
                prompts.extend(judge.prepare(pairs[index]).prompts.values())
    return prompts


def ask_all(engine: Engine, prompts: Sequence[Rendered], judge: JudgeConfig) -> Rates:
    """Gives an engine every prompt at once, after some to warm it up."""
    return asyncio.run(_ask_all(engine, prompts, judge))


async def _ask_all(engine: Engine, prompts: Sequence[Rendered], judge: JudgeConfig) -> Rates:
    how = judge.sampling

    async def ask(name: str, prompt: Rendered, most: int) -> tuple[Reply, float]:
        ending = ending_of(judge, 2, prompt.chat.user)
        sampling = Sampling(how.temperature, how.top_p, most, 0, ending)
        return await engine.reply(name, prompt, sampling), time.monotonic()

    await asyncio.gather(*(ask(f"warm-up-{n}", prompts[-1], 4) for n in range(_WARM_UP)))
    began = time.monotonic()
    ended = await asyncio.gather(
        *(ask(f"raw-{n}", prompt, how.max_tokens) for n, prompt in enumerate(prompts))
    )
    seconds, replies = time.monotonic() - began, [reply for reply, _ in ended]
    return Rates(
        pairs=len(replies) // 2,
        judgments=len(replies),
        output_tokens=sum(reply.output_tokens for reply in replies),
        seconds=seconds,
        steady_judgments_per_s=steady_judgments([when for _, when in ended]),
        prompt_tokens=sum(reply.prompt_tokens for reply in replies),
        cached_tokens=sum(reply.cached_tokens for reply in replies),
        after_verdict=_after_verdict([reply.text for reply in replies]),
    )


def steady_judgments(ended: Sequence[float]) -> float:
    """Judgments a second while requests wait, of when replies ended, a pair's beside each other."""
    return 2 * full_rate(of_pairs(ended))


def of_pairs(ended: Sequence[float]) -> list[float]:
    """When pairs were complete, of when both of their replies ended, one beside the other."""
    return [max(both) for both in zip(ended[::2], ended[1::2], strict=True)]


def _after_verdict(texts: Sequence[str]) -> float:
    after = sum(len(text) - text.rindex(_VERDICT) for text in texts if _VERDICT in text)
    ends = len(_VERDICT) * sum(_VERDICT in text for text in texts)
    return round((after - ends) / max(1, sum(map(len, texts))), 4)
