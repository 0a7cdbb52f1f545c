"""What a snapshot is made of: the input's shards as they are now, and its judges' parts of each.

Parts of deleted shards, and of earlier versions of changed ones, are under other keys and so do
not appear.
"""

from __future__ import annotations

import itertools
import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pipeline.pairs.isolated_reading import outline_of
from pipeline.pairs.shards import (
    content_of,
    list_planned,
    open_input,
    shard_key,
    unless_changed,
)
from pipeline.parts.part_keys import ShardParts, judge_parts_prefix, parts_prefix
from pipeline.parts.units import subtract
from pipeline.runtime.digest import digest
from pipeline.runtime.errors import InputError, QuarantineError, ReconcileError, ShardChangedError
from pipeline.runtime.fault_blocks import fault_blocks
from pipeline.runtime.faults import UNREADABLE_FILE, first_line
from pipeline.snapshots.live_shards import live_shards
from pipeline.store.content_keys import ContentKeys
from pipeline.store.object_store import Entry, Store
from schemas.manifest import InputShard, Manifest

OpenSource = Callable[[str], tuple[Store, str]]

_THREADS = 16
_SHOWN = 20


@dataclass(frozen=True)
class CommittedPart:
    """The part that holds rows ``[start, stop)`` of a shard, and the version of that object."""

    key: str
    start: int
    stop: int
    content: str


@dataclass(frozen=True)
class InventoryShard:
    """A shard of the input, and its parts in the order of their rows.

    Attributes:
        content: its etag, or its content's hash.
        parts: of the first judge.
        defect: why no row of it can be read, or None.
        others: the parts of each other judge, which may be cut into other ranges.
    """

    entry: Entry
    content: str
    key: str
    rows: int
    parts: tuple[CommittedPart, ...] = ()
    defect: str | None = None
    others: tuple[tuple[CommittedPart, ...], ...] = ()

    @property
    def of_judges(self) -> tuple[tuple[CommittedPart, ...], ...]:
        """The parts of each judge."""
        return (self.parts, *self.others)

    @property
    def made_of(self) -> list[Any]:
        """Everything that its rows in a snapshot follow from, as JSON."""
        others = [[asdict(part) for part in parts] for parts in self.others]
        return [asdict(part) for part in self.parts] + others

    @property
    def missing(self) -> list[tuple[int, int]]:
        """The row ranges that no part of any judge covers."""
        left = [(0, self.rows)] if self.rows else []
        for parts in self.of_judges:
            left = subtract(left, [(part.start, part.stop) for part in parts])
        return left

    def lacking(self, judge: int) -> list[tuple[int, int]]:
        """The row ranges that no part of a judge covers."""
        return [(stop, start) for stop, start in self._borders(judge) if stop < start]

    def doubled(self, judge: int) -> list[tuple[int, int]]:
        """The row ranges that two parts of a judge cover, or that lie beyond the shard."""
        return [(start, stop) for stop, start in self._borders(judge) if stop > start]

    @property
    def whole(self) -> bool:
        """Whether each judge has every row in exactly one part."""
        judges = range(len(self.of_judges))
        return all(stop == start for judge in judges for stop, start in self._borders(judge))

    @property
    def shared_rows(self) -> int:
        """How many rows all judges have."""
        left = [(0, self.rows)] if self.rows else []
        for judge in range(len(self.of_judges)):
            left = subtract(left, self.lacking(judge))
        return sum(stop - start for start, stop in left)

    def _borders(self, judge: int) -> list[tuple[int, int]]:
        """Of neighbouring parts, where the first stops and where the second starts."""
        ranges = [(part.start, part.stop) for part in self.of_judges[judge]]
        borders = itertools.pairwise([(0, 0), *ranges, (self.rows, self.rows)])
        return [(stop, start) for (_, stop), (start, _) in borders]


