"""The whole loop: the tiny judge labels, the labels are exported, and a tiny policy learns them.

Two answerers are compared. One of them is careless: most of its answers, which it words in its own
way, are wrong. That is to be seen in the pictures alone, by the judge; what the policy can learn in
a few steps is whom to follow.
"""

from __future__ import annotations

import io
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pytest
from PIL import Image

from jobs.demo import CONFIG
from pipeline.lab.tiny_judge.scene_questions import sample_question
from pipeline.lab.tiny_judge.scenes import encode, render
from pipeline.store.object_store import Store
from tests.exporting import folder_of, run_export, settings
from tests.labeling import run_label
from tests.publishing import run_publish
from tests.shards import pair, response, write_shard
from tests.trainers.test_trl import arguments, policy, processor, trl

pytest.importorskip("trl")
import torch  # behind the skip: it takes seconds

Row = dict[str, Any]
_CAREFUL, _CARELESS = 1, 2  # "The circle is red." and "The colour is red."
_WRONG = 0.85  # share of the careless answers that are wrong; all of the others are right


def comparisons(count: int, seed: int) -> list[Row]:
    """Pairs about scenes that the judge was not trained on, with what is true as gold."""
    rng = random.Random(seed)
    rows = []
    for number in range(count):
        scene, question = sample_question(rng, held_out=True, kind="colour")
        right, wrong = question.truth, question.sample_answer(rng, "wrong")
        careful, careless = (right, wrong) if rng.random() < _WRONG else (wrong, right)
        texts = [question.answer_text(careful, _CAREFUL), question.answer_text(careless, _CARELESS)]
        gold = "a" if careful == right else "b"
        if rng.random() < 0.5:
            texts, gold = texts[::-1], {"a": "b", "b": "a"}[gold]
        picture = {"bytes": encode(render(scene, rng, (112, 112))), "path": None}
        a, b = map(response, texts)
        row = pair(number, prompt=question.text, images=[picture], response_a=a, response_b=b)
        rows.append(row | {"gold": gold, "pair_id": f"{seed}-{number}"})
    return rows


@torch.no_grad()
def preferred_rightly(model: Any, rows: list[Row]) -> float:
    """The share of pairs of which the policy finds the better answer likelier, token by token."""
    made = processor()
    model.eval()
    right = 0
    for row in rows:
        image = Image.open(io.BytesIO(row["images"][0]["bytes"]))
        content = [{"type": "image"}, {"type": "text", "text": row["prompt"]}]
        turns = [{"role": "user", "content": content}]
        prompt = made.apply_chat_template(turns, add_generation_prompt=True)
        means = []
        for name in ("response_a", "response_b"):
            text = f"{prompt}{row[name]['text']}<|im_end|>"
            batch = made(text=[text], images=[image], return_tensors="pt")
            answer = len(made.tokenizer(f"{row[name]['text']}<|im_end|>")["input_ids"])
            logits = model(**batch).logits[0, -answer - 1 : -1].log_softmax(-1)
            means.append(logits.gather(1, batch["input_ids"][0, -answer:, None]).mean().item())
        right += (means[0] > means[1]) == (row["gold"] == "a")
    return right / len(rows)


@pytest.mark.engine
def test_a_policy_prefers_the_better_answers_more_often_than_before(
    shared_ray: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    held_out = comparisons(80, seed=2)
    write_shard(tmp_path / "pairs" / "a.parquet", comparisons(160, seed=1))
    labels = Store(str(tmp_path / "labels"))
    labelled = run_label(CONFIG, tmp_path / "pairs", labels.uri)
    assert labelled.exit_code == 0, labelled.error
    published = run_publish(labels, "--input", str(tmp_path / "pairs"))
    assert published.exit_code == 0, published.error
    done = run_export(labels, "--format", "trl-dpo", *settings(validation=0))
    folder = Path(labels.path(folder_of(done, labels)))
    record = json.loads((folder / "export.json").read_text())
    data = datasets.load_dataset(str(folder), cache_dir=str(tmp_path / "cache"))["train"]
    assert len(data) == record["kept"]["/train"] > 140

    model = policy()
    before = preferred_rightly(model, held_out)
    trainer = trl.DPOTrainer(
        model,
        args=arguments(
            trl.DPOConfig,
            tmp_path,
            steps=30,
            beta=0.5,
            loss_type="robust",
            label_smoothing=record["label_smoothing"] or 0.0,
            max_length=None,
        ),
        train_dataset=data,
        processing_class=processor(),
    )
    trainer.train()
    after = preferred_rightly(model, held_out)
    record_property("preferred rightly", (before, after))
    assert after > before + 0.15, (before, after)
    assert after > 0.7, (before, after)
