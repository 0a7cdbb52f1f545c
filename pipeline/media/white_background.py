"""Pictures of any mode as a screen shows them: eight bits a colour, sRGB, on white."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageCms
from PIL.TiffImagePlugin import TiffImageFile

from pipeline.media.color_profiles import to_srgb
from pipeline.runtime.errors import RowRejected
from schemas.labels import Reason

_OnWhite = Callable[[Image.Image, bytes], Image.Image]
_STRIP = 2**20  # pixels that are composited at once
_BITS_A_SAMPLE, _PHOTOMETRIC, _WHITE_IS_ZERO = 258, 262, 0  # tags of TIFF, and a value


def rgb_on_white(image: Image.Image, profile: bytes = b"") -> Image.Image:
    """A picture of any mode as RGB, what is transparent composited on white.

    The colours of opaque RGB, grey and palettes are left as they are, since it costs less to
    convert them once they are resized.

    Args:
        image: of any mode of 8 bits a sample or less.
        profile: an ICC profile of its colours, or no bytes.
    """
    if image.mode == "RGB" and not image.has_transparency_data:
        return image
    on_white = _with_palette_on_white(image, profile) if image.mode == "P" else _on_white
    rows = max(1, _STRIP // image.width)
    if rows >= image.height:
        return on_white(image, profile)
    whole = Image.new("RGB", image.size)
    for top in range(0, image.height, rows):  # of a large picture, no second copy
        strip = image.crop((0, top, image.width, min(top + rows, image.height)))
        whole.paste(on_white(strip, profile), (0, top))
    return whole


def _with_palette_on_white(image: Image.Image, profile: bytes) -> _OnWhite:
    """What composites parts of a picture with a palette: its colours, and not each pixel."""
    colors = image.crop((0, 0, 256, 1))
    colors.putdata(range(256))
    palette = _on_white(colors, profile).tobytes()

    def on_white(part: Image.Image, profile: bytes) -> Image.Image:
        part = part.copy()
        part.info.pop("transparency", None)
        part.putpalette(palette)
        return part.convert("RGB")

    return on_white


def _on_white(image: Image.Image, profile: bytes) -> Image.Image:
    if image.mode == "CMYK":
        return to_srgb(image, profile)
    if image.mode == "LAB":
        lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB")
        assert converted is not None  # it is None where it is done in place
        return converted
    if not image.has_transparency_data:
        return image.convert("RGB")
    rgba = image.convert("RGBA")
    if profile:
        grey = image.mode in ("L", "LA")
        colors = to_srgb(rgba.getchannel("R") if grey else rgba.convert("RGB"), profile)
        colors.putalpha(rgba.getchannel("A"))
        rgba = colors
    white = Image.new("RGBA", rgba.size, "white")
    return Image.alpha_composite(white, rgba).convert("RGB")


def eight_bits(image: Image.Image) -> Image.Image:
    """A grey picture of larger numbers in 256 levels: of mode L, or LA where some is transparent.

    16 bits are scaled as browsers do it, and floating point numbers from 0 to 1. Integers of 32
    bits are levels if all are at most 255, as programs store them that compute with integers.

    Raises:
        RowRejected: the numbers have no known range, and would be shown black or white.
    """
    numbers = np.asarray(image)
    low, high = float(numbers.min()), float(numbers.max())
    depth = _tiff_tag(image, _BITS_A_SAMPLE, 16)
    if image.mode.startswith("I;16") and not (image.format == "TIFF" and 0 < high < 1 << depth - 8):
        levels = numbers >> (depth - 8)
    elif image.mode == "I" and 0 <= low <= high <= 255:
        levels = numbers
    elif image.mode == "F" and 0 <= low <= high <= 1:
        levels = np.rint(numbers * 255)
    else:
        raise RowRejected(
            Reason.MEDIA_UNSUPPORTED,
            f"got a picture of numbers ({numbers.dtype.name}) from {low:g} to {high:g}, expected "
            f"{depth} bits in full, whole numbers from 0 to 255, or fractions from 0 to 1: convert "
            "it to 8 bits",
        )
    if _tiff_tag(image, _PHOTOMETRIC, 1) == _WHITE_IS_ZERO:
        levels = 255 - levels
    grey = Image.fromarray(levels.astype(np.uint8))
    clear = image.info.get("transparency")
    if isinstance(clear, int):
        grey.putalpha(Image.fromarray(np.where(numbers == clear, 0, 255).astype(np.uint8)))
    return grey


def _tiff_tag(image: Image.Image, tag: int, default: int) -> int:
    """A tag of a TIFF that is one number, or the first of several."""
    found = image.tag_v2.get(tag, default) if isinstance(image, TiffImageFile) else default
    return int(found[0] if isinstance(found, tuple) else found)
