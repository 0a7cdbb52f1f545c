"""How many requests vLLM takes up at a time."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from pipeline.engines.engine_config import EngineConfig
from pipeline.engines.vllm_start import prefill_group


@pytest.mark.parametrize(
    ("engine", "group"),
    [
        ({"max_num_seqs": 1024}, 32),
        ({"max_num_seqs": 64}, 2),
        ({"max_num_seqs": 31}, 1),
        ({"max_num_seqs": 1024, "prefill_group": 1}, 1),
        ({"max_num_seqs": 16, "prefill_group": 16}, 16),
    ],
)
def test_it_is_a_share_of_the_engines_slots_or_what_is_set(
    engine: dict[str, int], group: int
) -> None:
    assert prefill_group(EngineConfig(**engine)) == group


def test_a_group_that_never_finds_room_is_refused() -> None:
    with pytest.raises(ValidationError, match="prefill_group 17 is more than max_num_seqs 16"):
        EngineConfig(max_num_seqs=16, prefill_group=17)
