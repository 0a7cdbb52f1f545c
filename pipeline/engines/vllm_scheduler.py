"""A vLLM scheduler that admits waiting requests in groups.

By default vLLM admits a request as soon as a sequence slot is free. With 1,024 slots and replies of
550 tokens that is two in every step, so that every step computes a prompt or two beside a thousand
tokens of replies: more tokens than its CUDA graphs are captured for, and a vision encoder that is
launched kernel by kernel for one picture. The engine core's CPU is then the limit, not the GPU.
Here slots stay empty until a group of them is free. Then most steps are of replies alone, which one
CUDA graph covers, and the others carry as many prompts as they may.

What is asked about a reply once it is written (soft votes, whether a verdict is meant) has a
priority below 0 and slots of its own, and goes with the next group. In slots of the group, it would
double the number of such steps. Where the prompts of a group take several steps, it goes with the
second: the engine core's CPU needs a millisecond to take up a question, and has it while the GPU
computes the first of them. Behind the last prompts no group comes: then questions make groups of
their own, or go after some steps. One by one they would make a step of 10 ms one of 38 (H200, 270
replies in flight).

Imported by vLLM in its engine core, vLLM 0.26 to 0.32.
"""

from __future__ import annotations

import os
from typing import Any

from vllm.v1.core.sched.async_scheduler import AsyncScheduler
from vllm.v1.core.sched.interface import PauseState
from vllm.v1.core.sched.output import SchedulerOutput
from vllm.v1.core.sched.scheduler import Scheduler
from vllm.v1.request import Request, RequestStatus

from pipeline.engines.vllm_start import PREFILL_GROUP, QUESTION_SLOTS

_FULL = 0.97  # of the memory for keys and values; replies in flight still grow
_LONG = 0.9  # of the tokens that a step may have: prompts of its group wait for the next one
_MOST_HELD = 64  # steps that a question waits for prompts to go with
_MOST_HELD_LAST = 16  # and for other questions, where no prompts wait


class PrefillGroups(Scheduler):
    """Admits waiting requests once a group of sequence slots is free."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Takes what vLLM passes to its own schedulers."""
        super().__init__(*args, **kwargs)
        # Not in vLLM's configuration, which is part of the key of compiled graphs.
        self._group = int(os.environ[PREFILL_GROUP])
        self._question_slots = int(os.environ[QUESTION_SLOTS])
        self._slots: int = self.scheduler_config.max_num_seqs - self._question_slots
        self._questions: set[str] = set()
        # How many may run: of 0.26 the number of slots is the limit, of 0.32 one of its own.
        own = hasattr(self, "max_num_active_reqs")
        self._limit = "max_num_active_reqs" if own else "max_num_running_reqs"
        self._filling = True
        self._held: list[Request] = []  # questions that are not in vLLM's queue yet
        self._steps_held = 0
        self._last_long = False  # whether the last step was
        self._groups_long = False  # whether steps of the last group were

    def add_request(self, request: Request) -> None:
        """Takes a request, whose turn it is later."""
        if request.priority < 0:
            self._held.append(request)
        else:
            super().add_request(request)

    def finish_requests(self, *args: Any, **kwargs: Any) -> Any:
        """Ends requests before they have ended by themselves."""
        self._queue_questions()  # which may be among them
        return super().finish_requests(*args, **kwargs)

    def get_num_unfinished_requests(self) -> int:
        """How many requests are not answered yet."""
        held = len(self._held) if self._pause_state is PauseState.UNPAUSED else 0
        return super().get_num_unfinished_requests() + held

    def schedule(self, *args: Any, **kwargs: Any) -> SchedulerOutput:
        """Plans a step; without new requests until a group of slots is free."""
        if self._pause_state is not PauseState.UNPAUSED:
            return super().schedule(*args, **kwargs)
        self._filling = self._filling or self._has_room()
        if self._held and self._go_now():
            self._queue_questions()
        self._questions &= self.requests.keys()
        # They are before the others in the queue, and so take none of their slots; unless they wait
        # for a grammar and others have theirs, which vLLM 0.26 would not forgive.
        beside = min(len(self._questions), self._question_slots)
        setattr(self, self._limit, max(self._slots + beside, len(self.running)))
        # Not set_pause_state, which writes a log record.
        self._pause_state = PauseState.UNPAUSED if self._filling else PauseState.PAUSED_NEW
        try:
            step = super().schedule(*args, **kwargs)
        finally:
            self._pause_state = PauseState.UNPAUSED
        self._note_length(step, filling=self._filling)
        self._filling = self._filling and not self._is_full()
        return step

    def _note_length(self, step: SchedulerOutput, *, filling: bool) -> None:
        long = step.total_num_scheduled_tokens >= _LONG * self.max_num_scheduled_tokens
        if long or (filling and not self._last_long):
            self._groups_long = long
        self._last_long = long

    def _go_now(self) -> bool:
        """Whether questions go with this step."""
        self._steps_held += 1
        running, waiting = self._counts()
        if waiting:
            with_prompts = self._filling and not self._groups_long
            return with_prompts or self._last_long or self._steps_held > _MOST_HELD
        enough = len(self._held) >= self._group or self._steps_held > _MOST_HELD_LAST
        return enough or running == 0

    def _queue_questions(self) -> None:
        self._questions.update(request.request_id for request in self._held)
        for request in self._held:
            super().add_request(request)
        self._held.clear()
        self._steps_held = 0

    def _has_room(self) -> bool:
        running, waiting = self._counts()
        if not running:
            return True
        next_ones = min(self._group, waiting)
        most = _FULL * (1 - next_ones / self._slots)
        return running + next_ones <= self._slots and self.kv_cache_manager.usage <= most

    def _is_full(self) -> bool:
        running, _ = self._counts()
        return running >= self._slots or self.kv_cache_manager.usage >= _FULL

    def _counts(self) -> tuple[int, int]:
        """Requests that run and that wait, without questions."""
        running, waiting = self.get_request_counts()
        states = [self.requests[each].status for each in self._questions & self.requests.keys()]
        asked = sum(state is RequestStatus.RUNNING for state in states)
        return running - asked, waiting - (len(states) - asked)


class AsyncPrefillGroups(PrefillGroups, AsyncScheduler):
    """The same, planning a step while the previous one is computed."""


def make_scheduler(*args: Any, vllm_config: Any, **kwargs: Any) -> Scheduler:
    """Makes the scheduler of an engine core, as vLLM calls its own.

    Args:
        vllm_config: states which of vLLM's schedulers to build on.
        args, kwargs: whatever else this vLLM passes to its schedulers.
    """
    chosen = AsyncPrefillGroups if vllm_config.scheduler_config.async_scheduling else PrefillGroups
    return chosen(*args, vllm_config=vllm_config, **kwargs)
