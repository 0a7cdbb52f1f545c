"""manifest v1: what a snapshot is, in one JSON object that is written last of all.

It lists exactly the snapshot's files with their checksums, and counts that reconcile: of every
input shard, and over all of them, rows = labeled + tie + abstained + quarantined + missing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from schemas.contract import ContractError
from schemas.json_records import Check, is_a, list_of, object_of, or_null, record
from schemas.labels import Status

MANIFEST_VERSION = "manifest/v1"
MISSING = "missing"
OUTCOMES = (*map(str, Status), MISSING)  # what becomes of an input row
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
    """One shard of the input, and what became of its rows.

    Attributes:
        path: relative to the input root.
        bytes: its size.
        content: its etag, or the hash of its content where the store has no etags.
        shard_key: the identity that its parts are found by.
        rows: how many it has.
        counts: rows by outcome, a key for each of ``OUTCOMES``.
        defect: why it could not be read at all, which leaves it without rows; or None.
    """

    path: str
    bytes: int
    content: str
    shard_key: str
    rows: int
    counts: Mapping[str, int]
    defect: str | None = None


@dataclass(frozen=True)
class Manifest:
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
        gate: what the gate said, with a key ``passed``; None if there was no gate.
    """

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

    def to_json(self) -> bytes:
        """The manifest as it is stored.

        Raises:
            ContractError: its counts do not reconcile.
        """
        self._check("manifest")
        return json.dumps({"version": MANIFEST_VERSION, **asdict(self)}, indent=1).encode()

    @classmethod
    def parse(cls, data: bytes, where: str) -> Self:
        """Reads a stored manifest.

        Args:
            data: the object.
            where: its URI, for messages.

        Raises:
            ContractError: it is no manifest, is of another version, or does not reconcile.
        """
        try:
            stored = json.loads(data)
        except ValueError as error:
            raise ContractError(f"{where}: not JSON ({error})") from error
        version = stored.pop("version", None) if isinstance(stored, dict) else None
        if version != MANIFEST_VERSION:
            raise ContractError(
                f"{where}: its version is {version!r}, expected {MANIFEST_VERSION!r}; use the "
                "version of this software that wrote it"
            )
        manifest = record(cls, stored, where, _CHECKS, _NESTED)
        manifest._check(where)
        return manifest

    def _check(self, where: str) -> None:
        if problems := _problems(self):
            shown = "\n  ".join(problems[:20])
            raise ContractError(f"{where}: its counts do not reconcile:\n  {shown}")


def _problems(manifest: Manifest) -> list[str]:
    problems = []
    totals = dict.fromkeys(OUTCOMES, 0)
    for shard in manifest.shards:
        if shard.counts.keys() != totals.keys():
            problems.append(f"shard {shard.path}: counts {sorted(shard.counts)}, not {OUTCOMES}")
            continue
        if sum(shard.counts.values()) != shard.rows or min(shard.counts.values()) < 0:
            problems.append(f"shard {shard.path}: {shard.rows} rows, but {dict(shard.counts)}")
        for outcome, count in shard.counts.items():
            totals[outcome] += count
    rows = sum(shard.rows for shard in manifest.shards)
    if (rows, totals) != (manifest.rows, dict(manifest.counts)):
        problems.append(
            f"the shards add up to {rows} rows, {totals}, expected {manifest.rows}, "
            f"{dict(manifest.counts)}"
        )
    expected = {
        "labels": sum(totals[status] for status in _LABELS),
        "quarantine": totals[Status.QUARANTINED],
    }
    for table, count in expected.items():
        held = sum(file.rows for file in manifest.files_of(table))
        if held != count:
            problems.append(f"the files of {table} hold {held} rows, expected {count}")
    return problems


def _gate(value: object) -> bool:
    return value is None or (isinstance(value, dict) and isinstance(value.get("passed"), bool))


_CHECKS: dict[str, Check] = {
    "str": is_a(str),
    "int": is_a(int),
    "str | None": or_null(is_a(str)),
    "tuple[str, ...]": list_of(is_a(str)),
    "Mapping[str, int]": object_of(is_a(int)),
    "Mapping[str, str]": object_of(is_a(str)),
    "Mapping[str, Any]": is_a(dict),
    "Mapping[str, Any] | None": _gate,
    "tuple[InputShard, ...]": is_a(list),
    "tuple[SnapshotFile, ...]": is_a(list),
}
_NESTED = {"tuple[InputShard, ...]": InputShard, "tuple[SnapshotFile, ...]": SnapshotFile}
