"""Trains the tiny judge on synthetic scenes, in every judging format at once.

Progress is judged by exact replies on held-out scenes, by task: the loss is tiny long before the
last task is learned.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor
from transformers import Qwen2_5_VLForConditionalGeneration

from pipeline.lab.tiny_judge.batched_judge import BatchedJudge
from pipeline.lab.tiny_judge.blank_model import build_model, build_tokenizer, save_folder
from pipeline.lab.tiny_judge.forward_parity import check_parity
from pipeline.lab.tiny_judge.judging_tasks import TASKS
from pipeline.lab.tiny_judge.sample_layout import Layout
from pipeline.lab.tiny_judge.training_batches import Batch, Batches, HeldOut, base_weights, load
from pipeline.lab.tiny_judge.training_checkpoint import TOKENIZER, Progress, restore, save
from pipeline.lab.tiny_judge.warm_start import warm_start

log = logging.getLogger(__name__)

# The least share of its weight that a task keeps, however rarely it is missed.
_LEAST_WEIGHT: Final = 0.15
_PARITY_SAMPLES: Final = 2


class NotLearning(RuntimeError):
    """The loss did not fall early in a run, which is therefore ended."""


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """Settings of a training run.

    Attributes:
        output: Hugging Face folder to write.
        checkpoint: Folder for the state that ``resume`` continues from.
        resume: Start from the checkpoint, with a fresh learning-rate cycle.
        warm_start: Hugging Face folder of an earlier judge to start from; None starts from
            random weights.
        steps: Steps of this run.
        minutes: Wall-clock budget of this run; the learning rate is annealed within whichever
            of steps and minutes runs out first.
        target: Stop once every task reaches this share of exact replies.
        batch_size: Samples a step.
        learning_rate: Peak of the cycle.
        floor: Share of the peak that the cycle ends at.
        warmup: Steps of linear warm-up.
        workers: Processes that render and tokenise.
        seed: Seed of weights, samples and tokenizer.
        evaluate_every: Steps between evaluations on held-out scenes.
        evaluation_samples: Cases of each task in an evaluation.
    """

    output: Path
    checkpoint: Path
    resume: bool = False
    warm_start: Path | None = None
    steps: int = 40_000
    minutes: float = 60.0
    target: float = 0.999
    batch_size: int = 256
    learning_rate: float = 1e-3
    floor: float = 0.0
    warmup: int = 300
    workers: int = 2
    seed: int = 0
    evaluate_every: int = 1_000
    evaluation_samples: int = 256


def train(config: TrainingConfig, device: torch.device) -> Progress:
    """Train and write the Hugging Face folder.

    Args:
        config: The run.
        device: Where to train.

    Returns:
        Totals over this run and those it resumed.

    Raises:
        NotLearning: If the loss has not fallen early in a run from random weights.
    """
    torch.manual_seed(config.seed)
    tokenizer = _tokenizer(config)
    save_folder(config.output, tokenizer, None)
    layout = Layout.load(config.output)
    model = build_model(layout)
    if config.warm_start is not None and not config.resume:
        warm_start(model, layout, config.warm_start)
    for batch in load(HeldOut(config.output, _PARITY_SAMPLES), config.workers):
        if batch.task.format == "pairwise_scores":  # with every layout of media that there is
            check_parity(model, layout, batch)
    torch.nn.Module.to(model, device)
    log.info("%.3f M parameters", sum(p.numel() for p in model.parameters()) / 1e6)
    optimizer = _optimizer(model, device)
    progress = restore(config.checkpoint, model, optimizer) if config.resume else Progress()
    held_out = list(load(HeldOut(config.output, config.evaluation_samples), config.workers))
    torch.set_float32_matmul_precision("high")
    weights = base_weights()
    # A resumed run must not see the samples of the first one again.
    seed = config.seed + 1_000 * progress.steps
    batches = load(Batches(config.output, config.batch_size, seed, weights), config.workers)
    judge = BatchedJudge(model)
    _loop(config, judge, optimizer, iter(batches), held_out, weights, progress)
    save(config.checkpoint, model, optimizer, tokenizer, progress)
    save_folder(config.output, tokenizer, model)
    return progress


def _loop(
    config: TrainingConfig,
    judge: BatchedJudge,
    optimizer: torch.optim.Optimizer,
    batches: Iterator[Batch],
    held_out: list[Batch],
    weights: Tensor,
    progress: Progress,
) -> None:
    base, losses = weights.clone(), list[Tensor]()
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    if config.resume:
        _reweigh(weights, base, exact_replies(judge, held_out))
    start, waited, first_loss = time.monotonic(), 0.0, 0.0
    for step in range(config.steps):
        spent = time.monotonic() - start
        rate = _learning_rate(config, step, spent)
        if rate <= 0:
            break
        for group in optimizer.param_groups:
            group["lr"] = rate
        asked = time.monotonic()
        batch = next(batches).to(judge.device)
        waited += time.monotonic() - asked
        loss = _loss(judge, batch)
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        progress.steps, progress.samples = progress.steps + 1, progress.samples + len(batch.ids)
        losses.append(loss.detach())
        if (step + 1) % 100 == 0 or step == 9:
            mean, losses = float(torch.stack(losses).mean()), []
            first_loss = first_loss or mean
            spent = time.monotonic() - start
            log.info(
                "step %d loss %.4f rate %.2e, %.1f steps/s, %.0f%% waiting for samples",
                *(step + 1, mean, rate, (step + 1) / spent, 100 * waited / spent),
            )
            fresh = not config.resume and config.warm_start is None
            if step + 1 == 1_000 and fresh and not mean < 0.3 * first_loss:
                raise NotLearning(f"loss {mean:.3f} after {step + 1} steps, from {first_loss:.3f}")
        if (step + 1) % config.evaluate_every == 0:
            exact = exact_replies(judge, held_out)
            log.info("step %d exact replies\n%s", step + 1, _table(exact))
            if min(exact.values()) >= config.target:
                break
            _reweigh(weights, base, exact)
    progress.seconds += time.monotonic() - start
    log.info("final exact replies\n%s", _table(exact_replies(judge, held_out)))


def exact_replies(judge: BatchedJudge, batches: list[Batch]) -> dict[str, float]:
    """Share of replies whose every token is the most likely one, by task.

    That is the share of greedy replies that equal the reference word for word.
    """
    shares = {}
    for batch in batches:
        moved = batch.to(judge.device)
        with torch.no_grad(), torch.autocast(judge.device.type, torch.bfloat16):
            logits = judge.logits(moved)
        misses = torch.zeros(len(batch.ids), device=judge.device)
        misses.index_add_(0, moved.rows, (logits.argmax(-1) != moved.targets).float())
        shares[batch.task.name] = float((misses == 0).float().mean())
    return shares


def _reweigh(weights: Tensor, base: Tensor, exact: dict[str, float]) -> None:
    """Weigh tasks by how often they are still missed; the worker processes read the same memory."""
    missed = torch.tensor([1 - exact[task.name] for task in TASKS])
    weights.copy_(base * (_LEAST_WEIGHT + missed))


def _tokenizer(config: TrainingConfig) -> Tokenizer:
    if config.resume:
        return Tokenizer.from_file(str(config.checkpoint / TOKENIZER))
    return build_tokenizer(config.seed)


def _optimizer(
    model: Qwen2_5_VLForConditionalGeneration, device: torch.device
) -> torch.optim.Optimizer:
    matrices = [p for p in model.parameters() if p.ndim > 1]
    vectors = [p for p in model.parameters() if p.ndim <= 1]
    groups = [
        {"params": matrices, "weight_decay": 0.05},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, betas=(0.9, 0.95), fused=device.type == "cuda")


def _learning_rate(config: TrainingConfig, step: int, seconds: float) -> float:
    """Linear warm-up, then a cosine to the floor, over steps or minutes, whichever end first."""
    done = max(step / config.steps, seconds / (60 * config.minutes))
    warm = min(1.0, (step + 1) / config.warmup)
    share = config.floor + (1 - config.floor) * 0.5 * (1 + math.cos(math.pi * done))
    return config.learning_rate * warm * share if done < 1 else 0.0


def _loss(judge: BatchedJudge, batch: Batch) -> Tensor:
    with torch.autocast(judge.device.type, torch.bfloat16):
        logits = judge.logits(batch)
    return F.cross_entropy(logits.float(), batch.targets)


def _table(shares: dict[str, float]) -> str:
    lines = [f"  {share:.3f} {name}" for name, share in sorted(shares.items())]
    return "\n".join([*lines, f"  {sum(shares.values()) / len(shares):.3f} on average"])
