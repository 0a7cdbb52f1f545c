"""The guarantees of the protocol, checked at every change of the bucket by any process."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.aggregation.labeler import Labeler
from pipeline.judging.votes import standing
from pipeline.labeling.planning.reopening import votes_of
from pipeline.parts.part_keys import Part, parts_prefix
from pipeline.snapshots.manifests import FILES, LATEST_KEY, folder_of
from schemas.labels import VOTE, Reason, Status
from schemas.manifest import Manifest
from schemas.snapshots import BROWSE
from tests.simulator.memory_objects import Change, MemoryObjects, StoredObject
from tests.simulator.removal_promises import RemovalPromises
from tests.simulator.scheduler import Process
from tests.simulator.simulated_store import World

_WRITES = ("PUT", "PUT if none", "PUT if match", "DELETE")
Row = dict[str, Any]


class BrokenPromiseError(AssertionError):
    """A promise of the protocol was broken; says which, when and by whom."""


@dataclass(frozen=True)
class Holding:
    """A lease as its holder may believe that it has it, until the deadline."""

    process: Process
    token: str
    epoch: int
    deadline: float


class Promises:
    """Watches one output; the first broken promise ends the run."""

    def __init__(self, world: World, output: str, labeler: Labeler, judge_id: str) -> None:
        self._world, self._objects = world, world.objects
        self._output, self._labeler, self._judge_id = f"{output}/", labeler, judge_id
        self._processes: dict[str, Process] = {}
        self._holdings: dict[str, Holding] = {}
        self._begun: dict[tuple[str, str], float] = {}  # each process's last request of a key
        self._asked: dict[tuple[str, str], list[str]] = defaultdict(list)
        self._sound: set[tuple[str, str]] = set()  # snapshots, and etags of manifests, checked
        self._manifests: dict[str, Manifest] = {}  # by etag
        self._digests: dict[str, str] = {}  # SHA-256 by etag
        self._revised: set[str] = set()  # parts of which there are later revisions
        self._found: dict[str, set[str]] = {}  # those, as a process found them
        self._passed_over: dict[str, frozenset[str]] = {}  # and a manifest's publisher
        self._live: str | None = None
        self._previous: str | None = None  # as LATEST.json names it
        self._epoch = -1  # of LATEST.json, or of whoever has claimed it by looking at it
        self._epochs: dict[str, int] = {}  # of the lease that each process has taken
        self._looking: set[str] = set()  # processes that have read LATEST.json to claim it
        self._judging: set[str] = set()  # those that have not looked at the lease since they began
        self.published = 0
        self.removals = RemovalPromises(world.objects, self._output, self._broken)
        world.objects.watchers.append(self.changed)
        world.on_begin = self.begins
        world.on_claim = lambda process: self._looking.add(process.name)

    def knows(self, process: Process) -> None:
        """Registers a process before its first request."""
        self._processes[process.name] = process
        self._found[process.name] = set(self._revised)
        self.removals.knows(process)

    def begins(self, process: Process, operation: str, key: str) -> None:
        """A process acts: it must hold the lease of what it does at this moment."""
        self._claimed(process, operation, key)
        self._fenced(process, operation, key.removeprefix(self._output))
        now, asked = self._world.scheduler.now, self._asked[process.name, key]
        # A conditional PUT that was refused may be tried again after a look at what is there.
        last = next((each for each in reversed(asked) if each != "GET"), None)
        again = operation.startswith("PUT if") and last == operation and asked[-1] == "GET"
        self._begun[process.name, key] = now
        asked.append(operation)
        if operation not in _WRITES or not key.startswith(self._output):
            return
        key = key.removeprefix(self._output)
        lease = _lease_of(key, operation)
        if key.startswith("exports/") and process.name.startswith("export-"):
            lease = None  # it removes what it has written of a snapshot that is gone
        immutable = lease == "writer" or key.startswith("parts/")
        if operation == "PUT" and immutable and key != LATEST_KEY:
            self._broken(process.name, f"writes {key} without a condition")
        if lease is None or again:
            return
        held = self._holdings.get(lease)
        if held is None or held.process is not process or held.deadline <= now:
            self._broken(process.name, f"acts on {key} without the lease {lease}")

    def _claimed(self, process: Process, operation: str, key: str) -> None:
        """A process that has read LATEST.json, and goes on without a swap, has claimed it by that.

        It acts on what it has read: no earlier holder of the lease may swap it any more.
        """
        renewal = key.startswith(f"{self._output}leases/")  # by another thread of it
        if process.name in self._looking and not renewal:
            self._looking.discard(process.name)
            if key != f"{self._output}{LATEST_KEY}" or not operation.startswith("PUT if"):
                self._epoch = max(self._epoch, self._epochs.get(process.name, -1))

    def _fenced(self, process: Process, operation: str, key: str) -> None:
        """A worker that has judged a unit looks at the lease before it commits any of it."""
        if key.startswith("attempts/"):
            self._judging.add(process.name)
        elif key.startswith("leases/") and operation == "GET":
            self._judging.discard(process.name)
        commits = key.startswith("parts/") and operation == "PUT if none"
        if commits and process.name in self._judging:
            self._broken(process.name, f"commits {key} without a look at the lease")

    def changed(self, change: Change) -> None:
        """Checks what one change of the bucket may break."""
        if not change.key.startswith(self._output):
            return
        key = change.key.removeprefix(self._output)
        self.removals.changed(key, change)
        if key.startswith("leases/"):
            self._lease(key.removeprefix("leases/").removesuffix(".json"), change)
        elif key == LATEST_KEY:
            self._latest(change)
        elif key.startswith("parts/"):
            self._part(key, change)
        elif key.startswith("snapshots/"):
            self._snapshot_object(key, change)

    def _lease(self, name: str, change: Change) -> None:
        if change.after is None:
            self._broken(change.by, f"removed the lease {name}")
            return
        record = json.loads(change.after.data)
        process, held = self._processes[change.by], self._holdings.get(name)
        self._epochs[change.by] = record["epoch"]
        other = held is not None and held.token != record["token"]
        now = self._world.scheduler.now
        lives = held is not None and self._world.scheduler.lives(held.process.number)
        if held and other and lives and held.deadline > now:
            self._broken(
                change.by,
                f"took the lease {name}, which {held.process.name} holds for another "
                f"{held.deadline - now:.3f} s",
            )
        before = held.epoch if held else 0
        if record["epoch"] != before + (held is None or other):
            epoch = f"the epoch {record['epoch']} after {before}"
            self._broken(change.by, f"gave the lease {name} {epoch}")
        begun = self._begun[change.by, change.key]
        deadline = now if record["released"] else begun + record["ttl_s"]
        self._holdings[name] = Holding(process, record["token"], record["epoch"], deadline)

    def _latest(self, change: Change) -> None:
        if change.after is None:
            self._broken(change.by, "removed LATEST.json")
            return
        latest = json.loads(change.after.data)
        if latest["epoch"] < self._epoch:
            self._broken(
                change.by, f"gave LATEST.json the epoch {latest['epoch']} after {self._epoch}"
            )
        own = self._epochs[change.by]
        if latest["epoch"] != own:
            self._broken(
                change.by,
                f"gave LATEST.json the epoch {latest['epoch']}, and holds the lease's {own}",
            )
        self._epoch = latest["epoch"]
        live, previous = latest["snapshot_id"] or None, latest["previous"]
        if live == self._live and previous in (self._previous, None):
            self._previous = previous  # claimed by another holder, or the one before is to go
            return
        if previous != self._live:
            self._broken(
                change.by, f"swapped LATEST.json from {previous}, but {self._live} was live"
            )
        self._live, self._previous = live, previous
        self.published += 1
        if not self._passed(f"{self._output}{folder_of(str(self._live))}"):
            self._broken(change.by, f"the live snapshot {self._live} has not passed a gate")
        self._check_live(change.by)

    def _part(self, key: str, change: Change) -> None:
        if change.after is None:  # see RemovalPromises
            return
        if change.before is not None:
            if change.after.data != change.before.data:
                self._broken(change.by, f"changed the part {key}")
            return
        part, folder = Part.of(change.key), change.key.rpartition("/")[0]
        assert part is not None
        others = [found for found in map(Part.of, self._objects.list(f"{folder}/")) if found]
        for other in others:
            if part.rows != other.rows and other.start < part.stop and part.start < other.stop:
                self._broken(change.by, f"committed {key}: its rows are in {other.key} too")
        same = [other for other in others if other.rows == part.rows]
        self._revised |= {other.key for other in same if other < part}
        if part == max(same):  # it counts again, where it was removed with its later revisions
            for revised in (self._revised, *self._found.values()):
                revised.discard(part.key)
        if part.revision > 1:
            before = [each for each in others if (*each.rows, each.revision + 1) == _place(part)]
            if not before or not _carried(*(_read(self._objects, e.key) for e in (*before, part))):
                self._broken(change.by, f"revised {key} without the votes of the part before it")

    def _snapshot_object(self, key: str, change: Change) -> None:
        before, after = change.before, change.after
        if before is not None and after is not None and before.data != after.data:
            self._broken(change.by, f"changed {key}, which is immutable")
        if before is None and after is not None and key.endswith("/manifest.json"):
            self._passed_over[key] = frozenset(self._found[change.by])
        if self._live is not None and key.startswith((f"{folder_of(self._live)}/", FILES)):
            self._check_live(change.by)

    def _check_live(self, by: str) -> None:
        """Whether what LATEST.json names is complete, and follows from the parts."""
        folder = f"{self._output}{folder_of(str(self._live))}"
        stored = self._objects.objects.get(f"{folder}/manifest.json")
        if stored is None:
            self._broken(by, f"the live snapshot {self._live} has no manifest")
            return
        if stored.etag not in self._manifests:
            self._manifests[stored.etag] = Manifest.parse(stored.data, folder)
        manifest = self._manifests[stored.etag]
        for file in manifest.files:
            found = self._objects.objects.get(f"{self._output}{file.path}")
            if found is None or not self._is(found, file.sha256):
                self._broken(by, f"file {file.path} of the live snapshot {self._live} is not whole")
                return
        if (folder, stored.etag) not in self._sound:
            self._sound.add((folder, stored.etag))
            problem = self._unsound(manifest)
            if problem:
                self._broken(by, f"the live snapshot {self._live}: {problem}")

    def _passed(self, folder: str) -> bool:
        """Whether the last decision of a gate has let a snapshot pass."""
        found = self._objects.list(f"{folder}/gate/").items()
        made = {int(key.rpartition("/")[2].removesuffix(".json")): each for key, each in found}
        return bool(made) and bool(json.loads(made[max(made)].data)["decision"]["passed"])

    def _is(self, found: StoredObject, sha256: str) -> bool:
        """Whether an object has a digest; looked at once."""
        if found.etag not in self._digests:
            self._digests[found.etag] = hashlib.sha256(found.data).hexdigest()
        return self._digests[found.etag] == sha256

    def _unsound(self, manifest: Manifest) -> str | None:
        """What rows or votes of a snapshot are not those of the parts."""
        rows = self._rows(manifest, "labels") + self._rows(manifest, "quarantine")
        got = Counter((row["shard"], row["row"]) for row in rows)
        wanted = Counter((s.path, row) for s in manifest.shards for row in range(s.rows))
        if got != wanted:
            return f"rows {dict(wanted - got)} are missing, {dict(got - wanted)} are too many"
        if set(map(_indexed, rows)) != set(map(_indexed, self._rows(manifest, BROWSE))):
            return "its index has other rows than its tables"
        votes: dict[tuple[str, int], list[Row]] = defaultdict(list)
        for vote in self._rows(manifest, "votes"):
            votes[vote["shard"], vote["row"]].append(vote)
        # Of the revision that counted when the publisher began, and of later ones.
        parts: dict[tuple[str, int], list[Row]] = defaultdict(list)
        late = self._passed_over[f"{folder_of(manifest.snapshot_id)}/manifest.json"]
        for part in (row for shard in manifest.shards for row in self._parts(shard, late)):
            parts[part["shard"], part["row"]].append(part)
        for row in rows:
            where = row["shard"], row["row"]
            if row["reason"] == Reason.FORGOTTEN:
                held = {part["pair_hash"] for part in parts[where]} - {None}
                if all(map(self.removals.is_going, held)) and not votes[where]:
                    continue
                return f"{where} is forgotten without need, or has votes"
            same = [part for part in parts[where] if _cast(part["votes"]) == _cast(votes[where])]
            if not same:
                return f"the votes of {where} are in no part"
            if row["status"] not in {self._status(part) for part in same}:
                return f"the label {row['status']} of {where} does not follow from its votes"
        return None

    def _status(self, part: Row) -> str:
        """What follows from the votes of a part's row."""
        if part["status"] == Status.QUARANTINED:
            return Status.QUARANTINED
        return self._labeler.decide(standing(votes_of(part))).status

    def _rows(self, manifest: Manifest, table: str) -> list[Row]:
        keys = [f"{self._output}{file.path}" for file in manifest.files_of(table)]
        return [row for key in keys for row in _read(self._objects, key)]

    def _parts(self, shard: Any, but: frozenset[str]) -> list[Row]:
        prefix = f"{self._output}{parts_prefix(self._judge_id, shard.shard_key)}/"
        keys = self._objects.list(prefix).keys() - but
        return [row for key in sorted(keys) for row in _read(self._objects, key)]

    def _broken(self, by: str, what: str) -> None:
        scheduler = self._world.scheduler
        scheduler.fail(
            BrokenPromiseError(f"step {scheduler.steps}, {scheduler.now:.3f} s: {by} {what}")
        )


