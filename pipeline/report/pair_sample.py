"""Draws the pairs that a report shows: a few of every kind, out of a few shards, always the same.

What is read is bounded whatever the size of the corpus: some row groups of some shards, chosen by
a hash of their names. Of their rows, each kind (flips, ties, disagreement with gold, …) gets its
turn until enough are drawn.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from pipeline.pairs.input_config import InputConfig
from pipeline.pairs.isolated_reading import Groups, open_groups
from pipeline.pairs.shards import content_of, of_one_version, shard_key
from pipeline.report.label_rows import LabelRows, Row
from pipeline.report.report_config import GalleryConfig
from pipeline.runtime.digest import digest
from pipeline.runtime.errors import InputError, ShardChangedError, StorageError
from pipeline.store.content_keys import ContentKeys
from pipeline.store.object_store import Entry, Store
from schemas.labels import Status
from schemas.pairs import GOLD_VALUES

_MOST_ROWS = 4_096  # whose labels are looked at
_UNREAD_ROWS = 64  # of a shard that cannot be read any more
_REWRITTEN = "the shard was rewritten since it was labelled"

# In the order in which they get their turns: what is seldom first.
KINDS = ("gold", "flips", "low", "tie", "abstained", "quarantined", "labeled")


@dataclass(frozen=True)
class ShardRef:
    """A shard as it was labelled: its path, the identity of its parts, and its rows."""

    path: str
    key: str
    rows: int


@dataclass(frozen=True)
class Specimen:
    """A row to be shown.

    Attributes:
        label: its row of labels v1.
        pair: its row of pairs v2, or None.
        problem: why there is no pair, or what is wrong with it.
        kinds: which of ``KINDS`` it is of.
    """

    label: Row
    pair: Row | None
    problem: str | None
    kinds: frozenset[str]


@dataclass
class _Block:
    """Neighbouring rows of a shard, from ``start`` on, held while rows are drawn."""

    shard: ShardRef
    start: int
    stop: int
    tables: list[pa.Table] = field(default_factory=list)
    problem: str | None = None

    def gold(self) -> list[str | None]:
        """The human's label of each row."""
        if not self.tables:
            return [None] * (self.stop - self.start)
        return [value for table in self.tables for value in table["gold"].to_pylist()]

    def pair(self, row: int) -> Row | None:
        """A row of pairs v2 with its ``defect``."""
        place = row - self.start
        for table in self.tables:
            if place < table.num_rows:
                pair: Row = table.slice(place, 1).to_pylist()[0]
                return pair
            place -= table.num_rows
        return None


def kinds_of(label: Row, gold: str | None, low_confidence: float) -> frozenset[str]:
    """Which of ``KINDS`` a labelled row is of: its status, and what is noteworthy about it."""
    found = {str(label["status"])}
    outcome = label["preference"] if label["status"] == Status.LABELED else label["status"]
    if label["status"] in (Status.LABELED, Status.TIE):
        if gold in GOLD_VALUES and outcome != gold:
            found.add("gold")
        if label["confidence"] is not None and label["confidence"] < low_confidence:
            found.add("low")
    if label["position_consistent"] is False:
        found.add("flips")
    return frozenset(found)


