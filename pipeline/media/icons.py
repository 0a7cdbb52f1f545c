"""The picture of an icon file that browsers show: the largest, with the most colours."""

from __future__ import annotations

import struct
from typing import NamedTuple

from pipeline.runtime.errors import RowRejected
from schemas.labels import Reason

_PNG = b"\x89PNG"
_ENTRY = struct.Struct("<BBBBHHII")


class _Icon(NamedTuple):
    """One entry of an icon file: 256 pixels are stated as 0."""

    width: int
    height: int
    colors: int
    reserved: int
    planes: int
    bits: int
    size: int
    offset: int


def largest_icon(data: bytes) -> tuple[bytes, tuple[int, int]]:
    """The picture of an icon file that is shown.

    Returns:
        A PNG, or an icon file with this picture alone; and width and height by its own header.

    Raises:
        RowRejected: the file ends before its pictures do.
    """
    (count,) = struct.unpack_from("<H", data, 4)
    if not count or len(data) < 6 + _ENTRY.size * count:
        raise RowRejected(Reason.MEDIA_CORRUPT, "damaged picture: the icon file has no picture")
    icons = [_Icon(*_ENTRY.unpack_from(data, 6 + _ENTRY.size * index)) for index in range(count)]
    best = max(icons, key=lambda icon: ((icon.width or 256) * (icon.height or 256), icon.bits))
    picture = data[best.offset : best.offset + best.size]
    if len(picture) < max(best.size, 40):
        raise RowRejected(Reason.MEDIA_CORRUPT, "damaged picture: the icon file is cut short")
    if picture.startswith(_PNG):
        width, height = struct.unpack_from(">II", picture, 16)
        return picture, (width, height)
    width, height = struct.unpack_from("<ii", picture, 4)  # the height counts the mask, too
    alone = best._replace(offset=6 + _ENTRY.size)
    return data[:4] + b"\1\0" + _ENTRY.pack(*alone) + picture, (abs(width), abs(height) // 2)
