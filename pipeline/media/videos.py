"""Videos: sampled as qwen-vl-utils samples them, upright, RGB on white, within the caps."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from av.video.frame import VideoFrame
from PIL import Image

from pipeline.media import model_sizes as pixels
from pipeline.media.clip import Clip
from pipeline.media.color_profiles import to_srgb, video_profile
from pipeline.media.decode_budget import UNLIMITED, DecodeBudget
from pipeline.media.frame_reader import FrameReader
from pipeline.media.images import image_tokens
from pipeline.media.media_config import MediaConfig
from pipeline.media.model_sizes import sample_frames
from pipeline.media.video_packets import corrupt, too_large
from pipeline.media.white_background import rgb_on_white
from pipeline.runtime.errors import RowRejected
from schemas.labels import Reason

# What turns a frame upright, by the signs of the display matrix [[a, b], [c, d]], which takes a
# stored pixel (x, y) to the position (ax + cy, bx + dy) at which it is shown.
_TURNS: dict[tuple[int, ...], Image.Transpose] = {
    (0, 1, -1, 0): Image.Transpose.ROTATE_270,
    (-1, 0, 0, -1): Image.Transpose.ROTATE_180,
    (0, -1, 1, 0): Image.Transpose.ROTATE_90,
    (-1, 0, 0, 1): Image.Transpose.FLIP_LEFT_RIGHT,
    (1, 0, 0, -1): Image.Transpose.FLIP_TOP_BOTTOM,
    (0, 1, 1, 0): Image.Transpose.TRANSPOSE,
    (0, -1, -1, 0): Image.Transpose.TRANSVERSE,
}
_UPRIGHT = (  # of them, those that leave a wide picture wide
    None,
    Image.Transpose.ROTATE_180,
    Image.Transpose.FLIP_LEFT_RIGHT,
    Image.Transpose.FLIP_TOP_BOTTOM,
)
# Bytes of a pixel of a frame: those of a dozen that others refer to, and of two as RGB.
_DECODED_PIXEL = 26
_UNSPECIFIED, _HD_LINES = 2, 720  # of ITU-T H.273, and what browsers go by then
_BT601 = ("vp9", "av1")  # codecs whose frames they then show so, whatever their size
_UNSTATED = ("vp8",)  # those whose files cannot state it, which the decoder makes up for


def decode_video(data: bytes, limits: MediaConfig, budget: DecodeBudget = UNLIMITED) -> Clip:
    """Decodes a video as the judge sees it; the same bytes always give the same clip.

    An animated GIF is a video, and a GIF of one picture a video of one frame; pictures of other
    formats are refused.

    Args:
        data: an encoded video (see ``video_packets.CONTAINERS``).
        limits: how it is sampled, and the bounds of what may be decoded and of the result.
        budget: memory for decoding; shared by all threads of a process.

    Returns:
        RGB frames of one size, both sides multiples of ``limits.factor``.

    Raises:
        RowRejected: no video, damaged, or too large.
    """
    if not data:
        raise corrupt("the video has zero bytes")
    reader = FrameReader(data, limits)
    with budget.reserve(reader.timeline.area * _DECODED_PIXEL):
        return _decode(reader, limits)


def clip_tokens(clip: Clip, factor: int) -> int:
    """How many tokens the placeholder of a clip expands to."""
    patches = math.ceil(len(clip.frames) / pixels.FRAMES_A_PATCH)
    return image_tokens(clip.frames[0], factor) * patches


def clip_thumbnail(
    data: bytes, limits: MediaConfig, side: int, budget: DecodeBudget = UNLIMITED
) -> Image.Image:
    """The first frame of a video, at most ``side`` pixels wide and high; few others are decoded.

    Raises:
        RowRejected: as ``decode_video``.
    """
    few = limits.video.model_copy(update={"min_frames": 2, "max_frames": 2})
    image = decode_video(data, limits.model_copy(update={"video": few}), budget).frames[0]
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    return image


def _decode(reader: FrameReader, limits: MediaConfig) -> Clip:
    timeline = reader.timeline
    kinds = set[str]()

    def shown(numbers: list[int]) -> _Shown:
        return _Shown(len(numbers), timeline.aspect, timeline.codec, limits, kinds)

    rate = timeline.rate or limits.video.fps  # of unknown rate: every frame may be shown
    if timeline.times is not None:
        total = len(timeline.times)
        numbers = _sampled(total, rate, limits)
        if (frames := reader.read(_distinct(numbers), shown(numbers))) is not None:
            return _clip(frames, numbers, total, rate, kinds)
    # No times, or not every packet yields a frame at its time: frames are counted by decoding.
    total = reader.count()
    numbers = _sampled(total, rate, limits)
    frames = reader.read_counted(_distinct(numbers), shown(numbers))
    return _clip(frames, numbers, total, rate, kinds)


def _sampled(total: int, rate: float, limits: MediaConfig) -> list[int]:
    """The numbers of the frames shown; a video's only frame is shown twice."""
    most = limits.video.max_seconds
    if total / rate > most:
        raise too_large(
            f"the video lasts {total / rate:,.1f} s",
            f"{most:,g} s (judge.media.video.max_seconds)",
        )
    video = limits.video
    return sample_frames(
        total,
        rate,
        fps=video.fps,
        min_frames=video.min_frames,
        max_frames=video.max_frames,
    )


