"""Small files that ask for much: each ends within time and memory, shown or refused by a reason.

All are decoded where a run decodes them, in processes that may die, one after the other.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from fractions import Fraction

import av
import numpy as np
import pytest
from PIL import Image

from pipeline.lab.bench.process_watch import ProcessTreeMemory
from pipeline.media.clip import Clip
from pipeline.media.decoder import MediaDecoder
from pipeline.media.media_config import MediaConfig
from pipeline.runtime.errors import RowRejected
from schemas.labels import Reason

LIMITS = MediaConfig.model_validate({"video": {"max_videos": 1}})
MEMORY = 2**28  # of the decoder, as a run plans it
SECONDS = 20.0  # of one medium
_SIDE = 96


def gif(count: int) -> bytes:
    """An animation whose first frame comes again."""
    file = io.BytesIO()
    Image.new("P", (_SIDE, _SIDE), 1).save(file, "GIF", duration=20)
    data = file.getvalue()
    frame = data.index(b"!\xf9")
    return data[:frame] + data[frame:-1] * count + b";"


def animation(kind: str, count: int) -> bytes:
    """Pictures that differ in one pixel, so that none is merged with the one before."""
    pictures = []
    for number in range(count):
        pictures.append(Image.new("RGB", (_SIDE, _SIDE), (200, 30, 30)))
        pictures[-1].putpixel((number % _SIDE, number // _SIDE % _SIDE), (0, 0, 0))
    file = io.BytesIO()
    pictures[0].save(file, kind, save_all=True, append_images=pictures[1:], duration=20)
    return file.getvalue()


def png(*chunks: tuple[bytes, bytes]) -> bytes:
    """A picture with these chunks before its pixels."""
    file = io.BytesIO()
    Image.new("RGB", (_SIDE, _SIDE), (200, 30, 30)).save(file, "PNG")
    data = file.getvalue()
    return data[:33] + b"".join(chunk(*each) for each in chunks) + data[33:]


def chunk(name: bytes, content: bytes) -> bytes:
    checksum = struct.pack(">I", zlib.crc32(name + content))
    return struct.pack(">I", len(content)) + name + content + checksum


def packed(count: int) -> bytes:
    """So many zeros, compressed; a multiple of a mebibyte."""
    squeeze = zlib.compressobj(9, wbits=-15)
    piece = squeeze.compress(bytes(2**20)) + squeeze.flush(zlib.Z_FULL_FLUSH)
    return b"\x78\xda" + piece * (count >> 20) + squeeze.flush()


def jpeg(**how: object) -> bytes:
    file = io.BytesIO()
    noise = np.random.default_rng(1).integers(0, 255, (800, 800, 3), np.uint8)
    Image.fromarray(noise).save(file, "JPEG", **how)
    return file.getvalue()


def restarts() -> bytes:
    """A JPEG with a restart marker after each of its ten thousand blocks."""
    return jpeg(restart_marker_blocks=1, subsampling=0)


def many_scans() -> bytes:
    """A progressive JPEG whose last scan comes again, ten thousand times."""
    data = jpeg(progressive=True)
    last, end = data.rindex(b"\xff\xda"), data.rindex(b"\xff\xd9")
    return data[:end] + 10_000 * (data[last : last + 10] + b"\0") + data[end:]


def tiff(count: int, *, circle: bool = False) -> bytes:
    """A picture with so many directories of one tag, the last leading to nothing or to the first.

    Pillow reads the first.
    """
    file = io.BytesIO()
    Image.new("RGB", (_SIDE, _SIDE), (200, 30, 30)).save(file, "TIFF")
    data = bytearray(file.getvalue())
    (first,) = struct.unpack_from("<I", data, 4)
    (entries,) = struct.unpack_from("<H", data, first)
    link, at = first + 2 + 12 * entries, len(data) + len(data) % 2
    data += bytes(at - len(data))
    struct.pack_into("<I", data, link, at)
    for number in range(count):
        following = at + 18 * (number + 1)
        if number == count - 1:
            following = first if circle else 0
        data += struct.pack("<HHHII", 1, 256, 4, 1, 1) + struct.pack("<I", following)
    return bytes(data)


def long_clip(count: int, seconds: int = 3_600) -> bytes:
    """A clip of tiny frames that are spread over an hour, or another time."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width = stream.height = 16
        stream.pix_fmt, stream.time_base = "yuv420p", Fraction(1, 1_000)
        stream.codec_context.time_base = Fraction(1, 1_000)
        pixels = np.zeros((16, 16, 3), np.uint8)
        for number in range(count):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = number * seconds * 1_000 // count, Fraction(1, 1_000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return file.getvalue()


Made = Callable[[], bytes]
SHOWN: dict[str, Made] = {
    "GIF of 10,000 frames": lambda: gif(10_000),
    "APNG of 1,000 frames": lambda: animation("PNG", 1_000),
    "WebP of 500 frames": lambda: animation("WEBP", 500),
    "PNG with a profile of 512 MB": lambda: png((b"iCCP", b"p\0\0" + packed(2**29))),
    "PNG with a text of 512 MB": lambda: png((b"zTXt", b"t\0\0" + packed(2**29))),
    "PNG with 20,000 texts": lambda: png(*[(b"tEXt", b"t\0x")] * 20_000),
    "JPEG with 10,000 restart markers": restarts,
    "TIFF with 10,000 directories": lambda: tiff(10_000),
    "TIFF whose directories are a circle": lambda: tiff(10, circle=True),
}


CLIPS: dict[str, Made] = {
    "MP4 of an hour": lambda: long_clip(900),
    "GIF of 10,000 frames": lambda: gif(10_000),
}
REFUSED: dict[str, tuple[Made, bool, str]] = {
    "JPEG of 10,000 scans": (many_scans, False, r"10,0\d\d scans"),
    "MP4 of two hours": (lambda: long_clip(900, 7_200), True, "lasts 7,19"),
}


def within_budget(act: Callable[[MediaDecoder], object]) -> None:
    """Asserts that it takes the memory that is planned, in this process and those that decode."""
    decoder = MediaDecoder(LIMITS, MEMORY, 1, SECONDS)
    decoder.image(png())  # from here on there is a process
    before = ProcessTreeMemory()
    before.look()
    with ProcessTreeMemory(0.1) as during:
        act(decoder)
    assert during.peak_bytes - before.peak_bytes < MEMORY


@pytest.mark.parametrize("kind", SHOWN)
def test_pictures_are_shown_within_the_budget(kind: str) -> None:
    data, shown = SHOWN[kind](), list[Image.Image]()
    within_budget(lambda decoder: shown.append(decoder.image(data)))
    assert shown[0].mode == "RGB"


@pytest.mark.parametrize("kind", CLIPS)
def test_clips_are_shown_within_the_budget(kind: str) -> None:
    data, shown = CLIPS[kind](), list[Clip]()
    within_budget(lambda decoder: shown.append(decoder.clip(data)))
    assert len(shown[0].frames) == LIMITS.video.max_frames


@pytest.mark.parametrize("kind", REFUSED)
def test_what_asks_for_too_much_is_refused_within_the_budget(kind: str) -> None:
    make, video, said = REFUSED[kind]
    data = make()

    def refused(decoder: MediaDecoder) -> None:
        with pytest.raises(RowRejected, match=said) as rejected:
            decoder.clip(data) if video else decoder.image(data)
        assert rejected.value.reason is Reason.MEDIA_TOO_LARGE

    within_budget(refused)
