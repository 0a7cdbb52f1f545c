"""What a picture looks like to the judge, computed here from the format's own definition."""

from __future__ import annotations

import io
import math
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageCms

from pipeline.media.images import decode_image
from pipeline.media.media_config import MediaConfig
from pipeline.media.signatures import picture_format
from pipeline.runtime.errors import RowRejected
from schemas.labels import Reason
from tests.pictures import (
    ADOBE,
    AS_IS,
    CASES,
    HEIGHT,
    SIZE,
    SWAPPED,
    WIDTH,
    chunk,
    encoded,
    icc,
    png,
    scene,
    with_alpha,
)

SCENE = scene()
COLORS = np.asarray(SCENE)
GREY = np.asarray(SCENE.convert("L"))
ALPHA = np.asarray(with_alpha(SCENE).getchannel("A"))


def shown(data: bytes) -> NDArray[np.int16]:
    return np.asarray(decode_image(data, AS_IS), np.int16)


def assert_alike(got: NDArray[Any], expected: Any, most: int = 1) -> None:
    expected = np.asarray(expected, np.int16)
    expected = np.stack([expected] * 3, -1) if expected.ndim == 2 else expected
    assert got.shape == expected.shape
    assert np.abs(got - expected).max() <= most


def on_white(levels: NDArray[Any], alpha: NDArray[Any]) -> NDArray[Any]:
    if levels.ndim == 3:
        alpha = alpha[..., None]
    composited: NDArray[Any] = np.rint((levels * (alpha / 255.0)) + 255 - alpha)
    return composited


def before(data: bytes, limits: MediaConfig, size: tuple[int, int]) -> Image.Image:
    """What judges have seen of an ordinary picture, from the first version on."""
    image: Image.Image = Image.open(io.BytesIO(data))
    shrink = math.sqrt(limits.max_pixels / (image.width * image.height)) * 2
    if shrink < 1:
        image.draft("RGB", (int(image.width * shrink), int(image.height * shrink)))
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    return image.convert("RGB").resize(size, Image.Resampling.BICUBIC)


def test_nothing_of_the_file_is_left() -> None:
    """Engines look into EXIF data, and would refuse a picture for damaged ones."""
    for kind in ("JPEG", "TIFF", "WEBP", "AVIF"):
        decoded = decode_image(encoded(SCENE, kind, icc_profile=icc(SWAPPED, 2.2)), AS_IS)
        assert (type(decoded), dict(decoded.getexif())) == (Image.Image, {})
        assert decoded.info.keys() <= {"kinds"}  # ours: what few pictures have
    broken = encoded(SCENE, "JPEG", exif=b"Exif\0\0no EXIF data")
    assert dict(decode_image(broken, AS_IS).getexif()) == {}


@pytest.mark.parametrize("size", [(448, 448), (640, 417), (1_300, 900)])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P"])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_ordinary_pictures_keep_every_bit(kind: str, mode: str, size: tuple[int, int]) -> None:
    if kind == "JPEG" and mode in ("RGBA", "P"):
        return  # a JPEG has neither
    noise = Image.effect_noise((57, 43), 90).resize(size, Image.Resampling.BICUBIC)
    image = Image.merge(
        "RGB", (noise, noise.rotate(180), noise.transpose(Image.Transpose.FLIP_TOP_BOTTOM))
    )
    image = with_alpha(image) if mode == "RGBA" else image.convert(mode)
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    fast = {"compress_level": 1} if kind == "PNG" else {}
    data = encoded(image, kind, icc_profile=srgb, **fast)
    limits = MediaConfig(max_pixels=200_704)
    decoded = decode_image(data, limits)
    assert decoded.tobytes() == before(data, limits, decoded.size).tobytes()


