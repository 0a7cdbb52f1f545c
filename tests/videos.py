"""Makes small real videos for tests, with frames that show their own number."""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Any

import av
import numpy as np
from PIL import Image

from pipeline.media.media_config import MediaConfig

WEBM: dict[str, Any] = {"container": "webm", "codec": "libvpx-vp9"}
GIF: dict[str, Any] = {"container": "gif", "codec": "gif", "pixels": "rgb8"}
AVI: dict[str, Any] = {"container": "avi", "codec": "mpeg4"}
FRAGMENTS: dict[str, Any] = {"output": {"movflags": "frag_keyframe+empty_moov"}}
FORMATS: dict[str, dict[str, Any]] = {
    "mp4": {},
    "mp4 with open GOPs": {"options": {"x264-params": "open-gop=1:bframes=3"}},
    "mp4 without key frames": {"options": {"x264-params": "intra-refresh=1"}},
    "mp4 in fragments": FRAGMENTS,
    "mp4 of AV1": {"codec": "libsvtav1"},
    "webm": WEBM,
    "webm of VP8": {"container": "webm", "codec": "libvpx"},
    "matroska": {"container": "matroska"},
    "avi": AVI,
    "avi without times": {"container": "avi"},
    "gif": GIF,
    "mpegts": {"container": "mpegts"},
    "mov": {"container": "mov", "codec": "prores_ks", "pixels": "yuv422p10le"},
}

Picture = Image.Image
_FORMATS = {"RGB": "rgb24", "RGBA": "rgba"}
_BITS = 6  # a frame's number is drawn as so many bars


def numbered(number: int, size: tuple[int, int] = (96, 64)) -> Picture:
    """A picture that shows a number in bars of black and white; ``number_of`` reads it."""
    bars = Image.new("L", (_BITS, 1))
    bars.putdata([255 * (number >> bit & 1) for bit in range(_BITS)])
    return bars.resize(size, Image.Resampling.NEAREST).convert("RGB")


def number_of(picture: Picture) -> int:
    """The number that a picture shows, whatever became of it on the way."""
    grey = picture.convert("L")
    spots = [((2 * bit + 1) * grey.width // (2 * _BITS), grey.height // 2) for bit in range(_BITS)]
    values: list[Any] = [grey.getpixel(spot) for spot in spots]
    return sum((value > 127) << bit for bit, value in enumerate(values))


def video(
    pictures: Iterable[Picture],
    container: str = "mp4",
    codec: str = "libx264",
    *,
    pixels: str = "yuv420p",
    rate: int | Fraction = 10,
    times: Sequence[int] | None = None,
    key_every: int | None = None,
    options: dict[str, str] | None = None,
    output: dict[str, str] | None = None,
    aspect: Fraction | None = None,
    transparent: bool = False,
) -> bytes:
    """An encoded video.

    Args:
        pictures: its frames, of one size.
        container, codec, pixels: as ffmpeg names them.
        rate: frames a second.
        times: of each frame, in 1/rate seconds; by default one after the other.
        key_every: frames from one key frame to the next, at most.
        options, output: of the encoder and of the container.
        aspect: width to height of a pixel.
        transparent: say that there is transparency, as WebM needs it.
    """
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container, options=output or {}) as file:
        stream: Any = file.add_stream(codec, rate=rate, options=options or {})
        stream.pix_fmt = pixels
        if aspect:
            stream.codec_context.sample_aspect_ratio = aspect
        if transparent:
            stream.metadata["alpha_mode"] = "1"
        if key_every:
            stream.codec_context.gop_size = key_every
        for index, picture in enumerate(pictures):
            if not index:
                stream.width, stream.height = picture.size
            frames: Any = av.VideoFrame  # partly untyped
            # Not from_image: that drops what is transparent.
            frame = frames.from_ndarray(np.asarray(picture), format=_FORMATS[picture.mode])
            frame.pts = times[index] if times else index
            frame.time_base = 1 / Fraction(rate)
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    # SVT-AV1 gives the thread of a root that encodes real-time priority, before all else on the
    # machine; so would be whatever this process starts from then on.
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    return buffer.getvalue()


def video_of_yuv(frames: Iterable[Any], size: tuple[int, int]) -> bytes:
    """An mp4 of arrays of yuv420p, which says nothing of their colours."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as file:
        stream: Any = file.add_stream("libx264", rate=10)
        stream.pix_fmt, (stream.width, stream.height) = "yuv420p", size
        for index, array in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(array, format="yuv420p")
            frame.pts, frame.time_base = index, Fraction(1, 10)
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return buffer.getvalue()


def clip(count: int, size: tuple[int, int] = (96, 64), first: int = 0, **how: Any) -> bytes:
    """A video of ``count`` numbered frames."""
    return video((numbered(first + index, size) for index in range(count)), **how)


def sound() -> bytes:
    """An mp4 with sound and no picture."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as output:
        stream: Any = output.add_stream("aac", rate=44_100)
        frame = av.AudioFrame(format="fltp", layout="mono", samples=1_024)
        frame.sample_rate = 44_100
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return buffer.getvalue()


def turned(mp4: bytes, a: int, b: int, c: int, d: int) -> bytes:
    """An mp4 whose header asks players to show it through the matrix [[a, b], [c, d]]."""
    place = mp4.index(b"tkhd") + 44
    one = 1 << 16
    matrix = struct.pack(">9i", a * one, b * one, 0, c * one, d * one, 0, 0, 0, 1 << 30)
    return mp4[:place] + matrix + mp4[place + len(matrix) :]


def as_it_is(**of_video: Any) -> MediaConfig:
    """Limits that leave frames as they are by default."""
    free = {"min_pixels": 1, "max_pixels": 10**8, "total_pixels": 10**10}
    return MediaConfig.model_validate({"factor": 1, "video": free | of_video})
