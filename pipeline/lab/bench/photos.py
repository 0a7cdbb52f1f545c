"""Pictures and clips of no sense that cost as much as real ones: to store, decode and look at."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

EncodeClip = Callable[[Sequence[Image.Image], int], bytes]  # frames, and how many a second
CLIP_SIDES, CLIP_FPS, CLIP_FRAMES = (640, 360), 8, 64
_QUALITY = 90


def jpeg(size: tuple[int, int], seed: int, grain: int = 6) -> bytes:
    """A JPEG of :func:`noise`."""
    buffer = io.BytesIO()
    noise(size, seed, grain).save(buffer, "JPEG", quality=_QUALITY)
    return buffer.getvalue()


def noise(size: tuple[int, int], seed: int, grain: int = 6) -> Image.Image:
    """Smooth noise: compresses about as photographs do, a byte or two for three pixels.

    Args:
        size: width and height, pixels.
        seed: the same seed gives the same picture.
        grain: pixels between two random ones; the coarser, the smaller the JPEG.
    """
    coarse = np.random.default_rng(seed).integers(
        0, 256, (size[1] // grain, size[0] // grain, 3), dtype=np.uint8
    )
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


def pan(seed: int) -> list[Image.Image]:
    """Frames of a camera that moves over a picture for eight seconds."""
    wide, tall = CLIP_SIDES
    scene = noise((wide + 4 * CLIP_FRAMES, tall), seed)
    return [scene.crop((4 * n, 0, 4 * n + wide, tall)) for n in range(CLIP_FRAMES)]
