"""Small texts that cost much to compute, kept in the user's cache folder from run to run."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from pipeline.runtime.digest import digest
from pipeline.store import local_files


class DiskCache:
    """Texts by key. A cache that cannot be read or written is as good as an empty one."""

    def __init__(self, folder: Path | None) -> None:
        """Keeps texts in ``folder``; None keeps none."""
        self._folder = folder

    def get(self, *key: str) -> str | None:
        """The text kept under a key; None if there is none. It may be damaged: check it."""
        if self._folder is None:
            return None
        try:
            return (self._folder / digest(*key)).read_text(encoding="utf-8")
        except (OSError, ValueError):
            return None

    def put(self, text: str, *key: str) -> None:
        """Keeps a text under a key."""
        if self._folder is not None:
            with contextlib.suppress(OSError):
                local_files.replace(self._folder / digest(*key), text.encode())


def user_cache() -> DiskCache:
    """The cache under ``$XDG_CACHE_HOME/pairmill``, or ``~/.cache/pairmill``."""
    try:
        above = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:  # this user has no home
        return DiskCache(None)
    return DiskCache(above / "pairmill")