SIXTEEN = GREY.astype(np.uint16) * 257 + np.arange(WIDTH, dtype=np.uint16) % 100


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_a_transparent_grey_of_every_depth_is_white(depth: int) -> None:
    most = (1 << depth) - 1
    levels = GREY.astype(int) * most // 255 if depth < 16 else SIXTEEN.astype(int)
    clear = int(np.bincount(levels.ravel()).argmax())
    trns = chunk(b"tRNS", struct.pack(">H", clear))
    expected = np.where(levels == clear, 255, levels * 255 // most)
    assert (levels == clear).sum() > 10
    assert_alike(shown(png(levels[..., None], depth, trns)), expected)


def test_transparency_of_the_other_kinds() -> None:
    expected = on_white(COLORS, ALPHA)
    assert_alike(shown(encoded(with_alpha(SCENE))), expected)
    wide = np.dstack([COLORS, ALPHA]).astype(np.uint16) * 257
    assert_alike(shown(png(wide, 16)), expected)
    assert_alike(shown(encoded(with_alpha(SCENE), "TIFF")), expected)
    assert_alike(shown(encoded(with_alpha(SCENE).convert("LA"))), on_white(GREY, ALPHA), 2)
    red = chunk(b"tRNS", struct.pack(">3H", 255, 0, 0))
    is_red = (COLORS == (255, 0, 0)).all(-1)
    assert_alike(shown(png(COLORS, extra=red)), np.where(is_red[..., None], 255, COLORS))
    palette = SCENE.quantize(32)
    alphas = bytes(range(0, 256, 8))
    index = np.asarray(palette)
    expected = on_white(np.asarray(palette.convert("RGB")), np.frombuffer(alphas, "u1")[index])
    assert_alike(shown(encoded(palette, transparency=alphas)), expected)


NUMBERS = [
    (encoded(Image.fromarray(GREY / np.float32(255)), "TIFF"), GREY),
    (encoded(Image.fromarray(GREY.astype(np.int32)), "TIFF"), GREY),
    (encoded(Image.fromarray(SIXTEEN), "TIFF"), SIXTEEN >> 8),
    (encoded(Image.fromarray(SIXTEEN), "TIFF", tiffinfo={262: 0}), 255 - (SIXTEEN >> 8)),
    (png(SIXTEEN[..., None], 16), SIXTEEN >> 8),
]


@pytest.mark.parametrize(("data", "expected"), NUMBERS, ids=range(len(NUMBERS)))
def test_numbers_of_a_known_range_are_scaled(data: bytes, expected: NDArray[Any]) -> None:
    assert_alike(shown(data), expected, 0)


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        (GREY.astype(np.float32), "(float32) from 32 to 251"),
        (GREY / np.float32(127), "(float32) from 0.251969 to 1.97638"),
        (np.full((9, 9), np.nan, np.float32), "(float32) from nan to nan"),
        (GREY.astype(np.int32) * 1_000, "(int32) from 32000 to 251000"),
        (GREY.astype(np.int32) - 100, "(int32) from -68 to 151"),
        (GREY.astype(np.uint16), "(uint16) from 32 to 251"),
    ],
)
def test_numbers_of_no_known_range_are_named(numbers: NDArray[Any], said: str) -> None:
    with pytest.raises(RowRejected) as refusal:
        decode_image(encoded(Image.fromarray(numbers), "TIFF"), AS_IS)
    assert refusal.value.reason is Reason.MEDIA_UNSUPPORTED
    assert said in refusal.value.detail


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_colours_of_another_space_are_converted(kind: str) -> None:
    exact: dict[str, Any] = {"quality": 100, "subsampling": 0} if kind == "JPEG" else {}
    exact |= {"lossless": True} if kind == "WEBP" else {}
    exact |= {"quality": 100, "subsampling": "4:4:4"} if kind == "AVIF" else {}
    as_srgb = shown(encoded(SCENE, kind, **exact))
    swapped = shown(encoded(SCENE, kind, icc_profile=icc(SWAPPED, 2.2), **exact))
    # A gamma of 2.2 for sRGB's own curve: a few levels of difference.
    assert_alike(swapped, as_srgb[..., ::-1], 10)
    assert np.abs(swapped - as_srgb).max() > 200


