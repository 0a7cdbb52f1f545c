"""Which scheduler vLLM is told to use."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.core.config import EngineConfig
from pipeline.workers.vllm_engine import PREFILL_GROUP, scheduler_args

OURS = "pipeline.workers.vllm_scheduler.make_scheduler"


@pytest.mark.parametrize(
    ("engine", "group"),
    [
        ({"max_num_seqs": 1024}, 32),
        ({"max_num_seqs": 64}, 2),
        ({"max_num_seqs": 1024, "prefill_group": 64}, 64),
        ({"max_num_seqs": 16, "prefill_group": 4}, 4),
    ],
)
def test_requests_are_taken_up_in_groups(engine: dict[str, int], group: int) -> None:
    expected = {"scheduler_cls": OURS, "additional_config": {PREFILL_GROUP: group}}
    assert scheduler_args(EngineConfig(**engine), {}) == expected


@pytest.mark.parametrize(
    ("engine", "free"),
    [
        ({"max_num_seqs": 63}, {}),  # a 32nd of it is one
        ({"max_num_seqs": 1024, "prefill_group": 1}, {}),
        ({"max_num_seqs": 1024, "prefill_group": 64}, {"scheduler_cls": "mine.Scheduler"}),
    ],
)
def test_or_vllm_keeps_its_own_or_the_users(engine: dict[str, int], free: dict[str, Any]) -> None:
    assert scheduler_args(EngineConfig(**engine), free) == {}


def test_what_else_the_user_tells_vllms_plugins_is_kept() -> None:
    free = {"additional_config": {"theirs": 1}}
    told = scheduler_args(EngineConfig(max_num_seqs=64), free)["additional_config"]
    assert told == {"theirs": 1, PREFILL_GROUP: 2}
