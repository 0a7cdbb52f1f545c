"""Finds named pairs in everything that an output holds."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.parts.forgotten import Forgotten
from pipeline.parts.part_files import read_part_columns
from pipeline.parts.part_keys import Part
from pipeline.retention.forget_file import NamedPairs
from pipeline.retention.row_contents import is_asked
from pipeline.runtime.errors import InputError
from pipeline.store.object_store import Entry, Store
from schemas.manifest import Manifest

_COLUMNS = ["pair_id", "pair_hash", "shard", "row"]
_OF_PARTS = [*_COLUMNS, "rubric"]
_THREADS = 8
Row = Mapping[str, Any]
ContentsOf = Callable[[Sequence[Row]], Mapping[str, str]]


@dataclass
class HeldPairs:
    """Which rows are about the pairs: by name, by content, or since they were forgotten before.

    Attributes:
        output: the output root.
        named: as people named them.
        known: what was forgotten before.
        ids: of pairs that were named by id or place.
        hashes: of all of the pairs, and of them as they were asked with rubrics of their rows.
        other_rubrics_unknown: of how many pairs with a rubric of their row the input has nothing,
            so that the same pairs under other rubrics are not found.
        seen_ids: the ids of all rows about them.
        earlier: the hashes of pairs that were forgotten before and are in parts still. An index may
            have entries of them: of a run after a ``forget`` that was ended.
    """

    output: Store
    named: NamedPairs
    known: Forgotten
    ids: set[str] = field(default_factory=set)
    hashes: set[str] = field(default_factory=set)
    seen_ids: set[str] = field(default_factory=set)
    earlier: set[str] = field(default_factory=set)
    other_rubrics_unknown: int = 0

    def __post_init__(self) -> None:
        self.ids |= self.named.ids
        self.seen_ids |= self.named.ids
        self.hashes |= self.named.hashes

    def __contains__(self, pair_hash: object) -> bool:
        """Whether this is the hash of one of the pairs, or of one that was forgotten before."""
        return pair_hash in self.hashes or self.known.knows(None, str(pair_hash))

    def learn(self, parts: Iterable[Entry], contents_of: ContentsOf) -> int:
        """Takes in the contents of the pairs that are named otherwise; returns their rows.

        Args:
            parts: all there are.
            contents_of: the pairs' own hashes by those of labels with rubrics of rows.
        """
        parts, named, rubrics = list(parts), list[Row](), False
        for _, rows in self._read(parts):
            named += [row for row in rows if self.named.names(row)]
            before = (r for r in rows if self.known.knows(r["pair_id"], r["pair_hash"]))
            self.earlier |= {row["pair_hash"] for row in before} - {None}
            rubrics = rubrics or any(row["rubric"] is not None for row in rows)
        for each in named:
            self._take(each)
        if rubrics:
            named += self._under_other_rubrics(parts, named, contents_of)
        return len(named)

    def _under_other_rubrics(
        self, parts: Iterable[Entry], named: Sequence[Row], contents_of: ContentsOf
    ) -> list[Row]:
        """Takes in the same pairs as they were asked with other rubrics of their rows."""
        own = {row["pair_hash"]: row for row in named if row["rubric"] is not None}
        contents = contents_of(list(own.values())) if own else {}
        self.other_rubrics_unknown = len(own.keys() - contents.keys())
        self.hashes.update(contents.values())
        pairs, found = self.hashes - own.keys(), list[Row]()
        for _, rows in self._read(parts):
            for row in rows:
                known = row["pair_hash"] in self.hashes or self.named.names(row)
                if row["rubric"] is not None and not known and is_asked(row, pairs):
                    found.append(row)
        for each in found:
            self._take(each)
        return found

    def _take(self, row: Row) -> None:
        self.hashes |= {row["pair_hash"]} - {None}
        if row["pair_id"] is not None:
            self.seen_ids.add(row["pair_id"])
            if (row["shard"], row["row"]) in self.named.places:
                self.ids.add(row["pair_id"])

    def in_parts(self, parts: Iterable[Entry]) -> dict[str, frozenset[int]]:
        """The rows about the pairs in each part that has some, by key.

        Raises:
            InputError: a part is damaged, so that it is not known what it holds.
            StorageError: the store fails.
        """
        held = {}
        for entry, rows in self._read(parts):
            about = [row for row in rows if self._is(row)]
            self.seen_ids.update(row["pair_id"] for row in about if row["pair_id"] is not None)
            if about:
                held[entry.key] = frozenset(int(row["row"]) for row in about)
        return held

    def in_snapshot(self, manifest: Manifest) -> bool:
        """Whether a snapshot has rows about the pairs.

        Raises:
            InputError: one of its files is damaged.
            StorageError: the store fails.
        """
        files = [file for name in ("labels", "quarantine") for file in manifest.files_of(name)]
        for file in files:
            source = self.output.open(file.path, file.bytes)
            try:
                with source.reading():
                    table = pq.ParquetFile(pa.PythonFile(source, mode="r"))
                    for group in range(table.num_row_groups):
                        rows = table.read_row_group(group, _COLUMNS, use_threads=False).to_pylist()
                        if any(map(self._is, rows)):
                            return True
            except pa.ArrowInvalid as error:
                raise InputError(
                    f"{self.output.path(file.path)}: damaged, so that it is not known which pairs "
                    "it holds; restore it, or remove its snapshots, and run again"
                ) from error
        return False

    def in_export(self, files: Iterable[Entry]) -> bool:
        """Whether files of an export have rows about the pairs, by the ids that all formats state.

        Raises:
            InputError: one of them is damaged.
            StorageError: the store fails.
        """
        for entry in files:
            data = self.output.read(entry.key)
            try:
                if entry.key.endswith(".parquet"):
                    rows = pq.read_table(pa.BufferReader(data), use_threads=False).to_pylist()
                elif entry.key.endswith(".jsonl"):
                    rows = [json.loads(line) for line in data.decode().splitlines()]
                else:
                    continue
            except (pa.ArrowException, OSError, ValueError) as error:
                raise InputError(
                    f"{self.output.path(entry.key)}: damaged, so that it is not known which pairs "
                    "it holds; remove its export, and run again"
                ) from error
            if any(self._exported(row) for row in rows):
                return True
        return False

    def _exported(self, row: Row) -> bool:
        pair_id = str(row.get("pair_id") or (row.get("extra_info") or {}).get("pair_id"))
        of_group, _, _ = pair_id.rpartition("#")  # a pair of a ranked group has its letters as well
        return any(
            each in self.seen_ids or self.known.knows(each, None) for each in (pair_id, of_group)
        )

    def _is(self, row: Row) -> bool:
        pair_id, pair_hash = row["pair_id"], row["pair_hash"]
        if pair_hash in self.hashes or pair_id in self.ids:
            return True
        return self.known.knows(pair_id, pair_hash)

    def _read(self, parts: Iterable[Entry]) -> Iterator[tuple[Entry, list[dict[str, Any]]]]:
        def read(entry: Entry) -> tuple[Entry, list[dict[str, Any]]]:
            table = read_part_columns(self.output, entry.key, entry.size, _OF_PARTS)
            return entry, table.to_pylist()

        with self.output.host.pool(_THREADS) as pool:
            yield from pool.map(read, [entry for entry in parts if Part.of(entry.key)])
