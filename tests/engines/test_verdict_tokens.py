"""Log-probabilities of verdicts, and verdicts that are held to their grammar, on real engines."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from pipeline.engines.engine import Engine, Rendered, Reply, Sampling
from pipeline.engines.engine_config import EngineConfig
from pipeline.engines.engine_registry import start_engine
from pipeline.judging.constraint import Constraint
from pipeline.judging.parsing import Verdict
from pipeline.judging.soft_verdicts import LEAST_MASS, SoftReader
from pipeline.lab.tiny_judge.scene_corpus import scene_rows
from tests.engines.conftest import GREEDY, TinyJudge

pytestmark = pytest.mark.engine
HOT = Sampling(temperature=1.8, top_p=1.0, max_tokens=192, seed=0)


def prompts_of(tiny: TinyJudge, pairs: int, seed: int) -> list[Rendered]:
    rows = [row | {"defect": None} for row in scene_rows(pairs, seed)]
    return [prompt for row in rows for prompt in tiny.judge.prepare(row).prompts.values()]


def replies(
    tiny: TinyJudge, engine: Engine, prompts: list[Rendered], how: Callable[[int], Sampling]
) -> list[Reply]:
    async def ask() -> list[Reply]:
        asked = (engine.reply(f"v{n}", prompt, how(n)) for n, prompt in enumerate(prompts))
        return await asyncio.gather(*asked)

    return tiny.run(ask())


def test_what_else_a_verdict_could_have_been_is_that_of_transformers(tiny: TinyJudge) -> None:
    format_ = tiny.config.judge.declared_format
    prompts = prompts_of(tiny, 3, 31)
    how = replace(GREEDY, temperature=0, soft=SoftReader(format_, 2))
    got = replies(tiny, tiny.engine, prompts, lambda _: how)
    reference = start_engine(tiny.config.judge, EngineConfig(kind="transformers"))
    expected = replies(tiny, reference, prompts, lambda _: how)
    plain = replies(tiny, tiny.engine, prompts, lambda _: GREEDY)
    assert [reply.text for reply in got] == [reply.text for reply in plain]
    for ours, theirs in zip(got, expected, strict=True):
        assert ours.slot is not None
        assert theirs.slot is not None
        assert ours.slot.mass == pytest.approx(theirs.slot.mass, abs=1e-3)
        assert ours.slot.mass > LEAST_MASS
        for side in ("first", "second", "tie"):
            mine, other = (each.slot.shares.get(side, 0.0) for each in (ours, theirs) if each.slot)
            assert mine == pytest.approx(other, abs=1e-3)


def test_verdicts_that_are_held_to_the_grammar(tiny: TinyJudge) -> None:
    """Hot enough that a good part of free replies is none; the reasoning is the free one's."""
    format_ = tiny.config.judge.declared_format
    prompts = prompts_of(tiny, 24, 32)
    held = Constraint.of(format_.grammar, 2)

    def hot(number: int) -> Sampling:
        return replace(HOT, seed=number)

    free = replies(tiny, tiny.engine, prompts, hot)
    got = replies(tiny, tiny.engine, prompts, lambda n: replace(hot(n), constraint=held))
    lost = 0
    for theirs, ours in zip(free, got, strict=True):
        reasoning, closed, _ = theirs.text.partition("</think>")
        assert ours.text.partition("</think>")[:2] == (reasoning, closed)
        if not closed:
            continue
        read = format_.parse(ours.text, ours.finish_reason, 2)
        assert isinstance(read, Verdict), ours.text
        lost += not isinstance(format_.parse(theirs.text, theirs.finish_reason, 2), Verdict)
    assert lost > 0


def test_what_means_no_verdict_is_not_made_one(tiny: TinyJudge) -> None:
    format_ = tiny.config.judge.declared_format
    (prompt, _) = prompts_of(tiny, 1, 33)
    held = Constraint.of(format_.grammar, 2)
    never = replace(held, beginnings=("I cannot",))
    (free,) = replies(tiny, tiny.engine, [prompt], lambda _: GREEDY)
    (same,) = replies(tiny, tiny.engine, [prompt], lambda _: replace(GREEDY, constraint=never))
    assert same.text == free.text
