"""Removes objects; nothing else calls ``Store.delete``."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable

from pipeline.store.object_store import Store

_THREADS = 8
_AT_ONCE = 64  # between two checks


def remove_objects(store: Store, keys: Iterable[str], check: Callable[[], None]) -> None:
    """Removes objects, those that are gone already too.

    Args:
        store: the output store.
        keys: of objects that this software wrote and that nothing needs: the caller's promise.
        check: called before every few of them; raises once the lease is lost.

    Raises:
        StorageError: the store fails, or these credentials may not delete.
    """
    left = iter(keys)
    with store.host.pool(_THREADS) as pool:
        while some := list(itertools.islice(left, _AT_ONCE)):
            check()
            list(pool.map(store.delete, some))
