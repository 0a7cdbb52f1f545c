"""Pictures of which a part is missing, where the format has no checksum and the decoder is silent.

A file of which only the beginning was written is zeros from there on. Runs of zeros that compressed
data never have are damage; pixels that are zero may be black, and are damage only where a row of
the picture breaks off in them.
"""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

_ZEROS = bytes(64)
_HOLE = bytes(4_096)  # a block of a disk that was not written
_UNCOMPRESSED, _PACKBITS = 1, 32_773  # compressions of TIFF in which zeros are pixels
_PLACES, _SIZES = (273, 324), (279, 325)  # tags of TIFF: of strips, of tiles
_PIXELS_A_ZERO = 512  # at least, in lossy data of WEBP (half a byte a macroblock) and JPEG 2000
_LAST = 16  # bytes; lossless data have fewer to spare
_LEAST_ROWS = 2  # of zeros
_SHORT, _BRIGHT = 4, 32  # so few pixels, and the least level that they must have then
_NONZERO = 0.75  # share of the bytes of a row that goes on where the next one breaks off
_EOC = b"\xff\xd9"  # the end of JPEG 2000 data


def has_hole(data: bytes, image: Image.Image) -> bool:
    """Whether the compressed data of an opened picture have zeros where there must be none."""
    if image.format == "WEBP":
        return _webp_has_hole(data, image)
    if image.format == "AVIF":
        return data.endswith(_ZEROS)
    if image.format == "HEIF":  # HEVC has no such zeros, and EXIF data fewer
        return data.endswith(_ZEROS) or _HOLE in data
    if image.format == "JPEG2000":
        coded = data[:-2] if data.endswith(_EOC) else data
        return coded.endswith(_flat_zeros(image)) and not coded.rstrip(b"\0").endswith(_EOC)
    if isinstance(image, TiffImageFile):
        return any(strip.endswith(_ZEROS) for strip in _compressed_strips(data, image))
    return False


def breaks_off(image: Image.Image, bottom_up: bool) -> bool:
    """Whether the stored rows of a decoded picture end in zeros that begin amid a row.

    Args:
        image: as it is stored, before any change.
        bottom_up: whether the lowest row is stored first.
    """
    box = image.getbbox(alpha_only=False)  # of all that is not zero
    if box is None:
        return False
    row, before = (box[1], box[1] + 1) if bottom_up else (box[3] - 1, box[3] - 2)
    zeros = box[1] if bottom_up else image.height - box[3]
    if zeros < _LEAST_ROWS or not 0 <= before < image.height:
        return False
    return _breaks_off_in(_row(image, before), _row(image, row))


def _row(image: Image.Image, number: int) -> NDArray[np.generic]:
    """A row of a picture: an array (width, bands)."""
    row = image.crop((0, number, image.width, number + 1))
    return np.asarray(row).reshape(image.width, -1)


def _breaks_off_in(before: NDArray[np.generic], row: NDArray[np.generic]) -> bool:
    """Whether a row becomes zero where the one before goes on to its end."""
    column = int(np.flatnonzero(row.max(axis=1))[-1]) + 1
    rest = before[column:].max(axis=1)
    if len(rest) < _SHORT:
        return len(rest) > 0 and bool((rest > _BRIGHT).all())
    return bool((rest > 0).mean() >= _NONZERO)


def _webp_has_hole(data: bytes, image: Image.Image) -> bool:
    """Whether the first picture in a WEBP has zeros instead of a part of its data.

    Areas of one colour are zeros, too: in lossy data few, and in lossless data any number, but
    then the last bytes are needed.
    """
    for name, start, size in _webp_chunks(data):
        pixels = data[start : start + size]
        if name == b"VP8 ":
            return _flat_zeros(image) in pixels
        if name == b"VP8L":
            return _ZEROS in pixels and _decodes(_shortened(data, start, size))
    return False


def _flat_zeros(image: Image.Image) -> bytes:
    """More zeros than the whole picture takes if it is of one colour."""
    return bytes(max(len(_ZEROS), image.width * image.height // _PIXELS_A_ZERO))


def _webp_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """The chunks of a WEBP, those of an animation's frames among them: name, start and size."""
    at = 12
    while at + 8 <= len(data):
        name, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        if name == b"ANMF":
            at += 24  # its chunks follow
            continue
        yield name, at + 8, size
        at += 8 + size + size % 2


def _shortened(data: bytes, start: int, size: int) -> bytes:
    """The lossless picture in a chunk as a file of its own, without its last bytes."""
    pixels = data[start : start + size - _LAST]
    chunk = b"VP8L" + len(pixels).to_bytes(4, "little") + pixels + bytes(len(pixels) % 2)
    return b"RIFF" + (len(chunk) + 4).to_bytes(4, "little") + b"WEBP" + chunk


def _decodes(data: bytes) -> bool:
    try:
        with Image.open(io.BytesIO(data), formats=("WEBP",)) as image:
            image.load()
    except (OSError, ValueError, RuntimeError):
        return False
    return True


def _compressed_strips(data: bytes, image: TiffImageFile) -> Iterator[bytes]:
    if image.tag_v2.get(259, _UNCOMPRESSED) in (_UNCOMPRESSED, _PACKBITS):
        return
    for places, sizes in zip(_PLACES, _SIZES, strict=True):
        starts, counts = image.tag_v2.get(places, ()), image.tag_v2.get(sizes, ())
        for start, count in zip(starts, counts, strict=False):
            yield data[start : start + count]
