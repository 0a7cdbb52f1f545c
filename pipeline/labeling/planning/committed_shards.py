"""What a judge has committed of every shard, by a few listings for many shards."""

from __future__ import annotations

import functools
import itertools
import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from pipeline.pairs.shards import PATH_DIGITS, content_of, shard_key
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
        awaited: keys of those of them whose rows another tier is about to decide.
    """

    entry: Entry
    content: str
    key: str
    parts: ShardParts
    changed: bool
    former: str | None = None
    unsettled: tuple[Part, ...] = ()
    awaited: frozenset[str] = frozenset()

    def covers(self, rows: int) -> bool:
        """Whether the parts hold each of ``rows`` rows, and none beyond."""
        ranges = self.parts.ranges
        return all(stop <= rows for _, stop in ranges) and not subtract([(0, rows)], ranges)


def committed_shards(
    contents: ContentKeys,
    output: Store,
    judge_id: str,
    entries: Sequence[Entry],
    keys: Collection[str] | None = None,
) -> Iterator[CommittedShard]:
    """Finds the parts of every shard of ``contents``; in no particular order.

    In a bucket the parts of many shards come from one listing, which the store answers by pages:
    names of parts begin with a hash of the shard's path, so that all shards whose hashes begin
    alike are listed together. In a local folder each shard is listed by itself, which is as quick.

    Args:
        contents: of the input.
        output: the output root.
        judge_id: the judge.
        entries: the shards.
        keys: of all parts of the judge, where they are known; nothing is listed then.

    Raises:
        ShardChangedError: one was removed meanwhile.
        StorageError: the input or the output cannot be reached.
    """
    digits = _shared_digits(len(entries), output) if keys is None else 0
    of = functools.partial(content_of, contents)
    with output.host.pool(THREADS) as pool:
        groups = defaultdict(list)
        for entry, content in zip(entries, pool.map(of, entries), strict=True):
            key = shard_key(entry.key, entry.size, content)
            groups[key[:digits]].append((entry, content, key))
        if keys is not None:
            yield from _committed(keys, judge_id, groups[""])
            return

        def listed(beginning: str) -> list[CommittedShard]:
            return _committed(_listed(output, judge_id, beginning), judge_id, groups[beginning])

        yield from itertools.chain.from_iterable(pool.map(listed, groups))


def _shared_digits(shards: int, output: Store) -> int:
    """How many first digits of the hash of its path a shard shares with those of its listing."""
    if output.local or shards < _MANY_SHARDS:
        return PATH_DIGITS
    return max(1, int(math.log(shards / _SHARDS_A_LISTING, 16)))


def _listed(output: Store, judge_id: str, beginning: str) -> Iterator[str]:
    if len(beginning) == PATH_DIGITS:
        listing = output.list(versions_prefix(judge_id, beginning))
    else:
        listing = output.list(judge_parts_prefix(judge_id), beginning)
    return (entry.key for entry in listing)


def _committed(
    keys: Iterable[str], judge_id: str, shards: Iterable[tuple[Entry, str, str]]
) -> list[CommittedShard]:
    """Of shards with their contents and shard keys, what is committed among these keys."""
    versions: dict[str, dict[str, list[str]]] = defaultdict(dict)
    for key in keys:
        if Part.of(key):
            folder = key.rpartition("/")[0]
            versions[folder.rpartition("/")[0]].setdefault(folder, []).append(key)
    committed = []
    for entry, content, key in shards:
        of_path = versions.get(versions_prefix(judge_id, key), {})
        parts = ShardParts.of(of_path.get(own := parts_prefix(judge_id, key), []))
        earlier = len(of_path) > (own in of_path)
        committed.append(CommittedShard(entry, content, key, parts, earlier))
    return committed
