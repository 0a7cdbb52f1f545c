"""The shards of the live snapshot, as a plan compares the input with them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Literal, Self

from pipeline.labeling.planning.committed_shards import CommittedShard
from pipeline.labeling.planning.shard_planner import ShardPlan
from pipeline.store.object_store import Store

# Why a shard has rows to do: it is unknown; it was published under another path; its content
# changed; its labels are of another judge; some of its rows are not judged yet, or are retried.
Kind = Literal["new", "moved", "changed", "stale", "unfinished"]


@dataclass(frozen=True)
class PublishedShards:
    """What a plan needs of the live snapshot; empty without a snapshot that can be read.

    Attributes:
        input_uri: the input that they are of.
        judge_ids: the judges that labelled them.
        keys: the shard key of each path.
        rows: how many rows each readable shard has, by shard key.
        contents: the shard key of each content: size, and etag or hash.
    """

    input_uri: str = ""
    judge_ids: frozenset[str] = frozenset()
    keys: Mapping[str, str] = field(default_factory=dict, repr=False)
    rows: Mapping[str, int] = field(default_factory=dict, repr=False)
    contents: Mapping[tuple[int, str], str] = field(default_factory=dict, repr=False)

    def of_input(self, input_uri: str) -> Self:
        """The same if they are of this input; paths of another input cannot be compared: empty."""
        return self if self.input_uri == input_uri else type(self)()

    def kind(self, shard: ShardPlan, judge_id: str) -> Kind:
        """Why a shard has units to do for a judge."""
        path, key = shard.entry.key, shard.units[0].shard_key
        if path not in self.keys:
            return "changed" if shard.changed else "moved" if shard.former else "new"
        if judge_id not in self.judge_ids:
            return "stale"
        return "unfinished" if self.keys[path] == key and not shard.changed else "changed"

    def former(self, shard: CommittedShard, judge_id: str) -> str | None:
        """The key of the same content under another path, if this judge labelled it."""
        key = self.contents.get((shard.entry.size, shard.content))
        return key if judge_id in self.judge_ids and key != shard.key else None

    def deleted(self, paths: Collection[str], moved: Collection[str]) -> tuple[int, int]:
        """How many shards, and rows of them, are deleted: not among ``paths``, nor ``moved``.

        Args:
            paths: of all shards of the input.
            moved: former keys of shards that were moved.
        """
        keys = [k for path, k in self.keys.items() if path not in paths and k not in moved]
        return len(keys), sum(self.rows.get(key, 0) for key in keys)


ReadPublished = Callable[[Store], PublishedShards]
"""Reads them from an output; ``pipeline.snapshots.live_shards`` does."""


def nothing_published(output: Store) -> PublishedShards:
    """For outputs that have no snapshots, whatever is there."""
    return PublishedShards()
