"""Colours as browsers show them: what has a colour profile of its own is converted to sRGB.

A profile that is sRGB in all but name changes nothing, so that ordinary pictures keep their pixels.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from pipeline.runtime.errors import RowRejected
from schemas.labels import Reason

# Code points of ITU-T H.273 ("cICP", "nclx"): x and y of white, red, green and blue.
SRGB_PRIMARIES = (0.3127, 0.3290, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
_PRIMARIES: dict[int, tuple[float, ...]] = {
    1: SRGB_PRIMARIES,
    5: (0.3127, 0.3290, 0.64, 0.33, 0.29, 0.60, 0.15, 0.06),  # BT.601, 625 lines
    6: (0.3127, 0.3290, 0.63, 0.34, 0.31, 0.595, 0.155, 0.07),  # BT.601, 525 lines
    9: (0.3127, 0.3290, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046),  # BT.2020
    11: (0.314, 0.351, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),  # DCI-P3
    12: (0.3127, 0.3290, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),  # Display P3
}
SRGB_TRANSFER = 13
_UNKNOWN = 2
_PLAIN_PRIMARIES = (_UNKNOWN, 6)  # those of a clip that browsers show as those of sRGB
_VIDEO_TRANSFERS = (1, _UNKNOWN, 6, 14, 15)  # as that of sRGB
_NCLX_TRANSFERS = (1, 6, 14, 15)  # of pictures, likewise
_D50 = (0.9642, 1.0, 0.8249)  # of profile connection spaces
_BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)
# A profile this near to sRGB, in levels of 255 over all colours, is meant to be it: a plain gamma
# of 2.2 in its place differs by 9 in the deepest shadows, and by 1.6 in the mean.
_SAME = 10
_HDR = {16: "PQ", 18: "HLG"}  # transfers that need tone mapping, which each screen does its way
_SPACES = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK"}
Curve = NDArray[np.float64]


def gamma(exponent: float) -> Curve:
    """The light, 0 to 1, of each of 256 levels."""
    return np.linspace(0, 1, 256) ** exponent


def _piecewise(cut: float, slope: float, offset: float, exponent: float) -> Curve:
    levels = np.linspace(0, 1, 256)
    return np.where(levels < cut, levels / slope, ((levels + offset) / (1 + offset)) ** exponent)


# Code points of ITU-T H.273: the light of each of 256 levels.
_TRANSFERS: dict[int, Curve] = {
    **dict.fromkeys((1, 6, 14, 15), gamma(2.4)),  # BT.709 and the like: as screens show it
    4: gamma(2.2),
    5: gamma(2.8),
    8: gamma(1),
    13: _piecewise(0.04045, 12.92, 0.055, 2.4),
}


def to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """A picture as RGB in sRGB; its profile is left out where it is broken or of other channels.

    Args:
        image: of mode L, RGB or CMYK.
        profile: an ICC profile, or no bytes.
    """
    found = _transform(profile) if profile else None
    if found is None:
        return image.convert("RGB")
    channels, transform = found
    if channels == "RGB" and image.mode == "L":
        image = image.convert("RGB")
    return transform.apply(image) if channels == image.mode else image.convert("RGB")


def coded_profile(primaries: int, transfer: int) -> bytes:
    """The ICC profile of code points of ITU-T H.273; no bytes where they are unknown.

    Raises:
        RowRejected: media_unsupported, for colours in high dynamic range.
    """
    if transfer in _HDR:
        raise RowRejected(
            Reason.MEDIA_UNSUPPORTED,
            f"got colours in high dynamic range ({_HDR[transfer]}), expected standard range: "
            "convert it to sRGB",
        )
    if primaries not in _PRIMARIES or transfer not in _TRANSFERS:
        return b""
    return rgb_profile(_PRIMARIES[primaries], _TRANSFERS[transfer])


def nclx_profile(primaries: int, transfer: int) -> bytes:
    """The ICC profile of code points of an AVIF or HEIC, as browsers take them.

    Raises:
        RowRejected: media_unsupported, for colours in high dynamic range.
    """
    return coded_profile(primaries, SRGB_TRANSFER if transfer in _NCLX_TRANSFERS else transfer)


def video_profile(primaries: int, transfer: int) -> bytes:
    """The ICC profile of code points of a clip, as browsers take them; no bytes for usual ones.

    Raises:
        RowRejected: media_unsupported, for colours in high dynamic range.
    """
    seen = SRGB_TRANSFER if transfer in _VIDEO_TRANSFERS else transfer
    if primaries in _PLAIN_PRIMARIES:
        primaries = 1
    return b"" if (primaries, seen) == (1, SRGB_TRANSFER) else coded_profile(primaries, seen)


def rgb_profile(primaries: Sequence[float], curve: Curve) -> bytes:
    """An ICC profile of RGB colours.

    Args:
        primaries: x and y of white, red, green and blue.
        curve: the light, 0 to 1, of each of 256 levels.

    Raises:
        ValueError: the primaries are those of no colour space.
    """
    xyz = np.array(
        [(x / y, 1.0, (1 - x - y) / y) for x, y in zip(*[iter(primaries)] * 2, strict=True)]
    )
    white, colors = xyz[0], xyz[1:].T
    adapt = np.linalg.solve(_BRADFORD, np.diag(_BRADFORD @ _D50 / (_BRADFORD @ white)) @ _BRADFORD)
    scaled = adapt @ colors @ np.diag(np.linalg.solve(colors, white))
    levels = np.round(curve * 65_535).astype(">u2").tobytes()
    trc = b"curv" + bytes(4) + struct.pack(">I", 256) + levels
    columns = {b"rXYZ": 0, b"gXYZ": 1, b"bXYZ": 2}
    tags = {name: _xyz(scaled[:, index]) for name, index in columns.items()}
    tags |= {b"wtpt": _xyz(_D50), b"rTRC": trc, b"gTRC": trc, b"bTRC": trc}
    return _icc(tags)


def _xyz(values: Any) -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(">3i", *(round(v * 65_536) for v in values))


def _icc(tags: dict[bytes, bytes]) -> bytes:
    """An ICC profile, version 2, of a monitor."""
    directory, body, start = b"", b"", 132 + 12 * len(tags)
    for name, content in tags.items():
        directory += name + struct.pack(">II", start + len(body), len(content))
        body += content
    size, version = start + len(body), 0x02400000
    header = struct.pack(">I4xI12s12x4s", size, version, b"mntrRGB XYZ ", b"acsp").ljust(68, b"\0")
    header += _xyz(_D50)[8:]
    return header.ljust(128, b"\0") + struct.pack(">I", len(tags)) + directory + body


@lru_cache(maxsize=8)
def _transform(profile: bytes) -> tuple[str, ImageCms.ImageCmsTransform] | None:
    """The mode that a profile is for and its transform to sRGB; None where none is needed."""
    try:
        opened = ImageCms.getOpenProfile(io.BytesIO(profile))
        mode = _SPACES[opened.profile.xcolor_space]
        # As browsers do; of the profiles of cameras and screens all intents are the same.
        intent = ImageCms.Intent.PERCEPTUAL
        srgb = ImageCms.createProfile("sRGB")
        found = ImageCms.buildTransform(opened, srgb, mode, "RGB", intent)
    except (ImageCms.PyCMSError, OSError, KeyError, ValueError):
        return None  # browsers show a picture with a broken profile without it
    return None if mode != "CMYK" and _is_srgb(found, mode) else (mode, found)


def _is_srgb(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    steps = np.linspace(0, 255, 9).astype(np.uint8)
    colors = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(-1, 9, 3)
    before = Image.fromarray(colors if mode == "RGB" else colors[:, :, 0])
    after = np.asarray(transform.apply(before), np.int16)
    return bool(np.abs(after - np.asarray(before.convert("RGB"), np.int16)).max() <= _SAME)