@dataclass(frozen=True)
class Inventory:
    """Everything that a snapshot is made of.

    Attributes:
        judge_id: of whom its labels are: of the judge, or of the composition of several.
        judges: whose parts, in their order.
        later: how many shards were added since these were labelled; the next snapshot has them.
    """

    input_uri: str
    judge_id: str
    shards: tuple[InventoryShard, ...]
    judges: tuple[str, ...]
    later: int = 0

    @property
    def rows(self) -> int:
        """Of all shards."""
        return sum(shard.rows for shard in self.shards)

    def summary(self) -> dict[str, int]:
        """Counts, for log fields."""
        return {"shards": len(self.shards), "rows": self.rows, "shards_came_later": self.later}

    def content_id(self, made_by: Any) -> str:
        """Identity of a snapshot of this: the same parts give the same, if the same makes it."""
        shards = [(shard.entry.key, shard.key, shard.rows, shard.made_of) for shard in self.shards]
        return digest(json.dumps([self.judge_id, made_by, shards], sort_keys=True))


def take_inventory(
    input_uri: str,
    output: Store,
    judge_id: str,
    judges: Sequence[str],
    read_seconds: float,
    wanted: Mapping[str, str] | None = None,
    open_source: OpenSource = open_input,
) -> Inventory:
    """Lists the input's shards as they are now, and the judges' parts of each.

    The footer of a shard is read only if the live snapshot does not hold it in this version, or if
    its parts do not cover exactly the rows that the snapshot states.

    Args:
        input_uri: a folder of shards, or one shard.
        output: the output root.
        judge_id: of whom the snapshot's labels are.
        judges: whose parts.
        read_seconds: how long a footer may take.
        wanted: keys of the shards to include, by path; all by default. Others are only counted.
        open_source: opens the input.

    Raises:
        InputError: there is no shard.
        ShardChangedError: one of those wanted was rewritten or removed since.
        StorageError: the input or the output cannot be reached.
    """
    source, prefix = open_source(input_uri)
    published = live_shards(output).rows
    contents = ContentKeys(source, output)
    stored = [_StoredParts(output, each) for each in judges]

    def shard_of(entry: Entry) -> InventoryShard:
        content = content_of(contents, entry)
        key = shard_key(entry.key, entry.size, content)
        if wanted is not None and wanted[entry.key] != key:
            raise ShardChangedError(source.shown(entry.key))
        parts, *others = [parts_of(key) for parts_of in stored]
        if known := published.get(key):
            shard = InventoryShard(entry, content, key, known, parts, others=tuple(others))
            if shard.whole:
                return shard
        try:
            with unless_changed(source, entry):
                rows = outline_of(source, entry, read_seconds).rows
        except UNREADABLE_FILE as error:
            defect = f"corrupt footer: {first_line(error)}"
            return InventoryShard(entry, content, key, 0, (), defect, ((),) * len(others))
        return InventoryShard(entry, content, key, rows, parts, others=tuple(others))

    entries, came_later = list_planned(source, prefix, wanted)
    with output.host.pool(_THREADS) as pool:
        shards = tuple(pool.map(shard_of, entries))
    contents.save()
    for each in stored:
        each.save()
    return Inventory(source.path(prefix), judge_id, shards, tuple(judges), came_later)


def same_inventory(
    manifest: Manifest, output: Store, judge_id: str, judges: Sequence[str]
) -> Inventory:
    """The shards of a snapshot as they were then, with their parts as they are now.

    Args:
        manifest: of the snapshot.
        output: the output root.
        judge_id, judges: as :func:`take_inventory` takes them.
    """
    stored = [_StoredParts(output, each) for each in judges]

    def again(shard: InputShard) -> InventoryShard:
        entry = Entry(shard.path, shard.bytes, None)
        known = (entry, shard.content, shard.shard_key, shard.rows)
        parts, *others = [() if shard.defect else of(shard.shard_key) for of in stored]
        return InventoryShard(*known, parts, shard.defect, tuple(others))

    with output.host.pool(_THREADS) as pool:
        shards = tuple(pool.map(again, manifest.shards))
    for each in stored:
        each.save()
    return Inventory(manifest.input, judge_id, shards, tuple(judges))


