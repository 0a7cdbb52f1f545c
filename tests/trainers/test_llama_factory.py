"""LLaMA-Factory's own loader and tokenisation read our export: rows, roles and pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.exporting import Corpus
from tests.trainers.conftest import WEIGHTS, exported

pytest.importorskip("llamafactory")


@pytest.mark.parametrize("mode", ["files", "inline"])
def test_pairs_with_pictures(scenes: Corpus, shared_ray: str, tmp_path: Path, mode: str) -> None:
    folder = exported(scenes, "llama-factory", media__mode=mode)
    kept = json.loads((folder / "export.json").read_text())["kept"]
    found = loaded(folder, tmp_path)
    assert len(found["train_dataset"]) == kept["/train"]
    assert len(found["eval_dataset"]) == kept["/validation"]
    tokenizer = found["tokenizer"]
    for row in found["train_dataset"]:
        texts = [tokenizer.decode(row[f"{side}_input_ids"]) for side in ("chosen", "rejected")]
        assert "Certainly: " in texts[0]
        assert "No idea, " in texts[1]
        assert len(row["images"]) == 1
        assert all(text.count("<|vision_start|>") == 1 for text in texts)
        assert all(text.count("<|image_pad|>") > 1 for text in texts)


def test_texts_alone(talks: Corpus, shared_ray: str, tmp_path: Path) -> None:
    folder = exported(talks, "llama-factory")
    found = loaded(folder, tmp_path)
    (text,) = [
        found["tokenizer"].decode(row["chosen_input_ids"])
        for split in ("train_dataset", "eval_dataset")
        for row in found[split]
        if "Be brief." in found["tokenizer"].decode(row["chosen_input_ids"])
    ]
    said = ["Be brief.", "A?", "B.", "C?", "Certainly: 0."]
    places = [text.index(each) for each in said]
    assert places == sorted(places)


def loaded(folder: Path, tmp_path: Path) -> dict[str, Any]:
    """What LLaMA-Factory makes of an export, by the way that its trainer goes."""
    from llamafactory.data import get_dataset, get_template_and_fix_tokenizer
    from llamafactory.hparams import get_train_args
    from llamafactory.model import load_tokenizer

    model_args, data_args, training_args, _, _ = get_train_args(
        {
            "model_name_or_path": str(WEIGHTS),
            "stage": "dpo",
            "do_train": True,
            "finetuning_type": "full",
            "dataset": "pairmill_train",
            "eval_dataset": "pairmill_validation",
            "dataset_dir": str(folder),
            "media_dir": str(folder),
            "template": "qwen2_vl",
            "output_dir": str(tmp_path / "out"),
            "cache_dir": str(tmp_path / "cache"),
            "use_cpu": True,
            "report_to": "none",
        }
    )
    tokenizer = load_tokenizer(model_args)
    template = get_template_and_fix_tokenizer(tokenizer["tokenizer"], data_args)
    made = get_dataset(template, model_args, data_args, training_args, stage="rm", **tokenizer)
    return {**made, **tokenizer}
