"""What an export selects, how it is split, and how its media are written."""

from __future__ import annotations

import itertools
import re
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from pipeline.runtime.config_file import Frozen

FormatName = Literal[
    "trl-dpo",
    "trl-reward",
    "llama-factory",
    "ms-swift",
    "openrlhf",
    "nemo-rl",
    "verl-rl",
    "jsonl",
    "pointwise",
    "rankings",
]
MediaMode = Literal["inline", "files", "references"]

_TIER = re.compile(r"[a-z][a-z0-9]*")  # a name that every trainer takes for a subset


class SelectionConfig(Frozen):
    """Which labels are exported. A row that fails several rules is counted under the first."""

    min_confidence: float = Field(default=0.0, ge=0, le=1)
    """Least confidence of a label, or of a tie where ties are exported."""
    max_error: float | None = Field(default=None, gt=0, lt=0.5)
    """Only of a snapshot whose bound (``policy.max_error``) promises as little or less; pairs that
    came later than its gold are dropped. The bound is of all that is left; a selection by other
    settings is a part of it, of which nothing is promised.
    """
    hold_out_gold: bool = True
    """Whether pairs of gold sets, and pairs that share their prompts, stay out: a model that was
    trained on them cannot be measured by them.
    """
    hold_out_benchmarks: bool = True
    """Whether pairs stay out whose prompts are in a benchmark that was evaluated in this output
    (``pairmill evaluate --benchmark``).
    """
    position_consistent_only: bool = False
    """Only labels on which both orders of the responses agree."""
    ties: Literal["drop", "keep"] | None = None
    """``drop``, or ``keep`` where the format can hold them; by default ``keep`` for
    ``pointwise`` and ``rankings``, which say as much, and ``drop`` for all others.
    """
    tiers: dict[str, float] = Field(default_factory=dict)
    """Subsets by least confidence, such as ``{high: 0.85, low: 0.75}``: a row is in the highest
    that it reaches, and dropped below the lowest.
    """
    max_per_prompt: int | None = Field(default=None, ge=1)
    """Most rows of one prompt, chosen by hash."""
    max_similarity: float | None = Field(default=None, gt=0, le=1)
    """Pairs whose responses are at least so similar are dropped: 1 drops those that differ only
    in case and white space, 0.9 those that share nine of ten character trigrams.
    """
    balance_length: bool = False
    """Drops rows, chosen by hash, until the longer response is the better one in half of those
    whose lengths differ.
    """
    prompt_identity: Literal["text", "text_and_media"] = "text"
    """What makes two prompts the same: equal ``text``, or also equal media."""

    @field_validator("tiers")
    @classmethod
    def _named(cls, tiers: dict[str, float]) -> dict[str, float]:
        for name, least in tiers.items():
            if not _TIER.fullmatch(name) or name in ("train", "validation", "default"):
                raise ValueError(f"tier {name!r}: expected a name of small letters and digits")
            if not 0 <= least <= 1:
                raise ValueError(f"tier {name!r}: expected a confidence from 0 to 1, got {least:g}")
        bounds = sorted(tiers.values())
        if any(low == high for low, high in itertools.pairwise(bounds)):
            raise ValueError("two tiers begin at the same confidence")
        return dict(sorted(tiers.items(), key=lambda tier: -tier[1]))

    def tier_of(self, confidence: float) -> str | None:
        """The tier of a row, ``""`` where there are no tiers; None if it reaches none."""
        if not self.tiers:
            return ""
        return next((name for name, least in self.tiers.items() if confidence >= least), None)


class MediaExport(Frozen):
    """How pictures and videos are written."""

    mode: MediaMode | None = None
    """``inline`` (in the rows), ``files`` (beside them, named by content) or ``references`` (as
    in the pairs: nothing is read); by default what the format's trainer takes best.
    """
    strip: bool = False
    """Formats of text alone drop rows with pictures or videos, as their labels depend on them;
    this exports those rows without their media.
    """
    strict: bool = False
    """A medium that cannot be read ends the export, in place of dropping its row."""


class CardConfig(Frozen):
    """What the dataset card says that does not follow from the snapshot."""

    license: str = "unknown"
    """An identifier of the hub, such as ``cc-by-4.0``."""
    license_name: str | None = None
    """Of a license without identifier (with ``license: other``)."""
    license_link: str | None = None
    """Of a license without identifier (with ``license: other``)."""
    title: str | None = None
    """The card's; by default it names snapshot and format."""
    language: tuple[str, ...] = ()
    """Of the texts, such as ``[en]``."""
    note: str = ""
    """Text that the card begins with."""


class ExportConfig(Frozen):
    """One export."""

    format: FormatName = "trl-dpo"
    """Which trainer it is for."""
    selection: SelectionConfig = SelectionConfig()
    """Which labels."""
    soft_labels: bool = False
    """Adds ``p_chosen`` to every row, the calibrated probability that people prefer the chosen
    response (``jsonl`` and ``trl-*``); needs labels with a calibration. Of pairs with gold it
    is by a fit without the gold of their prompts; ``jsonl`` marks rows of which there is none
    (``p_of_own_gold``): of panels, and of calibrations of earlier versions.
    """
    validation: float = Field(default=0.05, ge=0, lt=1)
    """Share of the prompts whose rows are for validation, chosen by hash."""
    seed: int = 0
    """Of every random choice."""
    media: MediaExport = MediaExport()
    """How pictures and videos are written."""
    changed_shards: Literal["refuse", "drop"] = "refuse"
    """``refuse`` to export if shards changed since the snapshot was made, or ``drop`` their
    rows.
    """
    file_mb: float = Field(default=256, gt=0, le=4_096)
    """About the size of a file, by what its rows take in the input."""
    file_rows: int = Field(default=50_000, ge=1)
    """Most rows of one file, unless a row group of the input has more."""
    card: CardConfig = CardConfig()
    """What the dataset card says."""

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        tiers = self.selection.tiers
        if tiers and self.selection.min_confidence > max(tiers.values()):
            raise ValueError(
                f"min_confidence {self.selection.min_confidence:g} is above every tier: {tiers}"
            )
        return self
