"""What every writer of an export needs to know; the same for all of its parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.assembly.export.config import ExportConfig, MediaMode
from pipeline.assembly.export.formats import FORMATS
from pipeline.assembly.export.trainer_format import Shape, TrainerFormat
from pipeline.core.columns import ColumnMapping


@dataclass(frozen=True)
class Balance:
    """Which rows the balance of lengths drops.

    Attributes:
        sign: of the majority (see ``rules.length_sign``).
        share: of them that stays.
    """

    sign: int
    share: float


@dataclass(frozen=True)
class PartSpec:
    """An export, as its writers see it.

    Attributes:
        folder: the export's, under the output root.
        input_uri: the root of the shards, and ``media_roots`` where paths of media may point.
        max_media_bytes: of one medium.
        modes: how pictures and videos are written, those that are.
    """

    export_id: str
    output_uri: str
    folder: str
    input_uri: str
    media_roots: tuple[str, ...]
    max_media_bytes: int
    modes: Mapping[str, MediaMode]
    columns: ColumnMapping
    config: ExportConfig
    shape: Shape
    balance: Balance | None = None

    @property
    def format(self) -> TrainerFormat:
        """The trainer's format."""
        return FORMATS[self.config.format]
