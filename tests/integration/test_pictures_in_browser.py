"""Pictures and clips look to the judge as they do in a real browser, on white."""

from __future__ import annotations

import base64
import io
import struct
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page

from pipeline.media.images import decode_image
from pipeline.media.videos import decode_video
from tests.pictures import (
    ADOBE,
    AS_IS,
    CASES,
    SWAPPED,
    chunk,
    encoded,
    icc,
    png,
    scene,
    with_alpha,
)
from tests.reporting import CHROMIUM
from tests.videos import as_it_is, turned, video

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is missing: make test-tools")

SHOW = """async ([type, data]) => {
  const bytes = Uint8Array.from(atob(data), c => c.charCodeAt(0));
  const url = URL.createObjectURL(new Blob([bytes], {type}));
  const canvas = document.createElement("canvas");
  let shown, size;
  if (type.startsWith("video")) {
    shown = document.createElement("video");
    shown.muted = true;
    document.body.replaceChildren(shown);
    const drawn = new Promise(ok => shown.requestVideoFrameCallback(ok));
    await new Promise((ok, no) => {
      shown.onloadeddata = ok;
      shown.onerror = () => no(shown.error.message);
      shown.src = url;
    });
    await drawn;
    size = [shown.videoWidth, shown.videoHeight];
  } else {
    shown = new Image();
    shown.src = url;
    await shown.decode();
    size = [shown.naturalWidth, shown.naturalHeight];
  }
  [canvas.width, canvas.height] = size;
  const context = canvas.getContext("2d");
  context.fillStyle = "white";
  context.fillRect(0, 0, ...size);
  context.drawImage(shown, 0, 0);
  return canvas.toDataURL("image/png").split(",")[1];
}"""


@pytest.fixture(scope="module")
def page(browser: Browser) -> Page:
    return browser.new_page()


def in_browser(page: Page, data: bytes, kind: str) -> Image.Image:
    shown = page.evaluate(SHOW, [kind, base64.b64encode(data).decode()])
    return Image.open(io.BytesIO(base64.b64decode(shown))).convert("RGB")


def assert_alike(got: Image.Image, shown: Image.Image, most: float) -> None:
    assert got.size == shown.size
    difference = np.abs(np.asarray(got, np.int16) - np.asarray(shown, np.int16))
    assert difference.mean() <= most


