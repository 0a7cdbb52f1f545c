"""What a report shows, and how much it may read and hold."""

from __future__ import annotations

from pydantic import Field

from pipeline.runtime.config_file import Frozen


class GalleryConfig(Frozen):
    """The sample of pairs in a report; the same snapshot or run always gives the same sample.

    Attributes:
        pairs: most pairs shown; 0 for a report that shows nobody's text or picture.
        shards: how many shards are read for it.
        read_mb: about the most bytes of them in memory at once.
        picture_px: longest side of a thumbnail.
        pictures_kb: bytes of all thumbnails together; further ones are shown as empty frames.
        pictures_a_row: most of one prompt or one response.
        text_chars: a longer text is cut.
        low_confidence: a label below it counts as one of low confidence.
    """

    pairs: int = Field(default=56, ge=0, le=1_000)
    shards: int = Field(default=8, ge=1, le=256)
    read_mb: float = Field(default=128, gt=0)
    picture_px: int = Field(default=192, ge=16, le=1_024)
    pictures_kb: float = Field(default=2_500, ge=0)
    pictures_a_row: int = Field(default=6, ge=0)
    text_chars: int = Field(default=1_500, ge=80)
    low_confidence: float = Field(default=0.8, ge=0, le=1)


class ReportConfig(Frozen):
    """How a run is reported.

    Attributes:
        trend_runs: how many runs a trend shows, this one included.
        gpu_usd_per_hour: what one GPU costs an hour; without it no cost is reported.
        gpus: how many are paid for while a labeling run lasts.
        gallery: the sample of pairs.
    """

    trend_runs: int = Field(default=30, ge=2, le=1_000)
    gpu_usd_per_hour: float | None = Field(default=None, ge=0)
    gpus: float = Field(default=1, ge=0)
    gallery: GalleryConfig = GalleryConfig()