def draw(
    source: Store,
    contents: ContentKeys,
    shards: Sequence[ShardRef],
    labels: LabelRows,
    columns: InputConfig,
    config: GalleryConfig,
    seed: str,
) -> list[Specimen]:
    """Draws rows of every kind.

    Args:
        source: the input root, and ``contents`` its shards' versions.
        shards: those to draw from, each of which has rows.
        labels: reads their labels.
        columns: how the shards are read.
        config: how many, and what may be read for them.
        seed: another one draws other rows.
    """
    candidates: list[tuple[str, _Block, Row, frozenset[str]]] = []
    for shard in shards:
        room = config.read_mb * 2**20 / len(shards)
        rows = _MOST_ROWS // len(shards)
        for block in _blocks(source, contents, shard, columns, room, rows, seed):
            gold = block.gold()
            for label in labels.rows(shard.path, shard.key, block.start, block.stop):
                kinds = kinds_of(label, gold[label["row"] - block.start], config.low_confidence)
                rank = digest(seed, shard.path, str(label["row"]))
                candidates.append((rank, block, label, kinds))
    candidates.sort(key=lambda candidate: candidate[0])
    drawn = _in_turns([kinds for *_, kinds in candidates], config.pairs)
    specimens = []
    for place in drawn:
        _, block, label, kinds = candidates[place]
        pair = block.pair(label["row"])
        problem = block.problem if pair is None else pair["defect"]
        specimens.append(Specimen(label, pair, problem, kinds))
    _add_votes(labels, specimens, {shard.path: shard.key for shard in shards})
    return sorted(specimens, key=lambda s: (s.label["shard"], s.label["row"]))


def in_drawn_order(paths: Iterable[str], seed: str) -> list[str]:
    """Paths of shards in the order in which they are drawn."""
    return sorted(paths, key=lambda path: digest(seed, path))


def _in_turns(kinds: Sequence[frozenset[str]], most: int) -> list[int]:
    """Places of at most ``most`` rows: each kind takes its next row, again and again."""
    waiting = {kind: [n for n, of in enumerate(kinds) if kind in of][::-1] for kind in KINDS}
    drawn: dict[int, None] = {}
    while len(drawn) < most and any(waiting.values()):
        for rows in waiting.values():
            while rows and rows[-1] in drawn:
                rows.pop()
            if rows and len(drawn) < most:
                drawn[rows.pop()] = None
    return list(drawn)


def _add_votes(labels: LabelRows, specimens: Sequence[Specimen], keys: dict[str, str]) -> None:
    for path, key in keys.items():
        of_shard = [s.label for s in specimens if s.label["shard"] == path]
        votes = labels.votes(path, key, [label["row"] for label in of_shard]) if of_shard else {}
        for label in of_shard:
            label["votes"] = votes.get(label["row"], [])


def _blocks(
    source: Store,
    contents: ContentKeys,
    shard: ShardRef,
    columns: InputConfig,
    room: float,
    rows: int,
    seed: str,
) -> list[_Block]:
    """Row groups of a shard, as far as bytes and rows allow; at least some rows."""
    blocks: list[_Block] = []
    problem: str | None = None
    try:
        entry = _entry(source, contents, shard)
        with of_one_version(source, entry):
            how = (columns.mapping(), columns.read_seconds)
            groups = open_groups(source, entry.key, entry.size, *how)
            blocks.extend(_read(groups, shard, room, rows, seed))
    except ShardChangedError:
        blocks, problem = [], _REWRITTEN
    except (StorageError, InputError, pa.ArrowException) as error:
        problem = str(error)
    if problem and not blocks:
        return [_Block(shard, 0, min(shard.rows, _UNREAD_ROWS), problem=problem)]
    return blocks


def _entry(source: Store, contents: ContentKeys, shard: ShardRef) -> Entry:
    """The shard, if it is still the one that was labelled."""
    found = {entry.key: entry for entry in source.list(shard.path)}.get(shard.path)
    if found is None:
        raise InputError("the shard is not there any more")
    if shard_key(found.key, found.size, content_of(contents, found)) != shard.key:
        raise InputError(_REWRITTEN)
    return found


def _read(groups: Groups, shard: ShardRef, room: float, rows: int, seed: str) -> Iterator[_Block]:
    starts = [sum(map(groups.rows, range(group))) for group in range(groups.count)]
    order = sorted(range(groups.count), key=lambda g: digest(seed, shard.path, f"group {g}"))
    for group in order:
        if room <= 0 or rows <= 0:
            return
        block = _Block(shard, starts[group], starts[group])
        for table in groups.read(group):
            block.tables.append(table)
            block.stop += table.num_rows
            room, rows = room - table.nbytes, rows - table.num_rows
            if room <= 0 or rows <= 0:
                break
        yield block
