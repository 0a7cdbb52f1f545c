"""Videos: sampled, decoded once, and capped in frames and pixels."""

from __future__ import annotations

from pipeline.core.config import MediaConfig
from pipeline.workers.engine import Clip


def decode_video(data: bytes, limits: MediaConfig) -> Clip:
    """Decodes a video as the judge sees it."""
    raise NotImplementedError
