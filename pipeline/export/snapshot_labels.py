"""The labels of a range of rows of one shard, out of the files of a snapshot.

A snapshot's labels stand in the order of shards and rows, and its manifest says how many each
shard has: where a shard's labels begin follows from that, without an index.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.runtime.errors import InputError
from pipeline.snapshots.manifests import folder_of
from pipeline.store.object_store import Store
from schemas.labels import Status
from schemas.manifest import Manifest
from schemas.snapshots import SNAPSHOT_LABELS

LABELED = (Status.LABELED, Status.TIE, Status.ABSTAINED)
_PLACE = ("shard", "row")


@dataclass(frozen=True)
class LabelFile:
    """A file of the table, and the number of its first row in the whole table."""

    key: str
    bytes: int
    start: int
    rows: int


@dataclass(frozen=True)
class ShardLabels:
    """The labels of one shard: rows ``[start, stop)`` of the table, and the files they are in."""

    shard: str
    start: int
    stop: int
    files: tuple[LabelFile, ...]

    def read(
        self, output: Store, columns: Sequence[str], rows: tuple[int, int] | None = None
    ) -> pa.Table:
        """The labels, with ``row`` and the columns.

        Args:
            output: the output root.
            columns: of the table.
            rows: only those of rows ``[start, stop)`` of the shard.

        Raises:
            InputError: a file is corrupt, or holds other rows than the manifest says.
            StorageError: the store fails.
        """
        wanted = list(dict.fromkeys([*_PLACE, *columns]))
        parts = [part for file in self.files for part in self._parts(output, file, wanted, rows)]
        schema = pa.schema([SNAPSHOT_LABELS.field(name) for name in wanted])
        table = pa.concat_tables([part.cast(schema) for part in parts] or [schema.empty_table()])
        if not pc.all(pc.equal(table["shard"], self.shard)).as_py() and len(table):
            raise InputError(
                f"{output.uri}: the labels of shard {self.shard} are not where the snapshot's "
                "manifest says; remove the snapshot's folder and publish again"
            )
        if rows is not None:
            inside = pc.and_(
                pc.greater_equal(table["row"], rows[0]), pc.less(table["row"], rows[1])
            )
            table = table.filter(inside)
        return table.drop_columns("shard")

    def _parts(
        self, output: Store, file: LabelFile, columns: list[str], rows: tuple[int, int] | None
    ) -> Iterator[pa.Table]:
        source = output.open(file.key, file.bytes)
        try:
            opened = pq.ParquetFile(
                pa.PythonFile(source, mode="r"), page_checksum_verification=True
            )
            sizes = [opened.metadata.row_group(i).num_rows for i in range(opened.num_row_groups)]
            starts = list(itertools.accumulate(sizes, initial=file.start))
            for number, (begin, end) in enumerate(itertools.pairwise(starts)):
                low, high = max(begin, self.start), min(end, self.stop)
                alone = self.start <= begin and end <= self.stop
                if low < high and not (alone and _apart(opened, number, rows)):
                    group = opened.read_row_group(number, columns, use_threads=False)
                    yield group.slice(low - begin, high - low)
        except (pa.ArrowException, OSError) as error:
            if source.failure is not None:
                raise source.failure from error
            raise InputError(
                f"{output.path(file.key)}: corrupt ({str(error).strip().splitlines()[0]}); restore "
                "the object, or remove its snapshot's folder and publish again"
            ) from error


def shard_labels(manifest: Manifest) -> Iterator[ShardLabels]:
    """Where the labels of every shard are, in the manifest's order."""
    files, start = [], 0
    for file in manifest.files_of("labels"):
        key = f"{folder_of(manifest.snapshot_id)}/{file.path}"
        files.append(LabelFile(key, file.bytes, start, file.rows))
        start += file.rows
    first, start = 0, 0
    for shard in manifest.shards:
        stop = start + sum(shard.counts[status] for status in LABELED)
        while first < len(files) and files[first].start + files[first].rows <= start:
            first += 1
        last = first
        while last < len(files) and files[last].start < stop:
            last += 1
        yield ShardLabels(shard.path, start, stop, tuple(files[first:last]))
        start = stop


def _apart(file: pq.ParquetFile, group: int, rows: tuple[int, int] | None) -> bool:
    """Whether a row group that holds labels of one shard alone holds none of these rows."""
    if rows is None:
        return False
    info = file.metadata.row_group(group)
    column = next(c for c in map(info.column, range(info.num_columns)) if c.path_in_schema == "row")
    statistics = column.statistics
    if statistics is None or not statistics.has_min_max:
        return False
    return bool(statistics.max < rows[0] or statistics.min >= rows[1])
