"""How many tokens a prompt will have, estimated from the first pairs of a shard."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Any

from pipeline.judging.judge_config import JudgeConfig
from pipeline.labeling.read_pairs import ShardTask, first_pairs
from pipeline.pairs.contents import Part, contents_of
from pipeline.pairs.input_config import InputConfig
from pipeline.store.object_store import Store

_CHARACTERS_A_TOKEN = 4  # of English text, roughly
_FRAMES_A_TOKEN = 2


def estimate_prompt_tokens(
    source: Store, task: ShardTask, config: InputConfig, judge: JudgeConfig
) -> float:
    """Estimated tokens of one prompt, every picture and video at its cap.

    Args:
        source: the input root.
        task: a shard, of which the first few pairs are read.
        config: how the input is read.
        judge: has the prompt and the media caps.
    """
    prompt = judge.prompt_texts
    frame = len(prompt.system or "") + len(prompt.user)
    area, media = judge.media.factor**2, judge.media
    clip = min(media.video.total_pixels, media.video.max_frames * media.video.max_pixels)
    picture = media.square**2 if media.square else media.max_pixels
    caps = {"image": picture / area, "video": clip / area / _FRAMES_A_TOKEN}
    mapping = config.mapping().narrowed(["messages", "candidates"], media=True)
    return statistics.fmean(
        frame / _CHARACTERS_A_TOKEN + sum(_tokens(part, caps) for part in _parts(pair))
        for pair in first_pairs(source, task, mapping, config.read_seconds).to_pylist()
    )


def _parts(pair: Mapping[str, Any]) -> list[Part]:
    return [part for content in contents_of(pair) for part in content]


def _tokens(part: Part, caps: Mapping[str, float]) -> float:
    if part["type"] == "text":
        return len(part["text"] or "") / _CHARACTERS_A_TOKEN
    return caps[part["type"]]
