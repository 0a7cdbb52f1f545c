"""Which shards share files, so that a nightly publish writes about what changed.

A shard's group is the beginning of a hash of its path: it stays in its group whatever shards come
and go. A file holds whole shards of one group, and is written again once any of them changed. With
``n`` shards in ``g`` groups, a changed one shares its files with ``(n - 1) / g`` others on average,
and there are at least a quarter as many groups as shards: of few scattered changes at most about
five times their bytes are written, and of 10 in 1,000 shards (512 groups) 3 times, so 3 %.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.runtime.digest import digest
from pipeline.snapshots.snapshot_inventory import InventoryShard

_LEAST = 512  # of few shards nearly every one has files of its own
_SHARDS_A_GROUP = 4
_BITS = 32  # of the hash; there are never more groups than they distinguish


@dataclass(frozen=True)
class Group:
    """The shards of a group, in order.

    Attributes:
        source: digest of everything that its files are made of.
    """

    number: int
    shards: tuple[InventoryShard, ...]
    source: str


def number_of_groups(shards: int, before: int | None) -> int:
    """How many groups a corpus has: a power of two.

    Args:
        shards: of the corpus.
        before: how many groups the parent has. Twice the least number is kept, so that a corpus
            whose size varies around a limit is not written again each time.
    """
    least = _LEAST
    while least * _SHARDS_A_GROUP < shards:
        least *= 2
    return before if before == 2 * least else least


def groups_of(shards: Sequence[InventoryShard], count: int, made_by: Any) -> list[Group]:
    """The groups that have shards, by number.

    Args:
        shards: in order.
        count: how many groups there may be.
        made_by: what else decides the bytes of their files: layout, judge, policy; JSON.
    """
    found: dict[int, list[InventoryShard]] = defaultdict(list)
    for shard in shards:
        found[_group_of(shard.entry.key, count)].append(shard)
    return [Group(n, tuple(found[n]), _source(found[n], made_by)) for n in sorted(found)]


def _group_of(path: str, count: int) -> int:
    return int(digest(path)[: _BITS // 4], 16) * count >> _BITS


def _source(shards: Sequence[InventoryShard], made_by: Any) -> str:
    parts = [(shard.entry.key, shard.key, shard.made_of) for shard in shards]
    return digest(json.dumps([made_by, parts], sort_keys=True))
