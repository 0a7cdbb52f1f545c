"""SHA-256 of local files, each computed once and kept from run to run."""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pipeline.store.disk_cache import DiskCache

SHA256 = re.compile(r"[0-9a-f]{64}")
# A file that changed so recently may change once more at what its file system takes for the same
# time.
_SETTLED_NS = 2_000_000_000


class FileHashes:
    """Hashes of files; a kept one is believed while path, size, times and inode are the same."""

    def __init__(self, cache: DiskCache) -> None:
        """Keeps hashes in a cache."""
        self._cache = cache

    def of(self, paths: Iterable[Path]) -> dict[str, str]:
        """SHA-256 of files, as hex, by their names; several are read at a time.

        Raises:
            OSError: one of them cannot be read.
        """
        listed = list(paths)
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            hashes = list(pool.map(self._sha256, listed))
        return {path.name: found for path, found in zip(listed, hashes, strict=True)}

    def _sha256(self, path: Path) -> str:
        state = _state(path)
        kept = self._cache.get(*state)
        if kept is not None and SHA256.fullmatch(kept):
            return kept
        began = time.time_ns()
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        stat = path.stat()
        changed = max(stat.st_mtime_ns, stat.st_ctime_ns)
        if _state(path) == state and changed < began - _SETTLED_NS:
            self._cache.put(found, *state)
        return found


def _state(path: Path) -> list[str]:
    stat = path.stat()
    numbers = (stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino, stat.st_dev)
    return [str(path.resolve()), *map(str, numbers)]
