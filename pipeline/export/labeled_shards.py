"""The shards of a snapshot as the input has them now, each with where its labels are.

A file holds the labels of one group of shards in the order of shards and rows, and the manifest has
the number of labels of each shard: which files hold a shard's labels follows from that.
"""

from __future__ import annotations

import itertools
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from pipeline.runtime.errors import InputError
from pipeline.snapshots.table_reader import TableFile
from pipeline.store.object_store import Entry, Store
from schemas.labels import Status
from schemas.manifest import Manifest, SnapshotFile
from schemas.snapshots import SNAPSHOT_LABELS

LABELED = (Status.LABELED, Status.TIE, Status.ABSTAINED)
GONE = "it is gone"
CHANGED = "its content is not what was labelled"


@dataclass(frozen=True)
class LabeledShard:
    """One shard, unchanged as far as a listing can tell.

    Attributes:
        number: its position in the manifest.
        entry: as the input has it now.
        content: what it was when it was labelled.
        rows: how many it had, ``labels`` of them with a label.
        files: that hold its labels, besides those of other shards.
        votes: the files of its group's votes.
    """

    number: int
    entry: Entry
    content: str
    rows: int
    labels: int
    files: tuple[SnapshotFile, ...]
    votes: tuple[SnapshotFile, ...] = ()

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
        start, stop = rows or (0, self.rows)
        schema = pa.schema([SNAPSHOT_LABELS.field(name) for name in wanted])
        tables = [
            table
            for file in self.files
            for table in TableFile(output, file).of_shard(self.entry.key, start, stop, wanted)
        ]
        labels = pa.concat_tables([schema.empty_table(), *tables])
        if rows is None and len(labels) != self.labels:
            raise InputError(
                f"{output.uri}: shard {self.entry.key} has {len(labels)} labels in the files of "
                f"the snapshot, expected {self.labels} by its manifest; publish again"
            )
        return labels


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
    files: dict[int, list[SnapshotFile]] = defaultdict(list)
    for file in manifest.files_of("labels"):
        files[file.group].append(file)
    votes: dict[int, list[SnapshotFile]] = defaultdict(list)
    for file in manifest.files_of("votes"):
        votes[file.group].append(file)
    ends = {group: list(itertools.accumulate(f.rows for f in of)) for group, of in files.items()}
    stops: dict[int, int] = defaultdict(int)
    found: list[LabeledShard] = []
    problems: dict[int, str] = {}
    for number, shard in enumerate(manifest.shards):
        labels = sum(shard.counts[status] for status in LABELED)
        start, stop = stops[shard.group], stops[shard.group] + labels
        stops[shard.group] = stop
        entry = entries.get(shard.path)
        if not shard.rows:
            continue
        if entry is None:
            problems[number] = GONE
        elif entry.size != shard.bytes or entry.etag not in (None, shard.content):
            problems[number] = CHANGED
        else:
            end = ends.get(shard.group, [])
            holding = files[shard.group][bisect_right(end, start) : bisect_left(end, stop) + 1]
            of_shard = tuple(holding) if labels else ()
            whole = (number, entry, shard.content, shard.rows, labels, of_shard)
            found.append(LabeledShard(*whole, tuple(votes[shard.group])))
    return found, problems
