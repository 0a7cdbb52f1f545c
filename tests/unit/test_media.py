"""Pictures: found only where they may be, decoded once, upright, on white, within the caps."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageChops, ImageStat

from pipeline.media.images import decode_image, fit
from pipeline.media.media_config import MediaConfig
from pipeline.media.model_sizes import fit as fit_sides
from pipeline.runtime.errors import RowRejected
from schemas.labels import Reason
from tests.shards import picture

AS_IS = MediaConfig(factor=1, min_pixels=1, max_pixels=10**8)


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def corners(image: Image.Image) -> list[str]:
    """Which colour each corner has, clockwise from the top left."""
    right, low = image.width - 2, image.height - 2
    names = {(1, 0, 0): "r", (0, 1, 0): "g", (0, 0, 1): "b", (1, 1, 1): "w"}
    spots = [(1, 1), (right, 1), (right, low), (1, low)]
    pixels: list[Any] = [image.getpixel(spot) for spot in spots]
    return [names[tuple(value > 127 for value in pixel)] for pixel in pixels]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "AVIF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_set_upright_once(orientation: int, kind: str) -> None:
    upright = Image.new("RGB", (80, 48))
    for box, colour in (
        ((0, 0, 40, 24), "red"),
        ((40, 0, 80, 24), "lime"),
        ((40, 24, 80, 48), "blue"),
        ((0, 24, 40, 48), "white"),
    ):
        upright.paste(colour, box)
    turn = Image.Transpose  # what a camera held that way stores
    stored = {
        2: turn.FLIP_LEFT_RIGHT,
        3: turn.ROTATE_180,
        4: turn.FLIP_TOP_BOTTOM,
        5: turn.TRANSPOSE,
        6: turn.ROTATE_90,
        7: turn.TRANSVERSE,
        8: turn.ROTATE_270,
    }
    image = upright.transpose(stored[orientation]) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    decoded = decode_image(encoded(image, kind, exif=exif), AS_IS)
    if kind == "WEBP":  # browsers turn none
        assert (decoded.size, corners(decoded)) == (image.size, corners(image))
        return
    assert decoded.size == (80, 48)
    assert corners(decoded) == ["r", "g", "b", "w"]


def paletted() -> Image.Image:
    image = Image.new("P", (8, 8), 1)
    image.putpalette([0, 0, 0, 255, 0, 0])
    image.putpixel((0, 0), 0)
    return image


RED = Image.new("RGB", (8, 8), (255, 0, 0))
GREY16 = b"\x80\x00" * 64


@pytest.mark.parametrize(
    ("data", "pixel"),
    [
        (encoded(Image.new("RGBA", (8, 8), (255, 0, 0, 0))), (255, 255, 255)),
        (encoded(Image.new("RGBA", (8, 8), (0, 0, 0, 51))), (204, 204, 204)),
        (encoded(Image.new("LA", (8, 8), (0, 0))), (255, 255, 255)),
        (encoded(Image.new("L", (8, 8), 9)), (9, 9, 9)),
        (encoded(Image.new("1", (8, 8), 1)), (255, 255, 255)),
        (encoded(paletted(), transparency=0), (255, 255, 255)),
        (encoded(paletted()), (0, 0, 0)),
        (encoded(Image.frombytes("I;16", (8, 8), GREY16[::-1])), (128, 128, 128)),
        (encoded(Image.frombytes("I;16B", (8, 8), GREY16), "TIFF"), (128, 128, 128)),
        (encoded(Image.new("CMYK", (8, 8), (0, 0, 0, 255)), "TIFF"), (0, 0, 0)),
        (encoded(Image.new("CMYK", (8, 8), (0, 0, 0, 0)), "JPEG"), (255, 255, 255)),
        (encoded(RED, "MPO", save_all=True, append_images=[RED]), (254, 0, 0)),
    ],
    ids=range(12),
)
def test_every_mode_becomes_rgb_on_white(data: bytes, pixel: tuple[int, int, int]) -> None:
    decoded = decode_image(data, AS_IS)
    assert (decoded.mode, decoded.getpixel((0, 0))) == ("RGB", pixel)


def png_header(width: int, height: int) -> bytes:
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk
    return start + struct.pack(">I", zlib.crc32(chunk)) + b"\0\0\0\x10IDAT"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", Reason.MEDIA_CORRUPT),
        (b"\x01\x02\x03 no picture", Reason.MEDIA_CORRUPT),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", Reason.MEDIA_UNSUPPORTED),
        (picture(1)[:-40], Reason.MEDIA_CORRUPT),
        (picture(1)[:60], Reason.MEDIA_CORRUPT),
        (picture(1, kind="JPEG")[:-200], Reason.MEDIA_CORRUPT),
        (picture(1, kind="GIF")[:40], Reason.MEDIA_CORRUPT),
        (png_header(0, 5), Reason.MEDIA_CORRUPT),
        (png_header(12_000, 12_000), Reason.MEDIA_TOO_LARGE),
        (png_header(60_000, 60_000), Reason.MEDIA_TOO_LARGE),
        (encoded(Image.new("L", (402, 2))), Reason.MEDIA_UNSUPPORTED),  # a strip of 201:1
    ],
    ids=range(11),
)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_what_cannot_be_decoded(data: bytes, reason: Reason) -> None:
    with pytest.raises(RowRejected) as refusal:
        decode_image(data, MediaConfig())
    assert refusal.value.reason is reason


EXIF = Image.Exif()
EXIF[0x0112], EXIF[0x010E] = 6, "a description"
SEEDS = [
    picture(3, kind="PNG"),
    picture(3, kind="GIF"),
    picture(3, kind="BMP"),
    picture(3, kind="WEBP"),
    encoded(Image.effect_noise((40, 30), 60), "JPEG", exif=EXIF),
    encoded(Image.effect_noise((40, 30), 60), "TIFF", exif=EXIF),
]


@pytest.mark.filterwarnings("ignore::UserWarning")  # what Pillow thinks of it
@given(st.sampled_from(SEEDS), st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255))))
def test_damage_never_raises_anything_else(data: bytes, changes: list[tuple[int, int]]) -> None:
    damaged = bytearray(data)
    for position, value in changes:
        damaged[position % len(damaged)] = value
    try:
        assert decode_image(bytes(damaged), MediaConfig(max_decoded_pixels=10**6)).mode == "RGB"
    except RowRejected as refusal:
        known = Reason.MEDIA_CORRUPT, Reason.MEDIA_TOO_LARGE, Reason.MEDIA_UNSUPPORTED
        assert refusal.reason in known  # noqa: PT017


# Sizes of which judges have seen pictures: another size is another verdict.
USUAL, SMALL, LARGE = (3_136, 1_003_520), (3_136, 100_352), (50_176, 12_845_056)
FITTED = [
    ((64, 48), USUAL, (56, 56)),
    ((4000, 3000), USUAL, (1148, 840)),
    ((3000, 4000), USUAL, (840, 1148)),
    ((1, 1), USUAL, (56, 56)),
    ((28, 28), USUAL, (56, 56)),
    ((42, 70), USUAL, (56, 56)),  # 1.5 and 2.5 patches are rounded to even
    ((640, 480), SMALL, (364, 252)),
    ((1920, 1080), SMALL, (420, 224)),
    ((999, 1001), LARGE, (1008, 1008)),
    ((12000, 9000), LARGE, (4116, 3080)),
    ((200, 1), USUAL, (196, 28)),
    ((1, 200), USUAL, (28, 196)),
    ((60000, 300), USUAL, (11200, 56)),  # qwen-vl-utils itself: (14140, 56), beyond 200:1
    ((15000, 100), USUAL, (11200, 56)),  # and here (12264, 56), which is 219:1
    ((5000, 25), LARGE, (5012, 28)),
    ((10000, 51), (3_136, 50_176), (3136, 28)),  # qwen-vl-utils itself: (3136, 0)
    ((804, 5), (3_136, 3_136), (700, 28)),
]


@pytest.mark.parametrize(("size", "pixels", "fitted"), FITTED)
def test_fit(size: tuple[int, int], pixels: tuple[int, int], fitted: tuple[int, int]) -> None:
    assert fit(*size, MediaConfig(min_pixels=pixels[0], max_pixels=pixels[1])) == fitted


@given(st.integers(1, 400), st.integers(1, 400), st.sampled_from([14, 28]))
def test_a_picture_that_fits_is_what_smart_resize_makes_of_it(
    columns: int, rows: int, factor: int
) -> None:
    from qwen_vl_utils.vision_process import smart_resize  # imports torch

    width, height = columns * factor, rows * factor
    bounds = {"factor": factor, "min_pixels": 3_136, "max_pixels": 40_000_000}
    if 3_136 <= width * height <= 40_000_000 and max(columns, rows) <= 200 * min(columns, rows):
        assert fit_sides(width, height, **bounds) == (width, height)
        assert smart_resize(height, width, **bounds) == (height, width)
    elif max(columns, rows) > 200 * min(columns, rows):
        with pytest.raises(ValueError, match="aspect ratio"):
            fit_sides(width, height, **bounds)


@given(st.integers(1, 5_000), st.integers(1, 5_000), st.sampled_from([USUAL, SMALL, LARGE]))
def test_fitted_pictures_are_whole_patches_within_the_bounds(
    width: int, height: int, pixels: tuple[int, int]
) -> None:
    limits = MediaConfig(min_pixels=pixels[0], max_pixels=pixels[1])
    if max(width, height) > 200 * min(width, height):
        with pytest.raises(RowRejected, match=f"{width}x{height}: absolute aspect ratio"):
            fit(width, height, limits)
        return
    size = fit(width, height, limits)
    assert all(side % 28 == 0 and side > 0 for side in size)
    assert max(size) <= 200 * min(size)  # what the model's processor takes
    if min(size) > 28 and max(size) < 200 * min(size):
        assert pixels[0] <= size[0] * size[1] <= pixels[1]


WITHOUT_TORCH = """
import sys
import pipeline.judging.judge_cards, pipeline.media.images, pipeline.media.videos
assert "torch" not in sys.modules
sys.modules["torch"] = None  # as if it were not installed
from pipeline.media.media_config import MediaConfig
from pipeline.runtime.errors import ConfigError
try:
    pipeline.media.images.fit(40, 30, MediaConfig())