def test_colours_of_adobe_rgb() -> None:
    """Against the definition of the colour space, in floating point numbers."""
    light = (COLORS / 255.0) ** (563 / 256)
    to_xyz = np.array([[0.57667, 0.18556, 0.18823], [0.29734, 0.62736, 0.07529]])
    to_xyz = np.vstack([to_xyz, [0.02703, 0.07069, 0.99134]])
    from_xyz = np.array([[3.24045, -1.53714, -0.49853], [-0.96927, 1.87601, 0.04156]])
    from_xyz = np.vstack([from_xyz, [0.05564, -0.20403, 1.05723]])
    linear = np.clip(light @ (from_xyz @ to_xyz).T, 0, 1)
    curve = np.where(linear < 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    data = encoded(SCENE, icc_profile=icc(ADOBE, 563 / 256))
    assert_alike(shown(data), np.rint(curve * 255), 3)


def test_transparent_and_grey_pictures_have_profiles_too() -> None:
    clear = shown(encoded(with_alpha(SCENE), icc_profile=icc(SWAPPED, 2.2)))
    assert_alike(clear, on_white(COLORS[..., ::-1], ALPHA), 10)
    palette = SCENE.quantize(32)
    swapped = shown(encoded(palette, icc_profile=icc(SWAPPED, 2.2)))
    assert_alike(swapped, np.asarray(palette.convert("RGB"))[..., ::-1], 10)
    bright = 255 * (GREY / 255.0) ** (1.4 / 2.2)  # about, as sRGB is no plain power
    assert_alike(shown(encoded(SCENE.convert("L"), icc_profile=icc(None, 1.4))), bright, 6)


@pytest.mark.parametrize("profile", [b"garbage" * 40, icc(None, 1.0), icc(SWAPPED, 1.0)[:150]])
def test_a_profile_that_cannot_be_one_is_left_out(profile: bytes) -> None:
    assert_alike(shown(encoded(SCENE, icc_profile=profile)), COLORS, 0)


def test_gamma_and_code_points_of_a_png() -> None:
    linear = shown(png(COLORS, extra=chunk(b"gAMA", struct.pack(">I", 100_000))))
    light = COLORS / 255.0
    curve = np.where(light < 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    assert_alike(linear, np.rint(255 * curve))
    assert_alike(shown(png(COLORS, extra=chunk(b"gAMA", struct.pack(">I", 45_455)))), COLORS, 0)
    both = chunk(b"sRGB", b"\0") + chunk(b"gAMA", struct.pack(">I", 100_000))
    assert_alike(shown(png(COLORS, extra=both)), COLORS, 0)
    assert_alike(shown(png(COLORS, extra=chunk(b"cICP", bytes([1, 8, 0, 1])))), 255 * curve, 2)
    with pytest.raises(RowRejected, match=r"high dynamic range \(PQ\)") as refusal:
        shown(png(COLORS, extra=chunk(b"cICP", bytes([9, 16, 0, 1]))))
    assert refusal.value.reason is Reason.MEDIA_UNSUPPORTED


def test_inks_and_lab() -> None:
    assert_alike(shown(encoded(SCENE.convert("CMYK"), "TIFF")), COLORS, 2)
    spaces = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    lab = ImageCms.profileToProfile(SCENE, *spaces, outputMode="LAB")
    assert lab is not None
    assert np.abs(shown(encoded(lab, "TIFF")) - COLORS).mean() < 3


FRAMES = [SCENE, SCENE.transpose(Image.Transpose.ROTATE_180)]


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "AVIF"])
def test_the_first_frame_of_an_animation(kind: str) -> None:
    still = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(FRAMES[0], kind, save_all=True, append_images=FRAMES[1:], duration=500, **still)
    assert np.abs(shown(data) - COLORS).mean() < (12 if kind == "GIF" else 5)


