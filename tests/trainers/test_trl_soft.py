"""Soft labels in TRL's DPO: the loss is the cross-entropy to each row's own probability."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import datasets
import pytest

from tests.exporting import Corpus
from tests.trainers.conftest import WEIGHTS, exported
from tests.trainers.test_trl import arguments, policy

trl = pytest.importorskip("trl")
import torch  # noqa: E402  behind the skip: it takes seconds
from transformers import AutoTokenizer  # noqa: E402


def test_the_known_answers_of_conservative_and_robust_dpo() -> None:
    from pipeline.export.formats.soft_dpo import smoothing_of, soft_loss

    one, epsilon = torch.tensor([1.0]), 0.1
    assert soft_loss(one, 1 - one * epsilon).item() == pytest.approx(0.4133, abs=5e-5)
    robust = one * (1 - epsilon) / (1 - 2 * epsilon)
    assert soft_loss(one, robust).item() == pytest.approx(0.1883, abs=5e-5)
    # TRL's robust loss with a row's own smoothing is the soft one, on both sides of one half.
    p, z = torch.tensor([1.0, 0.9, 0.51, 0.5, 0.3]), torch.tensor([1.0, -2.0, 3.0, 0.7, 0.2])
    e = smoothing_of(p)
    log = torch.nn.functional.logsigmoid
    theirs = (-(1 - e) * log(z) + e * log(-z)) / (1 - 2 * e)
    assert theirs.tolist() == pytest.approx(soft_loss(z, p).tolist(), abs=2e-4)


def test_the_trainer_weighs_each_row_by_its_probability(
    talks: Corpus, shared_ray: str, tmp_path: Path
) -> None:
    from pipeline.export.formats.soft_dpo import SoftDPOTrainer

    data = datasets.load_dataset(str(exported(talks, "trl-dpo")), cache_dir=str(tmp_path / "cache"))
    train = data["train"]
    soft = train.add_column("p_chosen", [0.6 + 0.1 * (n % 4) for n in range(len(train))])
    trainer = SoftDPOTrainer(
        policy(),
        args=arguments(trl.DPOConfig, tmp_path, steps=3, beta=0.5),
        train_dataset=soft,
        processing_class=AutoTokenizer.from_pretrained(WEIGHTS),
    )
    trainer.train()
    batch: dict[str, Any] = next(iter(trainer.get_train_dataloader()))
    assert {round(p, 6) for p in batch["p_chosen"].tolist()} <= {0.6, 0.7, 0.8, 0.9}

    def loss(p: float) -> float:
        same = {**batch, "p_chosen": torch.full_like(batch["p_chosen"], p)}
        with torch.no_grad():
            return float(trainer.compute_loss(trainer.model, same))

    trainer.model.eval()
    sure = loss(1.0)
    margin = trainer._metrics["eval"]["rewards/margins"][-1]  # the mean of z
    assert abs(margin) > 0.01
    for p in (0.9, 0.6, 0.2):  # the loss of -z is that of z, plus z
        assert loss(p) == pytest.approx(sure + (1 - p) * margin, abs=1e-4)
