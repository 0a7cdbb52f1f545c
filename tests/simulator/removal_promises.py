"""The guarantees of what removes: ``clean`` and ``forget``; and which votes are carried on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.export.begun_files import named_paths
from pipeline.export.export_parts import receipts_folder
from pipeline.parts.index_files import hash_words
from pipeline.parts.part_keys import Part, parts_prefix
from pipeline.runtime.digest import digest
from pipeline.snapshots.manifests import FILES, LATEST_KEY, manifest_key
from tests.simulator.memory_objects import Change, MemoryObjects, StoredObject
from tests.simulator.scheduler import Process

_VOTES = ("order", "seed", "rationale", "run_id", "outcome")
_CONTENT = ["pair_id", "pair_hash"]
Row = dict[str, Any]
Broken = Callable[[str, str], None]


@dataclass(frozen=True)
class Forgotten:
    """A pair that was taken down.

    Attributes:
        after: the number of the last process that had begun by then.
    """

    pair_id: str
    after: int


class RemovalPromises:
    """Watches what is removed of one output, and what comes back."""

    def __init__(self, objects: MemoryObjects, output: str, broken: Broken) -> None:
        """``broken`` ends the run."""
        self._objects, self._output, self._broken = objects, output, broken
        self._votes: dict[str, frozenset[tuple[Any, ...]]] = {}  # of every part that is there
        # Keys of parts, and of files of exports and indexes, each time that one was made, by whom.
        self._created: list[tuple[str, str]] = []
        self._exported: set[str] = set()  # the processes that have ended an export
        self._newest: dict[str, tuple[int, int]] = {}  # revision and epoch of the votes of a pair
        self._known: dict[str, dict[str, tuple[int, int]]] = {}  # the same, as a process found it
        self._named: dict[str, frozenset[str]] = {}  # by a manifest, an index or an export
        self._going: set[str] = set()  # hashes of pairs that are being taken down, or were
        self._forgotten: dict[str, Forgotten] = {}  # by pair id, and by hash

    def knows(self, process: Process) -> None:
        """A process begins: it must carry on the votes that are there."""
        self._known[process.name] = dict(self._newest)

    def forgets(self, pair_id: str) -> int:
        """A process begins to take a pair down; returns how many files it has seen so far."""
        self._going.add(digest(pair_id))
        return len(self._created)

    def forgot(self, pair_id: str, process: Process, last: int, created: int) -> None:
        """It has taken it down: nothing may hold it, and no later process brings it back.

        Parts may that were committed meanwhile by a run that has lost its lease, and files of an
        index that it has made; and files that were exported meanwhile, as long as that goes on, or
        where it was killed.

        Args:
            pair_id: of the pair.
            process: that has done it.
            last: the number of the last process that has begun.
            created: what ``forgets`` has returned.
        """
        gone = Forgotten(pair_id, last)
        self._forgotten |= {pair_id: gone, digest(pair_id): gone}
        stray = {
            f"{self._output}{key}"
            for key, by in self._created[created:]
            if key.startswith(("parts/", "index/")) or by not in {process.name, *self._exported}
        }
        words = hash_words(digest(pair_id))
        for key, found in self._objects.list(self._output).items():
            if not key.endswith(".parquet") or key in stray:
                continue
            if self._brings_back(found, 0) or words in _indexed(found):
                self._broken(process.name, f"left {pair_id} in {key}, which was to be forgotten")

    def exported(self, process: Process) -> None:
        """An export has ended by itself: it has left nothing of pairs that were forgotten."""
        self._exported.add(process.name)
        for key in (key for key, by in self._created if by == process.name):
            found = self._objects.objects.get(f"{self._output}{key}")
            if found is not None and self._brings_back(found, 0):
                self._broken(process.name, f"left a pair in {key} that was forgotten meanwhile")

    def is_going(self, pair_hash: str | None) -> bool:
        """Whether a pair is being taken down, or was."""
        return pair_hash in self._going

    def changed(self, key: str, change: Change) -> None:
        """Checks a change of an object of the output."""
        if change.after is None:
            assert change.before is not None
            self._removed(key, change.before, change.by)
        elif key.endswith(".parquet"):
            number = int(change.by.rpartition("-")[2])
            if self._forgotten and self._brings_back(change.after, number):
                self._broken(change.by, f"wrote {key} with a pair that was forgotten")
            if key.startswith(("parts/", "exports/", "index/")) and change.before is None:
                self._created.append((key, change.by))
            if key.startswith("parts/") and change.before is None:
                self._part(key, change)
            if key.startswith("exports/"):
                self._named_by_its_export(key, change.by)

    def _part(self, key: str, change: Change) -> None:
        assert change.after is not None
        rows = _rows(change.after, [*_CONTENT, "votes", "revision", "epoch"])
        part, known = Part.of(key), self._known.get(change.by, {})
        assert part is not None
        # A run that lost its lease may commit one when a later revision is there: its votes never
        # count. One that was removed, with all later ones, may be committed again: it counts.
        late = part < self._newest_parts().get(_place(part), part)
        self._votes[key] = frozenset() if late else frozenset(_votes_of(rows))
        if late or part.revision > 1:  # its rows keep the votes that they had, or it comes late
            known = {}
        for row in rows:
            hashed, now = row["pair_hash"], (row["revision"], row["epoch"] or 0)
            if hashed is None:
                continue
            if row["votes"] and now < known.get(hashed, (0, 0)):
                self._broken(
                    change.by,
                    f"wrote {key} with revision and epoch {now} of the votes about {hashed[:8]}, "
                    f"of which there are those of {known[hashed]}",
                )
            if row["votes"]:
                self._newest[hashed] = max(now, self._newest.get(hashed, now))

    def _removed(self, key: str, before: StoredObject, by: str) -> None:
        if key.startswith(f"{FILES}/"):
            for manifest in self._ending("snapshots/", "/manifest.json"):
                if key in self._names(manifest, _of_manifest):
                    self._broken(by, f"removed {key}, which {manifest} names")
        elif key.startswith("snapshots/") and key.endswith("/manifest.json"):
            if key in self._in_latest():
                self._broken(by, f"removed {key}, which LATEST.json names")
        elif Part.of(key) and key.startswith("parts/"):
            self._part_removed(key, by)
        elif key.startswith("canaries/"):
            self._canaries_removed(key, by)
        elif "/files/" in key and key.startswith("index/"):
            folder = key.partition("files/")[0]
            newest = max(self._ending(folder, ".json"), default="")
            if newest and key in self._names(newest, _of_index):
                self._broken(by, f"removed {key}, which {newest} names")
        elif key.startswith(f"{receipts_folder(_export_of(key))}/"):
            for path in named_paths(before.data):
                self._named_by_its_export(f"{_export_of(key)}/{path}", by)
        elif key.startswith("exports/"):
            record = f"{_export_of(key)}/export.json"
            manifest = f"{self._output}snapshots/{key.split('/')[1]}/manifest.json"
            # Of a snapshot that is gone, the exporter removes a record that it has just written.
            wanted = manifest in self._objects.objects
            if wanted and f"{self._output}{record}" in self._objects.objects:
                files = self._names(record, lambda made: _paths(made["files"]))
                if key.removeprefix(record.removesuffix("export.json")) in files:
                    self._broken(by, f"removed {key}, which {record} names")

    def _in_latest(self) -> set[str]:
        """The manifests of the snapshots that LATEST.json names."""
        stored = self._objects.objects.get(f"{self._output}{LATEST_KEY}")
        latest = json.loads(stored.data) if stored else {}
        named = filter(None, (latest.get("snapshot_id"), latest.get("previous")))
        return {manifest_key(snapshot_id) for snapshot_id in named}

    def _named_by_its_export(self, key: str, by: str) -> None:
        """What is there of an export is named beside it: whoever it belongs to was killed, say."""
        folder = f"{self._output}{_export_of(key)}"
        naming = self._objects.list(f"{receipts_folder(folder)}/").values()
        named = {f"{folder}/{path}" for found in naming for path in named_paths(found.data)}
        if f"{self._output}{key}" in self._objects.objects.keys() - named:
            self._broken(by, f"left {key}, which nothing names")

    def _part_removed(self, key: str, by: str) -> None:
        """Every vote must be in another part, unless its pair was to be forgotten.

        No earlier revision may count in its place; and what is live, or was before, can be made
        again of the parts of its shard versions.
        """
        gone, removed = self._votes.pop(key), Part.of(key)
        assert removed is not None
        newest = self._newest_parts()
        earlier = newest.get(_place(removed))
        if earlier is not None and earlier < removed:
            self._broken(by, f"removed {key}, so that {earlier.key} counts again")
        left = frozenset[tuple[Any, ...]]().union(*(self._votes[p.key] for p in newest.values()))
        if lost := {vote for vote in gone - left if vote[0] not in self._going}:
            self._broken(by, f"removed {key}, of which {len(lost)} votes are in no other part")
        counted = earlier is None or earlier < removed
        for manifest in self._in_latest() if counted else ():
            there = f"{self._output}{manifest}" in self._objects.objects
            if there and key.rpartition("/")[0] in self._names(manifest, _of_manifest):
                self._broken(by, f"removed {key}, of a shard version that {manifest} has")

    def _newest_parts(self) -> dict[tuple[str, tuple[int, int]], Part]:
        """The parts that count, each by its place."""
        newest: dict[tuple[str, tuple[int, int]], Part] = {}
        for part in filter(None, map(Part.of, self._votes)):
            newest[_place(part)] = max(part, newest.get(_place(part), part))
        return newest

    def _canaries_removed(self, key: str, by: str) -> None:
        """The newest canaries that have labels stay."""
        run = key.split("/")[1]
        runs = {each.split("/")[1] for each in self._ending("canaries/", ".parquet")}
        if "/parts/" in key and all(run >= other for other in runs):
            self._broken(by, f"removed {key}, of the newest canaries")

    def _brings_back(self, found: StoredObject, number: int) -> bool:
        """Whether rows are about a pair that was forgotten before a process began; 0: of any."""
        names = pq.read_schema(pa.BufferReader(found.data)).names
        wanted = [name for name in _CONTENT if name in names]
        held = {each for row in _rows(found, wanted) for each in row.values()} if wanted else set()
        about = (self._forgotten[each] for each in held & self._forgotten.keys())
        return any(not number or number > each.after for each in about)

    def _ending(self, folder: str, end: str) -> Iterator[str]:
        for key in self._objects.list(f"{self._output}{folder}"):
            if key.endswith(end):
                yield key.removeprefix(self._output)

    def _names(self, key: str, names: Callable[[Any], Iterator[str]]) -> frozenset[str]:
        """The keys that a record names; read once."""
        found = self._objects.objects[f"{self._output}{key}"]
        if found.etag not in self._named:
            self._named[found.etag] = frozenset(names(json.loads(found.data)))
        return self._named[found.etag]


def _place(part: Part) -> tuple[str, tuple[int, int]]:
    """The shard version and the rows that a part is of, in whatever revision."""
    return part.key.rpartition("/")[0], part.rows


def _export_of(key: str) -> str:
    """The folder of an export that a key is below."""
    return "/".join(key.split("/")[:3])


def _paths(files: list[Row]) -> Iterator[str]:
    return (file["path"] for file in files)


def _of_manifest(made: Row) -> Iterator[str]:
    """The files of a snapshot, and the folders of the parts that it was made of."""
    yield from _paths(made["files"])
    for shard in made["shards"]:
        yield parts_prefix(made["judge"]["judge_id"], shard["shard_key"])


def _of_index(state: Row) -> Iterator[str]:
    files = [*(file for run in state["runs"] for file in run), *state["parts"]]
    return (file["key"] for file in files)


def _votes_of(rows: list[Row]) -> Iterator[tuple[Any, ...]]:
    for row in rows:
        for vote in row["votes"] or ():
            yield (row["pair_hash"], *(str(vote[name]) for name in _VOTES))


def _indexed(found: StoredObject) -> set[tuple[int, int]]:
    """The pairs that a file of an index has entries of; none of another file."""
    columns = ["high", "low"]
    if not set(columns) <= set(pq.read_schema(pa.BufferReader(found.data)).names):
        return set()
    return {(row["high"], row["low"]) for row in _rows(found, columns)}


def _rows(found: StoredObject, columns: list[str]) -> list[Row]:
    file = pq.ParquetFile(pa.BufferReader(found.data))
    rows: list[Row] = file.read(columns, use_threads=False).to_pylist()
    return rows
