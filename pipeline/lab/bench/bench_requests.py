"""The requests of a benchmark: the prompts of real pairs, and the rates at which engines reply."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.engines.chat_layout import ChatRenderer
from pipeline.engines.engine import Chat, Engine, Rendered, Reply, Sampling, Score, Scorer
from pipeline.judging.endings import ending_of
from pipeline.judging.judge_config import JudgeConfig
from pipeline.lab.bench.label_timeline import full_rate
from pipeline.labeling.label_config import LabelConfig
from pipeline.labeling.pair_judge import Judge
from pipeline.labeling.planning.plan import plan_shards
from pipeline.labeling.read_pairs import ShardTask, read_units, unit_of
from pipeline.media.media_store import MediaStore
from pipeline.pairs.shards import open_input
from pipeline.store.object_store import Store

_VERDICT = "</answer>"
# From 8 requests on vLLM samples by a kernel that takes 5 s to compile on a new machine.
_WARM_UP = 16


@dataclass(frozen=True)
class Rates:
    """Totals of a run and its seconds, the engine's start left out.

    Attributes:
        steady_judgments_per_s: of complete pairs, from a quarter of them to their half.
        prompt_tokens, cached_tokens: of all prompts, and how many of them came from the prefix
            cache; 0 and 0 where a side does not report them.
        shared_tokens: prompt tokens that a pair's second request has in common with its first, from
            the beginning; 0 where that is not counted.
        after_verdict: share of the replies' characters that follow the last verdict, where a
            reply has one; None where the texts are not known.
    """

    pairs: int
    judgments: int
    output_tokens: int
    seconds: float
    steady_judgments_per_s: float
    prompt_tokens: int = 0
    cached_tokens: int = 0
    shared_tokens: int = 0
    after_verdict: float | None = None

    def row(self) -> dict[str, float]:
        """The rates as a row of a table."""
        rates = {
            "pairs_per_s": round(self.pairs / self.seconds, 2),
            "judgments_per_s": round(self.judgments / self.seconds, 2),
            "steady_judgments_per_s": round(self.steady_judgments_per_s, 2),
            "output_tokens_per_s": round(self.output_tokens / self.seconds, 1),
            "output_tokens_a_judgment": round(self.output_tokens / max(self.judgments, 1), 1),
            "seconds": round(self.seconds, 2),
        }
        if self.prompt_tokens:
            rates["cached_share"] = round(self.cached_tokens / self.prompt_tokens, 3)
            rates["prompt_tokens_a_pair"] = round(self.prompt_tokens / self.pairs, 1)
        if self.shared_tokens:
            rates["shared_share"] = round(self.shared_tokens / self.prompt_tokens, 3)
        if self.after_verdict is not None:
            rates["after_verdict"] = self.after_verdict
        return rates


class LayoutOnly:
    """An engine that only lays prompts out, for measurements in which another one replies."""

    at_once = 1

    def __init__(self, judge: JudgeConfig) -> None:
        self.renderer = ChatRenderer(judge)

    def render(self, chat: Chat) -> Rendered:
        return self.renderer.render(chat)

    async def reply(self, request_id: str, prompt: Rendered, sampling: Sampling) -> Reply:
        raise AssertionError(f"{request_id}: this engine only lays out prompts")

    def close(self) -> None:
        """Nothing to end."""


def pairs_in(config: LabelConfig, input_uri: str) -> int:
    """How many pairs an input has."""
    source, prefix = open_input(input_uri)
    return sum(unit.rows for task in _tasks(config, source, prefix) for unit in task.units)


def prompts_of(config: LabelConfig, input_uri: str, engine: Engine | Scorer) -> list[Rendered]:
    """Both prompts of every pair, side by side, in the job's sequence: orders or candidates."""
    source, prefix = open_input(input_uri)
    media = MediaStore([*config.input.media_roots, source.uri], config.judge.media.max_bytes)
    judge = Judge(engine, config.judge, config.engine, media)
    limits = (config.input.unit_bytes, config.input.read_seconds)
    prompts: list[Rendered] = []
    for task in _tasks(config, source, prefix):
        for table in read_units(source, task, config.input.mapping(), *limits):
            _, pairs = unit_of(table)
            for index in range(len(pairs)):
                prompts.extend(judge.prepare(pairs[index]).prompts.values())
    return prompts


