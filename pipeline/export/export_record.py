"""``export.json``: what an export is. Written last: without it the export does not exist."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from pipeline.export.label_noise import EARLIER
from pipeline.export.trainer_format import Layout, Shape
from pipeline.runtime.errors import InputError

VERSION = "export/v1"
NAME = "export.json"


@dataclass(frozen=True)
class ExportRecord:
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
        epsilon: the share of the kept labels that disagree with people, with its 95 % interval from
            ``epsilon_low`` to ``epsilon_high``; None where it is not measured.
        epsilon_basis: for people: what it was measured on, or why it was not.
        label_smoothing: what to train with; None unless ``epsilon`` is certain enough for it.
        longer, shorter: kept rows whose better response is the longer or the shorter one.
        sources: kept rows by their ``source``.
        files: path, tier, split, rows, bytes and SHA-256 of each.
        beside: paths of the other files, except for media.
        error_bound: how many of the snapshot's preferences are wrong at most, before any selection;
            empty where nothing is promised.
        decided_by: kept rows by what decided their labels: a judge's id, or as labels have it.
        snapshot_created_at: UTC in ISO 8601; empty in records of earlier versions.
    """

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
    files: Sequence[Mapping[str, Any]]
    beside: Sequence[str]
    snapshot_created_at: str = ""
    epsilon_low: float | None = None
    epsilon_high: float | None = None
    epsilon_basis: str = EARLIER
    label_smoothing: float | None = None
    error_bound: str = ""
    decided_by: Mapping[str, int] = field(default_factory=dict)

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
        return Layout(Shape(**self.shape), found, self.label_smoothing)

    def to_json(self) -> bytes:
        """The record as it is stored."""
        return json.dumps({"version": VERSION, **asdict(self)}, indent=1, sort_keys=True).encode()

    @classmethod
    def parse(cls, data: bytes, where: str) -> Self:
        """Reads a stored record.

        Raises:
            InputError: it is not a record, or of another version.
        """
        try:
            stored = json.loads(data)
            version = stored.pop("version")
            if version == VERSION:
                if "epsilon_basis" not in stored:  # it was what the judge thinks of itself
                    stored["epsilon"] = None
                return cls(**stored)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise InputError(
                f"{where}: not the record of an export ({error}); remove its folder and export "
                "again"
            ) from error
        raise InputError(
            f"{where}: its version is {version!r}, expected {VERSION!r}; use the version of this "
            "software that wrote it, or remove its folder and export again"
        )
