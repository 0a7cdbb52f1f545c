"""A decoded video as it is shown to the judge: frames and their rate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image


@dataclass(frozen=True)
class Clip:
    """A video as the judge sees it.

    Attributes:
        frames: RGB pictures of one size, an even number of them, in order.
        fps: frames a second of video.
        kinds: what it has that few clips have (``pipeline.judging.renderings``).
    """

    frames: tuple[Image, ...]
    fps: float
    kinds: frozenset[str] = frozenset()


def frames_of(clip: Clip) -> NDArray[np.uint8]:
    """The frames as models' processors take them: an array (frames, height, width, 3)."""
    return np.stack([np.asarray(frame) for frame in clip.frames])
