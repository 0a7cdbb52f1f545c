"""TRL trains on our exports: DPO with pictures, reward models with margins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import datasets
import pytest

from tests.exporting import Corpus
from tests.trainers.conftest import WEIGHTS, exported

trl = pytest.importorskip("trl")
import torch  # noqa: E402  behind the skip: it takes seconds
from transformers import (  # noqa: E402
    AutoConfig,
    AutoProcessor,
    AutoTokenizer,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2Config,
    Qwen2ForSequenceClassification,
)


def policy() -> Any:
    """The tiny judge's architecture with random weights."""
    torch.manual_seed(0)
    build: Any = Qwen2_5_VLForConditionalGeneration
    return build(AutoConfig.from_pretrained(WEIGHTS)).float()


def processor() -> Any:
    """What goes with it."""
    load: Any = AutoProcessor
    return load.from_pretrained(WEIGHTS)


def losses(trainer: Any) -> list[float]:
    """The loss of every step."""
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


def arguments(kind: Any, folder: Path, steps: int, **more: Any) -> Any:
    """Training arguments for a few steps on a CPU."""
    return kind(
        output_dir=str(folder),
        max_steps=steps,
        per_device_train_batch_size=4,
        learning_rate=2e-3,
        lr_scheduler_type="constant",
        logging_steps=1,
        save_strategy="no",
        report_to=[],
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        disable_tqdm=True,
        seed=0,
        **more,
    )


def test_dpo_learns_from_an_export_with_pictures(
    scenes: Corpus, shared_ray: str, tmp_path: Path
) -> None:
    folder = exported(scenes, "trl-dpo")
    data = datasets.load_dataset(str(folder), cache_dir=str(tmp_path / "cache"))
    assert sum(data.num_rows.values()) == 56
    robust = {"loss_type": "robust", "label_smoothing": 0.1, "max_length": None}
    trainer = trl.DPOTrainer(
        policy(),
        args=arguments(trl.DPOConfig, tmp_path, steps=12, beta=0.5, **robust),
        train_dataset=data["train"],
        processing_class=processor(),
    )
    batch = next(iter(trainer.get_train_dataloader()))
    assert batch["image_grid_thw"].shape[0] == 8  # four pictures, for both sides
    trainer.train()
    found = losses(trainer)
    assert sum(found[-3:]) < 0.7 * sum(found[:3]), found
    accuracies = [e["rewards/accuracies"] for e in trainer.state.log_history if "loss" in e]
    assert min(accuracies[-3:]) >= 0.75, accuracies


def test_dpo_takes_texts(talks: Corpus, shared_ray: str, tmp_path: Path) -> None:
    data = datasets.load_dataset(str(exported(talks, "trl-dpo")), cache_dir=str(tmp_path / "cache"))
    assert "images" not in data["train"].column_names
    trainer = trl.DPOTrainer(
        policy(),
        args=arguments(trl.DPOConfig, tmp_path, steps=1),
        train_dataset=data["train"],
        processing_class=AutoTokenizer.from_pretrained(WEIGHTS),
    )
    trainer.train()
    assert len(losses(trainer)) == 1


def test_a_reward_model_takes_texts_and_margins(
    talks: Corpus, shared_ray: str, tmp_path: Path
) -> None:
    folder = exported(talks, "trl-reward")
    data = datasets.load_dataset(str(folder), cache_dir=str(tmp_path / "cache"))
    tokenizer = AutoTokenizer.from_pretrained(WEIGHTS)
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        pad_token_id=tokenizer.pad_token_id,
    )
    config.num_labels = 1
    model: Any = Qwen2ForSequenceClassification
    trainer = trl.RewardTrainer(
        model(config),
        args=arguments(trl.RewardConfig, tmp_path, steps=12),
        train_dataset=data["train"],
        processing_class=tokenizer,
    )
    batch = next(iter(trainer.get_train_dataloader()))
    assert set(batch["margin"].tolist()) <= {5.0, 7.0}  # 8 - 3 of those for b, 9 - 2 for a
    trainer.train()
    found = losses(trainer)
    assert sum(found[-3:]) < 0.7 * sum(found[:3]), found
