"""Training batches: cases, pictures and token ids, made by worker processes."""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from pipeline.lab.tiny_judge.judging_cases import Case, Shown
from pipeline.lab.tiny_judge.judging_tasks import TASKS, WEIGHTS_OF_TASKS, Task
from pipeline.lab.tiny_judge.sample_layout import Laid, Layout, Slot
from pipeline.lab.tiny_judge.served_media import sample_slot, served_frames
from pipeline.media.model_sizes import FRAMES_A_PATCH

Made = TypeVar("Made")
_ROUND_TO = 16  # lengths are padded to multiples of it


@dataclass(frozen=True)
class Seen:
    """The temporal patches of a batch that have one size.

    Attributes:
        frames: uint8 (patches, 1 of a picture or 2 of a clip, height, width, 3).
        slots: (patches * tokens,) where their merged tokens go, in the flattened ids.
    """

    frames: Tensor
    slots: Tensor


@dataclass(frozen=True)
class Batch:
    """One batch of cases of one task.

    Attributes:
        prefix: (prefix,) ids of the start of every prompt.
        ids: (batch, length) ids after the prefix, padded on the right.
        rope_positions: (3, batch, length) their M-RoPE positions.
        positions: (n,) indices into the flattened ids whose next token belongs to a reply.
        targets: (n,) those next tokens.
        rows: (n,) the sample that each position belongs to.
        seen: Pictures and clips by size.
        task: What the cases are.
    """

    prefix: Tensor
    ids: Tensor
    rope_positions: Tensor
    positions: Tensor
    targets: Tensor
    rows: Tensor
    seen: tuple[Seen, ...]
    task: Task

    def pin_memory(self) -> Batch:
        """A copy in pinned memory, as the data loader asks for."""
        return self._map(Tensor.pin_memory)

    def to(self, device: torch.device) -> Batch:
        """A copy on a device."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=True))

    def _map(self, change: Callable[[Tensor], Tensor]) -> Batch:
        return Batch(
            change(self.prefix),
            change(self.ids),
            change(self.rope_positions),
            change(self.positions),
            change(self.targets),
            change(self.rows),
            tuple(Seen(change(s.frames), change(s.slots)) for s in self.seen),
            self.task,
        )


class Batches(IterableDataset[Batch]):
    """A stream of batches, each of one task; every worker process samples its own.

    Args:
        folder: Where the tokenizer is.
        batch_size: Samples a batch.
        seed: Seed of the stream.
        weights: How often each of ``TASKS`` is sampled, in shared memory: may change meanwhile.
    """

    def __init__(self, folder: Path, batch_size: int, seed: int, weights: Tensor) -> None:
        self.folder, self.batch_size = folder, batch_size
        self.seed, self.weights = seed, weights

    def __iter__(self) -> Iterator[Batch]:
        worker = get_worker_info()
        rng = random.Random(f"{self.seed}/{worker.id if worker else 0}")
        layout = Layout.load(self.folder)
        while True:
            task = rng.choices(TASKS, self.weights.tolist())[0]
            yield sample_batch(rng, layout, task, self.batch_size)


class HeldOut(IterableDataset[Batch]):
    """One batch of every task about held-out scenes, for evaluations while training."""

    def __init__(self, folder: Path, batch_size: int) -> None:
        self.folder, self.batch_size = folder, batch_size

    def __iter__(self) -> Iterator[Batch]:
        worker = get_worker_info()
        first, step = (worker.id, worker.num_workers) if worker else (0, 1)
        layout = Layout.load(self.folder)
        for task in TASKS[first::step]:
            rng = random.Random(f"held out/{task.name}")
            yield sample_batch(rng, layout, task, self.batch_size, held_out=True)


def base_weights() -> Tensor:
    """How often training samples each of ``TASKS`` at first, in shared memory."""
    weights: Any = torch.tensor([WEIGHTS_OF_TASKS[task] for task in TASKS])
    shared: Tensor = weights.share_memory_()  # untyped in torch
    return shared


def load(batches: IterableDataset[Made], workers: int) -> DataLoader[Made]:
    """A loader that keeps worker processes ahead of the training loop."""
    return DataLoader(
        batches,
        batch_size=None,
        num_workers=workers,
        prefetch_factor=4 if workers else None,
        pin_memory=torch.cuda.is_available(),
        # The one process that feeds the GPU must not wait for a CPU.
        worker_init_fn=_lower_priority,
    )


def _lower_priority(_: int) -> None:
    os.nice(10)


def sample_batch(
    rng: random.Random, layout: Layout, task: Task, size: int, held_out: bool = False
) -> Batch:
    """Sample a batch of cases with their pictures; all have media of the same sizes."""
    cases = alike(rng, task, size, held_out)
    slots = [sample_slot(rng, shown) for shown in shown_in(cases[0])]
    prefix = layout.prefix(task.format, task.made_of)
    laid: list[Laid] = []
    pictures: list[list[NDArray[np.uint8]]] = [[] for _ in slots]
    for case in cases:
        laid.append(layout.lay_out(case, slots, case.order, len(prefix)))
        for stack, slot, shown in zip(pictures, slots, shown_in(case), strict=True):
            stack.append(served_frames(rng, shown, slot))
    ids, rope_positions, positions, targets, rows = pack(laid)
    return Batch(
        torch.tensor(prefix),
        ids,
        rope_positions,
        positions,
        targets,
        rows,
        by_size(slots, pictures, laid, ids.shape[1]),
        task,
    )


def alike(
    rng: random.Random, task: Task, size: int, held_out: bool, count: int | None = None
) -> list[Case]:
    """Cases with the same sequence of media kinds as the first one sampled."""
    first = task.sample(rng, held_out, count)
    kinds = [type(shown) for shown in shown_in(first)]
    cases = [first]
    while len(cases) < size:
        case = task.sample(rng, held_out, len(first.candidates))
        if [type(shown) for shown in shown_in(case)] == kinds:
            cases.append(case)
    return cases


def shown_in(case: Case) -> list[Shown]:
    """What the pictures and clips of a case show, in the order of their placeholders."""
    made = (c.shown for c in case.candidates if c.shown is not None)
    return [*case.context, *made]


def by_size(
    slots: Sequence[Slot],
    pictures: Sequence[Sequence[NDArray[np.uint8]]],
    laid: Sequence[Laid],
    length: int,
) -> tuple[Seen, ...]:
    """Frames of one size together, and where the tokens of each go."""
    frames: dict[tuple[int, ...], list[NDArray[np.uint8]]] = {}
    targets: dict[tuple[int, ...], list[NDArray[np.int64]]] = {}
    for number, (slot, stack) in enumerate(zip(slots, pictures, strict=True)):
        together = 1 if slot.frames is None else FRAMES_A_PATCH
        block = np.stack(stack)
        block = block.reshape(-1, together, *block.shape[2:])
        starts = np.array([row * length + each.media[number] for row, each in enumerate(laid)])
        where = starts[:, None] + np.arange(slot.tokens)
        key = block.shape[1:]
        frames.setdefault(key, []).append(block)
        targets.setdefault(key, []).append(where.reshape(-1))
    return tuple(
        Seen(
            torch.from_numpy(np.concatenate(frames[key])),
            torch.from_numpy(np.concatenate(targets[key])),
        )
        for key in frames
    )


def pack(laid: Sequence[Laid]) -> tuple[Tensor, ...]:
    """Pad to one length and index the tokens that the loss is computed on."""
    longest = max(len(each.ids) for each in laid)
    length = -(-longest // _ROUND_TO) * _ROUND_TO
    ids = np.zeros((len(laid), length), dtype=np.int64)
    rope_positions = np.zeros((3, len(laid), length), dtype=np.int64)
    positions: list[range] = []
    targets: list[int] = []
    rows: list[list[int]] = []
    for row, each in enumerate(laid):
        ids[row, : len(each.ids)] = each.ids
        rope_positions[:, row, : len(each.ids)] = each.rope_positions
        reply = each.ids[each.reply :]
        first = row * length + each.reply - 1
        positions.append(range(first, first + len(reply)))
        targets += reply
        rows.append([row] * len(reply))
    flat = itertools.chain.from_iterable
    return (
        torch.from_numpy(ids),
        torch.from_numpy(rope_positions),
        torch.tensor(list(flat(positions))),
        torch.tensor(targets),
        torch.tensor(list(flat(rows))),
    )
