"""Videos: sampled as qwen-vl-utils samples them, upright, RGB on white, within the caps."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

from av.video.frame import VideoFrame
from PIL import Image

from pipeline.media import model_sizes as pixels
from pipeline.media.clip import Clip
from pipeline.media.frame_reader import FrameReader
from pipeline.media.images import rgb_on_white
from pipeline.media.media_config import MediaConfig
from pipeline.media.model_sizes import sample_frames
from pipeline.media.video_packets import corrupt, too_large

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


def decode_video(data: bytes, limits: MediaConfig) -> Clip:
    """Decodes a video as the judge sees it; the same bytes always give the same clip.

    An animated GIF is a video, and a GIF of one picture a video of one frame; pictures of other
    formats are refused.

    Args:
        data: an encoded video (see ``video_packets.CONTAINERS``).
        limits: how it is sampled, and the bounds of what may be decoded and of the result.

    Returns:
        RGB frames of one size, both sides multiples of ``limits.factor``.

    Raises:
        RowRejected: no video, damaged, or too large.
    """
    if not data:
        raise corrupt("the video has zero bytes")
    reader = FrameReader(data, limits)
    timeline = reader.timeline
    rate = timeline.rate or limits.video.fps  # of unknown rate: every frame may be shown
    if timeline.times is not None:
        total = len(timeline.times)
        numbers = _sampled(total, rate, limits)
        if (frames := reader.read(_distinct(numbers), _Shown(len(numbers), limits))) is not None:
            return _clip(frames, numbers, total, rate)
    # No times, or not every packet yields a frame at its time: frames are counted by decoding.
    total = reader.count()
    numbers = _sampled(total, rate, limits)
    frames = reader.read_counted(_distinct(numbers), _Shown(len(numbers), limits))
    return _clip(frames, numbers, total, rate)


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


def _clip(frames: list[Image.Image], numbers: list[int], total: int, rate: float) -> Clip:
    if len(frames) < len(numbers):  # a video of one frame
        frames = [frames[0] for _ in numbers]
    return Clip(tuple(frames), len(numbers) / total * rate)


@dataclass
class _Shown:
    """Turns a decoded frame into the picture that is shown.

    Attributes:
        count: how many frames of the video are shown.
        size: width and height of all of them, set by the first.
    """

    count: int
    limits: MediaConfig
    size: tuple[int, int] | None = None

    def __call__(self, frame: VideoFrame) -> Image.Image:
        upright = _upright(frame)
        self.size = self.size or self._fit(*upright.size)
        if upright.size == self.size:
            return upright
        return upright.resize(self.size, Image.Resampling.BICUBIC)

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
            raise corrupt(f"frames of {error}") from error


def _upright(frame: VideoFrame) -> Image.Image:
    format_ = frame.format
    if format_.has_palette or any(part.is_alpha for part in format_.components):
        rgba = frame.reformat(format="rgba", threads=1)
        image = rgb_on_white(_image(rgba, "RGBA"))
    else:
        image = _image(frame.reformat(format="rgb24", threads=1), "RGB")
    turn = _TURNS.get(_display_signs(frame))
    return image if turn is None else image.transpose(turn)


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
