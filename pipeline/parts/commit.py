"""Commits the labels of a unit: one object, one PUT, and its existence is the commit.

Parts are immutable. A later run that asks about some of a part's rows again writes its next
revision, which has all rows and all votes of the one before it.

Workers check that their run still has the lease (``store.writer_lease.check_writer``). What has
passed that check and arrives when another run has taken it harms nobody: what is there is not
replaced; a revision below the highest one does not count; a version of a shard that is no longer
there is read by nobody; what it has of forgotten pairs is not shown (``Forgotten.redacted``). Where
the later run cuts other units, two parts hold the same rows: every run says so until one of them is
removed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa

from pipeline.parts.forgotten import forgotten_row
from pipeline.parts.part_files import asking_of, parse_part, part_bytes, read_part
from pipeline.parts.part_keys import Part, ShardParts, part_name, parts_prefix
from pipeline.parts.units import Unit, subtract
from pipeline.runtime.errors import ReconcileError
from pipeline.store.object_store import Store
from schemas.contract import table_of
from schemas.labels import LABELS, Reason

_FIRST = 1  # revision


def commit_part(
    store: Store, judge_id: str, unit: Unit, rows: Sequence[dict[str, Any]], asking: str = ""
) -> bool:
    """Writes the part of a unit unless it exists; True if this call wrote it.

    Args:
        store: the output store.
        judge_id: the judge that gave the labels.
        unit: the unit, of which ``rows`` must be every row, in order.
        rows: rows of labels v2; ``part_revision`` is filled in.
        asking: see :func:`pipeline.parts.part_files.part_bytes`.

    Raises:
        AssertionError: the rows are not exactly the unit's. Nothing is written.
        ContractError: a row does not fit labels v2. Nothing is written.
        ReconcileError: what is stored after that is not this part.
        StorageError: the store refuses.
    """
    return _create(store, judge_id, unit, _FIRST, rows, asking)


def revise_part(
    store: Store,
    judge_id: str,
    unit: Unit,
    revised: Part,
    rows: Sequence[dict[str, Any]],
    asking: str = "",
) -> bool:
    """Writes the next revision of a part unless it exists; True if this call wrote it.

    Raises as :func:`commit_part` does, and:

    Raises:
        AssertionError: ``revised`` has other rows, or a vote that is not in ``rows``.
    """
    before = read_part(store, revised.key, ["row", "votes"]).to_pylist()
    if revised.rows != (unit.start, unit.stop) or not _carries(before, rows):
        raise AssertionError(f"{unit}: got rows without the votes of {revised.key}")
    return _create(store, judge_id, unit, revised.revision + 1, rows, asking)


def redact_part(store: Store, part: Part, gone: Collection[int]) -> bool:
    """Writes the next revision of a part without anything of some rows but their places.

    Args:
        store: the output store.
        part: the revision that counts.
        gone: numbers of rows of the shard.

    Raises as :func:`commit_part` does; InputError where the part is damaged.
    """
    table = read_part(store, part.key)
    rows = [forgotten_row(row) if row["row"] in gone else row for row in table.to_pylist()]
    folder, _, _ = part.key.rpartition("/")
    name = part_name(part.start, part.stop, part.revision + 1)
    judge_id = rows[0]["judge_id"]
    how = (part.revision + 1, rows, asking_of(table))
    return _store(store, f"{folder}/{name}", judge_id, *how)


def _create(
    store: Store,
    judge_id: str,
    unit: Unit,
    revision: int,
    rows: Sequence[dict[str, Any]],
    asking: str,
) -> bool:
    if [row["row"] for row in rows] != list(range(unit.start, unit.stop)):
        raise AssertionError(f"{unit}: got {len(rows)} rows that are not exactly its own")
    return _store(store, unit.part_key(judge_id, revision), judge_id, revision, rows, asking)


def _store(
    store: Store,
    key: str,
    judge_id: str,
    revision: int,
    rows: Sequence[dict[str, Any]],
    asking: str,
) -> bool:
    stamped = [row | {"part_revision": revision} for row in rows]
    data = part_bytes([table_of(stamped, LABELS)], asking)
    created = store.create(key, data)
    # A unit counts as done only once its part is read back.
    stored = store.read(key)
    if stored != data:
        found = parse_part(stored, store.path(key), ["row", "judge_id"])
        own = pa.table({"row": [row["row"] for row in rows], "judge_id": [judge_id] * len(rows)})
        if created or found.to_pydict() != own.to_pydict():
            raise ReconcileError(
                f"{store.path(key)}: got {len(stored)} other bytes than the {len(data)} that were "
                "written; does the store lose or change objects? remove it, and run again"
            )
    return created


def shard_parts(store: Store, judge_id: str, shard_key: str) -> ShardParts:
    """The parts of a shard version."""
    return ShardParts.of(entry.key for entry in store.list(parts_prefix(judge_id, shard_key)))


def uncommitted(store: Store, judge_id: str, unit: Unit) -> list[Unit]:
    """What no part covers of a unit: all of it, unless another run has committed some."""
    done = shard_parts(store, judge_id, unit.shard_key).ranges
    left = subtract([(unit.start, unit.stop)], done)
    return [replace(unit, start=start, stop=stop) for start, stop in left]


COUNTED = ("row", "status", "reason", "votes", "run_id", "decided_by")


def committed_rows(
    store: Store, judge_id: str, unit: Unit, columns: Sequence[str] = COUNTED
) -> list[dict[str, Any]]:
    """The committed rows of a unit; by default what a unit result counts of them.

    Args:
        store: the output.
        judge_id: the judge.
        unit: the rows.
        columns: of labels v2, ``row`` among them.
    """
    rows: list[dict[str, Any]] = []
    for part in shard_parts(store, judge_id, unit.shard_key).parts:
        if part.start < unit.stop and part.stop > unit.start:
            rows += read_part(store, part.key, columns).to_pylist()
    return [row for row in rows if unit.start <= row["row"] < unit.stop]


def _carries(before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]]) -> bool:
    """Whether each row still begins with the votes it had, superseded ones included.

    A row whose pair was taken down since has none.
    """
    if [row["row"] for row in before] != [row["row"] for row in after]:
        return False
    for old, new in zip(before, after, strict=True):
        had, has = ([vote_identity(vote) for vote in row["votes"] or ()] for row in (old, new))
        if new["reason"] != Reason.FORGOTTEN and has[: len(had)] != had:
            return False
    return True


def vote_identity(vote: Mapping[str, Any]) -> tuple[Any, ...]:
    """What two stored votes share if they are the same vote."""
    return vote["order"], vote["seed"], vote["outcome"], vote["rationale"], vote["output_tokens"]
