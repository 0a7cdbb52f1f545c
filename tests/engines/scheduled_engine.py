"""vLLM's own schedulers without a model: every token is a 7."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

import pytest
import torch
from vllm import SamplingParams
from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.v1.core.sched.output import SchedulerOutput
from vllm.v1.core.sched.scheduler import Scheduler
from vllm.v1.kv_cache_interface import FullAttentionSpec, KVCacheConfig, KVCacheGroupSpec
from vllm.v1.outputs import ModelRunnerOutput
from vllm.v1.request import Request, RequestStatus
from vllm.v1.structured_output import StructuredOutputManager

from pipeline.engines.engine import TINY_JUDGE, model_path
from pipeline.engines.vllm_scheduler import make_scheduler
from pipeline.engines.vllm_start import PREFILL_GROUP, QUESTION_SLOTS

_PROMPT = 20  # tokens, of which a block of keys and values holds 16
_BLOCK = 16


class ScheduledEngine:
    """A scheduler and what an engine core does with it.

    Attributes:
        admitted: how many requests each step so far admitted.
        with_questions: how many of these asked about a reply.
        running: how many were being replied to after each step.
        asked, ended: names of requests.
        behind: how many tokens are asked for behind each reply once it is written; 0 for none.
    """

    def __init__(
        self,
        slots: int,
        group: int,
        blocks: int = 1_000,
        asynchronous: bool = False,
        questions: int = 0,
        step_tokens: int = 1_024,
    ) -> None:
        """Makes a scheduler with so many slots that admits requests in groups of this size, and
        with so many more for questions about written replies; a step has so many tokens."""
        config = AsyncEngineArgs(
            model=model_path(TINY_JUDGE),
            dtype="float32",
            max_model_len=256,
            max_num_seqs=slots + questions,
            scheduling_policy="priority",
            max_num_batched_tokens=step_tokens,
            enable_chunked_prefill=step_tokens < 1_024,
            enable_prefix_caching=False,
        ).create_engine_config()
        config.cache_config.num_gpu_blocks = blocks
        config.scheduler_config.async_scheduling = asynchronous  # vLLM has none on CPUs
        layer = FullAttentionSpec(block_size=_BLOCK, num_kv_heads=1, head_size=1, dtype=torch.float)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(PREFILL_GROUP, str(group))
            patch.setenv(QUESTION_SLOTS, str(questions))
            self.scheduler: Scheduler = make_scheduler(
                vllm_config=config,
                kv_cache_config=KVCacheConfig(blocks, [], [KVCacheGroupSpec(["layer"], layer)]),
                structured_output_manager=StructuredOutputManager(config),
                block_size=_BLOCK,
                hash_block_size=_BLOCK,
            )
        self.admitted: list[int] = []
        self.running: list[int] = []
        self.asked: list[str] = []
        self.ended: list[str] = []
        self.behind = 0
        self.with_questions: list[int] = []
        self._planned: deque[tuple[SchedulerOutput, set[str]]] = deque()
        self._ahead = 1 if asynchronous else 0  # steps planned before one is computed

    def ask(self, lengths: Iterable[int]) -> None:
        """Adds requests whose replies will have so many tokens."""
        for length in lengths:
            self._add(str(len(self.asked)), length)

    def _add(self, name: str, length: int, priority: int = 0) -> None:
        self.asked.append(name)
        how = SamplingParams(max_tokens=length, ignore_eos=True)
        self.scheduler.add_request(Request(name, [5] * _PROMPT, how, None, priority=priority))

    def abort(self, name: str) -> None:
        """Ends a request of which no more is wanted."""
        if name in self.scheduler.requests:
            self.scheduler.finish_requests(name, RequestStatus.FINISHED_ABORTED)
            self.ended.append(name)

    def step(self) -> None:
        """Plans a step and computes one: each request in it gets a token behind its prompt."""
        plan = self.scheduler.schedule()
        requests = self.scheduler.requests
        whole = {
            name
            for name in plan.num_scheduled_tokens
            if requests[name].num_computed_tokens >= requests[name].num_prompt_tokens
        }
        new = [each.req_id for each in plan.scheduled_new_reqs]
        self.with_questions.append(sum(name.endswith("?") for name in new))
        self.admitted.append(len(plan.scheduled_new_reqs))
        self.running.append(len(self.scheduler.running))
        self._planned.append((plan, whole))
        if len(self._planned) > self._ahead:
            self._compute(*self._planned.popleft())

    def _compute(self, plan: SchedulerOutput, whole: set[str]) -> None:
        names = list(plan.num_scheduled_tokens)
        index = {name: number for number, name in enumerate(names)}
        sampled = [[7] if name in whole else [] for name in names]
        tokens = ModelRunnerOutput(names, index, sampled_token_ids=sampled)
        for outputs in self.scheduler.update_from_output(plan, tokens).values():
            names = [each.request_id for each in outputs.outputs if each.finish_reason]
            self.ended += names
            for name in names:
                if self.behind and not name.endswith("?"):
                    self._add(f"{name}?", self.behind, priority=-1)

    def finish(self, most_steps: int) -> None:
        """Goes on until every reply is written."""
        for _ in range(most_steps):
            if not self.scheduler.has_unfinished_requests():
                return
            self.step()
        raise AssertionError(f"unfinished after {most_steps} steps: {self.admitted}")
