"""Labels of single rows: of a snapshot as it was published, or of parts where nothing is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.parts.commit import shard_parts
from pipeline.parts.part_files import read_part
from pipeline.snapshots.table_reader import TableFile
from pipeline.store.object_store import Store
from schemas.labels import LABELS
from schemas.manifest import Manifest
from schemas.snapshots import SNAPSHOT_VOTES, TABLES

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

    Read are the files of the shard's group, and of these the row groups that may hold its rows.
    """

    def __init__(self, output: Store, manifest: Manifest) -> None:
        """Binds to the files of a snapshot; reads nothing yet."""
        self._groups = {shard.path: shard.group for shard in manifest.shards}
        self._files: dict[tuple[str, int], list[TableFile]] = defaultdict(list)
        for table in TABLES:
            for file in TableFile.of_table(output, manifest, table):
                self._files[table, file.file.group].append(file)

    def rows(self, shard: str, key: str, start: int, stop: int) -> list[Row]:
        found: list[Row] = []
        for table in ("labels", "quarantine"):
            for rows in self._of_shard(table, shard, start, stop, _PLAIN):
                found += rows.to_pylist()
        return sorted(found, key=lambda row: int(row["row"]))

    def votes(self, shard: str, key: str, rows: Collection[int]) -> dict[int, list[Row]]:
        if not rows:
            return {}
        wanted = pa.array(sorted(rows), pa.int64())
        found: dict[int, list[Row]] = defaultdict(list)
        names = SNAPSHOT_VOTES.names
        for votes in self._of_shard("votes", shard, min(rows), max(rows) + 1, names):
            for vote in votes.filter(pc.is_in(votes["row"], wanted)).to_pylist():
                found[vote["row"]].append(vote)
        return dict(found)

    def _of_shard(
        self, table: str, shard: str, start: int, stop: int, columns: list[str]
    ) -> Iterator[pa.Table]:
        for file in self._files.get((table, self._groups.get(shard, -1)), ()):
            yield from file.of_shard(shard, start, stop, columns)


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
