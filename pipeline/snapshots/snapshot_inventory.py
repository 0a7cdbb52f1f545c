"""What a snapshot is made of: the input's shards as they are now, and one judge's parts of each.

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
from pipeline.pairs.shards import list_shards, open_input, shard_key, unless_changed
from pipeline.parts.part_keys import ShardParts, judge_parts_prefix, parts_prefix
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
        defect: why no row of it can be read, or None.
    """

    entry: Entry
    content: str
    key: str
    rows: int
    parts: tuple[CommittedPart, ...] = ()
    defect: str | None = None

    @property
    def missing(self) -> list[tuple[int, int]]:
        """The row ranges that no part covers."""
        return [(stop, start) for stop, start in self._borders() if stop < start]

    @property
    def doubled(self) -> list[tuple[int, int]]:
        """The row ranges that two parts cover, or that lie beyond the shard."""
        return [(start, stop) for stop, start in self._borders() if stop > start]

    def _borders(self) -> list[tuple[int, int]]:
        """Of neighbouring parts, where the first stops and where the second starts."""
        ranges = [(part.start, part.stop) for part in self.parts]
        borders = itertools.pairwise([(0, 0), *ranges, (self.rows, self.rows)])
        return [(stop, start) for (_, stop), (start, _) in borders]


@dataclass(frozen=True)
class Inventory:
    """Everything that a snapshot is made of.

    Attributes:
        later: how many shards were added since these were labelled; the next snapshot has them.
    """

    input_uri: str
    judge_id: str
    shards: tuple[InventoryShard, ...]
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
        shards = [
            (shard.entry.key, shard.key, shard.rows, [asdict(part) for part in shard.parts])
            for shard in self.shards
        ]
        return digest(json.dumps([self.judge_id, made_by, shards], sort_keys=True))


def take_inventory(
    input_uri: str,
    output: Store,
    judge_id: str,
    wanted: Mapping[str, str] | None = None,
    open_source: OpenSource = open_input,
) -> Inventory:
    """Lists the input's shards as they are now, and the judge's parts of each.

    The footer of a shard is read only if the live snapshot does not hold it in this version, or if
    its parts do not cover exactly the rows that the snapshot states.

    Args:
        input_uri: a folder of shards, or one shard.
        output: the output root.
        judge_id: whose parts.
        wanted: keys of the shards to include, by path; all by default. Others are only counted.
        open_source: opens the input.

    Raises:
        InputError: there is no shard, or none of those wanted.
        ShardChangedError: one of those wanted was rewritten or removed since.
        StorageError: the input or the output cannot be reached.
    """
    source, prefix = open_source(input_uri)
    published = live_shards(output).rows
    contents, parts_of = ContentKeys(source, output), _StoredParts(output, judge_id)

    def shard_of(entry: Entry) -> InventoryShard:
        with unless_changed(source, entry):
            content = contents.of(entry)
        key = shard_key(entry.key, entry.size, content)
        if wanted is not None and wanted[entry.key] != key:
            raise ShardChangedError(source.path(entry.key))
        parts = parts_of(key)
        if known := published.get(key):
            shard = InventoryShard(entry, content, key, known, parts)
            if not shard.missing and not shard.doubled:
                return shard
        try:
            with unless_changed(source, entry):
                rows = outline_of(source, entry).rows
        except UNREADABLE_FILE as error:
            defect = f"corrupt footer: {first_line(error)}"
            return InventoryShard(entry, content, key, 0, defect=defect)
        return InventoryShard(entry, content, key, rows, parts)

    listed = list_shards(source, prefix)
    entries = [entry for entry in listed if wanted is None or entry.key in wanted]
    if not entries:
        raise InputError(
            f"{source.path(prefix)}: all of its {len(listed)} shards were added after the plan was "
            "made, and none that was planned is left: was the folder replaced meanwhile? run again"
        )
    if gone := sorted((wanted or {}).keys() - {entry.key for entry in entries}):
        raise ShardChangedError(source.path(gone[0]))
    with output.host.pool(_THREADS) as pool:
        shards = tuple(pool.map(shard_of, entries))
    contents.save()
    parts_of.save()
    return Inventory(source.path(prefix), judge_id, shards, len(listed) - len(entries))


def same_inventory(manifest: Manifest, output: Store) -> Inventory:
    """The shards of a snapshot as they were then, with their parts as they are now.

    Args:
        manifest: of the snapshot.
        output: the output root.
    """
    judge_id = manifest.judge["judge_id"]
    parts_of = _StoredParts(output, judge_id)

    def again(shard: InputShard) -> InventoryShard:
        entry = Entry(shard.path, shard.bytes, None)
        known = (entry, shard.content, shard.shard_key, shard.rows)
        parts = () if shard.defect else parts_of(shard.shard_key)
        return InventoryShard(*known, parts, shard.defect)

    with output.host.pool(_THREADS) as pool:
        shards = tuple(pool.map(again, manifest.shards))
    parts_of.save()
    return Inventory(manifest.input, judge_id, shards)


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
    if doubled := _ranges((shard, shard.doubled) for shard in inventory.shards):
        raise ReconcileError(
            f"parts under {output.uri} do not reconcile, these rows are in two parts or beyond "
            f"their shard:{_listed(doubled)}\nremove one of the two parts and run again"
        )
    missing = _ranges((shard, shard.missing) for shard in inventory.shards)
    if missing and not allow_missing:
        judge = inventory.judge_id[:16]
        raise ReconcileError(
            f"{len(missing)} row ranges of {inventory.input_uri} have no label of judge {judge} "
            f"under {output.uri}:{_listed(missing)}\nwere shards rewritten since they were "
            "labelled, or only a sample of them labelled? pairmill nightly or pairmill label, run "
            "again, labels the rest; pairmill publish --allow-missing publishes without"
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
