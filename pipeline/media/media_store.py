"""Fetches the bytes of pictures and videos, from paths below the allowed roots only."""

from __future__ import annotations

import errno
import posixpath
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from pipeline.media.inline_media import decode_text
from pipeline.runtime.errors import Fault, RowRejected, StorageError
from pipeline.runtime.faults import is_refusal
from pipeline.store.object_store import Store
from schemas.labels import Reason

_BASE64_GROWTH = 1.4  # characters a byte, line ends included
_LONGEST_PATH = 8_192  # characters; no file system takes more
_PAUSES_S = (0.1, 0.2, 0.4, 0.8, 1.6, 3, 6, 12, 20)  # while a store refuses everything
_REFUSALS = 8  # one after the other, while another object can be read each time
_MOST_SHOWN = 250  # characters of a path in a message

Found = TypeVar("Found")
Asked = Callable[[Store, str], Found]


class MediaStore:
    """Reads media references: bytes as they are, paths only below the allowed roots.

    What is written as text, as a data URI or in base64, is decoded, wherever it stands.
    """

    def __init__(self, roots: Sequence[str], max_bytes: int) -> None:
        """Allows the folders ``roots``; relative paths are looked up in the first."""
        self._stores = [Store(root, patient=False) for root in roots]
        self._max_bytes = max_bytes
        self._readable: dict[str, str] = {}  # by root, the key that was read last

    def fetch(self, reference: Mapping[str, Any]) -> bytes:
        """The bytes of ``{"bytes": …, "path": …}``.

        Raises:
            RowRejected: missing, outside the roots, no regular file, or larger than ``max_bytes``.
            StorageError: the store itself fails.
        """
        data: bytes | None = reference["bytes"]
        path: str | None = reference["path"]
        if data is None and not path:
            raise RowRejected(Reason.MEDIA_MISSING, "the reference has neither bytes nor path")
        text = data if data is not None else str(path).encode(errors="surrogateescape")
        if len(text) > max(_BASE64_GROWTH * self._max_bytes, _LONGEST_PATH):
            raise self._too_large("inline media", len(text))
        found = decode_text(text)
        if found is None and data is None:
            return self._fetch_path(str(path))
        medium = text if found is None else found
        if len(medium) > self._max_bytes:
            raise self._too_large("inline media", len(medium))
        return medium

    def find(self, path: str) -> tuple[Store, str, int]:
        """Where the file of a path is: store, key and size.

        Raises:
            RowRejected: as :meth:`fetch` does.
            StorageError: the store itself fails.
        """
        store, key = self._locate(path)
        return store, key, self._asked(self._size, store, key)

    def _fetch_path(self, path: str) -> bytes:
        return self._asked(self._content, *self._locate(path))

    def _asked(self, what: Asked[Found], store: Store, key: str) -> Found:
        """What a store answers about an object, or why it is the row's fault that it does not."""
        try:
            found = _of_object(what, store, key)
        except StorageError as error:
            if not is_refusal(error.__cause__):
                raise
            if store.local:
                raise RowRejected(Reason.MEDIA_FORBIDDEN, str(error)) from error
            found = self._asked_again(what, store, key, error)
        self._readable[store.uri] = key
        return found

    def _asked_again(
        self, what: Asked[Found], store: Store, key: str, error: StorageError
    ) -> Found:
        """The same of an object that was refused: by now, or the row's fault, or the store's.

        Expired credentials and a clock that is wrong refuse everything, or some of it, for a while,
        and no row is at fault: a refusal is meant for this object only if it is repeated each time
        that the last object that was read here still can be.
        """
        for pause in _PAUSES_S:
            refused = 0
            while self._others_are_readable(store):
                try:
                    return _of_object(what, store, key)
                except StorageError as again:
                    if not is_refusal(again.__cause__):
                        raise
                    if (refused := refused + 1) == _REFUSALS:
                        raise RowRejected(Reason.MEDIA_FORBIDDEN, str(again)) from again
            store.host.sleep(pause)
            with suppress(StorageError):
                return _of_object(what, store, key)
        raise StorageError(
            f"{error}; so is everything else below {store.uri}, for {sum(_PAUSES_S):.0f} s: check "
            "credentials, the clock and the right to read; the same command goes on",
            Fault.CALLER,
        ) from error

    def _others_are_readable(self, store: Store) -> bool:
        if (key := self._readable.get(store.uri)) is None:
            return False
        try:
            return store.size(key) is not None
        except StorageError:
            return False

    def _content(self, store: Store, key: str) -> bytes:
        size = self._size(store, key)
        # No more than that, though the file may have grown: another size may be a terabyte.
        return store.read_range(key, 0, size) if size else b""

    def _size(self, store: Store, key: str) -> int:
        where, size = _shown(store.path(key)), store.size(key)
        if size is None:
            raise RowRejected(Reason.MEDIA_MISSING, f"{where} does not exist")
        if store.local and not Path(store.path(key)).is_file():
            detail = f"got a device, pipe or socket, expected a file: {where}"
            raise RowRejected(Reason.MEDIA_UNSUPPORTED, detail)
        if size > self._max_bytes:
            raise self._too_large(where, size)
        return size

    def _locate(self, path: str) -> tuple[Store, str]:
        if "\0" in path:
            raise RowRejected(Reason.MEDIA_MISSING, f"{_shown(path)!r} is not a path")
        scheme, full = _absolute(path, self._stores[0].uri if self._stores else "/")
        if scheme in ("http", "https"):
            raise RowRejected(
                Reason.MEDIA_FORBIDDEN,
                f"{_shown(path)}: nothing is fetched from the web while pairs are judged: download "
                "the files, name their paths in the data, and ingest with media_root and "
                "inline_media",
            )
        for store in self._stores:
            # A link inside a local root may lead out of it: compare where the path really ends.
            real = _resolved(full) if store.local and "://" not in full else full
            root = str(Path(store.uri).resolve()) if store.local else store.uri
            if real.startswith(root + "/"):
                return store, real[len(root) + 1 :]
        allowed = ", ".join(store.uri for store in self._stores)
        raise RowRejected(
            Reason.MEDIA_FORBIDDEN,
            f"{_shown(path)!r} is outside of the allowed media roots ({allowed})",
        )

    def _too_large(self, what: str, size: int) -> RowRejected:
        limit = f"the limit is {self._max_bytes:,} (judge.media.max_bytes)"
        return RowRejected(Reason.MEDIA_TOO_LARGE, f"{what} has {size:,} bytes; {limit}")


