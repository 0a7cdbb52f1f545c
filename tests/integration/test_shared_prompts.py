"""Shuffled pairs of shared prompts, judged on an engine that stands for vLLM's prefix cache."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest

from pipeline.engines.engine import Rendered, Reply, Sampling
from pipeline.lab.bench.bench_requests import LayoutOnly
from pipeline.lab.bench.shared_prompts_bench import (
    AS_THEY_COME,
    TOGETHER,
    run_way,
    tasks_of,
    write_shared_prompts,
)
from pipeline.labeling.label_config import LabelConfig
from pipeline.runtime.config_file import load_config

_BLOCK, _BLOCKS = 16, 150  # about four prompts


class CachedPrefixes(LayoutOnly):
    """Replies at once; of each prompt it has the blocks that were used last."""

    def __init__(self, config: LabelConfig) -> None:
        super().__init__(config.judge)
        self.at_once = config.engine.max_num_seqs
        self._kept: OrderedDict[int, None] = OrderedDict()

    async def reply(self, request_id: str, prompt: Rendered, sampling: Sampling) -> Reply:
        (picture,) = prompt.chat.images
        before = hash(picture.tobytes())  # unlike vLLM, from the first block on
        blocks: list[int] = []
        ids: tuple[Any, ...] = (
            *[before] * (prompt.length - len(prompt.token_ids)),
            *prompt.token_ids,
        )
        for start in range(0, prompt.length - _BLOCK, _BLOCK):
            before = hash((before, ids[start : start + _BLOCK]))
            blocks.append(before)
        found = next((n for n, each in enumerate(blocks) if each not in self._kept), len(blocks))
        for each in blocks:
            self._kept[each] = None
            self._kept.move_to_end(each)
            if len(self._kept) > _BLOCKS:
                self._kept.popitem(last=False)
        await asyncio.sleep(0)
        text = "<think> x </think>\n\n<answer>\\boxed{7, 3}</answer>"
        return Reply(text, "stop", prompt.length, 9, found * _BLOCK)


@pytest.fixture(scope="module")
def shares(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What each way finds in the cache, of 24 prompts with six pairs each."""
    settings = ["engine.max_num_seqs=4", "engine.decode_threads=2", "judge.votes.max_votes=2"]
    config = load_config(LabelConfig, "jobs/configs/cpu.yaml", settings, own_sections=True)
    folder: Path = write_shared_prompts(tmp_path_factory.mktemp("pairs"), (112, 112), 24, 8, 1)
    tasks = tasks_of(config, folder)
    return {
        way: asyncio.run(run_way(CachedPrefixes(config), config, folder, tasks, way, 3))
        for way in (AS_THEY_COME, TOGETHER)
    }


def test_shuffled_pairs_of_a_prompt_meet_in_the_cache(shares: dict[str, dict[str, Any]]) -> None:
    found = {way: run["cached_share"] for way, run in shares.items()}
    assert found[TOGETHER] > 1.5 * found[AS_THEY_COME]


def test_what_is_judged_is_the_same(shares: dict[str, dict[str, Any]]) -> None:
    same = ("pairs", "prompt_tokens_a_judgment", "output_tokens_a_judgment")
    assert shares[TOGETHER]["pairs"] == 144
    assert [shares[TOGETHER][name] for name in same] == [shares[AS_THEY_COME][n] for n in same]
    # Whichever prompt of two comes first.
    both = [shares[way]["possible_share"] for way in (TOGETHER, AS_THEY_COME)]
    assert both[0] == pytest.approx(both[1], abs=0.01)