SCENE = scene()
COLORS, GREY = np.asarray(SCENE), np.asarray(SCENE.convert("L"))
SIXTEEN = GREY.astype(np.uint16)[..., None] * 257 + 7
TURN = Image.Exif()
TURN[0x0112] = 6
XMP = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'><a tiff:Orientation=\"6\"/></x:xmpmeta>"
ANIMATED: dict[str, Any] = {
    "save_all": True,
    "append_images": [SCENE.transpose(Image.Transpose.ROTATE_180)],
    "duration": 60_000,
}
PICTURES: dict[str, Callable[[], bytes]] = {  # made when they are shown
    "grey of 16 bits": lambda: png(SIXTEEN, 16),
    "transparent grey of 16 bits": lambda: png(
        SIXTEEN, 16, chunk(b"tRNS", struct.pack(">H", int(SIXTEEN[5, 5, 0])))
    ),
    "transparent grey of 2 bits": lambda: png(GREY[..., None] // 64, 2, chunk(b"tRNS", b"\0\1")),
    "transparent red": lambda: png(COLORS, extra=chunk(b"tRNS", struct.pack(">3H", 255, 0, 0))),
    "transparent palette": lambda: encoded(
        SCENE.quantize(32), transparency=bytes(range(0, 256, 8))
    ),
    "grey and alpha": lambda: encoded(with_alpha(SCENE).convert("LA")),
    "RGBA": lambda: encoded(with_alpha(SCENE)),
    "transparent webp": lambda: encoded(with_alpha(SCENE), "WEBP", lossless=True),
    "transparent gif": lambda: encoded(SCENE.quantize(16), "GIF", transparency=3),
    "turned jpeg": lambda: encoded(SCENE, "JPEG", quality=95, exif=TURN),
    "turned png": lambda: encoded(SCENE, exif=TURN),
    "turned avif": lambda: encoded(SCENE, "AVIF", exif=TURN, quality=90),
    "webp with orientation": lambda: encoded(SCENE, "WEBP", lossless=True, exif=TURN),
    "jpeg with orientation in XMP": lambda: encoded(SCENE, "JPEG", quality=95, xmp=XMP),
    "adobe jpeg": lambda: encoded(SCENE, "JPEG", quality=95, icc_profile=icc(ADOBE, 2.2)),
    "swapped png": lambda: encoded(SCENE, icc_profile=icc(SWAPPED, 2.2)),
    "swapped transparent png": lambda: encoded(with_alpha(SCENE), icc_profile=icc(SWAPPED, 2.2)),
    "swapped webp": lambda: encoded(SCENE, "WEBP", lossless=True, icc_profile=icc(SWAPPED, 2.2)),
    "grey profile": lambda: encoded(SCENE.convert("L"), icc_profile=icc(None, 1.4)),
    "grey profile of RGB": lambda: encoded(SCENE, icc_profile=icc(None, 1.4)),
    "broken profile": lambda: encoded(SCENE, icc_profile=icc(ADOBE, 2.2)[:150]),
    "wrong checksum of the end": lambda: png(COLORS)[:-1] + b"\0",
    "gamma": lambda: png(COLORS, extra=chunk(b"gAMA", struct.pack(">I", 100_000))),
    "gamma of sRGB": lambda: png(COLORS, extra=chunk(b"gAMA", struct.pack(">I", 45_455))),
    "display P3": lambda: png(COLORS, extra=chunk(b"cICP", bytes([12, 13, 0, 1]))),
    "BT.2020": lambda: png(COLORS, extra=chunk(b"cICP", bytes([9, 1, 0, 1]))),
    "inks": lambda: encoded(SCENE.convert("CMYK"), "JPEG", quality=95),
    "hidden first picture": lambda: encoded(SCENE, default_image=True, **ANIMATED),
    "animated png": lambda: encoded(SCENE, **ANIMATED),
    "animated gif": lambda: encoded(SCENE, "GIF", **ANIMATED),
    "animated webp": lambda: encoded(SCENE, "WEBP", lossless=True, **ANIMATED),
    "icon": lambda: encoded(SCENE.crop((0, 0, 64, 64)), "ICO", sizes=[(16, 16), (64, 64)]),
    "bmp": lambda: encoded(SCENE, "BMP"),
    "avif": lambda: encoded(SCENE, "AVIF", quality=90),
}
FILES = [
    "apng-default-image.png",
    "avif.avif",
    "png-bad-crc-text.png",
    "png-broken-exif.png",
    "png-ztxt-2mb.png",
    "png16-gray-trns.png",
]


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture(page: Page, name: str) -> None:
    data = PICTURES[name]()
    shown = in_browser(page, data, "image/png")  # browsers go by the bytes
    assert_alike(decode_image(data, AS_IS), shown, 0.6)


@pytest.mark.parametrize("name", FILES)
def test_a_case(page: Page, name: str) -> None:
    data = (CASES / name).read_bytes()
    assert_alike(decode_image(data, AS_IS), in_browser(page, data, "image/png"), 0.6)


def _coded(matrix: str, primaries: str, transfer: str) -> dict[str, str]:
    """Options of an encoder that state the colours."""
    return {"x264-params": f"colormatrix={matrix}:colorprim={primaries}:transfer={transfer}"}


HD = SCENE.resize((1_280, 720))
HALF = SCENE.convert("RGBA")
HALF.paste((0, 0, 0, 0), (60, 0, 120, 80))
ALPHA: dict[str, Any] = {"pixels": "yuva420p", "options": {"auto-alt-ref": "0"}}
CLIPS: dict[str, Callable[[], tuple[str, bytes]]] = {
    "plain": lambda: ("mp4", video([SCENE] * 3)),
    "wide pixels": lambda: ("mp4", video([SCENE] * 3, aspect=Fraction(4, 3))),
    "high pixels": lambda: ("mp4", video([SCENE] * 3, aspect=Fraction(1, 2))),
    "turned": lambda: ("mp4", turned(video([SCENE] * 3, aspect=Fraction(4, 3)), 0, 1, -1, 0)),
    "high definition": lambda: ("mp4", video([HD] * 2)),
    "high definition of VP8": lambda: ("webm", video([HD] * 2, "webm", "libvpx")),
    "high definition of VP9": lambda: ("webm", video([HD] * 2, "webm", "libvpx-vp9")),
    "BT.2020": lambda: (
        "mp4",
        video([SCENE] * 3, options=_coded("bt2020nc", "bt2020", "bt2020-10")),
    ),
    "display P3": lambda: ("mp4", video([SCENE] * 3, options=_coded("bt709", "smpte432", "bt709"))),
    "BT.601 of 625 lines": lambda: ("mp4", video([SCENE] * 3, options=_coded(*["bt470bg"] * 3))),
    "BT.601 of 525 lines": lambda: ("mp4", video([SCENE] * 3, options=_coded(*["smpte170m"] * 3))),
    "linear light": lambda: ("mp4", video([SCENE] * 3, options=_coded("bt709", "bt709", "linear"))),
    "VP9": lambda: ("webm", video([SCENE] * 3, "webm", "libvpx-vp9")),
    "transparent VP8": lambda: (
        "webm",
        video([HALF] * 3, "webm", "libvpx", transparent=True, **ALPHA),
    ),
    "transparent VP9": lambda: (
        "webm",
        video([HALF] * 3, "webm", "libvpx-vp9", transparent=True, **ALPHA),
    ),
}


@pytest.mark.parametrize("name", CLIPS)
def test_a_clip(page: Page, name: str) -> None:
    kind, data = CLIPS[name]()
    shown = in_browser(page, data, f"video/{kind}")
    assert_alike(decode_video(data, as_it_is()).frames[0], shown, 2)
