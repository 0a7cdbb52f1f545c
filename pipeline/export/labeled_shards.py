"""The shards of a snapshot as the input has them now, each with where its labels are.

A snapshot's labels are in the order of shards and rows, and its manifest has the number of labels
of each shard: which files hold a shard's labels follows from that, without an index.
"""

from __future__ import annotations

import itertools
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.runtime.errors import InputError
from pipeline.snapshots.manifests import folder_of
from pipeline.store.object_store import Entry, Store
from schemas.labels import Status
from schemas.manifest import Manifest
from schemas.snapshots import SNAPSHOT_LABELS

LABELED = (Status.LABELED, Status.TIE, Status.ABSTAINED)
GONE = "it is gone"
CHANGED = "its content is not what was labelled"


@dataclass(frozen=True)
class LabelFile:
    """A file of the snapshot's labels."""

    key: str
    bytes: int


@dataclass(frozen=True)
class LabeledShard:
    """One shard, unchanged as far as a listing can tell.

    Attributes:
        number: its position in the manifest.
        entry: as the input has it now.
        content: what it was when it was labelled.
        rows: how many it had, ``labels`` of them with a label.
        files: that hold its labels, besides those of other shards.
    """

    number: int
    entry: Entry
    content: str
    rows: int
    labels: int
    files: tuple[LabelFile, ...]

    def read_labels(
        self, output: Store, columns: Sequence[str], rows: tuple[int, int] | None = None
    ) -> pa.Table:
        """The shard's labels in the order of its rows: ``row`` and the columns.

        Args:
            output: the output root.
            columns: of the snapshot's labels.
            rows: only labels of the rows ``[start, stop)``.

        Raises:
            InputError: a file is corrupt, or holds other labels than the manifest says.
            StorageError: the store fails.
        """
        wanted = list(dict.fromkeys(["row", *columns]))
        schema = pa.schema([SNAPSHOT_LABELS.field(name) for name in wanted])
        start, stop = rows or (0, self.rows)
        tables = [
            table.cast(schema)
            for file in self.files
            for table in self._read(output, file, wanted, start, stop)
        ]
        labels = pa.concat_tables([schema.empty_table(), *tables])
        if rows is None and len(labels) != self.labels:
            raise InputError(
                f"{output.uri}: shard {self.entry.key} has {len(labels)} labels in the files of "
                f"the snapshot, expected {self.labels} by its manifest; remove the snapshot's "
                "folder and publish again"
            )
        return labels

    def _read(
        self, output: Store, file: LabelFile, columns: list[str], start: int, stop: int
    ) -> Iterator[pa.Table]:
        """The labels of rows ``[start, stop)`` in one file, a row group at a time."""
        of_shard, row = pc.equal(pc.field("shard"), self.entry.key), pc.field("row")
        source = output.open(file.key, file.bytes)
        try:
            opened = pq.ParquetFile(
                pa.PythonFile(source, mode="r"), page_checksum_verification=True
            )
            for number in range(opened.num_row_groups):
                group = opened.metadata.row_group(number)
                if _overlaps(group, "shard", self.entry.key, self.entry.key) and _overlaps(
                    group, "row", start, stop - 1
                ):
                    table = opened.read_row_group(number, ["shard", *columns], use_threads=False)
                    yield table.filter(of_shard & (row >= start) & (row < stop)).select(columns)
        except (pa.ArrowException, OSError) as error:
            if source.failure is not None:
                raise source.failure from error
            raise InputError(
                f"{output.path(file.key)}: corrupt ({str(error).strip().splitlines()[0]}); restore "
                "the object, or remove its snapshot's folder and publish again"
            ) from error


def labeled_shards(
    manifest: Manifest, entries: Mapping[str, Entry]
) -> tuple[list[LabeledShard], dict[int, str]]:
    """The shards of a snapshot that have rows.

    Args:
        manifest: of the snapshot.
        entries: of the input, by key.

    Returns:
        Those whose size, and etag if there is one, did not change; and by the numbers of the
        others, why they are not among them.
    """
    folder = folder_of(manifest.snapshot_id)
    files = manifest.files_of("labels")
    ends = list(itertools.accumulate(file.rows for file in files))
    found: list[LabeledShard] = []
    problems: dict[int, str] = {}
    stop = 0
    for number, shard in enumerate(manifest.shards):
        labels = sum(shard.counts[status] for status in LABELED)
        start, stop = stop, stop + labels
        entry = entries.get(shard.path)
        if not shard.rows:
            continue
        if entry is None:
            problems[number] = GONE
        elif entry.size != shard.bytes or entry.etag not in (None, shard.content):
            problems[number] = CHANGED
        else:
            holding = files[bisect_right(ends, start) : bisect_left(ends, stop) + 1]
            keys = tuple(LabelFile(f"{folder}/{file.path}", file.bytes) for file in holding)
            found.append(LabeledShard(number, entry, shard.content, shard.rows, labels, keys))
    return found, problems


def _overlaps(group: pq.RowGroupMetaData, column: str, low: int | str, high: int | str) -> bool:
    """Whether a row group may have values from ``low`` to ``high`` in a column."""
    columns = map(group.column, range(group.num_columns))
    statistics = next(each for each in columns if each.path_in_schema == column).statistics
    if statistics is None or not statistics.has_min_max:
        return True
    return bool(statistics.min <= high and statistics.max >= low)