def _tasks(config: LabelConfig, source: Store, prefix: str) -> Sequence[ShardTask]:
    nothing = Store("/nonexistent")
    return plan_shards(source, prefix, nothing, config.input, config.judge, "raw").tasks


def ask_all(engine: Engine, prompts: Sequence[Rendered], judge: JudgeConfig) -> Rates:
    """Gives an engine every prompt at once, after some to warm it up."""
    return asyncio.run(_ask_all(engine, prompts, judge))


def score_all(engine: Scorer, prompts: Sequence[Rendered], image_tokens: int) -> Rates:
    """The same of a reward model: a judgment is one pair's, of two scores.

    Args:
        engine: a started reward model.
        prompts: both candidates of every pair, side by side.
        image_tokens: to how many tokens the placeholder of a picture expands.
    """
    return asyncio.run(_score_all(engine, prompts, image_tokens))


def steady_judgments(ended: Sequence[float]) -> float:
    """Judgments a second while requests wait.

    Args:
        ended: when each reply ended, the two of a pair side by side.
    """
    return 2 * full_rate(when_complete(ended))


def when_complete(ended: Sequence[float]) -> list[float]:
    """When each pair had both replies."""
    return [max(both) for both in zip(ended[::2], ended[1::2], strict=True)]


async def _ask_all(engine: Engine, prompts: Sequence[Rendered], judge: JudgeConfig) -> Rates:
    how = judge.sampling

    async def ask(name: str, prompt: Rendered, most: int) -> tuple[Reply, float]:
        ending = ending_of(judge, 2, prompt.chat.user, media=bool(prompt.chat.images))
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


async def _score_all(engine: Scorer, prompts: Sequence[Rendered], image_tokens: int) -> Rates:
    async def ask(name: str, prompt: Rendered) -> tuple[Score, float]:
        return await engine.score(name, prompt), time.monotonic()

    await asyncio.gather(*(ask(f"warm-up-{n}", prompts[-1]) for n in range(_WARM_UP)))
    began = time.monotonic()
    ended = await asyncio.gather(*(ask(f"raw-{n}", each) for n, each in enumerate(prompts)))
    seconds, scores = time.monotonic() - began, [score for score, _ in ended]
    pairs = len(scores) // 2
    return Rates(
        pairs=pairs,
        judgments=pairs,
        output_tokens=0,
        seconds=seconds,
        steady_judgments_per_s=full_rate(when_complete([when for _, when in ended])),
        prompt_tokens=sum(score.prompt_tokens for score in scores),
        cached_tokens=sum(score.cached_tokens for score in scores),
        shared_tokens=sum(
            _shared(first, second, image_tokens)
            for first, second in zip(prompts[::2], prompts[1::2], strict=True)
        ),
    )


def _shared(first: Rendered, second: Rendered, image_tokens: int) -> int:
    """Tokens with which both prompts begin, pictures expanded."""
    alike = 0
    for one, other in zip(first.token_ids, second.token_ids, strict=False):
        if one != other:
            break
        alike += 1
    pictures = len(first.chat.images)  # they stand before the answers
    return alike + pictures * (image_tokens - 1)


def _after_verdict(texts: Sequence[str]) -> float:
    after = sum(len(text) - text.rindex(_VERDICT) for text in texts if _VERDICT in text)
    ends = len(_VERDICT) * sum(_VERDICT in text for text in texts)
    return round((after - ends) / max(1, sum(map(len, texts))), 4)
