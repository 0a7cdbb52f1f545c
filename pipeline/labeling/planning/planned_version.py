"""Checks that the shard that is read is the version that was planned.

Labels are stored under the version of their shard. If another version were read, they would be
labels of other rows, and wrong once the planned version is restored.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pyarrow as pa

from pipeline.labeling.read_pairs import ShardTask
from pipeline.pairs.shards import check_unchanged, shard_key, unless_changed
from pipeline.runtime.errors import ShardChangedError
from pipeline.store.content_keys import ContentKeys
from pipeline.store.object_store import Store


def of_planned_version(
    store: Store, task: ShardTask, units: Iterable[pa.Table], contents: ContentKeys
) -> Iterator[pa.Table]:
    """The units of a shard, as long as it is the version that was planned.

    Args:
        store: the input.
        task: the shard's task.
        units: its units, read while this generator runs.
        contents: of the input.

    Raises:
        ShardChangedError: it was rewritten or removed; the unit that was just read is not yielded.
    """
    entry, planned = next(store.list(task.key), None), task.units[0].shard_key
    if entry is None:
        raise ShardChangedError(store.shown(task.key))
    with unless_changed(store, entry):
        if shard_key(task.key, entry.size, contents.of(entry)) != planned:
            raise ShardChangedError(store.shown(task.key))
        # By etag; a file by its metadata, since hashing its content for every unit is slow.
        for unit in units:
            check_unchanged(store, entry)
            yield unit
        check_unchanged(store, entry)  # one with fewer rows ends before the unit does
