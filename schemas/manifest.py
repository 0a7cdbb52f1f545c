"""manifest v2: the JSON object that describes a snapshot, and that is written last.

It lists exactly the snapshot's files with their checksums, and counts that reconcile: of every
input shard, and over all of them, rows = labeled + tie + abstained + quarantined + missing.

Files lie side by side for all snapshots, named by their content, and each holds whole shards of one
group: a snapshot names the files of an earlier one for those groups in which nothing changed. What
the gate decides comes after the manifest, which never changes, and so has objects of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal, Self

from pydantic import Field
from pydantic_core import from_json

from schemas.error_bounds import ErrorBound
from schemas.labels import Status
from schemas.records import Record
from schemas.snapshots import BROWSE

MISSING = "missing"
OUTCOMES = (*map(str, Status), MISSING)  # of an input row
_LABELS = (Status.LABELED, Status.TIE, Status.ABSTAINED)


@dataclass(frozen=True)
class SnapshotFile:
    """One file, which holds the rows of its group in the order of shards and rows.

    Attributes:
        table: ``labels``, ``quarantine`` or ``votes``; or ``browse``, the index over both.
        path: relative to the output root.
        sha256: of the file, in hex.
        group: the number of its group of shards; of the index, of the first of several groups.
    """

    table: str
    path: str
    rows: int
    bytes: int
    sha256: str
    group: int = 0


@dataclass(frozen=True)
class ShardGroup:
    """The shards whose rows share files.

    Attributes:
        number: of the group.
        source: digest of everything that its files were made of; the same gives the same rows.
        run_ids: of the runs that judged its rows.
    """

    number: int
    source: str
    run_ids: tuple[str, ...]


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
        group: the number of its group.
    """

    path: str
    bytes: int
    content: str
    shard_key: str
    rows: int
    counts: Mapping[str, int]
    defect: str | None = None
    group: int = 0

    def problems(self) -> list[str]:
        """Whether its counts are not those of its rows."""
        of_outcomes = self.counts.keys() == set(OUTCOMES) and min(self.counts.values()) >= 0
        if of_outcomes and sum(self.counts.values()) == self.rows:
            return []
        return [f"shard {self.path}: got {self.counts}, expected {OUTCOMES} of {self.rows} rows"]


@dataclass(frozen=True)
class SnapshotPolicy:
    """By what all labels of a snapshot were decided.

    Attributes:
        policy_id: of rule and calibration, as every label has it.
        rule: how votes are counted (``pipeline.aggregation.policy.Rule``); of several judges, how
            their labels make one, with a ``kind``.
        calibration_id: of the calibration under ``judge`` of the manifest, which makes ``p_a`` of
            the votes, or of what does of several judges'; None where some labels have no ``p_a``.
        bound: how often its preferences are wrong at most; None where nothing is promised.
    """

    policy_id: str
    rule: Mapping[str, Any]
    calibration_id: str | None
    bound: ErrorBound | None = None


