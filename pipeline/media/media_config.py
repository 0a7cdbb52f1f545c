"""The settings under ``judge.media``: sizes and limits that can change a verdict."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from pipeline.runtime.config_file import Frozen


class VideoConfig(Frozen):
    """How videos reach the judge: sampled as qwen-vl-utils does it, then resized like pictures."""

    fps: float = Field(default=1.0, gt=0, le=30)
    """Frames sampled a second of video."""
    min_frames: int = Field(default=4, ge=2, multiple_of=2)
    """Least frames, a multiple of two (a temporal patch); a video of fewer gives what it has, an
    even number.
    """
    max_frames: int = Field(default=16, ge=2, multiple_of=2)
    """Most frames, a multiple of two."""
    min_pixels: int = Field(default=56 * 56, ge=1)
    """Least area of one frame after the aspect-preserving resize."""
    max_pixels: int = Field(default=256 * 28 * 28, ge=1)
    """Most area of one frame after the aspect-preserving resize."""
    total_pixels: int = Field(default=4_096 * 28 * 28, ge=1)
    """Bound of the area of all sampled frames of one video together."""
    max_videos: int = Field(default=0, ge=0)
    """Most videos of one row, candidates' included; 0 for a model without video."""
    max_seconds: float = Field(default=3_600, gt=0)
    """A longer video is refused (``media_too_large``). Positions in time grow with it, and must
    stay within what the model has room for.
    """
    max_source_frames: int = Field(default=216_000, ge=1)
    """A video of more frames is refused."""
    max_decoded_pixels: int = Field(default=20_000_000_000, ge=1)
    """Most area of all frames that have to be decoded to reach the sampled ones (those since the
    key frame before each); a video that needs more is refused. The default is some 40 s of
    one core: 10 minutes of 720p without key frames.
    """

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min_pixels > self.max_pixels:
            raise ValueError(f"min_pixels {self.min_pixels} > max_pixels {self.max_pixels}")
        if self.min_frames > self.max_frames:
            raise ValueError(f"min_frames {self.min_frames} > max_frames {self.max_frames}")
        if self.min_pixels * self.max_frames > self.total_pixels:
            raise ValueError(
                f"total_pixels {self.total_pixels} is less than max_frames {self.max_frames} of "
                f"min_pixels {self.min_pixels}"
            )
        return self


class MediaConfig(Frozen):
    """How pictures and videos reach the judge."""

    min_pixels: int = Field(default=56 * 56, ge=1)
    """Least area of a picture after the aspect-preserving resize."""
    max_pixels: int = Field(default=1_280 * 28 * 28, ge=1)
    """Most area of a picture after the aspect-preserving resize."""
    square: int | None = Field(default=None, ge=1)
    """Side of a square that every picture is squeezed to, its aspect lost; by default it is kept.
    Some published results were obtained so (``evaluate --as-published``).
    """
    factor: int = Field(default=28, ge=1)
    """Both sides become multiples of it (patch size times merge size of the model)."""
    max_images: int = Field(default=8, ge=1)
    """Most pictures of one row, candidates' included."""
    max_bytes: int = Field(default=64 * 2**20, ge=1)
    """A larger file is not decoded (``media_too_large``)."""
    max_decoded_pixels: int = Field(default=120_000_000, ge=1)
    """A picture (or a video's frame) that declares more is refused as a bomb."""
    video: VideoConfig = VideoConfig()

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min_pixels > self.max_pixels:
            raise ValueError(f"min_pixels {self.min_pixels} > max_pixels {self.max_pixels}")
        side = self.square or self.factor
        if side % self.factor:
            raise ValueError(f"square {side} is no multiple of factor {self.factor}")
        if self.square and not self.min_pixels <= side**2 <= self.max_pixels:
            raise ValueError(
                f"square {side} has an area of {side**2}, which is not within min_pixels "
                f"{self.min_pixels} and max_pixels {self.max_pixels}"
            )
        return self
