"""Fetches the bytes of pictures and videos, from paths below the allowed roots only."""

from __future__ import annotations

import errno
import posixpath
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.runtime.errors import RowRejected, StorageError
from pipeline.store.object_store import Store
from schemas.labels import Reason


class MediaStore:
    """Reads media references: bytes as they are, paths only below the allowed roots."""

    def __init__(self, roots: Sequence[str], max_bytes: int) -> None:
        """Allows the folders ``roots``; relative paths are looked up in the first."""
        self._stores = [Store(root) for root in roots]
        self._max_bytes = max_bytes

    def fetch(self, reference: Mapping[str, Any]) -> bytes:
        """The bytes of ``{"bytes": …, "path": …}``.

        Raises:
            RowRejected: missing, outside the roots, or larger than ``max_bytes``.
            StorageError: the store itself fails.
        """
        data: bytes | None = reference["bytes"]
        path: str | None = reference["path"]
        if data is None:
            if not path:
                raise RowRejected(Reason.MEDIA_MISSING, "the reference has neither bytes nor path")
            return self._fetch_path(path)
        if len(data) > self._max_bytes:
            raise self._too_large("inline media", len(data))
        return data

    def _fetch_path(self, path: str) -> bytes:
        store, key = self._locate(path)
        try:
            size = store.size(key)
            if size is None:
                raise RowRejected(Reason.MEDIA_MISSING, f"{store.path(key)} does not exist")
            if size > self._max_bytes:
                raise self._too_large(store.path(key), size)
            return store.read(key)
        except StorageError as error:
            if isinstance(error.__cause__, PermissionError):
                raise RowRejected(Reason.MEDIA_FORBIDDEN, str(error)) from error
            if _no_such_file(error.__cause__):
                raise RowRejected(Reason.MEDIA_MISSING, str(error)) from error
            raise

    def _locate(self, path: str) -> tuple[Store, str]:
        if "\0" in path:
            raise RowRejected(Reason.MEDIA_MISSING, f"{path[:200]!r} is not a path")
        scheme, separator, rest = path.partition("://")
        if separator and scheme != "file":
            full = f"{scheme}://{posixpath.normpath(rest)}"
        elif path.startswith("/") or separator:
            full = posixpath.normpath(rest if separator else path)
        else:
            full = _join(self._stores[0].uri, path)
        for store in self._stores:
            # A link inside a local root may lead out of it: compare where the path really ends.
            real = _resolved(full) if store.local and "://" not in full else full
            root = str(Path(store.uri).resolve()) if store.local else store.uri
            if real.startswith(root + "/"):
                return store, real[len(root) + 1 :]
        allowed = ", ".join(store.uri for store in self._stores)
        raise RowRejected(
            Reason.MEDIA_FORBIDDEN, f"{path!r} is outside of the allowed media roots ({allowed})"
        )

    def _too_large(self, what: str, size: int) -> RowRejected:
        limit = f"the limit is {self._max_bytes:,} (judge.media.max_bytes)"
        return RowRejected(Reason.MEDIA_TOO_LARGE, f"{what} has {size:,} bytes; {limit}")


def _resolved(path: str) -> str:
    try:
        return str(Path(path).resolve())
    except RuntimeError as error:
        raise RowRejected(Reason.MEDIA_MISSING, f"{path}: links lead in a circle") from error


def _no_such_file(cause: BaseException | None) -> bool:
    """Whether the path is at fault, and not the store: it leads to no file."""
    if isinstance(cause, FileNotFoundError | IsADirectoryError | NotADirectoryError):
        return True
    return isinstance(cause, OSError) and cause.errno in (errno.ENAMETOOLONG, errno.ELOOP)


def _join(root: str, path: str) -> str:
    scheme, separator, rest = root.rpartition("://")
    return f"{scheme}{separator}{posixpath.normpath(posixpath.join(rest, path))}"