def _distinct(numbers: list[int]) -> list[int]:
    return sorted(set(numbers))


def _clip(
    frames: list[Image.Image], numbers: list[int], total: int, rate: float, kinds: Iterable[str]
) -> Clip:
    if len(frames) < len(numbers):  # a video of one frame
        frames = [frames[0] for _ in numbers]
    return Clip(tuple(frames), len(numbers) / total * rate, frozenset(kinds))


@dataclass
class _Shown:
    """Turns a decoded frame into the picture that is shown.

    Attributes:
        count: how many frames of the video are shown.
        aspect: width to height of a stored pixel; those shown are square.
        codec: of the video, as ffmpeg names it.
        kinds: takes what the frames have that those of few clips have.
        size: width and height of all of them, set by the first.
    """

    count: int
    aspect: float
    codec: str
    limits: MediaConfig
    kinds: set[str]
    size: tuple[int, int] | None = None

    def __call__(self, frame: VideoFrame) -> Image.Image:
        turn = _TURNS.get(_display_signs(frame))
        profile = video_profile(frame.color_primaries, frame.color_trc)
        image = to_srgb(_rgb(frame, self.codec, self.kinds), profile)
        self.kinds |= {"video.turned"} if turn is not None else set()
        self.kinds |= {"video.aspect"} if self.aspect != 1 else set()
        self.kinds |= {"video.colour"} if profile else set()
        upright = image if turn is None else image.transpose(turn)
        if self.size is None:
            width, height = self._square(*image.size)
            self.size = self._fit(width, height) if turn in _UPRIGHT else self._fit(height, width)
        if upright.size == self.size:
            return upright
        return upright.resize(self.size, Image.Resampling.BICUBIC)

    def _square(self, width: int, height: int) -> tuple[int, int]:
        """Width and height of a frame in square pixels: as browsers do it, neither is reduced."""
        if self.aspect >= 1:
            return round(width * self.aspect), height
        return width, round(height / self.aspect)

    def _fit(self, width: int, height: int) -> tuple[int, int]:
        video = self.limits.video
        try:
            return pixels.fit(
                width,
                height,
                factor=self.limits.factor,
                min_pixels=video.min_pixels,
                max_pixels=min(video.max_pixels, video.total_pixels // self.count),
            )
        except ValueError as error:
            detail = f"frames of {error}"
            raise RowRejected(Reason.MEDIA_UNSUPPORTED, detail) from error


def _rgb(frame: VideoFrame, codec: str, kinds: set[str]) -> Image.Image:
    """A frame as it is stored, on white, in the colours that its code points mean."""
    format_, matrix = frame.format, None
    unknown = frame.colorspace == _UNSPECIFIED or codec in _UNSTATED
    if unknown and not format_.is_rgb and codec not in _BT601 and frame.height >= _HD_LINES:
        matrix = "ITU709"
        kinds.add("video.colour")
    if format_.has_palette or any(part.is_alpha for part in format_.components):
        kinds.add("video.alpha")
        return rgb_on_white(
            _image(frame.reformat(format="rgba", src_colorspace=matrix, threads=1), "RGBA")
        )
    return _image(frame.reformat(format="rgb24", src_colorspace=matrix, threads=1), "RGB")


def _image(frame: VideoFrame, mode: str) -> Image.Image:
    plane = frame.planes[0]
    size = (frame.width, frame.height)
    return Image.frombytes(mode, size, bytes(plane), "raw", mode, plane.line_size)


def _display_signs(frame: VideoFrame) -> tuple[int, ...]:
    """Signs of a, b, c and d of the frame's display matrix, or none."""
    matrix: Any = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return ()
    a, b, _, c, d, *_ = struct.unpack("=9i", bytes(matrix))
    return tuple((value > 0) - (value < 0) for value in (a, b, c, d))
