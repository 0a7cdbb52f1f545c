"""Trains the tiny reward judge: the tiny judge's trunk, and a head that scores one answer.

It starts from the tiny judge, whose trunk describes a picture before it compares: here it has to
compare at the answer's last token, without a word written, and so all of it is trained. A score is
the log odds that the answer is right; scores are compared within a question only.
"""

from __future__ import annotations

import itertools
import logging
import math
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import Qwen2_5_VLForConditionalGeneration

from pipeline.lab.tiny_judge.batched_judge import BatchedJudge
from pipeline.lab.tiny_judge.blank_model import build_model, save_folder
from pipeline.lab.tiny_judge.reward_batches import (
    ANSWERS,
    RewardBatch,
    RewardBatches,
    held_out_batches,
)
from pipeline.lab.tiny_judge.sample_layout import Layout
from pipeline.lab.tiny_judge.training_batches import load
from pipeline.lab.tiny_judge.warm_start import warm_start

log = logging.getLogger(__name__)

LAYERS: Final = 3
"""Of the text model: one fewer than the tiny judge has, since nothing is written."""
HEAD: Final = "language_model.score"
"""Where vLLM looks for the head of a Qwen2.5-VL."""
_TAUGHT: Final = 0.3
"""Weight of the loss on the right answers' own tokens, by which the trunk learns to answer."""
_COMPARED: Final = 0.5
"""Weight of the loss on comparisons of answers to one question; equal ones are to score alike."""


@dataclass(frozen=True, kw_only=True)
class RewardTraining:
    """Settings of a training run.

    Attributes:
        output: Hugging Face folder to write.
        warm_start: Hugging Face folder of the tiny judge, or of an earlier reward judge.
        minutes: Wall-clock budget; the learning rate is annealed within it.
        batch_size: Cases a step, each with four answers.
        learning_rate: Peak of the cycle.
        warmup: Steps of linear warm-up.
        workers: Processes that render and tokenise.
        seed: Seed of samples.
        evaluate_every: Steps between evaluations on held-out scenes.
        evaluation_samples: Cases of each context in an evaluation.
    """

    output: Path
    warm_start: Path
    minutes: float = 5.0
    batch_size: int = 256
    learning_rate: float = 1e-3
    warmup: int = 100
    workers: int = 2
    seed: int = 0
    evaluate_every: int = 500
    evaluation_samples: int = 256


class RewardJudge(nn.Module):
    """A trunk and its head."""

    def __init__(self, trunk: Qwen2_5_VLForConditionalGeneration) -> None:
        super().__init__()
        self.trunk = trunk
        text: Any = trunk.model.language_model
        self.head = nn.Linear(text.config.hidden_size, 1)
        nn.init.normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)

    def forward(self, judge: BatchedJudge, batch: RewardBatch) -> tuple[Tensor, Tensor]:
        """Scores (answers, cases), and next-token logits at the batch's positions."""
        where = torch.cat([batch.last, batch.laid.positions])
        hidden = judge.hidden(batch.laid, where).float()
        last, taught = hidden[: len(batch.last)], hidden[len(batch.last) :]
        scores = self.head(last).view_as(batch.rewards)
        return scores, judge.predict(taught)


def train_reward(config: RewardTraining, device: torch.device) -> dict[str, float]:
    """Trains, writes the Hugging Face folder, and returns held-out accuracies by question.

    Args:
        config: The run.
        device: Where to train.
    """
    torch.manual_seed(config.seed)
    layout = Layout.load(config.warm_start)
    save_folder(config.output, layout.tokenizer, None)
    trunk = build_model(layout, LAYERS)
    warm_start(trunk, layout, config.warm_start)
    reward = RewardJudge(trunk)
    _restore_head(reward.head, config.warm_start)
    nn.Module.to(reward, device)
    judge = BatchedJudge(trunk)
    optimizer = torch.optim.AdamW(_groups(reward), betas=(0.9, 0.95), fused=device.type == "cuda")
    torch.set_float32_matmul_precision("high")
    stream = RewardBatches(config.output, config.batch_size, config.seed)
    batches = iter(load(stream, config.workers))
    first = next(batches)  # workers render while held-out scenes are made
    held_out = held_out_batches(config.output, config.evaluation_samples)
    _loop(config, reward, judge, optimizer, itertools.chain([first], batches), held_out)
    save_reward(config.output, layout, reward)
    return accuracies(reward, judge, held_out)


