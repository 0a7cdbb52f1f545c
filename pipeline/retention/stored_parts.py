"""The parts of an output of which every vote is also in another part, and files of its indexes.

A vote is never thrown away: a part may go only if each of its rows is found, with all of its votes,
in a part that stays. For a row that is where the index finds the newest votes about its pair; for
an earlier revision of a part it is the same row of the revision that counts. That one goes after
all earlier ones of its rows, and stays if one of them does, which would count in its place.
"""

from __future__ import annotations

import datetime
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any

from pipeline.pairs.shards import list_shards, shard_key
from pipeline.parts.commit import vote_identity
from pipeline.parts.index_files import state_key
from pipeline.parts.index_update import drop_parts
from pipeline.parts.label_index import LabelIndex, open_index
from pipeline.parts.part_files import read_part
from pipeline.parts.part_keys import Part, ShardParts, shard_folders
from pipeline.retention.stored import JUDGE, SHARD, Stored, grouped
from pipeline.retention.things import Thing
from pipeline.runtime.errors import InputError
from pipeline.store.content_keys import ContentKeys
from pipeline.store.object_store import Entry, Store

INDEX_FILES = rf"({JUDGE})/(?:\d{{9}}\.json|files/[0-9a-f]{{32}}\.parquet)"
_COLUMNS = ["pair_hash", "votes", "judged_at"]
Row = Mapping[str, Any]


def stored_parts(stored: Stored) -> Iterator[Thing]:
    """The parts of each shard version that may go; of what must stay nothing is listed.

    Raises:
        InputError: the input has no shard.
        StorageError: the input cannot be reached, or the output fails.
    """
    alive = _alive(stored)
    for judge, found in grouped(stored.matching("parts", rf"({JUDGE})/{SHARD}/.*")).items():
        versions: dict[str, list[Entry]] = defaultdict(list)
        for _, entry in found:
            if Part.of(entry.key):
                versions[entry.key.rpartition("/")[0]].append(entry)
        yield from _of_judge(stored, judge, versions, alive)


def _alive(stored: Stored) -> set[str]:
    """The folders of the shard versions that the input or a snapshot that stays has."""
    alive = {each.shard_key for made in stored.staying.values() for each in made.shards}
    if stored.input_uri is not None:
        source, prefix = stored.open_source(stored.input_uri)
        contents = ContentKeys(source, stored.output)
        for entry in list_shards(source, prefix):
            alive.add(shard_key(entry.key, entry.size, contents.of(entry)))
    return {shard_folders(key) for key in alive}


@dataclass(frozen=True)
class _Version:
    """One version of a shard.

    Attributes:
        folder: of its parts.
        entries: of its parts, by key.
        candidates: the parts that may go if their votes are elsewhere: those of a dead version,
            and earlier revisions, each with the part that took its place.
    """

    folder: str
    entries: Mapping[str, Entry]
    candidates: Mapping[str, str | None]

    @classmethod
    def of(cls, folder: str, entries: Sequence[Entry], dead: bool) -> _Version:
        parts = ShardParts.of(entry.key for entry in entries)
        newest = {part.rows: part.key for part in (*parts.parts, *parts.doubled)}
        candidates: dict[str, str | None] = {p.key: newest[p.rows] for p in parts.revised}
        if dead:
            candidates |= dict.fromkeys(newest.values())
        return cls(folder, {entry.key: entry for entry in entries}, candidates)


@dataclass(frozen=True)
class _Votes:
    """Finds whether all votes of a part are in parts that stay.

    Attributes:
        revised: the keys of all earlier revisions.
        there: the keys of all parts of the judge.
    """

    store: Store
    index: LabelIndex
    revised: Collection[str]
    there: Collection[str]

    def elsewhere(self, key: str, successor: str | None) -> datetime.datetime | None:
        """When the last row of a part was judged; None if a vote of it is in no other part."""
        try:
            table = read_part(self.store, key, _COLUMNS)
            later = None if successor is None else read_part(self.store, successor, _COLUMNS)
        except InputError:  # no part, or a damaged one: what it holds is not known
            return None
        rows = table.to_pylist()
        others = map(self._newest, repeat(key), rows) if later is None else later.to_pylist()
        if all(_carries(row, other) for row, other in zip(rows, others, strict=True)):
            newest: datetime.datetime = max(row["judged_at"] for row in rows)
            return newest
        return None

    def _newest(self, key: str, row: Row) -> Row | None:
        """The newest row about a row's pair, in a part that stays; None without one."""
        if not row["votes"] or row["pair_hash"] is None:
            return None
        place = self.index.place(row["pair_hash"])
        if place is None or place.part == key or place.part not in self.there:
            return None
        return None if place.part in self.revised else self.index.find(row["pair_hash"])


def _of_judge(
    stored: Stored, judge: str, versions: Mapping[str, Sequence[Entry]], alive: Collection[str]
) -> Iterator[Thing]:
    """What may go of one judge's parts.

    A part in which the index finds the newest votes about any pair stays, so that what it has of
    another part's votes stays too.
    """
    known = stored.input_uri is not None
    made = [
        _Version.of(folder, entries, known and folder.removeprefix(f"parts/{judge}/") not in alive)
        for folder, entries in sorted(versions.items())
    ]
    revised = {key for each in made for key, successor in each.candidates.items() if successor}
    there = {key for each in made for key in each.entries}
    index = open_index(stored.output, judge.removeprefix("judge="))
    votes = _Votes(stored.output, index, revised, there)
    for version in made:
        successors = version.candidates
        judged = {
            key: moment
            for key, successor in successors.items()
            if (moment := votes.elsewhere(key, successor)) is not None
        }
        count_still = {successor for key, successor in successors.items() if key not in judged}
        gone = [key for key in judged if key not in count_still]
        if gone:
            yield Thing(
                version.folder.removeprefix("parts/"),
                first=tuple(version.entries[key] for key in gone if successors[key]),
                then=tuple(version.entries[key] for key in gone if not successors[key]),
                born=max(judged[key] for key in gone),
            )


def _carries(row: Row, other: Row | None) -> bool:
    """Whether another row has every vote of a row."""
    votes = {vote_identity(vote) for vote in row["votes"] or ()}
    return votes <= {vote_identity(vote) for vote in (other or {}).get("votes") or ()}


def stored_index_files(stored: Stored) -> Iterator[Thing]:
    """The files of each judge's index that its newest state does not name, and earlier states.

    Where a run was ended before it wrote the first state, they are all files.
    """
    for judge, found in grouped(stored.matching("index", INDEX_FILES)).items():
        index = open_index(stored.output, judge.removeprefix("judge="))
        needed = {state_key(index.state.judge_id, index.number)}
        if not index.state.parts and needed & {entry.key for _, entry in found}:
            continue  # damaged, and made again by the next run
        needed |= {file.key for file in index.state.files}
        left = tuple(entry for _, entry in found if entry.key not in needed)
        yield Thing(judge, (), left, useless="a later state of the index does not name them")


def drop_from_indexes(output: Store, keys: Iterable[str]) -> None:
    """Takes parts that were removed out of the indexes, which are else made again from all parts.

    Raises:
        StorageError: the store fails.
    """
    by_judge: dict[str, set[str]] = defaultdict(set)
    for key in keys:
        by_judge[key.split("/")[1].removeprefix("judge=")].add(key)
    for judge, removed in by_judge.items():
        index = open_index(output, judge)
        if index.state.parts:
            drop_parts(index, output, removed)
