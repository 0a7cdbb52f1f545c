"""Clips as video files."""

from __future__ import annotations

import io
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, Literal, TypeAlias

import av
from PIL import Image

ClipFormat: TypeAlias = Literal["mp4", "gif"]


def encode_clip(frames: Sequence[Image.Image], fps: int, format_: ClipFormat = "mp4") -> bytes:
    """Encode a clip.

    Args:
        frames: RGB pictures of one size; of an mp4 both sides are even.
        fps: How many of them are shown a second.
        format_: ``mp4`` (H.264) or ``gif``.

    Raises:
        ValueError: There are no frames, or a side is odd.
    """
    if not frames or (format_ == "mp4" and any(side % 2 for side in frames[0].size)):
        sizes = [frame.size for frame in frames[:1]]
        raise ValueError(f"cannot encode {len(frames)} frames of {sizes}: expected even sides")
    if format_ == "gif":
        buffer = io.BytesIO()
        frames[0].save(
            buffer, "GIF", save_all=True, append_images=frames[1:], duration=1000 // fps, loop=0
        )
        return buffer.getvalue()
    # One thread, and no "macroblock tree": x264's AVX-512 code for it reads memory that it has not
    # written, so that the same frames would make other bytes each time.
    options = {"crf": "18", "threads": "1", "x264-params": "mbtree=0"}
    buffer = io.BytesIO()
    make_frame: Any = av.VideoFrame.from_image  # untyped in av
    with av.open(buffer, "w", format="mp4") as file:
        stream = file.add_stream("libx264", rate=Fraction(fps), options=options)
        stream.width, stream.height = frames[0].size
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            file.mux(stream.encode(make_frame(frame)))
        file.mux(stream.encode())
    return buffer.getvalue()