def test_a_hidden_picture_of_an_animation_is_not_shown() -> None:
    options: dict[str, Any] = {"save_all": True, "append_images": FRAMES[1:]}
    options["default_image"] = True
    assert_alike(shown(encoded(FRAMES[0], **options)), COLORS[::-1, ::-1], 0)
    case = decode_image((CASES / "apng-default-image.png").read_bytes(), AS_IS)
    assert case.getpixel((0, 0)) == (220, 30, 30)  # as Chromium shows it; the hidden one is black


def test_a_first_frame_that_covers_a_part() -> None:
    part = COLORS[20:60, 30:90]
    pixels = zlib.compress(b"".join(b"\0" + row.tobytes() for row in part))
    control = struct.pack(">IIIIIHHBB", 0, 60, 40, 30, 20, 60, 1, 0, 0)
    frame = chunk(b"fcTL", control) + chunk(b"fdAT", struct.pack(">I", 1) + pixels)
    data = png(COLORS, extra=chunk(b"acTL", struct.pack(">II", 1, 0)))
    data = data[:-12] + frame + data[-12:]
    expected = np.full((HEIGHT, WIDTH, 3), 255)
    expected[20:60, 30:90] = part
    assert_alike(shown(data), expected, 0)
    broken = data.replace(b"fdAT", b"fdAX")
    assert_alike(shown(broken), COLORS, 0)  # an animation without frames is none


def test_a_gif_that_covers_a_part_of_its_screen() -> None:
    part = SCENE.crop((0, 0, 60, 40)).quantize(8)
    data = bytearray(encoded(part, "GIF"))
    struct.pack_into("<HH", data, 6, *SIZE)
    data[11] = 3  # a background that browsers do not draw
    place = data.index(b",", 13 + 3 * 2 ** ((data[10] & 7) + 1))
    struct.pack_into("<HH", data, place + 1, 30, 20)
    expected = np.full((HEIGHT, WIDTH, 3), 255)
    expected[20:60, 30:90] = np.asarray(part.convert("RGB"))
    assert_alike(shown(bytes(data)), expected, 0)


XMP = (
    b"<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/"
    b"22-rdf-syntax-ns#'><rdf:Description xmlns:tiff='http://ns.adobe.com/tiff/1.0/' "
    b'tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>'
)


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_xmp_turns_no_picture(kind: str) -> None:
    assert decode_image(encoded(SCENE, kind, xmp=XMP), AS_IS).size == SIZE


@pytest.mark.parametrize("orientation", [0, 9, 65_535])
def test_an_orientation_that_does_not_exist(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert_alike(shown(encoded(SCENE, exif=exif)), COLORS, 0)


METADATA = [
    chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(3_000_000))),
    chunk(b"iTXt", b"Comment\0\1\0\0\0" + zlib.compress(bytes(3_000_000))),
    chunk(b"iCCP", b"x\0\0" + zlib.compress(icc(ADOBE, 2.2) + bytes(2_000_000))),
    chunk(b"eXIf", b"garbage!"),
    chunk(b"pHYs", b"short"),
    chunk(b"tEXt", b"Comment\0text")[:-1] + b"\0",
    chunk(b"tRNS", struct.pack(">3H", 255, 0, 0))[:-1] + b"\0",
]


@pytest.mark.parametrize("extra", METADATA, ids=range(len(METADATA)))
def test_damaged_metadata_cost_no_picture(extra: bytes) -> None:
    got = shown(png(COLORS, extra=extra))
    assert_alike(got, COLORS, 150 if b"iCCP" in extra else 0)


@pytest.mark.parametrize("name", ["png-bad-crc-text", "png-broken-exif", "png-ztxt-2mb"])
def test_cases_with_damaged_metadata(name: str) -> None:
    assert decode_image((CASES / f"{name}.png").read_bytes(), AS_IS).size == SIZE


def test_cases_of_formats() -> None:
    """Corners as Chromium shows them."""
    for name, first, last in [
        ("avif.avif", (221, 30, 30), (39, 61, 209)),
        ("png16-gray-trns.png", (255, 255, 255), (71, 71, 71)),
    ]:
        case = decode_image((CASES / name).read_bytes(), AS_IS)
        assert (case.getpixel((0, 0)), case.getpixel((119, 79))) == (first, last)


