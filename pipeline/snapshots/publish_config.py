"""How snapshots are written, published and kept."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from pipeline.runtime.config_file import Frozen


class PublishConfig(Frozen):
    """How a snapshot is written."""

    file_mb: float = Field(default=256, gt=0, le=4_096)
    """A file is closed by the first row group that takes it to this size, so that all but the
    last file of a table are between it and one row group more.
    """
    row_group_mb: float = Field(default=64, gt=0, le=1_024)
    """A row group's size in memory before it is encoded; Arrow readers hold a few."""
    allow_missing: bool = False
    """Rows of the input without a label are counted in the manifest instead of being an error."""
    lease_s: float | None = Field(default=None, gt=0)
    """As ``lease_s`` above all sections, for ``pairmill publish`` alone."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.row_group_mb > self.file_mb:
            raise ValueError(f"row_group_mb {self.row_group_mb:g} > file_mb {self.file_mb:g}")
        return self
