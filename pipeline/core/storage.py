"""One object store under one URI: local folders and s3:// alike, through fsspec and s3fs.

Credentials come from the default chain (environment, profile, pod identity) and
``AWS_ENDPOINT_URL``, never from configuration, and never appear in a message.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec
from botocore.exceptions import BotoCoreError, ClientError

from pipeline.core.errors import StorageError

SCHEMES = ("file", "s3")
_TEMPORARY = re.compile(r"\..*\.[0-9a-f]{12}\.tmp")  # a local write that is not committed yet
_HINTS = {
    PermissionError: "access is denied: check the credentials in use and what they may do there",
    FileNotFoundError: "it does not exist: check bucket and path",
}


@dataclass(frozen=True)
class Entry:
    """One object: its key under the store's root, size in bytes, and etag where there is one."""

    key: str
    size: int
    etag: str | None


class Store:
    """The objects under one root URI.

    Every method raises StorageError (URI and cause) where the store refuses or fails; keys are
    relative to the root.
    """

    def __init__(self, uri: str) -> None:
        """Binds to ``uri``, a local path, ``file://…`` or ``s3://bucket/prefix``.

        Raises:
            StorageError: the scheme is not supported, or the path is ``/``.
        """
        scheme, separator, _ = uri.partition("://")
        if separator and scheme not in SCHEMES:
            raise StorageError(f"{uri}: scheme {scheme!r} is not supported; use a path or s3://")
        self.local = not separator or scheme == "file"
        self.uri = str(Path(uri.removeprefix("file://")).absolute()) if self.local else uri
        self.uri = self.uri.rstrip("/")
        if not self.uri:
            raise StorageError("/: the root of the file system is no store; name a folder")
        options: dict[str, Any] = {} if self.local else {"use_listings_cache": False}
        self._fs, self._root = fsspec.url_to_fs(self.uri, **options)

    def __reduce__(self) -> tuple[type[Store], tuple[str]]:
        return Store, (self.uri,)

    def path(self, key: str) -> str:
        """The URI of ``key``, for messages."""
        return f"{self.uri}/{key}" if key else self.uri

    def list(self, prefix: str = "") -> Iterator[Entry]:
        """Every object under the folder ``prefix``, sorted by key; empty if there is none.

        A root that is itself one object is listed with the empty key.
        """
        base = self._join(prefix)
        with self._errors(prefix):
            found = _find_local(base) if self.local else self._fs.find(base, detail=True)
        strip = len(self._root)
        for path in sorted(found):
            info = found[path]
            if info["type"] == "file":
                etag = str(info["ETag"]).strip('"') if "ETag" in info else None
                yield Entry(path[strip:].lstrip("/"), int(info["size"]), etag)

    def read(self, key: str) -> bytes:
        """The whole object."""
        with self._errors(key):
            return bytes(self._fs.cat_file(self._join(key)))

    def read_range(self, key: str, start: int, stop: int) -> bytes:
        """Bytes ``[start, stop)`` of an object; the interval must lie within it."""
        with self._errors(key):
            return bytes(self._fs.cat_file(self._join(key), start=start, end=stop))

    def size(self, key: str) -> int | None:
        """The object's size in bytes, or None if there is no such object."""
        with self._errors(key):
            try:
                info = self._fs.info(self._join(key))
            except FileNotFoundError:
                return None
            return None if info["type"] == "directory" else int(info["size"])

    def open(self, key: str, size: int) -> SourceFile:
        """A seekable reader that tells a failing store from a corrupt file."""
        return SourceFile(self, key, size)

    def create(self, key: str, data: bytes) -> bool:
        """Writes an object in one PUT unless it exists; True if this call created it.

        Existence is the commit: a reader sees the whole object or none.
        """
        with self._errors(key):
            if self.local:
                return _create_local(Path(self._join(key)), data)
            try:
                self._fs.pipe_file(self._join(key), data, mode="create")
            except FileExistsError:
                return False
            except OSError as error:
                if _code(error) not in ("PreconditionFailed", "ConditionalRequestConflict"):
                    raise
                return False
            return True

    def put(self, key: str, data: bytes) -> None:
        """Writes an object in one PUT, replacing what is there."""
        with self._errors(key):
            if self.local:
                _replace_local(Path(self._join(key)), data)
            else:
                self._fs.pipe_file(self._join(key), data)

    def content_key(self, entry: Entry) -> str:
        """What tells one version of an object from the next: its etag, or its content's hash."""
        if entry.etag is not None:
            return entry.etag
        with self._errors(entry.key), Path(self._join(entry.key)).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def _join(self, key: str) -> str:
        return f"{self._root}/{key}" if key else self._root

    @contextmanager
    def _errors(self, key: str) -> Iterator[None]:
        try:
            yield
        except (OSError, ClientError, BotoCoreError) as error:
            hint = next((text for kind, text in _HINTS.items() if isinstance(error, kind)), "")
            cause = f"{type(error).__name__}: {error}"
            text = f"{hint} ({cause})" if hint else cause
            raise StorageError(f"{self.path(key)}: {text}") from error


class SourceFile(io.RawIOBase):
    """A seekable object that remembers the store's failure, if there was one.

    Parquet reports a bad page and a lost connection both as OSError; the first belongs into
    quarantine, the second must be raised. ``failure`` tells them apart.
    """

    def __init__(self, store: Store, key: str, size: int) -> None:
        super().__init__()
        self.failure: StorageError | None = None
        self.name = store.path(key)
        self._store, self._key, self._size, self._position = store, key, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def tell(self) -> int:
        return self._position

    def size(self) -> int:
        """The object's size in bytes."""
        return self._size

    def read(self, size: int = -1) -> bytes:
        stop = self._size if size < 0 else min(self._size, self._position + size)
        if stop <= self._position:
            return b""
        try:
            data = self._store.read_range(self._key, self._position, stop)
        except StorageError as error:
            self.failure = error
            raise OSError(str(error)) from error
        self._position += len(data)
        return data


def _find_local(base: str) -> dict[str, dict[str, Any]]:
    """What ``find`` of fsspec gives, but with linked files, and with every error raised."""

    def stop(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            raise error

    if Path(base).is_file():
        return {base: {"type": "file", "size": Path(base).stat().st_size}}
    paths: list[Path] = []
    for folder, _, names in os.walk(base, onerror=stop):
        paths += [Path(folder, name) for name in names if not _TEMPORARY.fullmatch(name)]
    found = {}
    for path in paths:
        with suppress(FileNotFoundError):  # gone since, or a dangling link
            found[str(path)] = {"type": "file", "size": path.stat().st_size}
    return found


def _create_local(path: Path, data: bytes) -> bool:
    temporary = _write_temporary(path, data)
    try:
        os.link(temporary, path)  # atomic, and fails where the name is taken
    except FileExistsError:
        return False
    finally:
        temporary.unlink()
    return True


def _replace_local(path: Path, data: bytes) -> None:
    _write_temporary(path, data).replace(path)


def _write_temporary(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".{path.name}.{secrets.token_hex(6)}.tmp"
    with temporary.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return temporary


def _code(error: BaseException) -> str | None:
    cause = error.__cause__
    if isinstance(cause, ClientError):
        return str(cause.response.get("Error", {}).get("Code"))
    return None
