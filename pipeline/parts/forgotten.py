"""Pairs that were taken down: known by salted hashes, so that no run judges or shows them again.

``forgotten/<n>.json`` are written by ``pairmill forget`` before anything else changes, and never
removed. They disclose nothing: an id, or a content, is recognised only by who has it.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import pyarrow as pa

from pipeline.runtime.digest import digest
from pipeline.store.object_store import Store
from pipeline.store.stored_records import parse_record
from schemas.labels import LABELS, Reason, Status
from schemas.records import Record

FOLDER = "forgotten"
_KEPT = ("judge_id", "shard", "unit", "row", "judged_at", "run_id", "revision", "epoch")
_DETAIL = "taken down (pairmill forget)"


@dataclass(frozen=True)
class ForgottenRecord(Record):
    """The pairs of one call of ``pairmill forget``.

    Attributes:
        made_at: UTC in ISO 8601.
        made_by: the run.
        salt: of the hashes.
        ids, contents: salted hashes of pair ids, and of pair hashes.
    """

    version: Literal["forgotten/v1"] = field(default="forgotten/v1", kw_only=True)
    made_at: str
    made_by: str
    salt: str
    ids: tuple[str, ...]
    contents: tuple[str, ...]


class Forgotten:
    """All pairs that were taken down from an output."""

    def __init__(self, records: Iterable[ForgottenRecord] = ()) -> None:
        """Without records nothing was."""
        self._records = [(each.salt, {*each.ids}, {*each.contents}) for each in records]

    @classmethod
    def read(cls, store: Store) -> Forgotten:
        """Those of an output.

        Raises:
            InputError: a record is damaged: what it names would come back.
            StorageError: the store fails.
        """
        keys = [entry.key for entry in store.list(FOLDER) if entry.key.endswith(".json")]
        return cls(parse_record(store.read(key), store.path(key), ForgottenRecord) for key in keys)

    def __bool__(self) -> bool:
        """Whether any was."""
        return bool(self._records)

    def knows(self, pair_id: str | None, pair_hash: str | None) -> bool:
        """Whether a pair with this id, or with this content, was taken down."""
        return any(
            (pair_id is not None and _id(salt, pair_id) in ids)
            or (pair_hash is not None and _content(salt, pair_hash) in contents)
            for salt, ids, contents in self._records
        )

    def redacted(self, table: pa.Table) -> pa.Table:
        """A part without what it has of these pairs, as a part of labels v2 has it.

        ``forget`` has taken them out of every part there was. A run that had lost its lease before
        may have committed one since.

        Args:
            table: labels v2.
        """
        if not self._records:
            return table
        names = zip(table["pair_id"].to_pylist(), table["pair_hash"].to_pylist(), strict=True)
        gone = [self.knows(*each) for each in names]
        if not any(gone):
            return table
        rows = zip(table.to_pylist(), gone, strict=True)
        made = [forgotten_row(row) if known else row for row, known in rows]
        return pa.Table.from_pylist(made, schema=table.schema)


def remember(store: Store, ids: Iterable[str], hashes: Iterable[str], run_id: str) -> Forgotten:
    """Stores a record of those pairs that no record knows yet; returns all that are known then.

    Args:
        store: the output store.
        ids: of pairs.
        hashes: of pairs.
        run_id: of the run that forgets them.
    """
    known = Forgotten.read(store)
    ids = [each for each in ids if not known.knows(each, None)]
    hashes = [each for each in hashes if not known.knows(None, each)]
    if not ids and not hashes:
        return known
    salt = secrets.token_hex(16)
    record = ForgottenRecord(
        made_at=store.host.now().isoformat(timespec="milliseconds"),
        made_by=run_id,
        salt=salt,
        ids=tuple(sorted(_id(salt, each) for each in ids)),
        contents=tuple(sorted(_content(salt, each) for each in hashes)),
    )
    number = sum(1 for _ in store.list(FOLDER))
    while not store.create(f"{FOLDER}/{number:06d}.json", record.to_json()):
        number += 1
    return Forgotten.read(store)


def forgotten_row(where: Mapping[str, Any]) -> dict[str, Any]:
    """The row of labels v2 of a pair that was taken down: its place, and nothing else of it.

    Args:
        where: ``judge_id, shard, unit, row, run_id``; ``judged_at, revision`` and ``epoch``.
    """
    row: dict[str, Any] = dict.fromkeys(LABELS.names)
    row |= {name: where.get(name) for name in _KEPT}
    forgotten = {"status": Status.QUARANTINED.value, "reason": Reason.FORGOTTEN.value}
    return row | forgotten | {"detail": _DETAIL, "votes": [], "n_votes": 0}


def _id(salt: str, pair_id: str) -> str:
    return digest(salt, "id", pair_id)


def _content(salt: str, pair_hash: str) -> str:
    return digest(salt, "content", pair_hash)
