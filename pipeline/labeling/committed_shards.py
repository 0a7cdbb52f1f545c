"""What a judge has committed of every shard, by a few listings for many shards."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from pipeline.pairs.shards import PATH_DIGITS, shard_key
from pipeline.parts.part_keys import (
    Part,
    ShardParts,
    judge_parts_prefix,
    parts_prefix,
    versions_prefix,
)
from pipeline.parts.units import subtract
from pipeline.store.content_keys import ContentKeys
from pipeline.store.object_store import Entry, Store

THREADS = 16
_MANY_SHARDS = 256  # fewer are listed one by one: other parts of the judge may be many more
_SHARDS_A_LISTING = 64


@dataclass(frozen=True)
class CommittedShard:
    """A shard of the input as it is now, and what a judge has committed of it.

    Attributes:
        content: its etag, or the hash of its content where the store has no etags.
        key: identity of its path and content (``fingerprint.shard_key``).
        parts: the parts of its rows.
        changed: whether an earlier version of it has parts.
        former: key of a published shard with the same content under another path.
        unsettled: those of ``parts`` whose rows may have to be asked about again.
    """

    entry: Entry
    content: str
    key: str
    parts: ShardParts
    changed: bool
    former: str | None = None
    unsettled: tuple[Part, ...] = ()

    def covers(self, rows: int) -> bool:
        """Whether the parts hold each of ``rows`` rows, and none beyond."""
        ranges = self.parts.ranges
        return all(stop <= rows for _, stop in ranges) and not subtract([(0, rows)], ranges)


def committed_shards(
    contents: ContentKeys, output: Store, judge_id: str, entries: Sequence[Entry]
) -> Iterator[CommittedShard]:
    """Finds the parts of every shard of ``contents``; in no particular order.

    In a bucket the parts of many shards come from one listing, which the store answers by pages:
    names of parts begin with a hash of the shard's path, so that all shards whose hashes begin
    alike are listed together. In a local folder each shard is listed by itself, which is as quick.

    Raises:
        StorageError: the input or the output cannot be reached.
    """
    with output.host.pool(THREADS) as pool:
        found_contents = pool.map(contents.of, entries)
        groups = defaultdict(list)
        digits = _shared_digits(len(entries), output)
        for entry, content in zip(entries, found_contents, strict=True):
            key = shard_key(entry.key, entry.size, content)
            groups[key[:digits]].append((entry, content, key))
        found = pool.map(lambda group: _group(output, judge_id, *group), groups.items())
        yield from itertools.chain.from_iterable(found)


def _shared_digits(shards: int, output: Store) -> int:
    """How many first digits of the hash of its path a shard shares with those of its listing."""
    if output.local or shards < _MANY_SHARDS:
        return PATH_DIGITS
    return max(1, int(math.log(shards / _SHARDS_A_LISTING, 16)))


def _group(
    output: Store, judge_id: str, beginning: str, shards: Iterable[tuple[Entry, str, str]]
) -> list[CommittedShard]:
    if len(beginning) == PATH_DIGITS:
        listing = output.list(versions_prefix(judge_id, beginning))
    else:
        listing = output.list(judge_parts_prefix(judge_id), beginning)
    versions: dict[str, dict[str, list[str]]] = defaultdict(dict)
    for entry in listing:
        if Part.of(entry.key):
            folder = entry.key.rpartition("/")[0]
            versions[folder.rpartition("/")[0]].setdefault(folder, []).append(entry.key)
    committed = []
    for entry, content, key in shards:
        of_path = versions.get(versions_prefix(judge_id, key), {})
        parts = ShardParts.of(of_path.get(own := parts_prefix(judge_id, key), []))
        earlier = len(of_path) > (own in of_path)
        committed.append(CommittedShard(entry, content, key, parts, earlier))
    return committed
