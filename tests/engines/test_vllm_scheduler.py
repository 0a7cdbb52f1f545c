"""vLLM's own schedulers with groups of requests, without a model."""

from __future__ import annotations

import itertools
import random
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engines.conftest import TinyJudge

if TYPE_CHECKING:
    from tests.engines.scheduled_engine import ScheduledEngine

pytestmark = pytest.mark.engine


def started(*how: Any, **settings: Any) -> ScheduledEngine:
    """A :class:`ScheduledEngine`; vLLM, which takes seconds to import, is so for these tests."""
    from tests.engines.scheduled_engine import ScheduledEngine

    return ScheduledEngine(*how, **settings)


def test_requests_are_admitted_once_a_group_of_slots_is_free() -> None:
    engine = started(slots=4, group=2)
    engine.ask([1, 2, 3, 4, 5, 5, 5, 5])
    engine.finish(20)
    # After the first step one slot is free, after the second two; after the fourth two again.
    assert engine.admitted == [4, 0, 2, 0, 2, 0, 0, 0, 0]


def test_with_groups_of_one_each_slot_is_filled_at_once() -> None:
    engine = started(slots=4, group=1)
    engine.ask([1, 2, 3, 4, 5, 5, 5, 5])
    engine.finish(20)
    assert engine.admitted == [4, 1, 1, 1, 1, 0, 0, 0, 0]


def test_a_request_that_arrives_at_free_slots_does_not_wait() -> None:
    engine = started(slots=4, group=3)
    engine.ask([1, 9, 9, 9])
    engine.step()
    engine.ask([9])
    engine.step()
    assert engine.admitted == [4, 1]


def test_the_last_requests_do_not_wait_for_a_full_group() -> None:
    engine = started(slots=4, group=4)
    engine.ask([1, 9, 9, 9, 2])
    engine.step()
    engine.step()
    assert engine.admitted == [4, 1]


def test_free_memory_counts_as_free_slots_do() -> None:
    """Each request takes two blocks: of 24 (and one that vLLM keeps) there is room for twelve."""
    engine = started(slots=16, group=4, blocks=25)
    engine.ask([2, 2, 2, 3, *[9] * 8, *[9] * 6])
    engine.finish(40)
    # Three have ended after the second step, four after the third: a third of the memory.
    assert engine.admitted[:4] == [12, 0, 0, 4]
    assert max(engine.running) == 12


@pytest.mark.parametrize("name", ["PAUSED_NEW", "PAUSED_ALL"])
def test_a_pause_is_a_pause(name: str) -> None:
    from vllm.v1.core.sched.interface import PauseState

    state = PauseState[name]
    engine = started(slots=4, group=2)
    engine.scheduler.set_pause_state(state)
    engine.ask([3])
    engine.step()
    assert (engine.admitted, engine.scheduler.pause_state) == ([0], state)
    engine.scheduler.set_pause_state(PauseState.UNPAUSED)
    engine.step()
    assert engine.admitted == [0, 1]


def _steps_that_admit(behind: int, questions: int) -> tuple[int, int]:
    """Steps that compute a prompt, and the most requests at once, of 200 replies in 16 slots."""
    engine = started(slots=16, group=4, questions=questions, asynchronous=True)
    engine.behind = behind
    engine.ask(random.Random(1).choices(range(20, 80), k=200))
    engine.finish(2_000)
    assert sorted(engine.ended) == sorted(engine.asked)
    return sum(count > 0 for count in engine.admitted), max(engine.running)


def test_questions_about_replies_go_with_the_next_group_beside_its_slots() -> None:
    without, most = _steps_that_admit(behind=0, questions=0)
    assert (without, most) == (46, 16)
    among, most = _steps_that_admit(behind=1, questions=0)
    assert (among, most) == (119, 16)
    beside, most = _steps_that_admit(behind=1, questions=8)
    assert beside == 50  # 4 about the last 16 replies, behind which nobody waits
    assert 16 < most <= 24


def _groups_of(engine: ScheduledEngine) -> list[list[tuple[int, int]]]:
    """Runs of steps that admit: how many prompts, and how many questions, in each step."""
    steps = zip(engine.admitted, engine.with_questions, strict=True)
    split = [(count - asked, asked) for count, asked in steps]
    return [list(run) for admits, run in itertools.groupby(split, any) if admits]


def test_questions_go_with_the_second_step_of_a_group_whose_prompts_take_several() -> None:
    engine = started(slots=16, group=8, questions=16, step_tokens=128, asynchronous=True)
    engine.behind = 1
    engine.ask([*range(60, 76)] * 4)
    engine.finish(2_000)
    first, *behind, _, _, _, _ = _groups_of(engine)
    assert first == [(7, 0), (6, 0), (3, 0)]
    # A question takes as many tokens as a prompt here, so that the last prompts go behind them.
    assert behind == [[(7, 0), (0, 5), (1, 5), (3, 1)]] * 4


def test_the_last_question_does_not_wait_for_the_replies_beside_it() -> None:
    engine = started(slots=16, group=4, questions=8)
    engine.behind = 1
    engine.ask([2, 60])
    for _ in range(2 + 17):  # the first reply, and the steps that its question waits for others
        engine.step()
    assert engine.ended == ["0", "0?"]
    assert engine.admitted == [2, *[0] * 17, 1]
    engine.finish(60)
    assert engine.ended[2:] == ["1", "1?"]
    assert engine.admitted[-2:] == [0, 1]


@settings(max_examples=80)
@given(
    arrivals=st.lists(st.lists(st.integers(1, 30), max_size=12), max_size=12),
    aborted=st.sets(st.integers(0, 40), max_size=8),
    shape=st.sampled_from([(1, 1), (4, 2), (4, 4), (8, 3), (8, 8)]),
    blocks=st.sampled_from([9, 17, 1_000]),
    asynchronous=st.booleans(),
    behind=st.integers(0, 3),
    questions=st.sampled_from([1, 4]),
)
def test_every_request_ends_whatever_comes_and_goes(
    arrivals: list[list[int]],
    aborted: set[int],
    shape: tuple[int, int],
    blocks: int,
    asynchronous: bool,
    behind: int,
    questions: int,
) -> None:
    engine = started(*shape, blocks, asynchronous, questions)
    engine.behind = behind
    for lengths in arrivals:
        engine.ask(lengths)
        engine.step()
    for number in aborted:
        engine.abort(str(number))
    engine.finish(2_000)
    assert sorted(engine.ended) == sorted(engine.asked)
    assert max(engine.running, default=0) <= shape[0] + questions


@pytest.mark.parametrize("asynchronous", [True, False])
def test_it_plans_ahead_where_vllm_does(asynchronous: bool) -> None:
    from vllm.v1.core.sched.async_scheduler import AsyncScheduler

    engine = started(slots=4, group=2, asynchronous=asynchronous)
    assert isinstance(engine.scheduler, AsyncScheduler) == asynchronous


def test_the_engine_uses_it(tiny: TinyJudge) -> None:
    config = tiny.engine._llm.vllm_config.scheduler_config  # type: ignore[attr-defined]
    assert (config.max_num_seqs, config.scheduler_cls) == (
        64,
        "pipeline.engines.vllm_scheduler.make_scheduler",
    )
