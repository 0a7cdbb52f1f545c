"""Batches for the tiny reward judge: every answer by itself, as the assistant's turn."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from pipeline.lab.tiny_judge.judging_cases import Context
from pipeline.lab.tiny_judge.judging_tasks import REWARD_CONTEXTS, Task
from pipeline.lab.tiny_judge.sample_layout import DEFAULT_SYSTEM, Laid, Layout, Slot
from pipeline.lab.tiny_judge.scene_questions import Grade
from pipeline.lab.tiny_judge.served_media import sample_slot, served_frames
from pipeline.lab.tiny_judge.training_batches import Batch, Seen, alike, by_size, pack, shown_in

ANSWERS: Final = 4
"""Answers to every question, each with a grade of its own."""
REWARDS: Final[dict[Grade, float]] = {"right": 1.0, "partly": 0.5, "wrong": 0.0}
"""The share of a person's approval that an answer of each grade is trained to predict."""


@dataclass(frozen=True)
class RewardBatch:
    """Cases with the same media, and ``ANSWERS`` sequences for each of them.

    Attributes:
        laid: the sequences: the first answers of all cases, then the second ones, and so on. Its
            positions and targets are those of the right answers' own tokens.
        last: (answers * cases,) indices of the sequences' last tokens in the flattened ids.
        rewards: (answers, cases) what a perfect judge would say.
        kinds: the kind of question of each case.
    """

    laid: Batch
    last: Tensor
    rewards: Tensor
    kinds: tuple[str, ...]

    def pin_memory(self) -> RewardBatch:
        """A copy in pinned memory, as the data loader asks for."""
        last, rewards = self.last.pin_memory(), self.rewards.pin_memory()
        return replace(self, laid=self.laid.pin_memory(), last=last, rewards=rewards)

    def to(self, device: torch.device) -> RewardBatch:
        """A copy on a device."""
        last, rewards = (t.to(device, non_blocking=True) for t in (self.last, self.rewards))
        return replace(self, laid=self.laid.to(device), last=last, rewards=rewards)


class RewardBatches(IterableDataset[RewardBatch]):
    """A stream of batches; every worker process samples its own.

    Args:
        folder: Where the tokenizer is.
        cases: Cases a batch.
        seed: Seed of the stream.
    """

    def __init__(self, folder: Path, cases: int, seed: int) -> None:
        self.folder, self.cases, self.seed = folder, cases, seed

    def __iter__(self) -> Iterator[RewardBatch]:
        worker = get_worker_info()
        rng = random.Random(f"reward/{self.seed}/{worker.id if worker else 0}")
        layout = Layout.load(self.folder)
        while True:
            about = rng.choices(list(REWARD_CONTEXTS), list(REWARD_CONTEXTS.values()))[0]
            yield sample_reward_batch(rng, layout, about, self.cases)


def held_out_batches(folder: Path, cases: int) -> list[RewardBatch]:
    """Two batches of every context about held-out scenes, for evaluations while training."""
    layout = Layout.load(folder)
    found = []
    for about in REWARD_CONTEXTS:
        rng = random.Random(f"reward/held out/{about}")
        halves = (cases // 2, cases - cases // 2)
        found += [sample_reward_batch(rng, layout, about, n, held_out=True) for n in halves]
    return found


def sample_reward_batch(
    rng: random.Random, layout: Layout, about: Context, size: int, held_out: bool = False
) -> RewardBatch:
    """Samples cases of one context, with media of the same sizes."""
    task = Task("batch_ranking", "text", about)
    cases = alike(rng, task, size, held_out, ANSWERS)
    slots = [sample_slot(rng, shown) for shown in shown_in(cases[0])]
    prefix = layout.prefix_of(DEFAULT_SYSTEM)
    pictures: list[list[NDArray[np.uint8]]] = [[] for _ in slots]
    for case in cases:
        for stack, slot, shown in zip(pictures, slots, shown_in(case), strict=True):
            stack.append(served_frames(rng, shown, slot))
    laid: list[Laid] = []
    for number in range(ANSWERS):
        for case in cases:
            parts: list[str | Slot] = [*slots, case.question]
            answer = str(case.candidates[number].text)
            laid.append(layout.lay_out_answer(parts, answer, len(prefix)))
    ids, rope_positions, positions, targets, rows = pack(laid)
    rewards = torch.tensor(
        [[REWARDS[case.candidates[n].grade] for case in cases] for n in range(ANSWERS)]
    )
    taught = rewards.flatten()[rows] == 1
    length = ids.shape[1]
    batch = Batch(
        torch.tensor(prefix),
        ids,
        rope_positions,
        positions[taught],
        targets[taught],
        rows[taught],
        _for_every_answer(by_size(slots, pictures, laid[: len(cases)], length), ids.numel()),
        task,
    )
    last = torch.tensor([row * length + len(each.ids) - 1 for row, each in enumerate(laid)])
    return RewardBatch(batch, last, rewards, tuple(case.kind for case in cases))


def _for_every_answer(seen: tuple[Seen, ...], ids: int) -> tuple[Seen, ...]:
    """Media behind which each of the answers is laid out, at the same place of its sequence."""
    starts = torch.arange(ANSWERS) * (ids // ANSWERS)
    return tuple(Seen(each.frames, (starts[:, None] + each.slots[None]).flatten()) for each in seen)
