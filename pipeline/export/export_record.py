"""``export.json``: what an export is. Written last: without it the export does not exist."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from pipeline.export.trainer_format import Layout, Shape
from schemas.records import Record

NAME = "export.json"


@dataclass(frozen=True)
class ExportRecord(Record):
    """What an export is.

    Attributes:
        export_id: of everything that decides its rows.
        folder: under the output root.
        input: where the pairs were read.
        config: of the export.
        shape: what its rows have in common (``trainer_format.Shape``).
        rows: of the snapshot; ``kept`` and ``dropped`` rows add up to it.
        kept: rows by ``<tier>/<split>``; the tier is empty where there are none.
        dropped: rows by reason; of some reasons ``details`` has an example.
        epsilon: mean of 1 - confidence over the kept rows; None where labels have none.
        longer, shorter: kept rows whose better response is the longer or the shorter one.
        sources: kept rows by their ``source``.
        files: path, tier, split, rows, bytes and SHA-256 of each.
        beside: paths of the other files, except for media.
    """

    remedy: ClassVar[str] = "remove its folder and export again"
    version: Literal["export/v1"] = field(default="export/v1", kw_only=True)
    export_id: str
    snapshot_id: str
    judge_id: str
    folder: str
    input: str
    config: Mapping[str, Any]
    shape: Mapping[str, Any]
    rows: int
    kept: Mapping[str, int]
    dropped: Mapping[str, int]
    details: Mapping[str, str]
    epsilon: float | None
    longer: int
    shorter: int
    sources: Mapping[str, int]
    files: tuple[Mapping[str, Any], ...]
    beside: tuple[str, ...]

    @property
    def format(self) -> str:
        """The format."""
        return str(self.config["format"])

    @property
    def total(self) -> int:
        """All kept rows."""
        return sum(self.kept.values())

    def layout(self) -> Layout:
        """Its files by tier and split."""
        found: dict[tuple[str, str], list[str]] = {}
        for file in self.files:
            found.setdefault((file["tier"], file["split"]), []).append(file["path"])
        return Layout(Shape(**self.shape), found)
