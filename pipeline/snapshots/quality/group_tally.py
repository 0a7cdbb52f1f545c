"""What was counted of one group of shards, and how it is stored beside the snapshot's manifest.

A group whose files, shards, sample and answers are those of an earlier snapshot is not read again:
its tally is. Tallies are one object a snapshot, which costs about what the manifest does, and goes
with it: nothing else knows of it.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from pipeline.gold.people import People
from pipeline.runtime.errors import InputError
from pipeline.snapshots.manifests import folder_of
from pipeline.snapshots.quality.audited_accuracy import Row
from pipeline.stats.tally import Tally
from pipeline.store.object_store import Store
from schemas.labels import Status

_VERSION = "tallies/v1"
_LEVEL = 5  # of compression; they are mostly zeros


@dataclass
class GroupTally:
    """The counts of one group.

    Attributes:
        row_groups: of each row group of its files, in order. They are added one by one, so that
            sums of fractions are the same to the last bit whenever a group was counted.
        sampled: of the sampled rows of each sampled shard, by path.
        said: what people had said about those of its pairs that they were asked about.
        drawn: preferences about pairs that were drawn to audit them.
    """

    row_groups: list[Tally] = field(default_factory=list)
    sampled: dict[str, Tally] = field(default_factory=dict)
    said: dict[str, str | None] = field(default_factory=dict)
    drawn: list[Row] = field(default_factory=list)

    @property
    def rows(self) -> int:
        """How many rows were counted."""
        return sum(each.numbers[f"status/{s}"] for each in self.row_groups for s in Status)

    def add(self, other: GroupTally) -> None:
        """Appends what follows in the group."""
        self.row_groups += other.row_groups
        for path, tally in other.sampled.items():
            self.sampled[path].add(tally)
        self.said |= other.said
        self.drawn += other.drawn

    def add_to(self, whole: Tally, sampled: Collection[str]) -> None:
        """Adds it to the counts of a snapshot, of the sample the shards that it has now."""
        for each in self.row_groups:
            whole.add(each)
        for path in sorted(self.sampled.keys() & sampled):
            whole.add(self.sampled[path])


@dataclass(frozen=True)
class StoredTally:
    """A tally as it is stored: its counts are looked at once they are needed.

    Attributes:
        source: digest of what was counted.
        sampled, said: of :class:`GroupTally`.
    """

    source: str
    sampled: tuple[str, ...]
    said: Mapping[str, str | None]
    counts: bytes

    @classmethod
    def of(cls, source: str, tally: GroupTally) -> Self:
        """Of a group that was counted now."""
        counts = {
            "row_groups": [each.as_record() for each in tally.row_groups],
            "sampled": {path: each.as_record() for path, each in sorted(tally.sampled.items())},
            "drawn": tally.drawn,
        }
        said = dict(sorted(tally.said.items()))
        return cls(source, tuple(sorted(tally.sampled)), said, _json(counts))

    @classmethod
    def of_line(cls, line: bytes) -> Self:
        """Of a line of the stored object."""
        head, _, counts = line.rstrip(b"\n").partition(b"\t")
        source, sampled, said = json.loads(head)
        return cls(source, tuple(sampled), dict(said), counts)

    @property
    def line(self) -> bytes:
        """The line of the stored object."""
        return _json([self.source, self.sampled, self.said]) + b"\t" + self.counts + b"\n"

    def tally(self) -> GroupTally:
        """The counts."""
        counts = json.loads(self.counts)
        return GroupTally(
            [Tally.of_record(each) for each in counts["row_groups"]],
            {path: Tally.of_record(each) for path, each in counts["sampled"].items()},
            dict(self.said),
            counts["drawn"],
        )

    def holds(self, sampled: Collection[str], people: People) -> bool:
        """Whether it would be counted so again.

        Args:
            sampled: the shards of its group that are sampled now.
            people: what they say now.
        """
        same = all(people.gold.get(pair) == answer for pair, answer in self.said.items())
        return same and set(sampled) <= set(self.sampled)


@dataclass(frozen=True)
class Tallies:
    """The tallies of one snapshot.

    Attributes:
        how: digest of the settings that decide how a group is counted.
        asked: the hashes of all pairs that people had been asked about.
        groups: by their source.
    """

    how: str
    asked: frozenset[str]
    groups: Mapping[str, StoredTally]

    @classmethod
    def read(cls, output: Store, snapshot_id: str) -> Self | None:
        """Those of a snapshot; None where it has none.

        Raises:
            InputError: the object is damaged, or of another version.
            StorageError: the store fails.
        """
        key = tallies_key(snapshot_id)
        if output.size(key) is None:
            return None
        try:
            lines = iter(gzip.decompress(output.read(key)).splitlines())
            version, how, asked = json.loads(next(lines))
            if version != _VERSION:
                raise ValueError(f"version: got {version!r}, expected {_VERSION!r}")
            found = [StoredTally.of_line(line) for line in lines]
            return cls(how, frozenset(asked), {each.source: each for each in found})
        except (EOFError, OSError, StopIteration, TypeError, ValueError) as error:
            raise InputError(f"{output.path(key)}: damaged ({error})") from error

    def write(self, output: Store, snapshot_id: str) -> None:
        """Stores them as those of a snapshot."""
        head = _json([_VERSION, self.how, sorted(self.asked)]) + b"\n"
        lines = (each.line for _, each in sorted(self.groups.items()))
        data = gzip.compress(b"".join([head, *lines]), _LEVEL, mtime=0)
        output.put(tallies_key(snapshot_id), data)


def asked_pairs(people: People) -> frozenset[str]:
    """The pairs that people were asked about."""
    drawn = people.set.pairs.keys() if people.set else ()
    return frozenset([*drawn, *people.gold])


def tallies_key(snapshot_id: str) -> str:
    """Where the tallies of a snapshot are, under the output root."""
    return f"{folder_of(snapshot_id)}/tallies.jsonl.gz"


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()
