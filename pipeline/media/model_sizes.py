"""How large a picture becomes and which frames of a video are shown, by qwen-vl-utils' own rules.

The bounds are the judge's. qwen_vl_utils imports torch and torchvision, which takes seconds in a
process without an engine: it is imported when the first size is computed, not with this module.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache
from typing import Any

from pipeline.runtime.errors import ConfigError

_MOST_ASPECT = 200  # of ``smart_resize``; beyond it that raises
FRAMES_A_PATCH = 2  # frames that share their tokens: a temporal patch of the Qwen-VL models


def fit(
    width: int, height: int, *, factor: int, min_pixels: int, max_pixels: int
) -> tuple[int, int]:
    """Width and height as multiples of ``factor``, area within the bounds, aspect nearly kept.

    Those of ``smart_resize``, except for narrow strips: one keeps a patch where that gives zero,
    and none becomes longer than the model takes, which rounding to patches may make it. A picture
    that fits as it is, which ``smart_resize`` leaves alone, does not need the import.

    Raises:
        ValueError: the aspect ratio is beyond what the model takes.
    """
    fits = width % factor == height % factor == 0 and min_pixels <= width * height <= max_pixels
    if fits and max(width, height) <= _MOST_ASPECT * min(width, height):
        return width, height
    try:
        sides = _rules("smart_resize", height, width, factor, min_pixels, max_pixels)
    except ValueError as error:
        raise ValueError(f"{width}x{height}: {error}") from error
    short, long = sorted(max(factor, side) for side in sides)
    long = min(long, short * _MOST_ASPECT)
    if short * long < min_pixels:
        raise ValueError(f"{width}x{height}: a strip of {min_pixels:,} pixels would be too long")
    return (long, short) if sides[1] > sides[0] else (short, long)


def sample_frames(
    total: int, rate: float, *, fps: float, min_frames: int, max_frames: int
) -> list[int]:
    """Evenly spread indices of an even number of frames, the first and the last included.

    As many as ``smart_nframes`` gives, and the same as the readers of qwen-vl-utils take (a test
    compares them), computed without rounding errors. Where those raise, for a video of a single
    frame, that frame is shown twice, as the model would pad it.

    Args:
        total: frames of the video.
        rate: its frames a second.
        fps: frames wanted for a second of it.
        min_frames, max_frames: bounds of their number, multiples of ``FRAMES_A_PATCH``; a video
            with fewer frames gives what it has.
    """
    if total < 1 or rate <= 0:
        raise ValueError(f"{total} frames at {rate} a second: expected some of both")
    if total == 1:
        return [0] * FRAMES_A_PATCH
    bounds = {"fps": fps, "min_frames": min_frames, "max_frames": max_frames}
    count: int = _rules("smart_nframes", bounds, total, rate)
    # Halfway cases cannot occur: count - 1 is odd, so its half is no whole number of steps.
    steps = count - 1
    return [(2 * step * (total - 1) + steps) // (2 * steps) for step in range(count)]


def qwen_rule(name: str, *arguments: Any) -> Any:
    """What a function of ``qwen_vl_utils.vision_process`` returns."""
    return getattr(_qwen(), name)(*arguments)


def use_rules(rules: Rules) -> None:
    """Has another process compute: one without the import, of which there are many."""
    global _rules
    _rules = rules


Rules = Callable[..., Any]
_rules: Rules = qwen_rule


@cache
def _qwen() -> Any:
    """``qwen_vl_utils.vision_process``.

    Raises:
        ConfigError: torch or torchvision, which it does not declare, are not installed.
    """
    try:
        from qwen_vl_utils import vision_process
    except ImportError as error:
        raise ConfigError(
            f"qwen-vl-utils, which sizes pictures and videos, cannot be imported: {error}; "
            "install pairmill with the extra cpu or gpu"
        ) from error
    # It warns of every video that is shown at more than its own frame rate.
    vision_process.logger.setLevel(logging.ERROR)
    return vision_process
