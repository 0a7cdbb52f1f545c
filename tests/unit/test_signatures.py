"""What is no picture or video is named by what it is, with what to do about it."""

from __future__ import annotations

import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.media.images import decode_image
from pipeline.media.media_config import MediaConfig
from pipeline.media.signatures import Kind, picture_format, unsupported, video_format
from pipeline.runtime.errors import RowRejected
from schemas.labels import Reason
from tests.pictures import encoded, scene
from tests.videos import FORMATS, clip

POINTER = (
    b"version https://git-lfs.github.com/spec/v1\n"
    b"oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n"
)
HEIC = b"\0\0\0\x24ftypheic\0\0\0\0mif1MiHEmiafMiHBheic" + bytes(100)
NAMED: list[tuple[bytes, str]] = [
    (POINTER, f"a Git LFS pointer ({len(POINTER)} bytes), expected a picture: run git lfs pull"),
    (b"\n<!DOCTYPE HTML>\n<title>404</title>", "an HTML page"),
    (b"\xef\xbb\xbf<html lang='en'>", "an HTML page"),
    (b"<?xml version='1.0'?><!-- x --><svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG"),
    (b"<svg width='9'>", "an SVG"),
    (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "an XML document"),
    (json.dumps({"error": "rate limit"}).encode(), "JSON"),
    (b"[1, 2]", "JSON"),
    ("Zugriff verweigert: Schlüssel fehlt".encode(), "a text"),
    (b"%PDF-1.7\n", "a PDF"),
    (b"%!PS-Adobe-3.0 EPSF-3.0", "a PostScript"),
    (gzip.compress(b"x"), "gzip"),
    (b"PK\x03\x04\x14\0", "a ZIP"),
    (b"\xff\x0a\xfa\x7f", "a JPEG XL"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "a JPEG XL"),
    (b"Salted__" + bytes(16), "an encrypted file (OpenSSL)"),
    (b"-----BEGIN PGP MESSAGE-----\n", "an encrypted file (PGP)"),
    (b"8BPS\0\1", "a Photoshop"),
    (b"RIFF\x24\0\0\0WAVEfmt ", "WAV sound"),
    (clip(2), "a video (MP4 or QuickTime)"),
    (b"PAR1\x15", "a Parquet"),
]


@pytest.mark.parametrize(("data", "name"), NAMED, ids=[name for _, name in NAMED])
def test_what_is_no_picture(data: bytes, name: str) -> None:
    with pytest.raises(RowRejected, match="expected a picture") as refusal:
        decode_image(data, MediaConfig())
    assert refusal.value.reason is Reason.MEDIA_UNSUPPORTED
    assert refusal.value.detail.startswith(f"got {name}")


@pytest.mark.parametrize("data", [b"\0" * 500, b"\x01\x02\x03", b"\xfe" * 60, b"ab\0cd"])
def test_what_nobody_knows_is_damaged(data: bytes) -> None:
    refused = unsupported(data, "picture")
    assert refused.reason is Reason.MEDIA_CORRUPT
    assert data[:12].hex(" ") in refused.detail


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "AVIF", "JPEG2000"])
def test_formats_of_pictures(kind: str) -> None:
    assert picture_format(encoded(scene(), kind)) == kind


@pytest.mark.parametrize("name", [name for name in FORMATS if "AV1" not in name])
def test_every_video_is_known_as_one(name: str) -> None:
    data = clip(3, **FORMATS[name])
    assert video_format(data)
    if name != "gif":
        assert picture_format(data) is None


ANY = st.binary(max_size=40) | st.text(max_size=40).map(str.encode)


@given(ANY, st.sampled_from(["picture", "video"]))
def test_any_bytes_have_a_short_description(data: bytes, expected: Kind) -> None:
    assert len(unsupported(data, expected).detail) < 200
