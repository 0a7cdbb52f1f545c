"""verl's own data set reads our exports, pictures in their places."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.exporting import Corpus
from tests.shards import as_v1
from tests.trainers.conftest import WEIGHTS, exported

pytest.importorskip("verl")
from transformers import AutoProcessor, AutoTokenizer  # behind the skip: it takes seconds


def loaded(folder: Path, cache: Path, load: Any) -> list[dict[str, Any]]:
    """The rows that its trainers get; one that it cannot process is left out by it."""
    from omegaconf import OmegaConf
    from verl.utils.dataset.rl_dataset import RLHFDataset

    auto: Any = load.from_pretrained(WEIGHTS)
    config = OmegaConf.create(
        {
            "cache_dir": str(cache),
            "max_prompt_length": 4_096,
            "filter_overlong_prompts_workers": 1,
        }
    )
    files = sorted(str(path) for path in folder.glob("train-*.parquet"))
    processor = auto if load is AutoProcessor else None
    tokenizer = auto.tokenizer if processor else auto
    found = RLHFDataset(files, tokenizer, config, processor)
    return [found[number] for number in range(len(found))]


def test_pictures_stand_where_they_stood(scenes: Corpus, shared_ray: str, tmp_path: Path) -> None:
    rows = loaded(exported(scenes, "verl-rl", validation=0), tmp_path, AutoProcessor)
    assert len(rows) == 56
    stored = [as_v1(row)["images"][0]["bytes"] for row, _ in scenes.joined()]
    pixels = {Image.open(io.BytesIO(data)).convert("RGB").tobytes() for data in stored}
    for row in rows:
        assert row["reward_model"]["ground_truth"].startswith("Certainly: ")
        assert row["extra_info"]["rejected"].startswith("No idea, ")
        parts = row["raw_prompt"][-1]["content"]
        (seen,) = (part["image"] for part in parts if part["type"] == "image")
        assert seen.tobytes() in pixels
    texts = [part.get("text", "") for row in rows for part in row["raw_prompt"][-1]["content"]]
    assert sum("<image >" in text for text in texts) == 1  # that a user wrote


def test_texts_alone(talks: Corpus, shared_ray: str, tmp_path: Path) -> None:
    rows = loaded(exported(talks, "verl-rl", validation=0), tmp_path, AutoTokenizer)
    assert len(rows) == 56
    turns = [[turn["role"] for turn in row["raw_prompt"]] for row in rows]
    assert turns.count(["system", "user", "assistant", "user"]) == 1
    assert turns.count(["user"]) == 55
