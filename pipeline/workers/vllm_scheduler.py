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

from typing import Any

from vllm.v1.core.sched.async_scheduler import AsyncScheduler
from vllm.v1.core.sched.interface import PauseState
from vllm.v1.core.sched.scheduler import Scheduler

from pipeline.workers.vllm_engine import PREFILL_GROUP

_FULL = 0.97  # of the memory for keys and values; replies in flight take up more of it


class _PrefillGroups:
    """Beside a scheduler of vLLM: when requests that wait may be taken up."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._group: int = self.vllm_config.additional_config[PREFILL_GROUP]  # type: ignore[attr-defined]
        self._places: int = self.scheduler_config.max_num_seqs  # type: ignore[attr-defined]
        self._filling = True
        self._pause_state: PauseState = PauseState.UNPAUSED

    def schedule(self, *args: Any, **kwargs: Any) -> Any:
        """Plans a step; without new requests until a group of places is free."""
        if self._pause_state is not PauseState.UNPAUSED:
            return super().schedule(*args, **kwargs)  # type: ignore[misc]
        self._filling = self._filling or self._has_room()
        # Not set_pause_state, which tells the log of it.
        self._pause_state = PauseState.UNPAUSED if self._filling else PauseState.PAUSED_NEW
        try:
            step = super().schedule(*args, **kwargs)  # type: ignore[misc]
        finally:
            self._pause_state = PauseState.UNPAUSED
        self._filling = self._filling and not self._is_full()
        return step

    def _has_room(self) -> bool:
        running, waiting = self.get_request_counts()  # type: ignore[attr-defined]
        if not running:
            return True
        free = self._places - running
        return bool(
            free >= min(self._group, waiting) and self._used() <= _FULL - self._group / self._places
        )

    def _is_full(self) -> bool:
        running, waiting = self.get_request_counts()  # type: ignore[attr-defined]
        return bool(waiting and (running >= self._places or self._used() >= _FULL))

    def _used(self) -> float:
        return float(self.kv_cache_manager.usage)  # type: ignore[attr-defined]


class _Async(_PrefillGroups, AsyncScheduler):
    pass


class _Sync(_PrefillGroups, Scheduler):
    pass


def make_scheduler(*args: Any, vllm_config: Any, **kwargs: Any) -> Scheduler:
    """Makes the scheduler of an engine core, as vLLM calls its own.

    Args:
        vllm_config: with the size of a group in ``additional_config``.
        args, kwargs: whatever else this vLLM gives its schedulers.
    """
    chosen = _Async if vllm_config.scheduler_config.async_scheduling else _Sync
    return chosen(*args, vllm_config=vllm_config, **kwargs)