def _indexed(row: Row) -> tuple[object, ...]:
    """What a row of a table and that of the index have in common."""
    return row["shard"], row["row"], row["pair_id"], (row["pair_hash"] or "")[:16], row["status"]


def _lease_of(key: str, operation: str) -> str | None:
    """The lease that whoever writes an object must hold; None where no order is needed.

    Files of snapshots are named by their content, and may be written by two at once; only the
    holder may remove any. Parts and states of the index are created, and never replaced, for some
    time after a run has lost the lease.
    """
    if key.startswith("work/"):
        return "work"
    record = key.startswith("snapshots/") and key.endswith(".json")
    ordered = record or operation == "DELETE"
    return "writer" if ordered else None


def _read(objects: MemoryObjects, key: str) -> list[Row]:
    file = pq.ParquetFile(pa.BufferReader(objects.objects[key].data))
    rows: list[Row] = file.read(use_threads=False).to_pylist()
    return rows


def _place(part: Part) -> tuple[int, int, int]:
    return (*part.rows, part.revision)


def _cast(votes: list[Row]) -> list[Row]:
    """Votes, whichever table they are from."""
    return [{field.name: vote[field.name] for field in VOTE} for vote in votes]


def _carried(before: list[Row], after: list[Row]) -> bool:
    """Whether each row of a revision begins with the votes it had, superseded by now or not."""

    def said(row: Row) -> list[tuple[Any, ...]]:
        return [(vote["order"], vote["rationale"], vote["run_id"]) for vote in row["votes"]]

    return [row["row"] for row in before] == [row["row"] for row in after] and all(
        said(new)[: len(old["votes"])] == said(old) or new["reason"] == Reason.FORGOTTEN
        for old, new in zip(before, after, strict=True)
    )
