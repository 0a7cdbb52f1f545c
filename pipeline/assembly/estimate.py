"""How many tokens a prompt will have, judging by the first pairs of a shard."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Any

from pipeline.core.columns import ColumnMapping
from pipeline.core.config import JudgeConfig
from pipeline.core.prompts import load_prompt
from pipeline.core.storage import Store
from pipeline.workers.read_pairs import ShardTask, first_pairs

_CHARACTERS_A_TOKEN = 4  # of English text, roughly


def estimate_prompt_tokens(
    source: Store, task: ShardTask, columns: ColumnMapping, judge: JudgeConfig
) -> float:
    """Estimated tokens of one prompt, every picture at its cap.

    Args:
        source: the input root.
        task: a shard, of which the first few pairs are read.
        columns: the input's column mapping.
        judge: prompt and pixel cap.
    """
    prompt = load_prompt(judge.format, judge.candidates)
    frame = len(prompt.system) + len(prompt.user)
    picture = judge.media.max_pixels / judge.media.factor**2
    return statistics.fmean(
        (frame + _characters(pair)) / _CHARACTERS_A_TOKEN + len(pair["images"] or ()) * picture
        for pair in first_pairs(source, task, columns).to_pylist()
    )


def _characters(pair: Mapping[str, Any]) -> int:
    texts = [
        pair["prompt"],
        *((message or {}).get("content") for message in pair["messages"] or ()),
    ]
    texts += [(pair[name] or {}).get("text") for name in ("response_a", "response_b")]
    return sum(len(text) for text in texts if text)
