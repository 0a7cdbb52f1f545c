"""The scans of a JPEG: how many a decoder has to go through, and whether any of them is cut.

libjpeg draws what is missing grey, and shows zeros in a file as whatever they happen to mean. Both
is found by what it looks like, which costs nothing, and proven before a picture is refused: a whole
scan needs all of its bytes, and no others.
"""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from PIL import Image, ImageChops

_SOI, _EOI, _SOS, _COEFFICIENTS = 0xD8, 0xD9, 0xDA, 64
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = {0xC2, 0xC6, 0xCA, 0xCE}
_MARKER = re.compile(rb"\xff[\x01-\xfe]")
_END = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")  # of a scan: no restart of it
_ZEROS = bytes(64)  # more than the codes of a picture ever leave, but for large areas of one colour
_NOISE = bytes(range(1, 129))  # codes for something, whatever the tables
_MORE = b"".join([_NOISE, *(b"\xff" + bytes([mark]) + _NOISE for mark in range(0xD0, 0xD8))])
_LAST, _LAST_OF_LARGE = 8, 256  # bytes that show in full size, and at an eighth of it
_MOST_PIXELS = 2**22  # of a picture that is compared in full size, for want of memory
_GREY = range(127, 130)  # the level of a block that is missing, and rounding


class Scan(NamedTuple):
    """One scan of a JPEG.

    Attributes:
        components: numbers of those that it holds.
        coefficients: of each block, the ones that it holds.
        missing_bits: low bits of them that later scans have to bring.
        start, stop: where its coded data are.
    """

    components: bytes
    coefficients: range
    missing_bits: int
    start: int
    stop: int


@dataclass(frozen=True)
class JpegScans:
    """The scans of a JPEG in order, up to its end marker.

    Attributes:
        components: how many the picture has.
        area: its pixels.
        progressive: whether scans hold a part of each block.
    """

    components: int
    area: int
    progressive: bool
    scans: tuple[Scan, ...]

    @property
    def complete(self) -> bool:
        """Whether the scans bring every bit of every component."""
        missing: dict[tuple[int, int], int] = {}
        for scan in self.scans:
            for component in scan.components:
                for coefficient in scan.coefficients:
                    missing[component, coefficient] = scan.missing_bits
        found = len(missing) == self.components * _COEFFICIENTS
        return found and not any(missing.values())


def list_scans(data: bytes) -> JpegScans:
    """Reads the headers of a JPEG's scans; those of a file that breaks off as far as they go."""
    components, area, progressive, scans = 0, 0, False, []
    at = 2
    while (found := _MARKER.search(data, at)) and (marker := data[found.end() - 1]) != _EOI:
        at = found.end()
        segment = data[at + 2 : at + int.from_bytes(data[at : at + 2], "big")]
        if marker in _FRAMES and len(segment) > 5:
            height, width, components = struct.unpack_from(">HHB", segment, 1)
            area, progressive = height * width, marker in _PROGRESSIVE
        at += 2 + len(segment)
        if marker == _SOS and (scan := _scan(data, segment, at, progressive)):
            scans.append(scan)
            if not progressive and len(scan.components) == components:
                break  # the only one; decoders stop here as well
            at = scan.stop
    return JpegScans(components, area, progressive, tuple(scans))


def is_cut(data: bytes, image: Image.Image, found: JpegScans) -> bool:
    """Whether a picture lacks a part: by an end marker that comes too early, or zeros inside.

    Args:
        data: the file.
        image: what it decodes to, at any scale and before any change.
        found: its scans.
    """
    if not found.scans:
        return False  # as Pillow decodes it nevertheless, nothing is known about it
    if not found.complete:
        return True
    corner = image.crop((max(0, image.width - 2), max(0, image.height - 2), *image.size))
    grey = all(level in _GREY for level in corner.tobytes())
    small = found.area <= _MOST_PIXELS
    compare = _Comparison(data, in_full=small)
    whole = grey or (not found.progressive and len(found.scans) > 1)
    return any(
        _lacks_a_part(compare, start, stop, grey)
        for scan in found.scans
        if small or scan.coefficients.start == 0  # others do not show at an eighth of the size
        for start, stop in _suspicious(data, scan, whole)
    )


def _scan(data: bytes, header: bytes, start: int, progressive: bool) -> Scan | None:
    count = header[0] if header else 0
    if len(header) < 4 + 2 * count:
        return None
    first, last, bits = header[1 + 2 * count : 4 + 2 * count]
    coefficients = range(first, last + 1) if progressive else range(_COEFFICIENTS)
    end = _END.search(data, start)
    stop = end.start() if end else len(data)
    return Scan(header[1 : 1 + 2 * count : 2], coefficients, bits & 15, start, stop)


def _suspicious(data: bytes, scan: Scan, whole: bool) -> Iterator[tuple[int, int]]:
    """The stretches of a scan to look at: each is what a decoder reads in one go, between markers.

    Args:
        data: the file.
        scan: one scan of it.
        whole: look at its end in any case; else only at the first stretch that has zeros.
    """
    zeros = data.find(_ZEROS, scan.start, scan.stop)
    if zeros < 0 and not whole:
        return
    starts = [scan.start, *(mark.end() for mark in _MARKER.finditer(data, scan.start, scan.stop))]
    stops = [*(start - 2 for start in starts[1:]), scan.stop]
    if zeros >= 0:
        yield next((a, b) for a, b in zip(starts, stops, strict=True) if zeros < b)
    if whole:
        yield starts[-1], stops[-1]


@dataclass
class _Comparison:
    """Compares a file with altered ones by what they decode to.

    Attributes:
        data: the file.
        in_full: compare pictures in full size, and not at an eighth of it.
    """

    data: bytes
    in_full: bool

    def differs(self, start: int, stop: int, other: bytes) -> bool:
        """Whether the picture is another one with other bytes in the place of a range."""
        try:
            changed = self._decoded(self.data[:start] + other + self.data[stop:])
        except OSError:  # more bytes are needed than there are
            return True
        return ImageChops.difference(self._own, changed).getbbox() is not None

    @cached_property
    def _own(self) -> Image.Image:
        return self._decoded(self.data)

    def _decoded(self, data: bytes) -> Image.Image:
        image = Image.open(io.BytesIO(data), formats=("JPEG",))
        if not self.in_full:
            image.draft(image.mode, (image.width // 8, image.height // 8))
        image.load()
        return image


def _lacks_a_part(compare: _Comparison, start: int, stop: int, grey: bool) -> bool:
    """Whether a stretch does not end with its part of the picture: a decoder wants more, or less.

    Zeros that fill up a stretch after its end are harmless. What a grey picture ends in may be
    missing without a change.
    """
    stretch = compare.data[start:stop]
    used = start + len(stretch.rstrip(b"\0"))
    if used < stop == len(compare.data):
        return True  # no marker ends it
    if compare.differs(start + len(stretch.rstrip(b"\xff")), stop, _MORE):
        return True
    if grey:
        return False
    if used < stop and not compare.differs(used, stop, b""):
        stop = used
    last = max(start, stop - (_LAST if compare.in_full else _LAST_OF_LARGE))
    return not any(compare.differs(last, stop, end) for end in (b"", _NOISE[-_LAST:]))
