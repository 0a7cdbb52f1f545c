"""One object store under one URI: local folders and s3:// alike, through fsspec and s3fs.

Credentials come from the default chain (environment, profile, pod identity) and
``AWS_ENDPOINT_URL``, never from configuration, and never appear in a message.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec
from botocore.exceptions import BotoCoreError, ClientError
from fsspec.implementations.local import LocalFileSystem

from pipeline.core.errors import StorageError

SCHEMES = ("file", "s3")
_TEMPORARY = re.compile(r"\..*\.[0-9a-f]{12}\.tmp")  # a local write that is not committed yet
_HINTS = {
    PermissionError: "access is denied: check the credentials in use and what they may do there",
    FileNotFoundError: "it does not exist: check bucket and path",
}
_IN_THE_WAY = "a part of the path is a file and no folder: check the path"
_LOCAL_HINTS = {
    PermissionError: "access is denied: check who owns the folders of this path and who may write",
    FileNotFoundError: "it does not exist and was not made: check the path",
    NotADirectoryError: _IN_THE_WAY,
    FileExistsError: _IN_THE_WAY,
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
        """Binds to ``uri``, a local path, ``file:///…`` or ``s3://bucket/prefix``.

        Raises:
            StorageError: the scheme is not supported, or nothing below a root is named.
        """
        scheme, separator, rest = uri.partition("://")
        if separator and scheme not in SCHEMES:
            raise StorageError(f"{uri}: scheme {scheme!r} is not supported; use a path or s3://")
        self.local = not separator or scheme == "file"
        if self.local:
            self.uri = self._root = _local_root(uri)
            self._fs: Any = LocalFileSystem()  # not by URI: fsspec takes `::` in one for a chain
            return
        if not rest.strip("/"):
            raise StorageError(f"{uri}: no bucket is named; give s3://bucket/prefix")
        self.uri = uri.rstrip("/")
        self._fs, self._root = fsspec.url_to_fs(self.uri, use_listings_cache=False)

    def __reduce__(self) -> tuple[type[Store], tuple[str]]:
        return Store, (self.uri,)

    def path(self, key: str) -> str:
        """The URI of ``key``, for messages."""
        return f"{self.uri}/{key}" if key else self.uri

    def real_path(self, key: str = "") -> str:
        """The URI of ``key`` with the links of a local path resolved, to compare places by."""
        return str(Path(self.path(key)).resolve()) if self.local else self.path(key)

    def list(self, prefix: str = "") -> Iterator[Entry]:
        """Every object under the folder ``prefix``, sorted by key; empty if there is none.

        A root that is itself one object is listed with the empty key. Links of a local store are
        followed, except those that lead back to a folder above them.
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
            hints = _LOCAL_HINTS if self.local else _HINTS
            hint = next((text for kind, text in hints.items() if isinstance(error, kind)), "")
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


def _local_root(uri: str) -> str:
    """The absolute path without ``..``, double or trailing slashes of a local URI."""
    path = uri.removeprefix("file://")
    if not path:
        raise StorageError("the path is empty: give a folder (. is this one) or s3://bucket/prefix")
    if path != uri and not path.startswith("/"):
        raise StorageError(f"{uri}: not an absolute path; give file:///folder or a plain path")
    root = "/" + os.path.normpath(Path(path).absolute()).strip("/")
    if root == "/":
        raise StorageError("/: the root of the file system is no store; name a folder")
    return root


def _find_local(base: str) -> dict[str, dict[str, Any]]:
    """What ``find`` of fsspec gives, but with what is linked, and with every error raised."""

    def stop(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            raise error

    if Path(base).is_file():
        return {base: {"type": "file", "size": Path(base).stat().st_size}}
    paths: list[Path] = []
    for folder, folders, names in os.walk(base, onerror=stop, followlinks=True):
        folders[:] = [name for name in folders if not _leads_back(Path(folder, name), base)]
        paths += [Path(folder, name) for name in names if not _TEMPORARY.fullmatch(name)]
    found = {}
    for path in paths:
        try:
            found[str(path)] = {"type": "file", "size": path.stat().st_size}
        except OSError as error:  # gone since, a dangling link, or one to itself
            if error.errno not in (errno.ENOENT, errno.ELOOP):
                raise
    return found


def _leads_back(path: Path, base: str) -> bool:
    """Whether a folder is a link to one that holds it, or holds one on the way to it."""
    if not path.is_symlink():
        return False
    target, top = path.resolve(), Path(base)
    way = [folder for folder in path.parents if folder.is_relative_to(top)]
    return any(folder.resolve().is_relative_to(target) for folder in way)


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
