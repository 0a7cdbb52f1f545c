"""Pictures as the judge sees them: as a browser shows them, decoded within limits, resized."""

from __future__ import annotations

import io
import math
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from PIL import ExifTags, Image, UnidentifiedImageError
from PIL.ImageFile import ImageFile
from PIL.Jpeg2KImagePlugin import Jpeg2KImageFile

from pipeline.media import model_sizes as pixels
from pipeline.media.color_profiles import nclx_profile, to_srgb
from pipeline.media.decode_budget import UNLIMITED, DecodeBudget
from pipeline.media.icons import largest_icon
from pipeline.media.jpeg_scans import JpegScans, is_cut, list_scans
from pipeline.media.media_config import MediaConfig
from pipeline.media.missing_pixels import breaks_off, has_hole
from pipeline.media.png_chunks import lacks_rows, split_png
from pipeline.media.signatures import HEIC_FORMATS, picture_format, unsupported
from pipeline.media.white_background import eight_bits, rgb_on_white
from pipeline.runtime.errors import RowRejected
from pipeline.runtime.faults import DAMAGED_PICTURE
from schemas.labels import Reason

# Only raster formats with decoders that run no other program (Pillow would start one for EPS).
IMAGE_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "ICO")
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
# Browsers turn no WEBP, whatever its EXIF data state; Pillow itself turns a TIFF.
_TURNED = ("JPEG", "MPO", "PNG", "AVIF")
_MOST_SCANS = 10  # of a picture of the largest size; more of a smaller one
_NCLX = b"colrnclx"  # of AVIF: the code points of its colours follow
_NCLX_WITHIN = 2**16
_BMP_V4 = 108  # bytes of the header that can have a mask for alpha
_COD, _COD_LEVELS = b"\xff\x52", 9  # of JPEG 2000: a marker, and where it states its resolutions
# Bytes of a pixel in Pillow's modes, and of what decoders hold beside it (measured).
_PIXEL = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2}
_CODEC_PIXEL = {"WEBP": 12, "AVIF": 8, "JPEG2000": 16, "HEIF": 6}
_OTHER_CODEC = ("has not been built in", "not identified by this driver")  # of HEIF alone
_MOST_PIXEL = 8  # for one of the largest area that may be decoded: RGBA, and it as RGB
_DEPTH = 8  # bits of a sample of ordinary pictures
_IHDR_DEPTH = 24  # where a PNG states its own
_KINDS = "kinds"  # in a decoded picture's ``info``
_FOR_ALL = 3 * 2**24  # bytes for strips that are composited, and for the picture that is shown


@dataclass(frozen=True)
class _Opened:
    """A picture whose header is read.

    Attributes:
        image: not decoded yet.
        data: its file, as Pillow reads it.
        scans: of a JPEG.
        profile: an ICC profile of its colours, or no bytes.
        turn: what turns it upright.
        canvas: width and height of what is shown, before any turn.
        box: where on it the picture is; the rest is transparent.
    """

    image: ImageFile
    data: bytes
    scans: JpegScans | None
    profile: bytes
    turn: Image.Transpose | None
    canvas: tuple[int, int]
    box: tuple[int, int, int, int]


def decode_image(data: bytes, limits: MediaConfig, budget: DecodeBudget = UNLIMITED) -> Image.Image:
    """Decodes a picture as the judge sees it: upright, in sRGB, on white, within the limits.

    Of an animation it is the first frame.

    Args:
        data: an encoded picture.
        limits: bounds of the result's area, its side factor, and of what may be decoded.
        budget: memory for decoding; shared by all threads of a process.

    Returns:
        An RGB picture; both sides are multiples of ``limits.factor``.

    Raises:
        RowRejected: no picture, of an unsupported kind, damaged, or a decompression bomb.
    """
    if not data:
        raise RowRejected(Reason.MEDIA_CORRUPT, "the picture has zero bytes")
    if picture_format(data) is None:
        raise unsupported(data, "picture")
    with _refusals():
        opened = _open(data, limits)
        size = _fit_upright(opened, limits)
        _shrink(opened, limits)
        with budget.reserve(_bytes_to_decode(opened, limits)):
            return _shown(opened, size)


