"""Training batches: pairs, pictures and token ids, made by worker processes."""

import io
import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from pipeline.tiny_judge.layout import FACTOR, Layout, fit
from pipeline.tiny_judge.pairs import Order, ScenePair, reference_reply, sample_pair
from pipeline.tiny_judge.questions import Kind
from pipeline.tiny_judge.scenes import Size, encode, render

# Sides of pictures as they arrive, in pixels, and the widest aspect that is trained.
_SMALLEST: Final = 84
_LARGEST: Final = 1_200
_STEP: Final = 4
_WIDEST: Final = 2.05
# Shares of small, medium and large pictures: they look alike once resized, small ones are cheap.
_AREAS: Final = ((32_000, 0.92), (160_000, 0.07), (2_000_000, 0.01))
_JPEG_SHARE: Final = 0.35
_QUALITIES: Final = (70, 95)

GRID_WEIGHTS: Final[dict[tuple[int, int], float]] = {
    (4, 4): 0.22,
    (5, 4): 0.15,
    (4, 5): 0.15,
    (6, 3): 0.11,
    (3, 6): 0.11,
    (5, 3): 0.09,
    (3, 5): 0.09,
    (4, 3): 0.03,
    (3, 4): 0.03,
    (7, 3): 0.01,
    (3, 7): 0.01,
}
"""Grids (columns, rows of merged tokens) that the picture bounds produce, and their shares."""


@dataclass(frozen=True)
class Batch:
    """One batch; all pictures have one size.

    Attributes:
        pictures: uint8 (batch, height, width, 3).
        ids: int64 (batch, length), ids after the picture, padded on the right.
        positions: (n,) indices into the flattened ids whose next token belongs to a reply.
        targets: (n,) those next tokens.
        rows: (n,) the sample that each position belongs to.
        kinds: The kind of question of each sample.
    """

    pictures: Tensor
    ids: Tensor
    positions: Tensor
    targets: Tensor
    rows: Tensor
    kinds: list[Kind]

    def pin_memory(self) -> "Batch":
        """A copy in pinned memory, as the data loader asks for."""
        return self._map(Tensor.pin_memory)

    def to(self, device: torch.device) -> "Batch":
        """A copy on a device."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=True))

    def _map(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        return Batch(
            change(self.pictures),
            change(self.ids),
            change(self.positions),
            change(self.targets),
            change(self.rows),
            self.kinds,
        )


class Batches(IterableDataset[Batch]):
    """An endless stream of batches; every worker draws its own.

    Args:
        folder: Where the tokenizer is.
        batch_size: Samples a batch.
        seed: Seed of the stream.
        held_out: Which split of the scenes to draw from.
    """

    def __init__(self, folder: Path, batch_size: int, seed: int, held_out: bool = False) -> None:
        self.folder, self.batch_size = folder, batch_size
        self.seed, self.held_out = seed, held_out

    def __iter__(self) -> Iterator[Batch]:
        worker = get_worker_info()
        rng = random.Random(f"{self.seed}/{worker.id if worker else 0}/{self.held_out}")
        layout = Layout.load(self.folder)
        while True:
            yield self._batch(rng, layout)

    def _batch(self, rng: random.Random, layout: Layout) -> Batch:
        grid = rng.choices(list(GRID_WEIGHTS), list(GRID_WEIGHTS.values()))[0]
        pictures, pairs, prompts, replies = [], [], [], []
        for _ in range(self.batch_size):
            pair = sample_pair(rng, self.held_out)
            order: Order = rng.choice(("ab", "ba"))
            pairs.append(pair)
            pictures.append(_arrive(rng, pair, grid))
            prompts.append(layout.suffix(pair.question, *pair.answers(order)))
            replies.append(layout.reply(reference_reply(pair, order)))
        ids, positions, targets, rows = _pack(prompts, replies)
        return Batch(
            torch.from_numpy(np.stack(pictures)),
            ids,
            positions,
            targets,
            rows,
            [pair.kind for pair in pairs],
        )


def load(batches: Batches, workers: int) -> DataLoader[Batch]:
    """A loader that keeps worker processes ahead of the training loop."""
    return DataLoader(
        batches,
        batch_size=None,
        num_workers=workers,
        prefetch_factor=4 if workers else None,
        pin_memory=torch.cuda.is_available(),
    )


def resized(picture: Image.Image) -> Image.Image:
    """The picture as it is served: aspect kept, bicubic, within the judge's pixel bounds."""
    return picture.resize(fit(picture.size), Image.Resampling.BICUBIC)


@cache
def sizes_by_grid() -> dict[tuple[int, int], tuple[list[Size], ...]]:
    """Sizes of arriving pictures by the grid they are resized to, then by class of area."""
    sizes: dict[tuple[int, int], tuple[list[Size], ...]] = {
        grid: tuple([] for _ in _AREAS) for grid in GRID_WEIGHTS
    }
    sides = range(_SMALLEST, _LARGEST + 1, _STEP)
    for width, height in itertools.product(sides, sides):
        if max(width, height) <= _WIDEST * min(width, height):
            fitted = fit((width, height))
            area = next(i for i, (most, _) in enumerate(_AREAS) if width * height <= most)
            sizes[fitted[0] // FACTOR, fitted[1] // FACTOR][area].append((width, height))
    return sizes


def _arrive(rng: random.Random, pair: ScenePair, grid: tuple[int, int]) -> np.ndarray:
    classes = [(c, share) for c, (_, share) in zip(sizes_by_grid()[grid], _AREAS, strict=True) if c]
    sizes = rng.choices([c for c, _ in classes], [share for _, share in classes])[0]
    picture = render(pair.scene, rng, rng.choice(sizes))
    if rng.random() < _JPEG_SHARE:
        coded = encode(picture, "JPEG", rng.randint(*_QUALITIES))
        picture = Image.open(io.BytesIO(coded)).convert("RGB")
    return np.asarray(resized(picture))


def _pack(prompts: list[list[int]], replies: list[list[int]]) -> tuple[Tensor, ...]:
    """Pad to one length (a multiple of eight) and index the tokens that the loss looks at."""
    longest = max(len(p) + len(r) for p, r in zip(prompts, replies, strict=True))
    length = -(-longest // 8) * 8
    ids = torch.zeros(len(prompts), length, dtype=torch.long)
    positions: list[int] = []
    targets: list[int] = []
    rows: list[int] = []
    for row, (prompt, reply) in enumerate(zip(prompts, replies, strict=True)):
        ids[row, : len(prompt) + len(reply)] = torch.tensor(prompt + reply)
        first = row * length + len(prompt) - 1
        positions += range(first, first + len(reply))
        targets += reply
        rows += [row] * len(reply)
    return ids, torch.tensor(positions), torch.tensor(targets), torch.tensor(rows)
