"""An input whose shards are labelled by given votes, to publish from: no engine, no Ray."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from jobs.publish import main
from pipeline.aggregation.labeler import Labeler
from pipeline.judging.votes import Vote
from pipeline.pairs.shards import shard_key
from pipeline.parts.commit import commit_part
from pipeline.parts.units import Unit
from pipeline.runtime.reporter import Reporter
from pipeline.snapshots.manifests import FILES, LATEST_KEY
from pipeline.snapshots.publish_config import PublishConfig
from pipeline.snapshots.publish_snapshot import Publication, publish
from pipeline.snapshots.snapshot_reader import open_manifest, open_snapshot
from pipeline.store.lease import TTL_S
from pipeline.store.object_store import Store
from pipeline.store.writer_lease import writer_lease
from schemas.labels import Status
from schemas.manifest import Manifest
from tests.calibrations import scored
from tests.derivations import Labelled, Row, rows_of

QUIET = Reporter()
SMALL = PublishConfig(file_mb=0.03, row_group_mb=0.03, lease_s=2)

# a, b, a tie, an abstention, and a row that cannot be read.
_CAST: list[list[Vote] | None] = [
    [scored("ab", 9, 2), scored("ba", 9, 2)],
    [scored("ab", 3, 8), scored("ba", 3, 8)],
    [scored("ab", 5, 5), scored("ba", 5, 5), scored("ab", 5, 5), scored("ba", 5, 5)],
    [scored("ab", 9, 2), scored("ba", 2, 9)],
    None,
]

Place = tuple[str, int]


@dataclass
class LabeledInput:
    """An input, an output, and what must be published of them.

    Attributes:
        shards: the labels of every shard of the input as it is now, by name.
    """

    source: Store
    made: Labelled
    shards: dict[str, list[Row]] = field(default_factory=dict)

    @classmethod
    def at(cls, uri: str, **judge: Any) -> Self:
        """An empty input and an output with a judge's card, below ``uri``."""
        return cls(Store(f"{uri}/in"), Labelled.at(f"{uri}/out", **judge))

    @property
    def output(self) -> Store:
        return self.made.output

    def shard(
        self, name: str, count: int, seed: int = 0, label: bool = True, unit_rows: int = 16
    ) -> None:
        """Writes a shard, in place of its earlier version, and labels all of its rows."""
        table = pa.table({"pair_id": [f"{seed}-{name}-{number}" for number in range(count)]})
        buffer = pa.BufferOutputStream()
        pq.write_table(table, buffer)
        self.source.put(name, bytes(buffer.getvalue()))
        self.shards[name] = []
        if label:
            self.label(name, 0, count, seed, unit_rows)

    def label(self, name: str, start: int, stop: int, seed: int = 0, unit_rows: int = 16) -> None:
        """Labels rows of a shard, in units."""
        (entry,) = self.source.list(name)
        key = shard_key(name, entry.size, self.source.content_key(entry))
        for first in range(start, stop, unit_rows):
            unit = Unit(name, key, first, min(stop, first + unit_rows))
            cast = [_CAST[(seed + row) % len(_CAST)] for row in range(unit.start, unit.stop)]
            rows = rows_of(cast, Labeler.of(self.made.judge), self.made.judge_id, first, name)
            for row in rows:
                row |= {"pair_id": f"{seed}-{name}-{row['row']}", "part_revision": 1}
            assert commit_part(self.output, self.made.judge_id, unit, rows)
            self.shards[name] += rows

    def copied(self, uri: str) -> Self:
        """A copy below another path: to change what was made once for several tests."""
        shutil.copytree(Path(self.source.uri).parent, uri, dirs_exist_ok=True)
        made = replace(self.made, output=Store(f"{uri}/out"))
        return replace(self, source=Store(f"{uri}/in"), made=made, shards=dict(self.shards))

    def drop(self, name: str) -> None:
        """Removes a shard from the input."""
        self.source.delete(name)
        del self.shards[name]

    def publish(
        self, config: PublishConfig = SMALL, run_id: str = "run", **how: Any
    ) -> Publication:
        """Publishes; by default the gate lets everything pass."""
        how = {"gate": lambda output, manifest: {"passed": True}} | how
        with writer_lease(self.output, run_id, config.lease_s or TTL_S, QUIET) as lease:
            return publish(self.source.uri, self.output, "", config, QUIET, lease, **how)

    def expected(self, table: str) -> list[Row]:
        """The rows that a table must have, in order."""
        rows = [row for name in sorted(self.shards) for row in self.shards[name]]
        if table == "votes":
            return [
                {name: row[name] for name in ("label_id", "pair_id", "judge_id", "shard", "row")}
                | {"vote": number, **vote}
                for row in rows
                for number, vote in enumerate(row["votes"])
            ]
        quarantined = table == "quarantine"
        return [
            {name: value for name, value in row.items() if name != "votes"}
            for row in rows
            if (row["status"] == Status.QUARANTINED) == quarantined
        ]


def live_rows(output: Store, table: str = "labels", which: str = "LATEST") -> list[Row]:
    """The rows of a table of a snapshot, as a reader gets them, in order of shard and row."""
    rows: list[Row] = (
        open_snapshot(output.uri, which, table).to_table(use_threads=False).to_pylist()
    )
    return sorted(rows, key=lambda row: (row["shard"], row["row"], row.get("vote")))


def assert_live_is(labeled: LabeledInput) -> Manifest:
    """Asserts that readers get exactly the labels of the input as it is now."""
    for table in ("labels", "quarantine", "votes"):
        assert live_rows(labeled.output, table) == labeled.expected(table)
    manifest = open_manifest(labeled.output)
    assert manifest.rows == sum(map(len, labeled.shards.values()))
    return manifest


def latest_of(output: Store) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(output.read(LATEST_KEY))
    return record


def stored_files(output: Store) -> dict[str, bytes]:
    """The files of all snapshots."""
    return {entry.key: output.read(entry.key) for entry in output.list(FILES)}


@dataclass(frozen=True)
class Outcome:
    """What a job did: its exit code, its events by name, and what it wrote to standard error."""

    exit_code: int
    events: list[dict[str, Any]]
    error: str

    def event(self, name: str) -> dict[str, Any]:
        (found,) = (event for event in self.events if event["event"] == name)
        return found


def run_publish(output: Store, *arguments: str) -> Outcome:
    """``python -m jobs.publish`` in this process."""
    return run_on(main, output, *arguments)


def run_on(command: Callable[[list[str]], int], output: Store, *arguments: str) -> Outcome:
    """A command on an output, in this process."""
    stdout, stderr = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
        exit_code = command(["--output", output.uri, *arguments])
    events = [json.loads(line) for line in stdout.getvalue().splitlines()]
    return Outcome(exit_code, events, stderr.getvalue())
