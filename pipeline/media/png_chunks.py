"""The chunks of a PNG: what is left of it without metadata, and what of them says how it looks.

Pillow refuses a picture for the checksum or the size of a comment, and believes the pixels whatever
their checksum: here it is the other way round.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from pipeline.media.color_profiles import SRGB_PRIMARIES, coded_profile, gamma, rgb_profile
from pipeline.runtime.errors import RowRejected
from schemas.labels import Reason

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PIXELS = (b"IHDR", b"PLTE", b"IDAT")
_STILL = (*_PIXELS, b"tRNS", b"IEND")
_MOST_PROFILE = 4 * 2**20  # bytes of a colour profile; what is beyond is not read
_SRGB_GAMMA = 45_455  # what files state that are meant to be sRGB
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # of a pixel, by the kind of colours
# Of each pass of an interlaced picture: its first column and row, and the steps to the next.
_ADAM7 = [
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
]
_AT_ONCE = 2**20  # bytes
_DEPTH = 24  # where the file states the bits of a sample


class _Chunk(NamedTuple):
    """A chunk of a PNG: its name, its content, whether it is whole and its checksum right."""

    name: bytes
    content: memoryview
    sound: bool


@dataclass(frozen=True)
class PngParts:
    """A PNG cut into what Pillow needs and what browsers read beside it.

    Attributes:
        data: the picture, or the first frame of its animation, without metadata.
        place: where on its canvas that frame is, (left, top); the rest of it is transparent.
        canvas: width and height of the whole.
        depth: bits of a sample.
        exif: EXIF data that stand before the pixels, or none.
        profile: an ICC profile of its colours, or none where they are sRGB.
    """

    data: bytes
    place: tuple[int, int]
    canvas: tuple[int, int]
    depth: int
    exif: bytes
    profile: bytes


def split_png(data: bytes) -> PngParts:
    """Takes a PNG apart.

    Raises:
        RowRejected: the pixels' checksum is wrong, or the file ends within them.
    """
    chunks = list(_chunks(data))
    for chunk in chunks:
        if chunk.name in _PIXELS and not chunk.sound:
            raise _damaged(f"the chunk {chunk.name.decode()} is cut short or its checksum is wrong")
    names = [chunk.name for chunk in chunks]
    if names[:1] != [b"IHDR"] or b"IDAT" not in names:
        raise _damaged("it has no header, or no pixels")
    start = names.index(b"IDAT")
    notes = {chunk.name: bytes(chunk.content) for chunk in chunks[:start] if chunk.sound}
    canvas: tuple[int, int] = struct.unpack_from(">II", notes[b"IHDR"])
    place = (0, 0)
    if b"acTL" in notes and b"fcTL" not in notes and (frame := _first_frame(chunks[start:])):
        # The picture is for programs that know no animations; browsers do.
        data, place = _still(chunks[:start], frame)
    elif not all(chunk.name in _STILL and chunk.sound for chunk in chunks):
        data = _written(
            (chunk.name, chunk.content) for chunk in chunks if chunk.name in _STILL and chunk.sound
        )
    return PngParts(data, place, canvas, data[_DEPTH], notes.get(b"eXIf", b""), _profile(notes))


def lacks_rows(data: bytes) -> bool:
    """Whether the compressed pixels of a PNG end before its last row."""
    width, height, depth, kind, _, _, interlaced = struct.unpack_from(">IIBBBBB", data, 16)
    bits = depth * _SAMPLES[kind]
    passes = _ADAM7 if interlaced else [(0, 0, 1, 1)]
    needed = 0
    for left, top, right, down in passes:
        columns, rows = -(-(width - left) // right), -(-(height - top) // down)
        needed += rows * (1 + (columns * bits + 7) // 8) if columns > 0 else 0
    inflate = zlib.decompressobj()
    for chunk in _chunks(data):
        packed: bytes | memoryview = chunk.content if chunk.name == b"IDAT" else b""
        while packed and needed > 0:
            needed -= len(inflate.decompress(packed, _AT_ONCE))
            packed = inflate.unconsumed_tail
    return needed > 0


def _first_frame(chunks: Sequence[_Chunk]) -> tuple[memoryview, list[memoryview]] | None:
    """The control data of an animation's first frame and its pixels; None where it has none."""
    control, pixels = None, []
    for chunk in chunks:
        if chunk.name == b"fcTL" and control is not None:
            break
        if chunk.name == b"fcTL" and chunk.sound and len(chunk.content) == 26:
            control = chunk.content
        elif chunk.name == b"fdAT" and chunk.sound and control is not None:
            pixels.append(chunk.content[4:])
    return (control, pixels) if control is not None and pixels else None


def _still(
    before: Sequence[_Chunk], frame: tuple[memoryview, list[memoryview]]
) -> tuple[bytes, tuple[int, int]]:
    """A frame as a picture of its own, and its place on the canvas."""
    control, pixels = frame
    width, height, left, top = struct.unpack_from(">4I", control, 4)
    header = struct.pack(">II", width, height) + bytes(before[0].content[8:])
    kept = [
        (chunk.name, chunk.content) for chunk in before[1:] if chunk.name in _STILL and chunk.sound
    ]
    coded = [(b"IDAT", part) for part in pixels]
    return _written([(b"IHDR", header), *kept, *coded, (b"IEND", b"")]), (left, top)


def _written(chunks: Iterable[tuple[bytes, bytes | memoryview]]) -> bytes:
    pieces: list[bytes | memoryview] = [_SIGNATURE]
    for name, content in chunks:
        checksum = zlib.crc32(content, zlib.crc32(name))
        pieces += [struct.pack(">I", len(content)), name, content, struct.pack(">I", checksum)]
    return b"".join(pieces)


def _damaged(detail: str) -> RowRejected:
    return RowRejected(Reason.MEDIA_CORRUPT, f"damaged picture: PNG: {detail}")


def _chunks(data: bytes) -> Iterator[_Chunk]:
    """The chunks up to the end that the PNG states, or that of the file."""
    view, at = memoryview(data), len(_SIGNATURE)
    while at + 8 <= len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        content, stop = view[at + 8 : at + 8 + length], at + 12 + length
        checksum = zlib.crc32(content, zlib.crc32(name))
        sound = stop <= len(data) and checksum == int.from_bytes(data[stop - 4 : stop], "big")
        yield _Chunk(name, content, sound)
        if name == b"IEND":
            return
        at = stop


def _profile(notes: dict[bytes, bytes]) -> bytes:
    """The profile of the picture's colours: the chunk that counts first where there are several."""
    try:
        if b"cICP" in notes:
            return coded_profile(*notes[b"cICP"][:2])
        if b"iCCP" in notes:
            _, _, packed = notes[b"iCCP"].partition(b"\0")
            return zlib.decompressobj().decompress(packed[1:], _MOST_PROFILE)
        if b"sRGB" in notes or b"gAMA" not in notes:
            return b""
        (inverse,) = struct.unpack(">I", notes[b"gAMA"])
        if b"cHRM" in notes:
            primaries = [value / 100_000 for value in struct.unpack(">8I", notes[b"cHRM"])]
            return rgb_profile(primaries, gamma(100_000 / inverse))
        return (
            b"" if inverse == _SRGB_GAMMA else rgb_profile(SRGB_PRIMARIES, gamma(100_000 / inverse))
        )
    except (struct.error, zlib.error, TypeError, ValueError, ArithmeticError):
        return b""  # browsers show a picture with a broken profile without it
