"""vLLM's scheduler, made to take waiting requests up in groups.

By itself vLLM gives a place away as soon as it is free. With 1,024 places and replies of 550 tokens
that is two in every step, so that every step computes a prompt or two beside a thousand tokens of
replies: more tokens than its CUDA graphs are for, and a vision encoder that is launched kernel by
kernel for one picture. The engine core's CPU then sets the pace, not the GPU. Here places stay
empty until a group of them is free. Then most steps are of replies alone, which one CUDA graph
covers, and the others carry as many prompts as they may.

Imported by vLLM in its engine core, vLLM 0.26 to 0.32.
"""

from __future__ import annotations

import os
from typing import Any

from vllm.v1.core.sched.async_scheduler import AsyncScheduler
from vllm.v1.core.sched.interface import PauseState
from vllm.v1.core.sched.output import SchedulerOutput
from vllm.v1.core.sched.scheduler import Scheduler

from pipeline.engines.vllm_engine import PREFILL_GROUP

_FULL = 0.97  # of the memory for keys and values; replies in flight take up more of it


class PrefillGroups(Scheduler):
    """Takes requests that wait up when a group of places is free."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Makes a scheduler, as vLLM makes its own."""
        super().__init__(*args, **kwargs)
        # Not in vLLM's configuration, all of which tells compiled graphs apart.
        self._group = int(os.environ[PREFILL_GROUP])
        self._places: int = self.scheduler_config.max_num_seqs
        self._filling = True

    def schedule(self, *args: Any, **kwargs: Any) -> SchedulerOutput:
        """Plans a step; without new requests until a group of places is free."""
        if self._pause_state is not PauseState.UNPAUSED:
            return super().schedule(*args, **kwargs)
        self._filling = self._filling or self._has_room()
        # Not set_pause_state, which tells the log of it.
        self._pause_state = PauseState.UNPAUSED if self._filling else PauseState.PAUSED_NEW
        try:
            step = super().schedule(*args, **kwargs)
        finally:
            self._pause_state = PauseState.UNPAUSED
        self._filling = self._filling and not self._is_full()
        return step

    def _has_room(self) -> bool:
        running, waiting = self.get_request_counts()
        if not running:
            return True
        next_ones = min(self._group, waiting)
        most = _FULL * (1 - next_ones / self._places)
        return running + next_ones <= self._places and self.kv_cache_manager.usage <= most

    def _is_full(self) -> bool:
        running, _ = self.get_request_counts()
        return running >= self._places or self.kv_cache_manager.usage >= _FULL


class AsyncPrefillGroups(PrefillGroups, AsyncScheduler):
    """The same, planning a step while the one before it is computed."""


def make_scheduler(*args: Any, vllm_config: Any, **kwargs: Any) -> Scheduler:
    """Makes the scheduler of an engine core, as vLLM calls its own.

    Args:
        vllm_config: says which of vLLM's schedulers it is to be based on.
        args, kwargs: whatever else this vLLM gives its schedulers.
    """
    chosen = AsyncPrefillGroups if vllm_config.scheduler_config.async_scheduling else PrefillGroups
    return chosen(*args, vllm_config=vllm_config, **kwargs)
