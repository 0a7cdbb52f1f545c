"""Pictures of which a part is missing are refused, and whole ones that look like it are not."""

from __future__ import annotations

import functools
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pipeline.media.images import decode_image
from pipeline.media.jpeg_scans import list_scans
from pipeline.media.media_config import MediaConfig
from pipeline.runtime.errors import RowRejected
from schemas.labels import Reason
from tests.pictures import AS_IS, CASES, SIZE, chunk, encoded, png, scene

PHOTO = Image.blend(scene(), Image.effect_noise(SIZE, 60).convert("RGB"), 0.3).resize((240, 160))
# What a file with this end would be taken for as a whole one.
ENDS = {"JPEG": b"\xff\xd9", "GIF": b";", "JPEG2000": b"\xff\xd9"}
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "jpeg": ("JPEG", {"quality": 80}),
    "optimized": ("JPEG", {"quality": 40, "optimize": True}),
    "progressive": ("JPEG", {"progressive": True}),
    "restarts": ("JPEG", {"restart_marker_rows": 1}),
    "webp": ("WEBP", {}),
    "lossless": ("WEBP", {"lossless": True}),
    "bmp": ("BMP", {}),
    "tiff": ("TIFF", {}),
    "lzw": ("TIFF", {"compression": "tiff_lzw"}),
    "deflate": ("TIFF", {"compression": "tiff_adobe_deflate"}),
    "png": ("PNG", {}),
    "stored": ("PNG", {"compress_level": 0}),
    "gif": ("GIF", {}),
    "avif": ("AVIF", {}),
    "jp2": ("JPEG2000", {}),
}


@functools.cache
def file_of(name: str) -> bytes:
    """The photo in one of these kinds."""
    kind, options = KINDS[name]
    return encoded(PHOTO, kind, **options)


def refusal(data: bytes) -> RowRejected:
    with pytest.raises(RowRejected) as raised:
        decode_image(data, AS_IS)
    return raised.value


@pytest.mark.parametrize("share", [0.3, 0.5, 0.7, 0.9])
@pytest.mark.parametrize("name", KINDS)
def test_what_is_cut_or_ends_in_zeros(name: str, share: float) -> None:
    whole, end = file_of(name), ENDS.get(KINDS[name][0], b"")
    decode_image(whole, AS_IS)
    at = int(len(whole) * share)
    zeros = whole[:at] + bytes(len(whole) - at)
    ended = [whole[:at] + end, zeros[: len(zeros) - len(end)] + end]
    if name == "progressive" and share > 0.5:
        ended.pop(0)  # it lacks a part of the last bits of its details, which nobody sees
    for damaged in (whole[:at], zeros, *ended):
        assert refusal(damaged).reason is Reason.MEDIA_CORRUPT


@pytest.mark.parametrize("name", ["jpeg", "restarts"])
def test_zeros_amid_a_jpeg(name: str) -> None:
    """Of blocks of zeros anywhere, but for the few after which a decoder ends on the very byte."""
    whole, missed = file_of(name), 0
    places = range(1_000, len(whole) - 1_200, 300)
    for at in places:
        try:
            decode_image(whole[:at] + bytes(400) + whole[at + 400 :], AS_IS)
            missed += 1
        except RowRejected as refused:
            assert "zeros" in refused.detail  # noqa: PT017
    assert missed <= len(places) / 10


def test_a_case() -> None:
    refused = refusal((CASES / "half-with-end-marker.jpg").read_bytes())
    assert refused.reason is Reason.MEDIA_CORRUPT
    assert refused.detail == (
        "damaged picture: a part of it is missing: its data end too early, or are zeros"
    )


def on(colour: Any, size: tuple[int, int] = (480, 320)) -> Image.Image:
    image = Image.new("RGB", size, colour)
    image.paste(PHOTO.resize((60, 40)), (300, 30))
    return image


BARS = Image.new("RGB", (240, 240))
BARS.paste(PHOTO, (0, 40))
LIKE_DAMAGE = {
    "black": on("black"),
    "white": on("white"),
    "grey": on((128, 128, 128)),
    "only grey": Image.new("RGB", SIZE, (128, 128, 128)),
    "only black": Image.new("RGB", SIZE),
    "bars": BARS,
    "turned": PHOTO.rotate(5, fillcolor="black"),
    "grey below": on((128, 128, 128)).crop((280, 0, 400, 100)),
}


