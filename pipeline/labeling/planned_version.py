"""Holds a shard that is read against the version that was planned.

Labels are stored under the version of their shard. If another one were read, they would be those of
other rows, and wrong once the planned version comes back.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa

from pipeline.labeling.read_pairs import ShardTask
from pipeline.pairs.shards import shard_key
from pipeline.runtime.errors import ReconcileError
from pipeline.store.object_store import Entry, Store


def of_planned_version(
    store: Store, task: ShardTask, units: Iterable[pa.Table]
) -> Iterator[pa.Table]:
    """The units of a shard, as long as it is the version that was planned.

    Args:
        store: the input.
        task: of the shard.
        units: read from it as this goes on.

    Raises:
        ReconcileError: it was written anew, or removed; the unit that was just read is left out.
    """
    entry, planned = _look(store, task.key), task.units[0].shard_key
    first = _trace(store, entry)
    if entry is None or shard_key(task.key, entry.size, store.content_key(entry)) != planned:
        raise _changed(store, task)
    for unit in units:
        # By its etag; of a file by its traces, since its content would be hashed for every unit.
        if _trace(store, _look(store, task.key)) != first:
            raise _changed(store, task)
        yield unit


def _look(store: Store, key: str) -> Entry | None:
    return next(store.list(key), None)


def _trace(store: Store, entry: Entry | None) -> tuple[object, ...]:
    """What is another one once the object was written anew."""
    if entry is None or entry.etag is not None:
        return (entry,)
    try:
        found = Path(store.path(entry.key)).stat()
    except OSError:  # gone since
        return (None,)
    return found.st_ino, found.st_mtime_ns, found.st_size


def _changed(store: Store, task: ShardTask) -> ReconcileError:
    return ReconcileError(
        f"{store.path(task.key)}: the shard was written anew or removed since the plan was made; "
        "what was judged of it before that is kept; run again"
    )