UPPER = (220, 30, 30), (30, 180, 60)  # quarters, left and right
LOWER = (40, 60, 210), (240, 240, 240)


@pytest.mark.parametrize(
    ("name", "corners"),
    [
        ("heic", (*UPPER, *LOWER)),  # exactly: it was coded without loss
        ("heic-turned", (LOWER[0], UPPER[0], LOWER[1], UPPER[1])),  # by its box irot
        ("heic-clear", ((255, 255, 255), (142, 217, 157), *LOWER)),  # clear, half clear
        ("heic-p3", ((240, 0, 0), (0, 183, 31), (34, 61, 218), LOWER[1])),  # numbers of Display P3
    ],
)
def test_heic(name: str, corners: tuple[tuple[int, int, int], ...]) -> None:
    """Quarters of 64 x 48 pixels that libx265 coded; corners as the standard says."""
    data = (CASES / f"{name}.heic").read_bytes()
    assert picture_format(data) == "HEIC"
    image = decode_image(data, AS_IS)
    assert image.size == ((48, 64) if name == "heic-turned" else (64, 48))
    right, low = image.width - 5, image.height - 5
    found = tuple(image.getpixel(at) for at in ((4, 4), (right, 4), (4, low), (right, low)))
    assert found == corners


def test_heic_that_is_not_shown() -> None:
    whole = (CASES / "heic.heic").read_bytes()
    at = whole.index(b"ispe") + 8  # width and height
    smaller = whole[:at] + struct.pack(">2I", 1, 1) + whole[at + 8 :]
    cases = [
        ((CASES / "heic-pq.heic").read_bytes(), Reason.MEDIA_UNSUPPORTED, r"dynamic range \(PQ\)"),
        (whole.replace(b"hvc1", b"vvc1"), Reason.MEDIA_UNSUPPORTED, "another codec, expected HEVC"),
        (whole[:-1], Reason.MEDIA_CORRUPT, "Unexpected end of file"),
        (whole[:-200] + bytes(200), Reason.MEDIA_CORRUPT, "a part of it is missing"),
        (smaller, Reason.MEDIA_CORRUPT, "not have the size signaled"),
    ]
    for data, reason, detail in cases:
        with pytest.raises(RowRejected, match=detail) as refused:
            decode_image(data, AS_IS)
        assert refused.value.reason is reason
    with pytest.raises(RowRejected, match="declares 64x48 pixels"):
        decode_image(whole, MediaConfig(max_decoded_pixels=3_000))


@pytest.mark.parametrize("kind", ["JPEG2000", "AVIF", "ICO", "TIFF"])
def test_other_formats(kind: str) -> None:
    exact: dict[str, Any] = {}
    if kind == "AVIF":
        exact = {"quality": 100, "subsampling": "4:4:4"}
    image = SCENE.crop((0, 0, 64, 64))
    exact |= {"sizes": [(16, 16), (64, 64)]} if kind == "ICO" else {}
    assert_alike(shown(encoded(image, kind, **exact)), np.asarray(image), 3)


@pytest.mark.parametrize("kind", ["JPEG2000", "JPEG"])
def test_a_large_picture_decoded_at_a_fraction_looks_the_same(kind: str) -> None:
    large = SCENE.resize((2_000, 1_333), Image.Resampling.BICUBIC)
    limits = MediaConfig(max_pixels=100_000)
    fraction = np.asarray(decode_image(encoded(large, kind), limits), np.int16)
    whole = np.asarray(decode_image(encoded(large), limits), np.int16)
    assert np.abs(fraction - whole).mean() < 2


@given(
    st.binary(max_size=200), st.sampled_from([b"\x89PNG\r\n\x1a\n", b"\0\0\1\0", b"\xff\xd8\xff"])
)
def test_any_bytes_are_a_picture_or_a_refusal(data: bytes, start: bytes) -> None:
    with pytest.raises(RowRejected):
        decode_image(start + data, MediaConfig(max_decoded_pixels=10**6))