@pytest.mark.parametrize("name", LIKE_DAMAGE)
@pytest.mark.parametrize("kind", KINDS)
def test_whole_pictures_of_black_and_grey(kind: str, name: str) -> None:
    format_, options = KINDS[kind]
    image = LIKE_DAMAGE[name]
    decoded = decode_image(encoded(image, format_, **options), AS_IS)
    assert np.abs(np.asarray(decoded, np.int16) - np.asarray(image)).mean() < 20


def test_lossless_zeros_of_a_simple_encoder_are_whole() -> None:
    data = encoded(on("black", (1_000, 800)), "WEBP", lossless=True, method=0)
    assert re.search(rb"\0{1000}", data)
    assert decode_image(data, AS_IS).getpixel((0, 799)) == (0, 0, 0)


@pytest.mark.parametrize("padding", [bytes(700), b"junk" * 100])
@pytest.mark.parametrize("name", ["jpeg", "png", "gif", "bmp"])
def test_what_follows_a_picture_is_no_damage(name: str, padding: bytes) -> None:
    assert decode_image(file_of(name) + padding, AS_IS).size == PHOTO.size


def test_zeros_before_the_end_marker_of_a_whole_jpeg_are_no_damage() -> None:
    whole = file_of("jpeg")
    decode_image(whole[:-2] + bytes(500) + whole[-2:], AS_IS)


def test_a_png_without_its_end_is_whole_and_one_with_other_pixels_is_not() -> None:
    whole = file_of("stored")
    assert decode_image(whole[:-12], AS_IS).size == PHOTO.size
    for at in range(2_000, len(whole) - 100, 9_000):
        assert refusal(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])


def test_a_png_of_too_few_rows() -> None:
    short = png(np.asarray(PHOTO)[:100])
    for height, whole in ((100, True), (101, False), (160, False)):
        header = short[16:20] + height.to_bytes(4, "big") + short[24:29]
        data = short[:8] + chunk(b"IHDR", header) + short[33:]
        if whole:
            assert decode_image(data, AS_IS).size == (240, height)
        else:
            assert refusal(data).reason is Reason.MEDIA_CORRUPT


def many_scans(count: int) -> bytes:
    """A JPEG whose last scan is there so often."""
    data = encoded(PHOTO.resize((2_000, 2_000)).convert("L"), "JPEG", quality=30, progressive=True)
    scan = list_scans(data).scans[-1]
    start = data.rindex(b"\xff\xda", 0, scan.start)
    return data[:-2] + data[start : scan.stop] * (count - 1) + data[-2:]


def test_many_scans_are_refused_before_they_are_decoded() -> None:
    data = many_scans(3_000)
    found = list_scans(data)
    assert found.complete
    assert len(found.scans) > 3_000
    refused = refusal(data)
    assert refused.reason is Reason.MEDIA_TOO_LARGE
    assert f"{len(found.scans):,} scans of 4,000,000 pixels" in refused.detail
    assert decode_image(many_scans(1), AS_IS).size == (2_000, 2_000)


def test_scans_that_never_come() -> None:
    """An end marker between two scans: what is there is a blur."""
    data = file_of("progressive")
    scans = list_scans(data).scans
    assert len(scans) == 10
    for scan in scans[:-1]:
        assert refusal(data[: scan.stop] + b"\xff\xd9").reason is Reason.MEDIA_CORRUPT


SEEDS = ("jpeg", "progressive", "webp", "avif", "jp2", "lzw", "png")
CHANGES = st.lists(st.tuples(st.integers(0, 30_000), st.integers(0, 255)), min_size=1, max_size=9)


@pytest.mark.filterwarnings("ignore::UserWarning")  # what Pillow thinks of it
@given(st.sampled_from(SEEDS), CHANGES)
def test_damage_never_raises_anything_else(name: str, changes: list[tuple[int, int]]) -> None:
    damaged = bytearray(file_of(name))
    for position, value in changes:
        damaged[position % len(damaged)] = value
    known = Reason.MEDIA_CORRUPT, Reason.MEDIA_TOO_LARGE, Reason.MEDIA_UNSUPPORTED
    try:
        assert decode_image(bytes(damaged), MediaConfig(max_decoded_pixels=10**6)).mode == "RGB"
    except RowRejected as refused:
        assert refused.reason in known  # noqa: PT017
