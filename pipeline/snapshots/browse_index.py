"""The browse index of a snapshot: what its rows are filtered and sorted by, in few small files.

A page of ``pairmill review`` looks at every row. In the tables these columns lie between the texts,
in some requests a file and two files a group; here they are one request for 8 groups. The index of
8 groups is written again once one of them changed: of few scattered changes at most 8 times their
rows, of which it has some 30 bytes each where the tables have hundreds.

Files of the index are files of the snapshot like any other: named by their content and listed in
the manifest, so that whatever keeps, checks or removes its files does so with these. A snapshot
that lacks some is read without an index (``read_whole_manifest``) until a publish writes them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.runtime.errors import InputError
from pipeline.runtime.faults import UNREADABLE_FILE, first_line
from pipeline.runtime.map_ahead import map_ahead
from pipeline.snapshots.table_reader import TableFile
from pipeline.snapshots.table_writer import TableWriter
from pipeline.store.object_store import Store
from schemas.manifest import Manifest, SnapshotFile
from schemas.snapshots import BROWSE, SNAPSHOT_BROWSE, contract_of

_GROUPS = 8  # of shards, whose rows share files of the index
_FILE_BYTES = 2**22  # a file that has reached this size gets no more rows: each is read at once
_GROUP_ROWS = 65_536
_PREFIX = 16  # hexadecimal digits of a pair's hash
_THREADS = 8
# The columns of labels that an index is made of.
COLUMNS = (*SNAPSHOT_BROWSE.names, "judge_id")


@dataclass(frozen=True)
class IndexRange:
    """The part of an index that covers neighbouring groups of shards.

    Attributes:
        sources: what each of the groups is made of, in order (:class:`ShardGroup`).
        files: in order; none where the groups have no rows.
    """

    sources: tuple[str, ...]
    files: tuple[SnapshotFile, ...]

    @classmethod
    def all_of(cls, manifest: Manifest) -> dict[int, IndexRange]:
        """Those of a snapshot by their numbers; none of one without an index."""
        if not has_index(manifest):
            return {}
        sources: dict[int, list[str]] = {}
        for group in manifest.groups:
            sources.setdefault(range_of(group.number), []).append(group.source)
        files: dict[int, list[SnapshotFile]] = {number: [] for number in sources}
        for file in manifest.files_of(BROWSE):
            files[range_of(file.group)].append(file)
        return {n: cls(tuple(sources[n]), tuple(files[n])) for n in sources}


def range_of(group: int) -> int:
    """The number of the range that a group of shards is in."""
    return group // _GROUPS


def has_index(manifest: Manifest) -> bool:
    """Whether a snapshot has an index that this software reads; older ones have none."""
    return manifest.schemas.get(BROWSE) == contract_of(BROWSE)


def index_rows(labels: pa.Table) -> pa.Table:
    """Rows of an index, made of ``COLUMNS`` of labels."""
    prefix = pc.utf8_slice_codeunits(labels["pair_hash"], 0, _PREFIX)
    made = {
        "pair_hash": prefix,
        "decided_by": pc.coalesce(labels["decided_by"], labels["judge_id"]),
    }
    columns = [made.get(name, labels[name]) for name in SNAPSHOT_BROWSE.names]
    return pa.table(columns, schema=SNAPSHOT_BROWSE)


def read_index(output: Store, manifest: Manifest) -> Iterator[pa.Table]:
    """All rows of a snapshot's index, file by file.

    Raises:
        InputError: a file is corrupt.
        StorageError: the store fails.
    """
    files = [file for file in manifest.files_of(BROWSE) if file.rows]
    pool = output.host.pool(_THREADS)
    yield from map_ahead(pool, lambda file: _read(output, file), files, _THREADS)


class IndexWriter:
    """The files of one range of an index, written in order; a context manager.

    The same rows in the same order give the same files, however they come.
    """

    def __init__(self, output: Store, group: int, there: Mapping[str, int]) -> None:
        """Begins no file yet.

        Args:
            output: the output root.
            group: the number of the first group of the range.
            there: the sizes of objects that need not be written again, by key.
        """
        self._output = output
        self._writer = TableWriter(output, BROWSE, group, _FILE_BYTES, 1, there)
        self._waiting: list[pa.Table] = []
        self._last: tuple[str, pa.Table] | None = None
        self._held: dict[str, set[str]] = {}  # the shards of files that were read

    def __enter__(self) -> Self:
        self._writer.__enter__()
        return self

    def __exit__(self, *raised: object) -> None:
        self._writer.__exit__(*raised)

    def write(self, labels: pa.Table) -> None:
        """Appends rows of labels and of quarantine."""
        self._append(index_rows(labels.select(COLUMNS)))

    def copy(self, earlier: IndexRange, shards: Collection[str]) -> None:
        """Appends those rows of some shards that an earlier index has."""
        wanted = pa.array(shards, pa.string())
        for file in earlier.files:
            if self._held.get(file.path, set(shards)).isdisjoint(shards):
                continue
            if self._last is None or self._last[0] != file.path:
                self._last = file.path, _read(self._output, file)
            rows = self._last[1]
            self._held.setdefault(file.path, set(pc.unique(rows["shard"]).to_pylist()))
            self._append(rows.filter(pc.is_in(rows["shard"], wanted)))

    def make(self, files: Sequence[SnapshotFile], shards: Collection[str]) -> None:
        """Appends the rows of some shards, in order, by the files of their tables.

        Every file is read once; memory holds the index of these rows.
        """
        tables = [TableFile(self._output, f) for f in files if f.table in ("labels", "quarantine")]
        found = [index_rows(rows) for file in tables for rows in file.tables(COLUMNS)]
        if not found:
            return
        rows = pa.concat_tables(found)
        place = pc.index_in(rows["shard"], pa.array(shards, pa.string()))
        rows = rows.append_column("place", place).filter(pc.is_valid(place))
        self._append(rows.sort_by([(by, "ascending") for by in ("place", "row")]).drop("place"))

    def finish(self) -> list[SnapshotFile]:
        """Completes the last file; returns all."""
        self._flush(least=1)
        return self._writer.finish()

    def _append(self, rows: pa.Table) -> None:
        self._waiting.append(rows)
        self._flush(least=_GROUP_ROWS)

    def _flush(self, least: int) -> None:
        """Writes row groups of always as many rows, while at least so many wait."""
        if sum(each.num_rows for each in self._waiting) < least:
            return
        rows = pa.concat_tables(self._waiting)
        while rows.num_rows >= least:
            self._writer.write(rows.slice(0, _GROUP_ROWS))
            rows = rows.slice(_GROUP_ROWS)
        self._waiting = [rows]


def _read(output: Store, file: SnapshotFile) -> pa.Table:
    data = output.read_range(file.path, 0, file.bytes)  # one request; a whole read asks twice
    try:
        opened = pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True)
        return opened.read(SNAPSHOT_BROWSE.names, use_threads=False)
    except UNREADABLE_FILE as error:
        raise InputError(
            f"{output.path(file.path)}: corrupt ({first_line(error)}); restore the object, or "
            "remove it and publish again"
        ) from error
