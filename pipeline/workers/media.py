"""Media: found inside the allowed roots, decoded once, normalised, and capped in pixels."""

from __future__ import annotations

import errno
import io
import math
import posixpath
import struct
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import ExifTags, Image, UnidentifiedImageError

from pipeline.core import pixels
from pipeline.core.errors import RowRejected, StorageError
from pipeline.core.media_config import MediaConfig
from pipeline.core.storage import Store
from schemas.labels import Reason

# Only raster formats with decoders that run no other program (Pillow would start one for EPS).
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
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
# EXIF orientation, and what sets a picture upright that was stored with it.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class MediaStore:
    """Reads media references: bytes as they are, paths only below the allowed roots."""

    def __init__(self, roots: Sequence[str], max_bytes: int) -> None:
        """Allows the folders ``roots``; relative paths are looked up in the first."""
        self._stores = [Store(root) for root in roots]
        self._max_bytes = max_bytes

    def fetch(self, reference: Mapping[str, Any]) -> bytes:
        """The bytes of ``{"bytes": …, "path": …}``.

        Raises:
            RowRejected: missing, outside the roots, or larger than ``max_bytes``.
            StorageError: the store itself fails.
        """
        data: bytes | None = reference["bytes"]
        path: str | None = reference["path"]
        if data is None:
            if not path:
                raise RowRejected(Reason.MEDIA_MISSING, "the reference has neither bytes nor path")
            return self._fetch_path(path)
        if len(data) > self._max_bytes:
            raise self._too_large("inline media", len(data))
        return data

    def _fetch_path(self, path: str) -> bytes:
        store, key = self._locate(path)
        try:
            size = store.size(key)
            if size is None:
                raise RowRejected(Reason.MEDIA_MISSING, f"{store.path(key)} does not exist")
            if size > self._max_bytes:
                raise self._too_large(store.path(key), size)
            return store.read(key)
        except StorageError as error:
            if isinstance(error.__cause__, PermissionError):
                raise RowRejected(Reason.MEDIA_FORBIDDEN, str(error)) from error
            if _no_such_file(error.__cause__):
                raise RowRejected(Reason.MEDIA_MISSING, str(error)) from error
            raise

    def _locate(self, path: str) -> tuple[Store, str]:
        if "\0" in path:
            raise RowRejected(Reason.MEDIA_MISSING, f"{path[:200]!r} is not a path")
        scheme, separator, rest = path.partition("://")
        if separator and scheme != "file":
            full = f"{scheme}://{posixpath.normpath(rest)}"
        elif path.startswith("/") or separator:
            full = posixpath.normpath(rest if separator else path)
        else:
            full = _join(self._stores[0].uri, path)
        for store in self._stores:
            # A link inside a local root may lead out of it: compare where the path really ends.
            real = _resolved(full) if store.local and "://" not in full else full
            root = str(Path(store.uri).resolve()) if store.local else store.uri
            if real.startswith(root + "/"):
                return store, real[len(root) + 1 :]
        allowed = ", ".join(store.uri for store in self._stores)
        raise RowRejected(
            Reason.MEDIA_FORBIDDEN, f"{path!r} is outside of the allowed media roots ({allowed})"
        )

    def _too_large(self, what: str, size: int) -> RowRejected:
        limit = f"the limit is {self._max_bytes:,} (judge.media.max_bytes)"
        return RowRejected(Reason.MEDIA_TOO_LARGE, f"{what} has {size:,} bytes; {limit}")


def _resolved(path: str) -> str:
    try:
        return str(Path(path).resolve())
    except RuntimeError as error:
        raise RowRejected(Reason.MEDIA_MISSING, f"{path}: links lead in a circle") from error


def _no_such_file(cause: BaseException | None) -> bool:
    """Whether the path is at fault, and not the store: what is there, if anything, is no file."""
    if isinstance(cause, FileNotFoundError | IsADirectoryError | NotADirectoryError):
        return True
    return isinstance(cause, OSError) and cause.errno in (errno.ENAMETOOLONG, errno.ELOOP)


def _join(root: str, path: str) -> str:
    scheme, separator, rest = root.rpartition("://")
    return f"{scheme}{separator}{posixpath.normpath(posixpath.join(rest, path))}"


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
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            area = image.width * image.height
            if area > limits.max_decoded_pixels:
                raise RowRejected(
                    Reason.MEDIA_TOO_LARGE,
                    f"the picture declares {image.width}x{image.height} pixels; the limit is "
                    f"{limits.max_decoded_pixels:,} (judge.media.max_decoded_pixels)",
                )
            size = _fit_upright(image, limits)
            # JPEG decodes at a fraction of its size for a fraction of the time; twice the target
            # leaves the resize below enough to work with.
            shrink = math.sqrt(limits.max_pixels / area) * 2
            if shrink < 1:
                image.draft("RGB", (int(image.width * shrink), int(image.height * shrink)))
            rgb = rgb_on_white(_upright(image))
    except Image.DecompressionBombError as error:  # Pillow's own limit, where it is the lower
        raise RowRejected(Reason.MEDIA_TOO_LARGE, str(error)) from error
    except UnidentifiedImageError as error:
        raise RowRejected(
            Reason.MEDIA_CORRUPT, f"not a picture: none of {', '.join(FORMATS)}"
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


def _orientation(image: Image.Image) -> int:
    value = image.getexif().get(ExifTags.Base.Orientation)
    return value if isinstance(value, int) else 1


def _fit_upright(image: Image.Image, limits: MediaConfig) -> tuple[int, int]:
    lies = _orientation(image) >= 5 and image.format != "TIFF"
    wide, tall = image.size
    return fit(tall, wide, limits) if lies else fit(wide, tall, limits)


def _upright(image: Image.Image) -> Image.Image:
    # Not ImageOps.exif_transpose: it writes the EXIF block anew, which fails where that is damaged.
    image.load()  # TIFF turns itself while it loads, and drops the orientation
    turn = _TURNS.get(_orientation(image))
    return image if turn is None else image.transpose(turn)


def rgb_on_white(image: Image.Image) -> Image.Image:
    """A picture of any mode as RGB, what is transparent composited on white."""
    if image.mode.startswith("I;16") or image.mode == "I":
        # By way of "I": Pillow has no arithmetic on big-endian pixels.
        image = image.convert("I").point(lambda value: value / 256).convert("L")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        return Image.alpha_composite(white, rgba).convert("RGB")
    return image.convert("RGB")