def check_inventory(
    inventory: Inventory, output: Store, *, allow_missing: bool, max_defects: int
) -> None:
    """Checks that every row is in exactly one part.

    Args:
        inventory: of the snapshot.
        output: where the parts are, for messages.
        allow_missing: whether rows may be in no part.
        max_defects: how many shards may be unreadable.

    Raises:
        ReconcileError: rows are in no part, or in two; names shards and rows.
        QuarantineError: too many shards are unreadable.
    """
    defects = [(shard.defect, shard.entry.key) for shard in inventory.shards if shard.defect]
    if len(defects) > max_defects:
        raise QuarantineError(
            f"{len(defects)} shards of {inventory.input_uri} are unreadable, quarantine.max_shards "
            f"allows {max_defects}; rewrite them or raise the limit:\n{fault_blocks(defects)}"
        )
    for number, judge in enumerate(inventory.judges):
        if doubled := _ranges((shard, shard.doubled(number)) for shard in inventory.shards):
            raise ReconcileError(
                f"parts of judge {judge[:16]} under {output.uri} do not reconcile, these rows are "
                f"in two parts or beyond their shard:{_listed(doubled)}\nremove one of the two "
                "parts and run again"
            )
    if (
        len(inventory.judges) > 1
        and inventory.rows
        and not any(shard.shared_rows for shard in inventory.shards)
    ):
        raise InputError(_nothing_shared(inventory))
    for number, judge in enumerate(inventory.judges):
        lacking = _ranges((shard, shard.lacking(number)) for shard in inventory.shards)
        if lacking and not allow_missing:
            raise ReconcileError(
                f"{len(lacking)} row ranges of {inventory.input_uri} have no label of judge "
                f"{judge[:16]} under {output.uri}:{_listed(lacking)}\nwere shards rewritten since "
                "they were labelled, or only a sample of them labelled? pairmill nightly or "
                "pairmill label, run again, labels the rest; pairmill publish --allow-missing "
                "publishes without"
            )


def _nothing_shared(inventory: Inventory) -> str:
    """What each of several judges has, that have no row in common."""
    rows = [
        sum(part.stop - part.start for shard in inventory.shards for part in shard.of_judges[each])
        for each in range(len(inventory.judges))
    ]
    had = zip(inventory.judges, rows, strict=True)
    listed = ", ".join(f"{judge[:16]} has {count}" for judge, count in had)
    return (
        f"{inventory.input_uri}: its judges have none of its {inventory.rows} rows in common "
        f"({listed}): nothing can be labelled by all of them; run pairmill label with each on the "
        "same input"
    )


class _StoredParts:
    """The parts of a judge, from one listing of all of them; any thread may ask."""

    def __init__(self, output: Store, judge_id: str) -> None:
        self._judge_id, self._contents = judge_id, ContentKeys(output, output)
        self._folders: dict[str, dict[str, Entry]] = defaultdict(dict)
        for entry in output.list(judge_parts_prefix(judge_id)):
            self._folders[entry.key.rpartition("/")[0]][entry.key] = entry

    def __call__(self, shard_key: str) -> tuple[CommittedPart, ...]:
        """Those of a shard version that count, and those that hold rows of theirs."""
        entries = self._folders.get(parts_prefix(self._judge_id, shard_key), {})
        found = ShardParts.of(entries)
        return tuple(
            CommittedPart(part.key, *part.rows, self._contents.of(entries[part.key]))
            for part in sorted([*found.parts, *found.doubled])
        )

    def save(self) -> None:
        """Keeps what was hashed of local parts."""
        self._contents.save()


def _ranges(found: Any) -> list[str]:
    return [
        f"{shard.entry.key}: rows {start} to {stop - 1}"
        for shard, ranges in found
        for start, stop in ranges
    ]


def _listed(lines: Sequence[str]) -> str:
    shown = "".join(f"\n  {line}" for line in lines[:_SHOWN])
    more = len(lines) - _SHOWN
    return shown + (f"\n  and {more} more" if more > 0 else "")