def image_tokens(image: Image.Image, factor: int) -> int:
    """How many tokens the placeholder of a picture expands to."""
    return (image.width // factor) * (image.height // factor)


def image_thumbnail(
    data: bytes, limits: MediaConfig, side: int, budget: DecodeBudget = UNLIMITED
) -> Image.Image:
    """A small copy of a picture as the judge sees it, at most ``side`` pixels wide and high.

    Raises:
        RowRejected: as ``decode_image``.
    """
    image = decode_image(data, limits, budget)
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    return image


def with_kinds(image: Image.Image, kinds: frozenset[str]) -> Image.Image:
    """The same picture, which says what it has that few pictures have."""
    image.info[_KINDS] = kinds
    return image


def kinds_of_picture(image: Image.Image) -> frozenset[str]:
    """What a decoded picture had (``pipeline.judging.renderings``); none of one made otherwise."""
    kinds: frozenset[str] = image.info.get(_KINDS, frozenset())
    return kinds


def fit(width: int, height: int, limits: MediaConfig) -> tuple[int, int]:
    """Width and height after the resize into the limits, which keeps the aspect.

    Raises:
        RowRejected: the aspect ratio is beyond what the model takes.
    """
    if limits.square is not None:
        return limits.square, limits.square
    try:
        return pixels.fit(
            width,
            height,
            factor=limits.factor,
            min_pixels=limits.min_pixels,
            max_pixels=limits.max_pixels,
        )
    except ValueError as error:
        raise RowRejected(Reason.MEDIA_UNSUPPORTED, f"the picture is a strip: {error}") from error


@contextmanager
def _refusals() -> Iterator[None]:
    """Makes refusals of what Pillow raises."""
    try:
        yield
    except Image.DecompressionBombError as error:  # Pillow's own limit, where it is the lower
        raise RowRejected(Reason.MEDIA_TOO_LARGE, str(error)) from error
    except UnidentifiedImageError as error:
        raise _damaged("its header cannot be read, or is of a variant that is not known") from error
    except DAMAGED_PICTURE as error:
        if any(text in str(error) for text in _OTHER_CODEC):
            detail = "got a HEIF picture of another codec, expected HEVC: convert it to PNG or JPEG"
            raise RowRejected(Reason.MEDIA_UNSUPPORTED, detail) from error
        raise _damaged(f"{type(error).__name__}: {error}") from error


def _damaged(detail: str) -> RowRejected:
    return RowRejected(Reason.MEDIA_CORRUPT, f"damaged picture: {detail}")


def _open(data: bytes, limits: MediaConfig) -> _Opened:
    """Reads a picture's header, and checks what it would take to decode it."""
    kind = picture_format(data)
    if kind == "ICO":
        data, (width, height) = largest_icon(data)
        _check_area(width, height, limits)  # Pillow decodes an icon where it opens it
        kind = picture_format(data)
    if kind == "PNG":
        return _open_png(data, limits)
    if kind in HEIC_FORMATS:
        return _open_heic(data, limits)
    if kind == "BMP":
        data = _with_alpha_mask(data)
    image = Image.open(io.BytesIO(data), formats=IMAGE_FORMATS)
    _check_area(*image.size, limits)
    profile = image.info.get("icc_profile", b"")
    extents = image.tile[0].extents if image.format == "GIF" and image.tile else None
    box = extents or (0, 0, *image.size)
    if image.format == "AVIF" and not profile:
        profile = _avif_profile(data)
    turn = _turn(image.info.get("exif", b"")) if image.format in _TURNED else None
    scans = _checked_scans(data, image, limits) if image.format in ("JPEG", "MPO") else None
    return _Opened(image, data, scans, profile, turn, image.size, box)


def _open_png(data: bytes, limits: MediaConfig) -> _Opened:
    if data[12:16] == b"IHDR" and len(data) > 24:
        width, height = struct.unpack_from(">II", data, 16)
        _check_area(width, height, limits)
    parts = split_png(data)
    image = Image.open(io.BytesIO(parts.data), formats=("PNG",))
    for size in (image.size, parts.canvas):
        _check_area(*size, limits)
    clear = image.info.get("transparency")
    if isinstance(clear, int) and image.mode == "L":  # stated in the file's own depth
        image.info["transparency"] = clear * 255 // ((1 << parts.depth) - 1)
    elif isinstance(clear, tuple) and parts.depth == 16:  # Pillow keeps the upper bytes
        image.info["transparency"] = tuple(level >> 8 for level in clear)
    left, top = parts.place
    box = (left, top, left + image.width, top + image.height)
    return _Opened(image, parts.data, None, parts.profile, _turn(parts.exif), parts.canvas, box)


def _open_heic(data: bytes, limits: MediaConfig) -> _Opened:
    from pipeline.media.heic import open_heic  # loads libheif, which few sets need

    image, profile = open_heic(data)
    _check_area(*image.size, limits)
    return _Opened(image, data, None, profile, None, image.size, (0, 0, *image.size))


def _avif_profile(data: bytes) -> bytes:
    """The profile of the code points that an AVIF states, if any."""
    at = data.find(_NCLX, 0, _NCLX_WITHIN)
    if at < 0:
        return b""
    primaries, transfer = struct.unpack_from(">HH", data, at + len(_NCLX))
    return nclx_profile(primaries, transfer)


def _with_alpha_mask(data: bytes) -> bytes:
    """A BMP that says what browsers assume: a header with a mask for alpha means it."""
    header, bits, compression = struct.unpack_from("<I10xHI", data, 14)
    if header < _BMP_V4 or bits != 32 or compression or not any(data[66:70]):
        return data
    masks = struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    return data[:30] + struct.pack("<I", 3) + data[34:54] + masks + data[70:]


def _check_area(width: int, height: int, limits: MediaConfig) -> None:
    if width * height > limits.max_decoded_pixels:
        raise RowRejected(
            Reason.MEDIA_TOO_LARGE,
            f"the picture declares {width}x{height} pixels; the limit is "
            f"{limits.max_decoded_pixels:,} (judge.media.max_decoded_pixels)",
        )


def _checked_scans(data: bytes, image: Image.Image, limits: MediaConfig) -> JpegScans:
    found = list_scans(data)
    count, area = len(found.scans), image.width * image.height
    if count * area > _MOST_SCANS * limits.max_decoded_pixels:
        raise RowRejected(
            Reason.MEDIA_TOO_LARGE,
            f"the JPEG has {count:,} scans of {area:,} pixels; the limit is {_MOST_SCANS} scans of "
            f"{limits.max_decoded_pixels:,} (judge.media.max_decoded_pixels), or more of fewer",
        )
    return found


def _turn(exif: bytes) -> Image.Transpose | None:
    """What turns a picture upright, by EXIF data: as for browsers, XMP does not count."""
    found = Image.Exif()
    try:
        found.load(exif)
        return _TURNS.get(found.get(ExifTags.Base.Orientation, 1))
    except DAMAGED_PICTURE:
        return None  # browsers show a picture whose EXIF data are damaged as it is stored


def _fit_upright(opened: _Opened, limits: MediaConfig) -> tuple[int, int]:
    width, height = opened.canvas
    sideways = opened.turn in (_TURNS[5], _TURNS[6], _TURNS[7], _TURNS[8])
    return fit(height, width, limits) if sideways else fit(width, height, limits)


def _shrink(opened: _Opened, limits: MediaConfig) -> None:
    """Has a picture decoded at a fraction of its size, where its format can do it.

    It takes a fraction of the time; at twice the target's size the resize still has enough pixels.
    """
    image = opened.image
    shrink = math.sqrt(limits.max_pixels / (image.width * image.height)) * 2
    if limits.square is not None:
        shrink = limits.square / min(image.width, image.height) * 2
    if shrink < 1:
        image.draft("RGB", (int(image.width * shrink), int(image.height * shrink)))
    if isinstance(image, Jpeg2KImageFile) and shrink <= 1 / 2:
        levels = opened.data.find(_COD)
        image.reduce = min(int(-math.log2(shrink)), opened.data[levels + _COD_LEVELS])


def _kinds(opened: _Opened) -> frozenset[str]:
    image = opened.image
    had = {
        "image.alpha": image.has_transparency_data,
        "image.depth": image.mode.startswith(("I", "F")) or _png_depth(opened) > _DEPTH,
        "image.ink": image.mode in ("CMYK", "LAB", "YCbCr"),
        "image.profile": bool(opened.profile),
        "image.turned": opened.turn is not None,
        "image.canvas": opened.box != (0, 0, *opened.canvas),
    }
    return frozenset(kind for kind, there in had.items() if there)


def _png_depth(opened: _Opened) -> int:
    """Bits of a sample of a PNG, of which Pillow shows the upper ones alone; 0 of other formats."""
    return opened.data[_IHDR_DEPTH] if opened.image.format == "PNG" else 0


def _bytes_to_decode(opened: _Opened, limits: MediaConfig) -> int:
    """About the most memory that decoding a picture takes, its file left out.

    Raises:
        RowRejected: it takes more than a picture of the largest size in the usual formats.
    """
    image = opened.image
    area = image.width * image.height
    if isinstance(image, Jpeg2KImageFile) and isinstance(image.reduce, int):
        area >>= 2 * image.reduce
    pixel = _PIXEL.get(image.mode, 4) + _CODEC_PIXEL.get(image.format or "", 0)
    needed = area * (pixel if image.mode == "RGB" and opened.turn is None else pixel + 4)
    if opened.scans and len(opened.scans.scans) > 1:  # all coefficients are held until the last one
        needed += opened.scans.area * opened.scans.components * 2
    most = _MOST_PIXEL * limits.max_decoded_pixels
    if needed > most:
        raise RowRejected(
            Reason.MEDIA_TOO_LARGE,
            f"to decode the {image.format} of {opened.canvas[0]}x{opened.canvas[1]} pixels takes "
            f"{needed:,} bytes; the limit is {most:,}, {_MOST_PIXEL} for each of "
            "judge.media.max_decoded_pixels",
        )
    return needed + _FOR_ALL


def _shown(opened: _Opened, size: tuple[int, int]) -> Image.Image:
    """The picture as it is shown, width and height ``size``."""
    kinds = _kinds(opened)
    image = _loaded(opened)
    mode = image.mode
    composited = image.has_transparency_data or mode in ("CMYK", "LAB")
    image = rgb_on_white(image, opened.profile)
    if opened.box != (0, 0, *opened.canvas):
        part = image.crop(opened.box) if image.size == opened.canvas else image
        image = Image.new("RGB", opened.canvas, "white")
        image.paste(part, (opened.box[0], opened.box[1]))
    if opened.turn is not None:
        image = image.transpose(opened.turn)
    if image.size != size:
        image = image.resize(size, Image.Resampling.BICUBIC)
    elif isinstance(image, ImageFile):
        image = image._new(image.im)  # the same pixels without the ways of a file; not copied
    if opened.profile and not composited:
        image = to_srgb(image.getchannel("R") if mode in ("1", "L") else image, opened.profile)
    image.info.clear()  # engines read EXIF data, which may be damaged
    return with_kinds(image, kinds)


def _loaded(opened: _Opened) -> Image.Image:
    """The decoded picture, nothing of it missing, in 8 bits a sample.

    Raises:
        RowRejected: a part of it is missing; numbers without a known range.
    """
    image: Image.Image = opened.image
    tile = opened.image.tile[0] if opened.image.tile else None
    image.load()
    cut = has_hole(opened.data, image)
    if opened.scans is not None:
        cut = is_cut(opened.data, image, opened.scans)
    elif image.format == "PNG":
        # Pillow leaves rows black that do not come; those of a damaged stream it refuses.
        last = image.crop((0, image.height - 1, image.width, image.height))
        interlaced = image.info.get("interlace")
        cut = (interlaced or not last.getbbox(alpha_only=False)) and lacks_rows(opened.data)
    elif image.format in ("BMP", "TIFF"):
        top_down = tile is not None and isinstance(tile.args, tuple) and tile.args[-1] == 1
        cut = cut or breaks_off(image, bottom_up=image.format == "BMP" and not top_down)
    if cut:
        raise _damaged("a part of it is missing: its data end too early, or are zeros")
    return eight_bits(image) if image.mode[0] in "IF" else image
