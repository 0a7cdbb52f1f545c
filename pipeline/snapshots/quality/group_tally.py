"""What was counted of one group of shards, and how it is stored beside the snapshot's manifest.

A group whose files, shards, sample and answers are those of an earlier snapshot is not read again:
its tally is. Tallies are one object a snapshot, which costs about what the manifest does, and goes
with it: nothing else knows of it.
"""

from __future__ import annotations

import itertools
import json
import zlib
from collections.abc import Collection, Iterator, Mapping
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
_GZIP = 31  # zlib's word for it
_PIECE_BYTES = 2**16


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
        packed: its line of the stored object, compressed by itself: a tenth of it.
    """

    source: str
    sampled: tuple[str, ...]
    said: Mapping[str, str | None]
    packed: bytes

    @classmethod
    def of(cls, source: str, tally: GroupTally) -> Self:
        """Of a group that was counted now."""
        counts = {
            "row_groups": [each.as_record() for each in tally.row_groups],
            "sampled": {path: each.as_record() for path, each in sorted(tally.sampled.items())},
            "drawn": tally.drawn,
        }
        head = [source, sorted(tally.sampled), dict(sorted(tally.said.items()))]
        return cls.of_line(_json(head) + b"\t" + _json(counts) + b"\n")

    @classmethod
    def of_line(cls, line: bytes, packed: bytes | None = None) -> Self:
        """Of a line of the stored object, compressed here unless that is given, too."""
        source, sampled, said = json.loads(line.partition(b"\t")[0])
        return cls(source, tuple(sampled), dict(said), packed or _compressed(line))

    def tally(self) -> GroupTally:
        """The counts."""
        counts = json.loads(zlib.decompress(self.packed, _GZIP).partition(b"\t")[2])
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
            lines = _lines(output.read(key))
            version, how, asked = json.loads(next(lines)[0])
            if version != _VERSION:
                raise ValueError(f"version: got {version!r}, expected {_VERSION!r}")
            found = itertools.starmap(StoredTally.of_line, lines)
            return cls(how, frozenset(asked), {each.source: each for each in found})
        except (EOFError, StopIteration, TypeError, ValueError, zlib.error) as error:
            raise InputError(f"{output.path(key)}: damaged ({error})") from error

    def write(self, output: Store, snapshot_id: str) -> None:
        """Stores them as those of a snapshot."""
        head = _json([_VERSION, self.how, sorted(self.asked)]) + b"\n"
        lines = (each.packed for _, each in sorted(self.groups.items()))
        output.put(tallies_key(snapshot_id), b"".join([_compressed(head), *lines]))


def asked_pairs(people: People) -> frozenset[str]:
    """The pairs that people were asked about."""
    drawn = people.set.pairs.keys() if people.set else ()
    return frozenset([*drawn, *people.gold])


def tallies_key(snapshot_id: str) -> str:
    """Where the tallies of a snapshot are, under the output root."""
    return f"{folder_of(snapshot_id)}/tallies.jsonl.gz"


def _compressed(line: bytes) -> bytes:
    """A gzip file of one line; several of them, one behind the other, are one of all lines."""
    return zlib.compress(line, _LEVEL, _GZIP)


def _lines(data: bytes) -> Iterator[tuple[bytes, bytes | None]]:
    """The lines of a gzip file, each with its own part of it; None where parts have several.

    Raises:
        EOFError: it is cut off.
        zlib.error: it is damaged.
    """
    at = 0
    while at < len(data):
        part, start, text = zlib.decompressobj(_GZIP), at, list[bytes]()
        while at < len(data) and not part.eof:
            text.append(part.decompress(data[at : at + _PIECE_BYTES]))
            at += _PIECE_BYTES
        if not part.eof:
            raise EOFError("it is cut off")
        at = min(at, len(data)) - len(part.unused_data)
        lines = b"".join(text).splitlines(keepends=True)
        for line in lines:
            yield line, data[start:at] if len(lines) == 1 else None


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()
