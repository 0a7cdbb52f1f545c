"""What a report shows, and how much it may read and hold."""

from __future__ import annotations

from pydantic import Field

from pipeline.runtime.config_file import Frozen


class GalleryConfig(Frozen):
    """The sample of pairs in a report; the same snapshot or run always gives the same sample."""

    pairs: int = Field(default=56, ge=0, le=1_000)
    """Most pairs shown; 0 for a report that shows nobody's text or picture."""
    shards: int = Field(default=8, ge=1, le=256)
    """How many shards are read for it."""
    read_mb: float = Field(default=128, gt=0)
    """About the most bytes of them in memory at once."""
    picture_px: int = Field(default=192, ge=16, le=1_024)
    """Longest side of a thumbnail."""
    pictures_kb: float = Field(default=2_500, ge=0)
    """Bytes of all thumbnails together; further ones are shown as empty frames."""
    pictures_a_row: int = Field(default=6, ge=0)
    """Most of one prompt or one response."""
    text_chars: int = Field(default=1_500, ge=80)
    """A longer text is cut."""
    low_confidence: float = Field(default=0.8, ge=0, le=1)
    """A label below it counts as one of low confidence."""


class TokenPrices(Frozen):
    """US dollars per million tokens."""

    prompt: float = Field(ge=0)
    """Of prompts, apart from those out of the cache."""
    cached: float | None = Field(default=None, ge=0)
    """Of those out of the cache; by default as ``prompt``."""
    output: float = Field(ge=0)
    """Of replies, their reasoning included."""

    def usd(self, prompt: int, cached: int, output: int) -> float:
        """What so many tokens cost, of ``prompt`` those ``cached`` ones included."""
        cheap = self.prompt if self.cached is None else self.cached
        return ((prompt - cached) * self.prompt + cached * cheap + output * self.output) / 1e6


class ReportConfig(Frozen):
    """How a run is reported."""

    trend_runs: int = Field(default=30, ge=2, le=1_000)
    """How many runs a trend shows, this one included."""
    gpu_usd_per_hour: float | None = Field(default=None, ge=0)
    """What one GPU costs an hour; without it, and without prices of tokens, no cost is reported."""
    usd_per_million_tokens: TokenPrices | None = None
    """What a judge at a server costs: ``prompt``, ``cached`` (a prompt's tokens out of its cache)
    and ``output``.
    """
    gpus: float = Field(default=1, ge=0)
    """How many are paid for while a labeling run lasts."""
    judgments_per_s: float | None = Field(default=None, gt=0)
    """What one GPU was measured to do with this configuration; for the estimates of
    ``label --dry-run``, unless a run of this judge has measured it.
    """
    gallery: GalleryConfig = GalleryConfig()
    """The sample of pairs."""

    @property
    def priced(self) -> bool:
        """Whether GPU hours or tokens have a price."""
        return self.gpu_usd_per_hour is not None or self.usd_per_million_tokens is not None

    @property
    def usd_per_hour(self) -> float | None:
        """What an hour of all GPUs costs; None where that is not configured."""
        return None if self.gpu_usd_per_hour is None else self.gpu_usd_per_hour * self.gpus
