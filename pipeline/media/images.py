"""Pictures as the judge sees them: decoded within limits, upright, RGB on white, resized."""

from __future__ import annotations

import io
import math
import struct
import zlib

from PIL import ExifTags, Image, UnidentifiedImageError

from pipeline.media import model_sizes as pixels
from pipeline.media.media_config import MediaConfig
from pipeline.runtime.errors import RowRejected
from schemas.labels import Reason

# Only raster formats with decoders that run no other program (Pillow would start one for EPS).
IMAGE_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
# What Pillow's decoders raise for damaged files; anything else is a bug and propagates.
_DAMAGE = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    LookupError,
    ArithmeticError,
    TypeError,
    struct.error,
    zlib.error,
)
# EXIF orientation, and the transpose that turns such a picture upright.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def decode_image(data: bytes, limits: MediaConfig) -> Image.Image:
    """Decodes a picture as the judge sees it: upright, RGB on white, resized into the limits.

    Args:
        data: an encoded picture.
        limits: bounds of the result's area, its side factor, and of what may be decoded.

    Returns:
        An RGB picture; both sides are multiples of ``limits.factor``.

    Raises:
        RowRejected: no picture, damaged, or a decompression bomb.
    """
    if not data:
        raise RowRejected(Reason.MEDIA_CORRUPT, "the picture has zero bytes")
    try:
        with Image.open(io.BytesIO(data), formats=IMAGE_FORMATS) as image:
            area = image.width * image.height
            if area > limits.max_decoded_pixels:
                raise RowRejected(
                    Reason.MEDIA_TOO_LARGE,
                    f"the picture declares {image.width}x{image.height} pixels; the limit is "
                    f"{limits.max_decoded_pixels:,} (judge.media.max_decoded_pixels)",
                )
            size = _fit_upright(image, limits)
            # A JPEG decodes at a fraction of its size in a fraction of the time; at twice the
            # target's size the resize below still has enough pixels.
            shrink = math.sqrt(limits.max_pixels / area) * 2
            if shrink < 1:
                image.draft("RGB", (int(image.width * shrink), int(image.height * shrink)))
            rgb = rgb_on_white(_upright(image))
    except Image.DecompressionBombError as error:  # Pillow's own limit, where it is the lower
        raise RowRejected(Reason.MEDIA_TOO_LARGE, str(error)) from error
    except UnidentifiedImageError as error:
        raise RowRejected(
            Reason.MEDIA_CORRUPT, f"not a picture: none of {', '.join(IMAGE_FORMATS)}"
        ) from error
    except _DAMAGE as error:
        raise RowRejected(
            Reason.MEDIA_CORRUPT, f"damaged picture: {type(error).__name__}: {error}"
        ) from error
    return rgb if size == rgb.size else rgb.resize(size, Image.Resampling.BICUBIC)


def fit(width: int, height: int, limits: MediaConfig) -> tuple[int, int]:
    """Width and height after the aspect-preserving resize into the limits.

    Raises:
        RowRejected: the aspect ratio is beyond what the model takes.
    """
    try:
        return pixels.fit(
            width,
            height,
            factor=limits.factor,
            min_pixels=limits.min_pixels,
            max_pixels=limits.max_pixels,
        )
    except ValueError as error:
        raise RowRejected(Reason.MEDIA_CORRUPT, str(error)) from error


def rgb_on_white(image: Image.Image) -> Image.Image:
    """A picture of any mode as RGB, what is transparent composited on white."""
    if image.mode.startswith("I;16") or image.mode == "I":
        # Through mode "I": Pillow has no arithmetic on big-endian pixels.
        image = image.convert("I").point(lambda value: value / 256).convert("L")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        return Image.alpha_composite(white, rgba).convert("RGB")
    return image.convert("RGB")


def _orientation(image: Image.Image) -> int:
    value = image.getexif().get(ExifTags.Base.Orientation)
    return value if isinstance(value, int) else 1


def _fit_upright(image: Image.Image, limits: MediaConfig) -> tuple[int, int]:
    sideways = _orientation(image) >= 5 and image.format != "TIFF"
    width, height = image.size
    return fit(height, width, limits) if sideways else fit(width, height, limits)


def _upright(image: Image.Image) -> Image.Image:
    # Not ImageOps.exif_transpose: it rewrites the EXIF block, which fails where that is damaged.
    image.load()  # Pillow turns a TIFF while it loads it, and drops the orientation
    turn = _TURNS.get(_orientation(image))
    return image if turn is None else image.transpose(turn)
