"""Controls: rows whose pictures are replaced; a judge that uses them drops to chance."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any, Final, TypeAlias

from PIL import Image

from pipeline.lab.tiny_judge.scenes import encode
from pipeline.pairs.contents import contents_of

Row: TypeAlias = dict[str, Any]
Control: TypeAlias = Callable[[Sequence[Row]], list[Row]]


def blank(rows: Sequence[Row]) -> list[Row]:
    """Every picture white, in its own size; the candidates of a row in different shades."""
    return _replaced(rows, lambda pictures: [_white(p, i % 4) for i, p in enumerate(pictures)])


def shuffled(rows: Sequence[Row]) -> list[Row]:
    """Every picture replaced by that of another row."""
    # By a third of all pictures: far enough to mix the kinds of questions.
    return _replaced(rows, lambda p: p[len(p) // 3 :] + p[: len(p) // 3])


def _replaced(rows: Sequence[Row], change: Callable[[list[bytes]], list[bytes]]) -> list[Row]:
    changed = deepcopy(list(rows))
    images = [image for row in changed for image in _images(row)]
    for image, data in zip(images, change([image["bytes"] for image in images]), strict=True):
        image["bytes"] = data
    return changed


def _images(row: Row) -> list[Row]:
    return [
        part["image"] for content in contents_of(row) for part in content if part["type"] == "image"
    ]


def _white(picture: bytes, shade: int) -> bytes:
    with Image.open(io.BytesIO(picture)) as image:
        return encode(Image.new("RGB", image.size, (255 - shade,) * 3), "PNG")


CONTROLS: Final[dict[str, Control]] = {"blank": blank, "shuffled": shuffled}
"""By name."""
