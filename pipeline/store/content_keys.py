"""Which version of an object a listing shows: its etag, or a hash that is computed once.

A local file has no etag. Its hash is kept under the output by the file's path, size and times, so
that planning, judging, publishing and export read an unchanged file once between them, whichever
run and process they are in. What is kept is a cache: without it, or where it is damaged, files are
hashed again.
"""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from contextlib import suppress
from pathlib import Path
from typing import Any

from pipeline.runtime.digest import digest
from pipeline.runtime.errors import StorageError
from pipeline.store import local_files
from pipeline.store.object_store import Entry, Store

FOLDER = "cache/content"
_VERSION = "content/v1"
_BUCKETS = 16  # objects: a task that asks about one of 100,000 files reads few of their hashes

_Known = dict[str, list[Any]]  # by path: size, the numbers of ``Entry.stat``, and the hash


class ContentKeys:
    """The content keys of the objects of one store; safe to use from many threads, picklable.

    Attributes:
        source: the store of the objects.
    """

    def __init__(self, source: Store, output: Store) -> None:
        """Binds to the store of the objects, and to the output that keeps their hashes."""
        self.source, self._output = source, output
        self._folder = f"{FOLDER}/{digest(source.uri)[:16]}"
        self._known: dict[int, _Known] = {}
        self._new: dict[int, _Known] = defaultdict(dict)
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[type[ContentKeys], tuple[Store, Store]]:
        return ContentKeys, (self.source, self._output)

    def of(self, entry: Entry) -> str:
        """Identifies the version of an object; the same as ``Store.content_key``.

        Raises:
            StorageError: it has to be read, and cannot be.
        """
        if entry.etag is not None:
            return entry.etag
        if entry.stat is None or entry.young:
            return self.source.content_key(entry)
        bucket, stat = _bucket_of(entry.key), [entry.size, *entry.stat]
        with self._lock:
            if bucket not in self._known:
                self._known[bucket] = self._read(bucket)
            found = self._known[bucket].get(entry.key)
        if found is not None and found[:-1] == stat:
            return str(found[-1])
        content = self.source.content_key(entry)
        with suppress(OSError):  # removed meanwhile
            now = local_files.stat_of(Path(self.source.path(entry.key)))
            if list(now) == stat:  # else it changed since it was listed
                with self._lock:
                    self._known[bucket][entry.key] = self._new[bucket][entry.key] = [*stat, content]
        return content

    def save(self) -> None:
        """Keeps what was hashed since the last call, and forgets files that are gone."""
        with self._lock:
            new, self._new = self._new, defaultdict(dict)
        for bucket, found in new.items():
            # Runs that save at once lose some of the hashes, and no more than that.
            merged = self._read(bucket) | found
            there = {
                path: known
                for path, known in merged.items()
                if path in found or Path(self.source.path(path)).exists()
            }
            record = {"version": _VERSION, "source": self.source.uri, "files": there}
            self._output.put(self._key(bucket), json.dumps(record, sort_keys=True).encode())

    def _read(self, bucket: int) -> _Known:
        with suppress(StorageError, ValueError, KeyError, TypeError, AttributeError):
            record = json.loads(self._output.read(self._key(bucket)))
            if record["version"] == _VERSION:
                return {path: list(known) for path, known in record["files"].items()}
        return {}

    def _key(self, bucket: int) -> str:
        return f"{self._folder}/{bucket:x}.json"


def _bucket_of(path: str) -> int:
    return int(digest(path)[:8], 16) % _BUCKETS
