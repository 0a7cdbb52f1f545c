"""Checks that the shard that is read is the version that was planned.

Labels are stored under the version of their shard. If another version were read, they would be
labels of other rows, and wrong once the planned version is restored.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa

from pipeline.labeling.read_pairs import ShardTask
from pipeline.pairs.shards import shard_key
from pipeline.runtime.errors import ShardChangedError, StorageError
from pipeline.store.content_keys import ContentKeys
from pipeline.store.object_store import Entry, Store


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
    entry, planned = _entry(store, task.key), task.units[0].shard_key
    first = _mark_of_version(store, entry)
    if entry is None or shard_key(task.key, entry.size, contents.of(entry)) != planned:
        raise ShardChangedError(store.shown(task.key))
    try:
        for unit in units:
            # By etag; for a file by its metadata, since hashing its content for every unit is slow.
            if _mark_of_version(store, _entry(store, task.key)) != first:
                raise ShardChangedError(store.shown(task.key))
            yield unit
    except StorageError as error:  # such as of a file that is gone
        if _mark_of_version(store, _entry(store, task.key)) != first:
            raise ShardChangedError(store.shown(task.key)) from error
        raise


def _entry(store: Store, key: str) -> Entry | None:
    return next(store.list(key), None)


def _mark_of_version(store: Store, entry: Entry | None) -> tuple[object, ...]:
    """What differs once the object is rewritten."""
    if entry is None or entry.etag is not None:
        return (entry,)
    try:
        found = Path(store.path(entry.key)).stat()
    except OSError:  # removed meanwhile
        return (None,)
    return found.st_ino, found.st_mtime_ns, found.st_size
