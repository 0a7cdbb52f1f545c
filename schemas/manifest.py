"""manifest v1: the JSON object that describes a snapshot, and that is written last.

It lists exactly the snapshot's files with their checksums, and counts that reconcile: of every
input shard, and over all of them, rows = labeled + tie + abstained + quarantined + missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from schemas.labels import Status
from schemas.records import Record

MISSING = "missing"
OUTCOMES = (*map(str, Status), MISSING)  # of an input row
_LABELS = (Status.LABELED, Status.TIE, Status.ABSTAINED)


@dataclass(frozen=True)
class SnapshotFile:
    """One file.

    Attributes:
        table: ``labels``, ``quarantine`` or ``votes``.
        path: relative to the snapshot's folder.
        sha256: of the file, in hex.
    """

    table: str
    path: str
    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class InputShard:
    """One shard of the input, with the outcomes of its rows.

    Attributes:
        path: relative to the input root.
        bytes: its size.
        content: its etag, or the hash of its content where the store has no etags.
        shard_key: the identity that its parts are found by.
        rows: how many it has.
        counts: rows by outcome, a key for each of ``OUTCOMES``.
        defect: why none of its rows could be read, so that ``rows`` is 0; or None.
    """

    path: str
    bytes: int
    content: str
    shard_key: str
    rows: int
    counts: Mapping[str, int]
    defect: str | None = None

    def problems(self) -> list[str]:
        """Whether its counts are not those of its rows."""
        of_outcomes = self.counts.keys() == set(OUTCOMES) and min(self.counts.values()) >= 0
        if of_outcomes and sum(self.counts.values()) == self.rows:
            return []
        return [f"shard {self.path}: got {self.counts}, expected {OUTCOMES} of {self.rows} rows"]


@dataclass(frozen=True)
class Manifest(Record):
    """A whole snapshot.

    Attributes:
        created_at: UTC in ISO 8601.
        created_by: the run that made it.
        parent: the snapshot that was live when this one was made, or None.
        judge: the judge card.
        policy_ids: of the policies and calibrations that decided its labels.
        run_ids: of the runs that judged its rows.
        schemas: the contract of each table.
        input: the input's URI.
        rows: input rows in all, and ``counts`` of them by outcome.
        gate: the gate's decision, with a key ``passed``; None before any gate has decided.
    """

    version: Literal["manifest/v1"] = field(default="manifest/v1", kw_only=True)
    snapshot_id: str
    created_at: str
    created_by: str
    parent: str | None
    judge: Mapping[str, Any]
    policy_ids: tuple[str, ...]
    run_ids: tuple[str, ...]
    schemas: Mapping[str, str]
    input: str
    rows: int
    counts: Mapping[str, int]
    shards: tuple[InputShard, ...]
    files: tuple[SnapshotFile, ...]
    gate: Mapping[str, Any] | None = None

    def files_of(self, table: str) -> list[SnapshotFile]:
        """The files of a table, in order."""
        return [file for file in self.files if file.table == table]

    @property
    def blocked(self) -> bool:
        """Whether the gate refused it."""
        return self.gate is not None and not self.gate["passed"]

    @property
    def total_bytes(self) -> int:
        """Of all files."""
        return sum(file.bytes for file in self.files)

    def problems(self) -> list[str]:
        """Which counts do not reconcile, and whether the gate's decision lacks ``passed``."""
        found = [problem for shard in self.shards for problem in shard.problems()]
        totals = {each: sum(s.counts.get(each, 0) for s in self.shards) for each in OUTCOMES}
        rows = sum(shard.rows for shard in self.shards)
        if (rows, totals) != (self.rows, self.counts):
            found.append(
                f"the shards add up to {rows} rows, {totals}, expected {self.rows}, {self.counts}"
            )
        expected = {
            "labels": sum(totals[status] for status in _LABELS),
            "quarantine": totals[Status.QUARANTINED],
        }
        for table, count in expected.items():
            held = sum(file.rows for file in self.files_of(table))
            if held != count:
                found.append(f"the files of {table} hold {held} rows, expected {count}")
        if self.gate is not None and not isinstance(self.gate.get("passed"), bool):
            found.append(f"gate.passed: got {self.gate.get('passed')!r}, expected a boolean")
        return found
