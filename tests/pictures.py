"""Makes small pictures of many kinds for tests, down to their chunks and colour profiles."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from pipeline.media.media_config import MediaConfig

CASES = Path(__file__).parent / "media_cases"
AS_IS = MediaConfig(factor=1, min_pixels=1, max_pixels=10**8)
SIZE = WIDTH, HEIGHT = 120, 80
_WHITE = (0.9642, 1.0, 0.8249)  # D50


def scene() -> Image.Image:
    """A picture of gradients with red, green and blue shapes."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    bands = [x * 255 // WIDTH, y * 255 // HEIGHT, (x + y) * 255 // (WIDTH + HEIGHT)]
    image = Image.fromarray(np.stack(bands, -1).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, 40, 25), fill=(255, 0, 0))
    draw.ellipse((70, 30, 110, 70), fill=(0, 200, 40))
    draw.rectangle((10, 55, 30, 75), fill=(20, 20, 230))
    return image


def with_alpha(image: Image.Image) -> Image.Image:
    """The picture, more and more transparent from the bottom to the top."""
    image = image.convert("RGBA")
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    return image


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    """The file of a picture."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(name: bytes, content: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(content)) + name + content + _crc(name + content)


def png(samples: NDArray[Any], depth: int = 8, extra: bytes = b"") -> bytes:
    """A PNG of an array (height, width, bands), with ``extra`` chunks before its pixels.

    Args:
        samples: of 1 (grey), 2 (grey and alpha), 3 (RGB) or 4 bands; of up to 16 bits.
        depth: bits of a sample; less than 8 for grey only.
        extra: chunks.
    """
    height, width, bands = samples.shape
    header = struct.pack(">IIBBBBB", width, height, depth, {1: 0, 2: 4, 3: 2, 4: 6}[bands], 0, 0, 0)
    return _png(header, [_packed(row, depth) for row in samples], extra)


def icc(columns: Sequence[Sequence[float]] | None, exponent: float) -> bytes:
    """A colour profile of RGB with the XYZ of its primaries, or without them of grey."""
    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(exponent * 256))
    tags = {b"wtpt": _xyz(_WHITE)}
    if columns is None:
        tags[b"kTRC"] = curve
    else:
        tags |= {name: _xyz(xyz) for name, xyz in zip(_PRIMARIES, columns, strict=True)}
        tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
    return _profile(tags, b"GRAY" if columns is None else b"RGB ")


_PRIMARIES = (b"rXYZ", b"gXYZ", b"bXYZ")
# sRGB with red and blue exchanged: nobody can take one for the other.
SWAPPED = [(0.14307, 0.06061, 0.7141), (0.38515, 0.71687, 0.09708), (0.43607, 0.22249, 0.01392)]
ADOBE = [(0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457)]


def _crc(data: bytes) -> bytes:
    return struct.pack(">I", zlib.crc32(data))


def _png(header: bytes, rows: Iterable[bytes], extra: bytes) -> bytes:
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows))
    chunks = [chunk(b"IHDR", header), extra, chunk(b"IDAT", pixels), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _packed(row: NDArray[Any], depth: int) -> bytes:
    if depth >= 8:
        return row.astype(">u2" if depth == 16 else np.uint8).tobytes()
    bits = "".join(f"{sample:0{depth}b}" for sample in row.ravel())
    return int(bits, 2).to_bytes(len(bits) // 8, "big")


def _xyz(values: Sequence[float]) -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(">3i", *(round(value * 65_536) for value in values))


def _profile(tags: dict[bytes, bytes], space: bytes) -> bytes:
    directory, body, start = b"", b"", 132 + 12 * len(tags)
    for name, content in tags.items():
        padded = content + bytes(-len(content) % 4)
        directory += name + struct.pack(">II", start + len(body), len(padded))
        body += padded
    header = struct.pack(">I4xI", start + len(body), 0x02400000) + b"mntr" + space + b"XYZ "
    header = (header.ljust(36, b"\0") + b"acsp").ljust(68, b"\0") + _xyz(_WHITE)[8:]
    return header.ljust(128, b"\0") + struct.pack(">I", len(tags)) + directory + body
