"""Labels of single rows: of a snapshot as it was published, or of parts where nothing is."""

from __future__ import annotations

import itertools
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.parts.commit import shard_parts
from pipeline.parts.part_files import read_part
from pipeline.runtime.errors import InputError
from pipeline.snapshots.manifests import folder_of
from pipeline.store.object_store import Store
from schemas.labels import LABELS
from schemas.manifest import Manifest

Row = dict[str, Any]
_PLAIN = [name for name in LABELS.names if name != "votes"]


class LabelRows(Protocol):
    """Reads the labels of rows of a shard."""

    def rows(self, shard: str, key: str, start: int, stop: int) -> list[Row]:
        """Labels v1 rows ``[start, stop)`` without their votes; fewer where some have none."""

    def votes(self, shard: str, key: str, rows: Collection[int]) -> dict[int, list[Row]]:
        """The votes of some rows, in the order in which they were asked for."""


class SnapshotRows:
    """Of a snapshot: labels, ties, abstentions and quarantined rows alike.

    Its tables stand in the order of shards and rows, so that a shard's rows are found by halving:
    of thousands of files a dozen footers are read, and of a file the row groups that hold them.
    """

    def __init__(self, output: Store, manifest: Manifest) -> None:
        """Binds to the files of a snapshot; reads nothing yet."""
        folder = folder_of(manifest.snapshot_id)
        self._tables = {
            table: [
                _File(output, f"{folder}/{file.path}", file.bytes)
                for file in manifest.files_of(table)
                if file.rows
            ]
            for table in ("labels", "quarantine", "votes")
        }

    def rows(self, shard: str, key: str, start: int, stop: int) -> list[Row]:
        found: list[Row] = []
        for table in ("labels", "quarantine"):
            for rows in self._of_shard(table, shard, start, stop):
                inside = pc.and_(pc.greater_equal(rows["row"], start), pc.less(rows["row"], stop))
                found += rows.filter(inside).select(_PLAIN).to_pylist()
        return sorted(found, key=lambda row: int(row["row"]))

    def votes(self, shard: str, key: str, rows: Collection[int]) -> dict[int, list[Row]]:
        if not rows:
            return {}
        wanted = pa.array(sorted(rows), pa.int64())
        found: dict[int, list[Row]] = defaultdict(list)
        for votes in self._of_shard("votes", shard, min(rows), max(rows) + 1):
            for vote in votes.filter(pc.is_in(votes["row"], wanted)).to_pylist():
                found[vote["row"]].append(vote)
        return dict(found)

    def _of_shard(self, table: str, shard: str, start: int, stop: int) -> Iterator[pa.Table]:
        files = self._tables[table]
        first = bisect_left(files, shard, key=lambda file: file.last_shard)
        for file in itertools.takewhile(lambda file: file.first_shard <= shard, files[first:]):
            yield from file.of_shard(shard, start, stop)


class PartRows:
    """Of one judge's parts: what ``pairmill label`` has written."""

    def __init__(self, output: Store, judge_id: str) -> None:
        """Reads below ``output``."""
        self._output, self._judge_id = output, judge_id

    def rows(self, shard: str, key: str, start: int, stop: int) -> list[Row]:
        rows = [row for table in self._parts(key, start, stop, _PLAIN) for row in table.to_pylist()]
        return [row for row in rows if start <= row["row"] < stop]

    def votes(self, shard: str, key: str, rows: Collection[int]) -> dict[int, list[Row]]:
        wanted = pa.array(sorted(rows), pa.int64())
        if not len(wanted):
            return {}
        found: dict[int, list[Row]] = {}
        for table in self._parts(key, min(rows), max(rows) + 1, ["row", "votes"]):
            chosen = table.filter(pc.is_in(table["row"], wanted))
            found |= {row["row"]: row["votes"] or [] for row in chosen.to_pylist()}
        return found

    def _parts(self, key: str, start: int, stop: int, columns: list[str]) -> list[pa.Table]:
        parts = shard_parts(self._output, self._judge_id, key).parts
        inside = [part for part in parts if part.start < stop and part.stop > start]
        return [read_part(self._output, part.key, columns) for part in inside]


@dataclass(frozen=True)
class _File:
    """A file of a snapshot's table that has rows; its footer is read once, when it is needed."""

    output: Store
    key: str
    size: int

    @property
    def first_shard(self) -> str:
        return str(self._ends(0, "shard")[0])

    @property
    def last_shard(self) -> str:
        return str(self._ends(self._footer.num_row_groups - 1, "shard")[1])

    def of_shard(self, shard: str, start: int, stop: int) -> Iterator[pa.Table]:
        """The rows of a shard in row groups that may hold its rows ``[start, stop)``."""
        for group in range(self._footer.num_row_groups):
            first, last = self._ends(group, "shard")
            least, most = self._ends(group, "row")
            if first <= shard <= last and (first < last or (least < stop and most >= start)):
                rows = self._read(
                    lambda file, group=group: file.read_row_group(group, use_threads=False)
                )
                yield rows.filter(pc.equal(rows["shard"], shard))

    def _ends(self, group: int, column: str) -> tuple[Any, Any]:
        """The least and the greatest value of a column."""
        found = self._footer.row_group(group).column(self._columns[column]).statistics
        if found is None or not found.has_min_max:
            raise InputError(f"{self.output.path(self.key)}: not written by this software")
        return found.min, found.max

    @cached_property
    def _columns(self) -> dict[str, int]:
        schema = self._footer.schema
        return {schema.column(n).path: n for n in range(len(schema))}

    @cached_property
    def _footer(self) -> pq.FileMetaData:
        return self._read(lambda file: file.metadata)

    def _read(self, what: Any) -> Any:
        source = self.output.open(self.key, self.size)
        try:
            opened = pa.PythonFile(source, mode="r")
            return what(pq.ParquetFile(opened, page_checksum_verification=True))
        except (pa.ArrowException, OSError) as error:
            if source.failure is not None:
                raise source.failure from error
            raise InputError(
                f"{self.output.path(self.key)}: corrupt ({str(error).strip().splitlines()[0]}); "
                "restore the object, or remove its snapshot's folder and publish again"
            ) from error
