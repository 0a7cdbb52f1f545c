"""The shards of the live snapshot, as a plan compares the input with them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Literal, Self

from pipeline.labeling.committed_shards import CommittedShard
from pipeline.labeling.shard_planner import ShardPlan
from pipeline.store.object_store import Store

# Why a shard has rows to do: nobody knows it yet; it was published under another path; its content
# changed; its labels are of another judge; rows of it are left, or are tried again.
Kind = Literal["new", "moved", "changed", "stale", "unfinished"]


@dataclass(frozen=True)
class PublishedShards:
    """Of the live snapshot, what a plan needs; empty where there is none that can be read.

    Attributes:
        input_uri: whose shards they are.
        judge_id: who labelled them.
        keys: by path, what tells a version of the shard from others.
        rows: how many rows a readable shard has, by that key.
        contents: that key, by what does not depend on the path: size, and etag or hash.
    """

    input_uri: str = ""
    judge_id: str = ""
    keys: Mapping[str, str] = field(default_factory=dict, repr=False)
    rows: Mapping[str, int] = field(default_factory=dict, repr=False)
    contents: Mapping[tuple[int, str], str] = field(default_factory=dict, repr=False)

    def about(self, input_uri: str) -> Self:
        """The same, if they are of this input; paths of another one say nothing."""
        return self if self.input_uri == input_uri else type(self)()

    def kind(self, shard: ShardPlan, judge_id: str) -> Kind:
        """Why a shard has units to do for a judge."""
        path, key = shard.entry.key, shard.units[0].shard_key
        if path not in self.keys:
            return "changed" if shard.changed else "moved" if shard.former else "new"
        if self.judge_id != judge_id:
            return "stale"
        return "unfinished" if self.keys[path] == key and not shard.changed else "changed"

    def former(self, shard: CommittedShard, judge_id: str) -> str | None:
        """The key of a shard with the same content under another path, labelled by this judge."""
        key = self.contents.get((shard.entry.size, shard.content))
        return key if self.judge_id == judge_id and key != shard.key else None

    def gone(self, paths: Collection[str], moved: Collection[str]) -> tuple[int, int]:
        """How many shards, and rows of them, are not among these paths, nor their keys moved."""
        deleted = [k for path, k in self.keys.items() if path not in paths and k not in moved]
        return len(deleted), sum(self.rows.get(key, 0) for key in deleted)


NOTHING_PUBLISHED = PublishedShards()


def nothing_published(output: Store) -> PublishedShards:
    """For outputs that have no snapshots, whatever is there."""
    return NOTHING_PUBLISHED