def _of_object(what: Asked[Found], store: Store, key: str) -> Found:
    try:
        return what(store, key)
    except StorageError as error:
        if _no_such_file(error.__cause__):
            raise RowRejected(Reason.MEDIA_MISSING, str(error)) from error
        raise


def _absolute(path: str, root: str) -> tuple[str, str]:
    """The scheme of a path, where it has one, and all of the path; of files as a plain path."""
    scheme, separator, rest = path.partition(":")
    if separator and scheme.lower() == "file":  # file:/a, file:///a, file://localhost/a
        host, slash, local = rest.removeprefix("//").partition("/")
        if rest.startswith("//") and host not in ("", "localhost"):
            return "file", path  # of another machine: below no root
        local = slash + local if rest.startswith("//") else rest
        return "file", posixpath.normpath(local)
    if rest.startswith("//"):
        return scheme.lower(), f"{scheme}://{posixpath.normpath(rest[2:])}"
    return "", posixpath.normpath(path) if path.startswith("/") else _join(root, path)


def _shown(path: str) -> str:
    """A path for a message: of a long one, its beginning and its end."""
    return path if len(path) <= _MOST_SHOWN else f"{path[:100]}…{path[-100:]}"


def _resolved(path: str) -> str:
    try:
        return str(Path(path).resolve())
    except RuntimeError as error:
        detail = f"{_shown(path)}: links lead in a circle"
        raise RowRejected(Reason.MEDIA_MISSING, detail) from error


def _no_such_file(cause: BaseException | None) -> bool:
    """Whether the path is at fault, and not the store: it leads to no file."""
    if isinstance(cause, FileNotFoundError | IsADirectoryError | NotADirectoryError):
        return True
    return isinstance(cause, OSError) and cause.errno in (errno.ENAMETOOLONG, errno.ELOOP)


def _join(root: str, path: str) -> str:
    scheme, separator, rest = root.rpartition("://")
    return f"{scheme}{separator}{posixpath.normpath(posixpath.join(rest, path))}"
