"""Media as training serves them: the sizes at which they arrive, their codecs, and the resize."""

from __future__ import annotations

import io
import itertools
import random
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.lab.tiny_judge.judging_cases import Shown
from pipeline.lab.tiny_judge.motions import Motion, render_motion
from pipeline.lab.tiny_judge.sample_layout import FACTOR, Slot, fit
from pipeline.lab.tiny_judge.scenes import Size, encode, render

# Sides of pictures as they arrive, in pixels, and the widest aspect that is trained.
_SMALLEST: Final = 84
_LARGEST: Final = 1_200
_STEP: Final = 4
_WIDEST: Final = 2.05
# Shares of small, medium and large pictures: they look alike once resized, small ones are cheap.
_AREAS: Final = ((32_000, 0.96), (160_000, 0.035), (2_000_000, 0.005))
# Share of pictures rendered at the size that they are served at: cheapest.
_AS_SERVED: Final = 0.65
_JPEG_SHARE: Final = 0.12
_QUALITIES: Final = (70, 95)
_FRAMES: Final = {2: 0.4, 4: 0.6}
# Frames a second of the clip as served: 2 asked for, fewer of long clips.
_FPS: Final = {2.0: 0.5, 1.7: 0.1, 1.34: 0.1, 1.0: 0.1, 0.8: 0.1, 0.6: 0.1}

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


def sample_slot(rng: random.Random, shown: Shown) -> Slot:
    """Samples the grid and frames at which media such as ``shown`` are served."""
    columns, rows = rng.choices(list(GRID_WEIGHTS), list(GRID_WEIGHTS.values()))[0]
    if not isinstance(shown, Motion):
        return Slot(columns, rows)
    frames = rng.choices(list(_FRAMES), list(_FRAMES.values()))[0]
    fps = rng.choices(list(_FPS), list(_FPS.values()))[0]
    return Slot(columns, rows, frames, fps)


def served_frames(rng: random.Random, shown: Shown, slot: Slot) -> NDArray[np.uint8]:
    """Renders what is shown as a slot serves it: (frames, height, width, 3), one of a picture."""
    served = (slot.columns * FACTOR, slot.rows * FACTOR)
    size = served if rng.random() < _AS_SERVED else _sample_size(rng, slot)
    if isinstance(shown, Motion):
        pictures = render_motion(shown, rng, size, slot.frames or 0)
    else:
        pictures = [render(shown, rng, size)]
    if rng.random() < _JPEG_SHARE:
        quality = rng.randint(*_QUALITIES)
        pictures = [_decoded(encode(picture, "JPEG", quality)) for picture in pictures]
    return np.stack([np.asarray(_resized(picture)) for picture in pictures])


def _resized(picture: Image.Image) -> Image.Image:
    """The picture as it is served: aspect kept, bicubic, within the judge's pixel bounds."""
    size = fit(picture.size)
    return picture if size == picture.size else picture.resize(size, Image.Resampling.BICUBIC)


def _sample_size(rng: random.Random, slot: Slot) -> Size:
    by_area = _sizes_by_grid()[slot.columns, slot.rows]
    classes = [(c, share) for c, (_, share) in zip(by_area, _AREAS, strict=True) if c]
    return rng.choice(rng.choices([c for c, _ in classes], [share for _, share in classes])[0])


@cache
def _sizes_by_grid() -> dict[tuple[int, int], tuple[list[Size], ...]]:
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


def _decoded(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data)).convert("RGB")