def _loop(
    config: RewardTraining,
    reward: RewardJudge,
    judge: BatchedJudge,
    optimizer: torch.optim.Optimizer,
    batches: Iterator[RewardBatch],
    held_out: list[RewardBatch],
) -> None:
    start, waited, losses = time.monotonic(), 0.0, list[Tensor]()
    for step in itertools.count(1):
        spent = time.monotonic() - start
        done = spent / (60 * config.minutes)
        if done >= 1:
            break
        rate = min(1.0, step / config.warmup) * 0.5 * (1 + math.cos(math.pi * done))
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * rate
        asked = time.monotonic()
        batch = next(batches).to(judge.device)
        waited += time.monotonic() - asked
        loss = _loss(reward, judge, batch)
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(reward.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.detach())
        if step % 100 == 0 or step == 10:
            mean, losses = float(torch.stack(losses).mean()), []
            log.info(
                "step %d loss %.4f, %.2f steps/s, %.0f%% waiting for samples",
                *(step, mean, step / spent, 100 * waited / spent),
            )
        if step % config.evaluate_every == 0:
            log.info("step %d held out\n%s", step, table(accuracies(reward, judge, held_out)))
    log.info("%d steps of %d cases", step - 1, config.batch_size)


def _loss(reward: RewardJudge, judge: BatchedJudge, batch: RewardBatch) -> Tensor:
    with torch.autocast(judge.device.type, torch.bfloat16):
        scores, logits = reward(judge, batch)
    scores = scores.float()
    alone = F.binary_cross_entropy_with_logits(scores, batch.rewards)
    first, second = torch.triu_indices(ANSWERS, ANSWERS, 1, device=scores.device)
    preferred = (1 + torch.sign(batch.rewards[first] - batch.rewards[second])) / 2
    compared = F.binary_cross_entropy_with_logits(scores[first] - scores[second], preferred)
    taught = F.cross_entropy(logits.float(), batch.laid.targets)
    return alone + _COMPARED * compared + _TAUGHT * taught


@torch.no_grad()
def accuracies(
    reward: RewardJudge, judge: BatchedJudge, batches: Iterable[RewardBatch]
) -> dict[str, float]:
    """Share of answers of unlike grades that are ordered right, by context and question."""
    found: dict[str, list[float]] = defaultdict(list)
    for batch in batches:
        with torch.autocast(judge.device.type, torch.bfloat16):
            scores, _ = reward(judge, batch.to(judge.device))
        given, wanted = scores.float().cpu(), batch.rewards
        for one, other in itertools.combinations(range(ANSWERS), 2):
            gap, gold = given[one] - given[other], wanted[one] - wanted[other]
            right = (torch.sign(gap) == torch.sign(gold)).tolist()
            for hit, unlike, kind in zip(right, (gold != 0).tolist(), batch.kinds, strict=True):
                if unlike:
                    found[f"{batch.laid.task.about}/{kind}"].append(float(hit))
    shares = {name: sum(hits) / len(hits) for name, hits in sorted(found.items())}
    every = [hit for hits in found.values() for hit in hits]
    return {**shares, "all": sum(every) / len(every)}


def table(shares: dict[str, float]) -> str:
    """Accuracies, one a line."""
    return "\n".join(f"  {share:.4f} {name}" for name, share in shares.items())


def save_reward(folder: Path, layout: Layout, reward: RewardJudge) -> None:
    """Writes trunk and head in bfloat16, where vLLM finds them."""
    save_folder(folder, layout.tokenizer, reward.trunk)
    path = folder / "model.safetensors"
    head = {f"{HEAD}.{name}": value.detach() for name, value in reward.head.named_parameters()}
    weights = {name: value.to("cpu", torch.bfloat16) for name, value in head.items()}
    save_file(load_file(path) | weights, path, {"format": "pt"})
    path.chmod(0o644)
    for slow in ("vocab.json", "merges.txt"):  # of tokenizers without a tokenizer.json
        (folder / slow).unlink()


def _restore_head(head: nn.Linear, folder: Path) -> None:
    stored = load_file(folder / "model.safetensors")
    if f"{HEAD}.weight" in stored:
        state = {name: stored[f"{HEAD}.{name}"].float() for name in ("weight", "bias")}
        head.load_state_dict(state)


def _groups(reward: RewardJudge) -> list[dict[str, Any]]:
    matrices = [p for p in reward.parameters() if p.ndim > 1]
    vectors = [p for p in reward.parameters() if p.ndim <= 1]
    return [
        {"params": matrices, "weight_decay": 0.05},
        {"params": vectors, "weight_decay": 0.0},
    ]
