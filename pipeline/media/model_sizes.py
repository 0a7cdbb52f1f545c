"""How large a picture becomes before the judge sees it: Qwen's ``smart_resize``."""

from __future__ import annotations

import math

MAX_ASPECT_RATIO = 200


def fit(
    width: int, height: int, *, factor: int, min_pixels: int, max_pixels: int
) -> tuple[int, int]:
    """Width and height as multiples of ``factor``, area within the bounds, aspect nearly kept.

    The same arithmetic as ``qwen_vl_utils.smart_resize`` (a test compares them), except that a
    narrow strip keeps one patch where that rounds to nothing, and without importing torch.

    Raises:
        ValueError: the aspect ratio is beyond what the model takes.
    """
    if max(width, height) > MAX_ASPECT_RATIO * min(width, height):
        raise ValueError(f"{width}x{height}: the aspect ratio is above {MAX_ASPECT_RATIO}")
    sides = [max(factor, round(side / factor) * factor) for side in (width, height)]
    if math.prod(sides) > max_pixels:
        shrink = math.sqrt(width * height / max_pixels)
        sides = [max(factor, int(side / shrink / factor) * factor) for side in (width, height)]
    elif math.prod(sides) < min_pixels:
        grow = math.sqrt(min_pixels / (width * height))
        sides = [math.ceil(side * grow / factor) * factor for side in (width, height)]
    return sides[0], sides[1]


FRAMES_A_PATCH = 2  # frames that share their tokens: a temporal patch of the Qwen-VL models


def sample_frames(
    total: int, rate: float, *, fps: float, min_frames: int, max_frames: int
) -> list[int]:
    """Evenly spread indices of an even number of frames, the first and the last included.

    As many and the same as ``smart_nframes`` and the readers of qwen-vl-utils 0.0.14 take (a test
    compares them), computed without rounding errors and without importing torch. Where those
    raise, for a video of a single frame, that frame is shown twice, as the model would pad it.

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
    wanted = min(max(total / rate * fps, min_frames), max_frames, total)
    count = math.floor(wanted / FRAMES_A_PATCH) * FRAMES_A_PATCH
    # Halfway cases cannot occur: count - 1 is odd, so its half is no whole number of steps.
    steps = count - 1
    return [(2 * step * (total - 1) + steps) // (2 * steps) for step in range(count)]
