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