except ConfigError as error:
    print(error)
"""


def test_torch_is_imported_with_the_first_size_and_asked_for_where_it_is_missing() -> None:
    child = subprocess.run([sys.executable, "-c", WITHOUT_TORCH], capture_output=True, text=True)
    assert child.stderr == ""
    assert child.stdout.startswith("qwen-vl-utils, which sizes pictures and videos, cannot be")
    assert "install pairmill with the extra cpu or gpu" in child.stdout


def test_a_large_jpeg_decoded_at_a_fraction_looks_the_same() -> None:
    noise = Image.effect_noise((48, 32), 90).resize((3_003, 2_005), Image.Resampling.BICUBIC)
    limits = MediaConfig(max_pixels=100_000)
    from_jpeg = decode_image(encoded(noise.convert("RGB"), "JPEG", quality=95), limits)
    from_png = decode_image(encoded(noise.convert("RGB")), limits)
    assert from_jpeg.size == from_png.size == fit(3_003, 2_005, limits)
    assert max(ImageStat.Stat(ImageChops.difference(from_jpeg, from_png)).mean) < 2


@given(st.integers(450, 1_250), st.integers(450, 1_250), st.sampled_from([1, 6]))
def test_the_fraction_does_not_change_the_size(width: int, height: int, orientation: int) -> None:
    limits = MediaConfig(max_pixels=12_544)
    exif = Image.Exif()
    exif[0x0112] = orientation
    decoded = decode_image(encoded(Image.new("L", (width, height)), "JPEG", exif=exif), limits)
    upright = (width, height) if orientation == 1 else (height, width)
    assert decoded.size == fit(*upright, limits)


@pytest.mark.parametrize("size", [(90, 700), (640, 480), (30, 8_000)])
def test_a_square_is_what_published_scripts_make_of_a_picture(size: tuple[int, int]) -> None:
    image = Image.effect_noise(size, 60).convert("RGB")
    shown = decode_image(encoded(image), MediaConfig(square=448))
    assert shown.size == (448, 448)
    assert shown.tobytes() == image.resize((448, 448)).tobytes()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"square": 100}, "square 100 is no multiple of factor 28"),
        ({"square": 1_120}, "area of 1254400, which is not within min_pixels 3136 and max_pixels"),
    ],
)
def test_a_square_that_the_model_would_resize_is_refused(
    settings: dict[str, int], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        MediaConfig(**settings)
