"""Which frames of a video the judge sees: the arithmetic of ``qwen_vl_utils``."""

from __future__ import annotations

import math

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
