"""The dummy-weight model and the dummy pairs, for where the real ones cannot be downloaded."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import fmean

import pytest

from pipeline.lab.bench.bench_requests import LayoutOnly, prompts_of
from pipeline.lab.bench.dummy_pairs import write_clip_shards, write_picture_shards
from pipeline.labeling.label_config import LabelConfig
from pipeline.runtime.config_file import load_config


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # Transformers take many seconds to import, which only these tests shall pay.
    from pipeline.lab.bench.dummy_model import write_model

    where = tmp_path_factory.mktemp("dummy")
    write_model(where / "model")
    write_picture_shards(where / "pairs", 1, 64, (448, 448))
    return where


def test_the_model_has_the_shape_of_qwen2_5_vl_7b(folder: Path) -> None:
    import torch
    from transformers import AutoConfig, Qwen2_5_VLForConditionalGeneration

    config = AutoConfig.from_pretrained(folder / "model")
    with torch.device("meta"):
        model = Qwen2_5_VLForConditionalGeneration(config)  # type: ignore[no-untyped-call]
    # As the hub counts the weights of Qwen/Qwen2.5-VL-7B-Instruct.
    assert sum(weight.numel() for weight in model.parameters()) == 8_292_166_656


def test_prompts_are_as_long_as_usual_and_any_token_can_be_decoded(folder: Path) -> None:
    name = f"judge.model.name={folder / 'model'}"
    config = load_config(LabelConfig, "jobs/configs/h200-bf16.yaml", [name], own_sections=True)
    engine = LayoutOnly(config.judge)
    prompts = prompts_of(config, str(folder / "pairs"), engine)
    assert len(prompts) == 128
    assert 830 < fmean(prompt.length for prompt in prompts) < 890  # of which the picture 256
    pictures = {prompt.chat.images[0].size for prompt in prompts}
    assert pictures == {(448, 448)}
    written = engine.renderer.decode([9_000, 152_063])
    assert written == " w9000 w152063"
    tokenizer = json.loads((folder / "model/tokenizer.json").read_text())
    special = {token["id"] for token in tokenizer["added_tokens"]}
    assert {*tokenizer["model"]["vocab"].values(), *special} == set(range(152_064))


def test_clips_take_the_place_of_pictures(tmp_path: Path) -> None:
    write_clip_shards(tmp_path, 2, 1)
    model = "judge.model.name=tiny-judge"
    config = load_config(LabelConfig, "jobs/configs/h200-bf16.yaml", [model], own_sections=True)
    prompts = prompts_of(config, str(tmp_path), LayoutOnly(config.judge))
    seen = {(len(clip.frames), clip.fps) for prompt in prompts for clip in prompt.chat.clips}
    assert (len(prompts), seen) == (4, {(8, 1.0)})  # eight seconds, a frame each
    assert not any(prompt.chat.images for prompt in prompts)
