"""Labels of single rows: of a snapshot as it was published, or of parts where nothing is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.dataset as ds

from pipeline.assembly.snapshots.reader import open_snapshot
from pipeline.core.storage import Store
from pipeline.core.units import committed_range, parts_prefix
from pipeline.workers.label_sink import read_part
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
    """Of a snapshot: labels, ties, abstentions and quarantined rows alike."""

    def __init__(self, output: Store, manifest: Manifest) -> None:
        """Opens the tables of a snapshot."""
        open_ = (
            open_snapshot(output.uri, manifest.snapshot_id, n) for n in ("labels", "quarantine")
        )
        self._tables = list(open_)
        self._votes = open_snapshot(output.uri, manifest.snapshot_id, "votes")

    def rows(self, shard: str, key: str, start: int, stop: int) -> list[Row]:
        wanted = (ds.field("row") >= start) & (ds.field("row") < stop)
        found = [_scan(table, shard, wanted, _PLAIN) for table in self._tables]
        return sorted((row for rows in found for row in rows), key=lambda row: int(row["row"]))

    def votes(self, shard: str, key: str, rows: Collection[int]) -> dict[int, list[Row]]:
        found: dict[int, list[Row]] = defaultdict(list)
        for vote in _scan(self._votes, shard, ds.field("row").isin(list(rows)), None):
            found[vote["row"]].append(vote)
        return {
            row: sorted(votes, key=lambda vote: int(vote["vote"])) for row, votes in found.items()
        }


class PartRows:
    """Of one judge's parts: what ``jobs.label`` has written."""

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
            chosen = table.filter(pa.compute.is_in(table["row"], wanted))
            found |= {row["row"]: row["votes"] or [] for row in chosen.to_pylist()}
        return found

    def _parts(self, key: str, start: int, stop: int, columns: list[str]) -> list[pa.Table]:
        keys = [entry.key for entry in self._output.list(parts_prefix(self._judge_id, key))]
        ranges = {name: found for name in keys if (found := committed_range(name))}
        inside = sorted((r, name) for name, r in ranges.items() if r[0] < stop and r[1] > start)
        return [read_part(self._output, name, columns) for _, name in inside]


def _scan(
    table: ds.Dataset, shard: str, wanted: ds.Expression, columns: list[str] | None
) -> list[Row]:
    chosen = (ds.field("shard") == shard) & wanted
    found: list[Row] = table.to_table(columns, filter=chosen, use_threads=False).to_pylist()
    return found
