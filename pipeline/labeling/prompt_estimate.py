"""How many tokens a prompt will have, estimated from the first pairs of a shard."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Any

from pipeline.judging.judge_config import JudgeConfig
from pipeline.labeling.read_pairs import ShardTask, first_pairs
from pipeline.pairs.pair_mapping import PairMapping
from pipeline.store.object_store import Store

_CHARACTERS_A_TOKEN = 4  # of English text, roughly
_FRAMES_A_TOKEN = 2


def estimate_prompt_tokens(
    source: Store, task: ShardTask, mapping: PairMapping, judge: JudgeConfig
) -> float:
    """Estimated tokens of one prompt, every picture and video at its cap.

    Args:
        source: the input root.
        task: a shard, of which the first few pairs are read.
        mapping: the input's mapping.
        judge: has the prompt and the media caps.
    """
    prompt = judge.prompt_texts
    frame = len(prompt.system or "") + len(prompt.user)
    area, media = judge.media.factor**2, judge.media
    clip = min(media.video.total_pixels, media.video.max_frames * media.video.max_pixels)
    picture = media.square**2 if media.square else media.max_pixels
    caps = {"images": picture / area, "videos": clip / area / _FRAMES_A_TOKEN}
    return statistics.fmean(
        (frame + _characters(pair)) / _CHARACTERS_A_TOKEN
        + sum(cap * _count(pair, kind) for kind, cap in caps.items())
        for pair in first_pairs(source, task, mapping).to_pylist()
    )


def _characters(pair: Mapping[str, Any]) -> int:
    texts = [
        pair["prompt"],
        *((message or {}).get("content") for message in pair["messages"] or ()),
        *(candidate.get("text") for candidate in _candidates(pair)),
    ]
    return sum(len(text) for text in texts if text)


def _count(pair: Mapping[str, Any], kind: str) -> int:
    return sum(len(holder.get(kind) or ()) for holder in (pair, *_candidates(pair)))


def _candidates(pair: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    found = [pair["response_a"], pair["response_b"], *(pair["candidates"] or ())]
    return [candidate for candidate in found if candidate]