@dataclass(frozen=True)
class Manifest(Record):
    """A whole snapshot.

    Attributes:
        created_at: UTC in ISO 8601.
        created_by: the run that made it.
        parent: the snapshot that was live when this one was made, or None.
        judge: the judge card, with the calibration that was used, if any. Of several judges, that
            of the one whose format is theirs, under the id that all labels have.
        policy: None of manifests v1, whose labels were decided when their pairs were judged.
        schemas: the contract of each table; without ``browse`` there is no index.
        input: the input's URI.
        rows: input rows in all, and ``counts`` of them by outcome.
        group_count: how many groups there may be, and ``groups`` those that have shards.
        judges: where several judges decided together, the cards of all of them, each with the
            calibration that was used; else empty, and not stored.
        gate: the gate's decision, with a key ``passed``; None before any gate has decided. It is
            no part of the stored manifest: readers add the newest :class:`GateDecision`.
    """

    version: Literal["manifest/v2"] = field(default="manifest/v2", kw_only=True)
    snapshot_id: str
    created_at: str
    created_by: str
    parent: str | None
    judge: Mapping[str, Any]
    policy: SnapshotPolicy | None
    schemas: Mapping[str, str]
    input: str
    rows: int
    counts: Mapping[str, int]
    shards: tuple[InputShard, ...]
    group_count: int
    groups: tuple[ShardGroup, ...]
    files: tuple[SnapshotFile, ...]
    judges: Annotated[
        tuple[Mapping[str, Any], ...], Field(exclude_if=lambda judges: not judges)
    ] = ()
    gate: Annotated[Mapping[str, Any] | None, Field(exclude=True)] = None

    @classmethod
    def parse(cls, data: bytes, where: str) -> Self:
        """Reads a stored manifest, of v1 too."""
        if _version_of(data) == ManifestV1.version:
            return cls(**ManifestV1.parse(data, where).upgraded())
        return super().parse(data, where)

    def to_json(self) -> bytes:
        """The manifest as it is stored, without the gate's decision."""
        return Record.to_json(replace(self, gate=None))

    def files_of(self, table: str) -> list[SnapshotFile]:
        """The files of a table, in order."""
        return [file for file in self.files if file.table == table]

    @property
    def run_ids(self) -> tuple[str, ...]:
        """Of the runs that judged its rows."""
        return tuple(sorted({run_id for group in self.groups for run_id in group.run_ids}))

    @property
    def blocked(self) -> bool:
        """Whether the gate refused it."""
        return self.gate is not None and not self.gate["passed"]

    @property
    def total_bytes(self) -> int:
        """Of all files."""
        return sum(file.bytes for file in self.files)

    def problems(self) -> list[str]:
        """Which counts do not reconcile, and which groups are not listed."""
        known = {group.number for group in self.groups}
        used = {file.group for file in self.files} | {shard.group for shard in self.shards}
        found = _counts_problems(self.rows, self.counts, self.shards, self.files)
        if BROWSE in self.schemas:
            held = sum(file.rows for file in self.files_of(BROWSE))
            if held != (expected := self.rows - self.counts[MISSING]):
                found.append(f"the files of {BROWSE} hold {held} rows, expected {expected}")
        if unknown := sorted(used - known):
            found.append(f"groups: {unknown[:9]} have files or shards and are not listed")
        return found


@dataclass(frozen=True)
class GateDecision(Record):
    """What the gate decided about a snapshot; of several decisions the last one counts.

    Attributes:
        decided_at: UTC in ISO 8601.
        decided_by: the run.
        decision: the checks, and ``passed``: whether it may go live.
    """

    version: Literal["gate/v1"] = field(default="gate/v1", kw_only=True)
    snapshot_id: str
    decided_at: str
    decided_by: str
    decision: Mapping[str, Any]

    def problems(self) -> list[str]:
        """Whether the decision lacks ``passed``."""
        return _gate_problems(self.decision)


@dataclass(frozen=True)
class ManifestV1(Record):
    """A manifest of earlier versions: paths relative to its folder, the gate's decision in it."""

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

    def problems(self) -> list[str]:
        """As of manifest v2."""
        counts = _counts_problems(self.rows, self.counts, self.shards, self.files)
        return counts + ([] if self.gate is None else _gate_problems(self.gate))

    def upgraded(self) -> dict[str, Any]:
        """The fields of the same in manifest v2: all shards are one group, whose source no other
        group has.
        """
        made = ("snapshot_id", "created_at", "created_by", "parent", "judge", "schemas", "input")
        kept = (*made, "rows", "counts", "shards", "gate")
        folder = f"snapshots/{self.snapshot_id}"
        files = tuple(replace(file, path=f"{folder}/{file.path}") for file in self.files)
        groups = (ShardGroup(0, "", self.run_ids),)
        fields_ = {name: getattr(self, name) for name in kept}
        return fields_ | {"policy": None, "group_count": 1, "groups": groups, "files": files}


def _version_of(data: bytes) -> object:
    try:
        stored = from_json(data)
    except ValueError:
        return None
    return stored.get("version") if isinstance(stored, dict) else None


def _counts_problems(
    rows: int,
    counts: Mapping[str, int],
    shards: Sequence[InputShard],
    files: Sequence[SnapshotFile],
) -> list[str]:
    found = [problem for shard in shards for problem in shard.problems()]
    totals = {each: sum(s.counts.get(each, 0) for s in shards) for each in OUTCOMES}
    of_shards = sum(shard.rows for shard in shards)
    if (of_shards, totals) != (rows, counts):
        found.append(f"the shards add up to {of_shards} rows, {totals}, expected {rows}, {counts}")
    expected = {
        "labels": sum(totals[status] for status in _LABELS),
        "quarantine": totals[Status.QUARANTINED],
    }
    for table, count in expected.items():
        held = sum(file.rows for file in files if file.table == table)
        if held != count:
            found.append(f"the files of {table} hold {held} rows, expected {count}")
    return found


def _gate_problems(gate: Mapping[str, Any]) -> list[str]:
    passed = gate.get("passed")
    return [] if isinstance(passed, bool) else [f"gate.passed: got {passed!r}, expected a boolean"]
