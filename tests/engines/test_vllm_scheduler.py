"""vLLM's own scheduler with groups of requests, beside no model: every token is a 7."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from vllm import SamplingParams
from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.v1.core.sched.async_scheduler import AsyncScheduler
from vllm.v1.core.sched.scheduler import Scheduler
from vllm.v1.kv_cache_interface import FullAttentionSpec, KVCacheConfig, KVCacheGroupSpec
from vllm.v1.outputs import ModelRunnerOutput
from vllm.v1.request import Request
from vllm.v1.structured_output import StructuredOutputManager

from pipeline.tiny_judge import WEIGHTS
from pipeline.workers.vllm_engine import PREFILL_GROUP
from pipeline.workers.vllm_scheduler import make_scheduler

pytestmark = pytest.mark.engine
PROMPT = 20  # tokens, of which a block of keys and values holds 16
BLOCK = 16


class Engine:
    """A scheduler and what an engine core does with it.

    Attributes:
        taken: how many requests each step so far took up.
        running: how many were being written after each step.
    """

    def __init__(self, places: int, group: int, blocks: int = 1_000) -> None:
        """Makes a scheduler with so many places, taking up so many requests at a time."""
        config = AsyncEngineArgs(
            model=str(WEIGHTS),
            dtype="float32",
            max_model_len=256,
            max_num_seqs=places,
            max_num_batched_tokens=1_024,
            enable_chunked_prefill=False,
            enable_prefix_caching=False,
            additional_config={PREFILL_GROUP: group},
        ).create_engine_config()
        config.cache_config.num_gpu_blocks = blocks
        layer = FullAttentionSpec(block_size=BLOCK, num_kv_heads=1, head_size=1, dtype=torch.float)
        self.scheduler: Scheduler = make_scheduler(
            vllm_config=config,
            kv_cache_config=KVCacheConfig(blocks, [], [KVCacheGroupSpec(["layer"], layer)]),
            structured_output_manager=StructuredOutputManager(config),
            block_size=BLOCK,
            hash_block_size=BLOCK,
        )
        self.taken: list[int] = []
        self.running: list[int] = []

    def ask(self, lengths: Iterable[int]) -> None:
        """Adds requests whose replies will have so many tokens."""
        for length in lengths:
            how = SamplingParams(max_tokens=length, ignore_eos=True)
            name = f"{len(self.scheduler.requests)}-{len(self.taken)}"
            self.scheduler.add_request(Request(name, [5] * PROMPT, how, None))

    def step(self) -> None:
        """Every request that is being written gets a token."""
        plan = self.scheduler.schedule()
        self.taken.append(len(plan.scheduled_new_reqs))
        self.running.append(len(self.scheduler.running))
        names = list(plan.num_scheduled_tokens)
        places = {name: place for place, name in enumerate(names)}
        self.scheduler.update_from_output(
            plan, ModelRunnerOutput(names, places, sampled_token_ids=[[7]] * len(names))
        )

    def finish(self, most_steps: int) -> None:
        """Goes on until every reply is written."""
        for _ in range(most_steps):
            if not self.scheduler.has_unfinished_requests():
                return
            self.step()
        raise AssertionError(f"unfinished after {most_steps} steps: {self.taken}")


def test_places_are_given_away_when_a_group_of_them_is_free() -> None:
    engine = Engine(places=4, group=2)
    engine.ask([1, 2, 3, 4, 5, 5, 5, 5])
    engine.finish(20)
    # One place is free after the first step, two after the second; the two taken then end with
    # the seventh, when two wait for them no more: those came after the fourth.
    assert engine.taken == [4, 0, 2, 0, 2, 0, 0, 0, 0]


def test_as_vllm_does_by_itself_each_place_is_given_away_at_once() -> None:
    engine = Engine(places=4, group=1)
    engine.ask([1, 2, 3, 4, 5, 5, 5, 5])
    engine.finish(20)
    assert engine.taken == [4, 1, 1, 1, 1, 0, 0, 0, 0]


def test_who_comes_where_there_is_room_does_not_wait_for_others() -> None:
    engine = Engine(places=4, group=3)
    engine.ask([9, 9, 9])
    engine.step()
    engine.ask([9])
    engine.step()
    assert engine.taken == [3, 1]


def test_the_last_ones_do_not_wait_for_a_group_that_will_never_be() -> None:
    engine = Engine(places=4, group=4)
    engine.ask([1, 9, 9, 9, 2])
    engine.step()
    engine.step()
    assert engine.taken == [4, 1]


def test_memory_counts_as_places_do() -> None:
    """Each request takes two blocks: of 24 (and one that vLLM keeps) there is room for twelve."""
    engine = Engine(places=16, group=4, blocks=25)
    engine.ask([2, 2, 2, 3, *[9] * 8, *[9] * 6])
    engine.finish(40)
    # Three have ended after the second step, four after the third: a third of the memory.
    assert engine.taken[:4] == [12, 0, 0, 4]
    assert max(engine.running) == 12


@settings(deadline=None, max_examples=60)
@given(
    arrivals=st.lists(st.lists(st.integers(1, 30), max_size=12), max_size=12),
    shape=st.sampled_from([(1, 2), (4, 2), (4, 9), (8, 3), (8, 8)]),
    blocks=st.sampled_from([9, 17, 1_000]),
)
def test_every_request_ends_whatever_comes_and_goes(
    arrivals: list[list[int]], shape: tuple[int, int], blocks: int
) -> None:
    engine = Engine(*shape, blocks)
    for lengths in arrivals:
        engine.ask(lengths)
        engine.step()
    engine.finish(2_000)
    assert sum(engine.taken) == sum(map(len, arrivals))
    assert max(engine.running, default=0) <= shape[0]


@pytest.mark.parametrize("asynchronous", [True, False])
def test_both_of_vllms_schedulers_can_have_groups(asynchronous: bool) -> None:
    engine = Engine(places=4, group=2)
    known: Mapping[str, Any] = vars(engine.scheduler)
    config = known["vllm_config"]
    config.scheduler_config.async_scheduling = asynchronous
    made = make_scheduler(
        vllm_config=config,
        kv_cache_config=known["kv_cache_config"],
        structured_output_manager=known["structured_output_manager"],
        block_size=BLOCK,
        hash_block_size=BLOCK,
    )
    assert isinstance(made, AsyncScheduler) == asynchronous
