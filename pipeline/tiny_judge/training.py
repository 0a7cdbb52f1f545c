"""Trains the tiny judge from scratch on synthetic scenes.

Progress is judged by exact replies on held-out scenes, by kind of question: the loss is tiny
long before the last kind is learned.
"""

import logging
import math
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor
from transformers import Qwen2_5_VLForConditionalGeneration

from pipeline.tiny_judge.batched import BatchedJudge
from pipeline.tiny_judge.blank_model import build_model, build_tokenizer, save_folder
from pipeline.tiny_judge.checkpoint import TOKENIZER, Progress, restore, save
from pipeline.tiny_judge.layout import Layout
from pipeline.tiny_judge.parity import check_parity
from pipeline.tiny_judge.samples import Batch, Batches, load

log = logging.getLogger(__name__)


class NotLearning(RuntimeError):
    """The loss did not fall early in a run, so going on would waste the machine."""


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """Settings of a training run.

    Attributes:
        output: Hugging Face folder to write.
        checkpoint: Folder for the state that ``resume`` goes on from.
        resume: Start from the checkpoint, with a fresh learning-rate cycle.
        steps: Steps of this run.
        minutes: Wall-clock budget of this run; the learning rate is annealed within whichever
            of steps and minutes runs out first.
        target: Stop once every kind of question reaches this share of exact replies.
        batch_size: Samples a step.
        learning_rate: Peak of the cycle.
        warmup: Steps of linear warm-up.
        workers: Processes that render and tokenise.
        seed: Seed of weights, samples and tokenizer.
        evaluate_every: Steps between evaluations on held-out scenes.
        evaluation_batches: Batches an evaluation.
    """

    output: Path
    checkpoint: Path
    resume: bool = False
    steps: int = 20_000
    minutes: float = 60.0
    target: float = 0.999
    batch_size: int = 256
    learning_rate: float = 1e-3
    warmup: int = 300
    workers: int = 2
    seed: int = 0
    evaluate_every: int = 1_000
    evaluation_batches: int = 8


def train(config: TrainingConfig, device: torch.device) -> Progress:
    """Train and write the Hugging Face folder.

    Args:
        config: The run.
        device: Where to train.

    Returns:
        Totals over this run and those it resumed.

    Raises:
        NotLearning: If the loss has not fallen after the warm-up.
    """
    torch.manual_seed(config.seed)
    tokenizer = _tokenizer(config)
    save_folder(config.output, tokenizer, None)
    layout = Layout.load(config.output)
    model = build_model(layout)
    torch.nn.Module.to(model, device)
    log.info("%.3f M parameters", sum(p.numel() for p in model.parameters()) / 1e6)
    optimizer = _optimizer(model, device)
    progress = restore(config.checkpoint, model, optimizer) if config.resume else Progress()
    judge = BatchedJudge(model, layout.prefix())
    held_out = list(
        islice(load(Batches(config.output, 256, 1, held_out=True), 0), config.evaluation_batches)
    )
    check_parity(model, layout, held_out[0])
    torch.set_float32_matmul_precision("high")
    # A resumed run must not see the samples of the first one again.
    stream = Batches(config.output, config.batch_size, config.seed + 1_000 * progress.steps)
    _loop(config, judge, optimizer, iter(load(stream, config.workers)), held_out, progress)
    save(config.checkpoint, model, optimizer, tokenizer, progress)
    save_folder(config.output, tokenizer, model)
    return progress


def _loop(
    config: TrainingConfig,
    judge: BatchedJudge,
    optimizer: torch.optim.Optimizer,
    batches: Iterator[Batch],
    held_out: list[Batch],
    progress: Progress,
) -> None:
    start, losses = time.monotonic(), []
    waited, first_loss = 0.0, 0.0
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
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
        progress.steps, progress.samples = progress.steps + 1, progress.samples + len(batch.kinds)
        losses.append(loss.detach())
        if (step + 1) % 100 == 0 or step == 9:
            mean = float(torch.stack(losses).mean())
            losses = []
            first_loss = first_loss or mean
            log.info(
                "step %d loss %.4f rate %.2e, %.1f steps/s, %.0f%% waiting for samples",
                *(step + 1, mean, rate, (step + 1) / (time.monotonic() - start)),
                100 * waited / (time.monotonic() - start),
            )
            if step + 1 == 1_000 and not config.resume and not mean < 0.3 * first_loss:
                raise NotLearning(f"loss {mean:.3f} after {step + 1} steps, from {first_loss:.3f}")
        if (step + 1) % config.evaluate_every == 0:
            exact = exact_replies(judge, held_out)
            log.info("step %d exact replies %s", step + 1, _shares(exact))
            if min(exact.values()) >= config.target:
                break
    progress.seconds += time.monotonic() - start
    log.info("final exact replies %s", _shares(exact_replies(judge, held_out)))


def exact_replies(judge: BatchedJudge, batches: list[Batch]) -> dict[str, float]:
    """Share of replies whose every token is the most likely one, by kind of question.

    That is the share of greedy replies that equal the reference word for word.
    """
    right: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for batch in batches:
        moved = batch.to(judge.device)
        with torch.no_grad(), torch.autocast(judge.device.type, torch.bfloat16):
            logits = judge.logits(moved.pictures, moved.ids, moved.positions)
        misses = torch.zeros(len(batch.kinds), device=judge.device)
        misses.index_add_(0, moved.rows, (logits.argmax(-1) != moved.targets).float())
        for kind, missed in zip(batch.kinds, misses.tolist(), strict=True):
            total[kind] += 1
            right[kind] += missed == 0
    return {kind: right[kind] / total[kind] for kind in sorted(total)}


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
    """Linear warm-up, then a cosine to zero over the steps or the minutes, whichever end first."""
    done = max(step / config.steps, seconds / (60 * config.minutes))
    warm = min(1.0, (step + 1) / config.warmup)
    return config.learning_rate * warm * 0.5 * (1 + math.cos(math.pi * done)) if done < 1 else 0.0


def _loss(judge: BatchedJudge, batch: Batch) -> Tensor:
    with torch.autocast(judge.device.type, torch.bfloat16):
        logits = judge.logits(batch.pictures, batch.ids, batch.positions)
    return F.cross_entropy(logits.float(), batch.targets)


def _shares(shares: dict[str, float]) -> str:
    return ", ".join(f"{kind} {share:.3f}" for kind, share in shares.items())
