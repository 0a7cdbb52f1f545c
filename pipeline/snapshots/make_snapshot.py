"""Makes a snapshot that nobody sees yet: its files, as far as they are not there, and its manifest.

The id comes from what the snapshot is made of. A manifest is created, never replaced, and believed
only if its files are there. One that was created late, after retention had removed its files, is
found by the next publisher, which writes the files: where their digests are the same, the manifest
holds again. Where another version of the Parquet writer gives other bytes, the id stays with that
manifest, and the snapshot gets the next of its ids.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from pipeline.gold.gold_sets import frame_shards, read_set
from pipeline.parts.forgotten import Forgotten
from pipeline.runtime.digest import digest
from pipeline.runtime.errors import InputError
from pipeline.runtime.reporter import Reporter
from pipeline.runtime.stop import Stop
from pipeline.snapshots.compact_parts import Compacted, Compaction, reusable
from pipeline.snapshots.manifests import (
    Latest,
    SnapshotListing,
    manifest_key,
    read_manifest,
)
from pipeline.snapshots.publish_config import PublishConfig
from pipeline.snapshots.shard_groups import groups_of, number_of_groups
from pipeline.snapshots.snapshot_inventory import Inventory
from pipeline.snapshots.whose_labels import WhoseLabels
from pipeline.store.lease import Lease
from pipeline.store.object_store import Store
from schemas.error_bounds import ErrorBound
from schemas.labels import Status
from schemas.manifest import OUTCOMES, InputShard, Manifest, SnapshotFile
from schemas.snapshots import BROWSE, TABLES, contract_of

_LAYOUT = 2  # raise with any change to which bytes a snapshot's files hold
_ID_DIGITS = 16
_PROGRESS_S = 10
# Of the tables; the index is made of them, and decides no id.
_CONTRACTS = {name: contract_of(name) for name in TABLES}


@dataclass(frozen=True)
class SnapshotMaker:
    """Makes one snapshot.

    Attributes:
        output: the output root, of parts and snapshots.
        inventory: what goes in.
        whose: the labels, and by what they are decided.
        before: the snapshot that is live.
        lease: of the publisher; checked before every part and before the manifest.
        stop: checked before every part.
        bound: what is promised of its preferences.
    """

    output: Store
    inventory: Inventory
    whose: WhoseLabels
    before: Latest | None
    config: PublishConfig
    reporter: Reporter
    lease: Lease
    stop: Stop
    bound: ErrorBound | None = None

    def make(self) -> tuple[Manifest, dict[str, int]]:
        """Makes the snapshot, unless it is there.

        Returns:
            The stored manifest, and how many groups of files were reused and written.

        Raises:
            InputError: a part is corrupt, or holds other rows than its name says.
            StorageError: the store fails.
        """
        listing = SnapshotListing.of(self.output)
        if (stored := self._stored(listing)) is not None:
            self.reporter.note(
                f"snapshot {stored.snapshot_id} exists: these labels were compacted before"
            )
            return stored, {"groups_reused": len(stored.groups), "groups_written": 0}
        earlier = list(self._earlier(listing))
        before = earlier[0].group_count if earlier else None
        count = number_of_groups(len(self.inventory.shards), before)
        groups = groups_of(self.inventory.shards, count, self._made_by)
        step = self._each_part()
        rows = self.whose.rows(self.output, Forgotten.read(self.output))
        compaction = Compaction(self.output, rows, self.config, listing.sizes, step)
        ranges = compaction.run(groups, reusable(earlier, listing.sizes))
        made = [group for each in ranges for group in each.groups]
        files = [file for group in made for file in group.files]
        files += [*compaction.without_rows(made), *(f for each in ranges for f in each.index)]
        manifest = self._manifest(count, made, files)
        reused = sum(group.reused for group in made)
        detail = {"groups_reused": reused, "groups_written": len(made) - reused}
        return self._created(manifest), detail

    @cached_property
    def _made_by(self) -> list[Any]:
        """What decides the bytes of files, beside the parts."""
        layout = [_LAYOUT, _CONTRACTS, self.config.file_mb, self.config.row_group_mb]
        return [*layout, self.whose.judge_id, self.whose.policy(None).policy_id]

    def _ids(self) -> Iterator[str]:
        """The ids that the snapshot may have; all but the first for when those before are taken."""
        promised = [] if self.bound is None else [self.bound.key]
        content_id = self.inventory.content_id([*self._made_by, *promised])
        yield content_id[:_ID_DIGITS]
        for number in itertools.count(1):
            yield digest(content_id, str(number))[:_ID_DIGITS]

    def _stored(self, listing: SnapshotListing) -> Manifest | None:
        """The snapshot, if it is there with all of its files."""
        for snapshot_id in self._ids():
            if not listing.ids.get(snapshot_id):
                return None
            if listing.whole(manifest := read_manifest(self.output, snapshot_id)):
                return manifest
            self._say_lost(snapshot_id)
        raise AssertionError("ids do not end")

    def _earlier(self, listing: SnapshotListing) -> Iterator[Manifest]:
        """The snapshots whose files may be reused: retention keeps them."""
        ids = (self.before.snapshot_id, self.before.previous) if self.before else ()
        for snapshot_id in filter(listing.ids.get, filter(None, ids)):
            try:
                manifest = read_manifest(self.output, snapshot_id)
            except InputError as error:
                self.reporter.note(f"files are not reused: {error}")
                continue
            if not listing.whole(manifest):
                self._say_lost(snapshot_id)
            yield manifest

    def _say_lost(self, snapshot_id: str) -> None:
        self.reporter.note(
            f"snapshot {snapshot_id} is not whole: files that its manifest names are not there; "
            "they are written again where they are needed"
        )

    def _each_part(self) -> Callable[[int], None]:
        lock, rows, reported = threading.Lock(), 0, time.monotonic()

        def step(more: int) -> None:
            nonlocal rows, reported
            self.lease.check()
            self.stop.check("a snapshot was being written, and nobody sees it yet")
            with lock:
                rows += more
                if time.monotonic() - reported > _PROGRESS_S:
                    reported = time.monotonic()
                    done = {"rows": rows, "rows_total": self.inventory.rows}
                    self.reporter.event("compacting", done)

        return step

    def _manifest(
        self, count: int, made: Sequence[Compacted], files: Sequence[SnapshotFile]
    ) -> Manifest:
        by_path = {path: group for group in made for path in group.outcomes}
        shards = tuple(by_path[s.entry.key].input_shard(s) for s in self.inventory.shards)
        totals = sum((Counter(shard.counts) for shard in shards), Counter[str]())
        return Manifest(
            snapshot_id="",
            created_at=self.output.host.now().isoformat(timespec="microseconds"),
            created_by=self.lease.run_id,
            parent=self.before.snapshot_id if self.before else None,
            judge=self.whose.card,
            policy=self.whose.policy(self._counted(shards)),
            schemas=_CONTRACTS | {BROWSE: contract_of(BROWSE)},
            input=self.inventory.input_uri,
            rows=self.inventory.rows,
            counts={outcome: totals[outcome] for outcome in OUTCOMES},
            shards=shards,
            group_count=count,
            groups=tuple(group.group for group in made),
            files=tuple(files),
            judges=self.whose.cards,
        )

    def _counted(self, shards: Sequence[InputShard]) -> ErrorBound | None:
        """The bound, with how many preferences are within and outside of it."""
        if self.bound is None:
            return None
        inside = frame_shards(self.output, read_set(self.output, self.bound.gold_set))
        labels = sum(shard.counts[Status.LABELED] for shard in shards)
        outside = (s.counts[Status.LABELED] for s in shards if s.shard_key not in inside)
        return replace(self.bound, labels=labels, outside=sum(outside))

    def _created(self, manifest: Manifest) -> Manifest:
        """The manifest as it is stored: this one, or an equal one that is there and whole."""
        for snapshot_id in self._ids():
            manifest = replace(manifest, snapshot_id=snapshot_id)
            self.lease.check()
            if self.output.create(manifest_key(snapshot_id), manifest.to_json()):
                return manifest
            stored = read_manifest(self.output, snapshot_id)
            if SnapshotListing.of(self.output).whole(stored):
                return stored
        raise AssertionError("ids do not end")
