"""One object store under one URI: local folders and s3:// alike, through fsspec and s3fs.

Credentials come from the default chain (environment, profile, pod identity) and
``AWS_ENDPOINT_URL``, never from configuration, and never appear in a message.
"""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from fsspec.implementations.local import LocalFileSystem

from pipeline.runtime.errors import Fault, StorageError
from pipeline.runtime.faults import FULL, fault_of, is_full, is_refusal
from pipeline.runtime.printable import one_line
from pipeline.store import local_files
from pipeline.store.host import Host
from pipeline.store.source_file import SourceFile
from pipeline.store.uploads import LocalSink, S3Sink, Upload

SCHEMES = ("file", "s3")
_PIECE_BYTES = 16 * 2**20  # of a bucket's object in one request, where they are copied elsewhere
_HINTS = {
    PermissionError: "access is denied: check the credentials in use and what they may do there",
    FileNotFoundError: "it does not exist: check bucket and path",
}
_NOT_A_FOLDER = "a part of the path is a file and no folder: check the path"
_LOCAL_HINTS = {
    PermissionError: "access is denied: check who owns the folders of this path and who may write",
    FileNotFoundError: "it does not exist and was not made: check the path",
    NotADirectoryError: _NOT_A_FOLDER,
    FileExistsError: _NOT_A_FOLDER,
}


@dataclass(frozen=True)
class Entry:
    """One object as a listing has it.

    Attributes:
        key: under the store's root.
        size: in bytes.
        etag: where there is one.
        stat: of a local file what changes once it is written again: times of its last change and
            of its inode's in nanoseconds, and the inode.
        young: whether it was changed so shortly before that a further change could have the same
            times.
    """

    key: str
    size: int
    etag: str | None
    stat: tuple[int, int, int] | None = None
    young: bool = False


@dataclass(frozen=True)
class Version:
    """The content of an object, and the tag that identifies this content of its key."""

    data: bytes
    tag: str


class Store:
    """The objects under one root URI.

    Every method raises StorageError (URI and cause) where the store refuses or fails; keys are
    relative to the root.

    Attributes:
        host: the clocks and threads for this and for whatever works on this store.
    """

    def __init__(self, uri: str, *, patient: bool = True) -> None:
        """Binds to ``uri``, a local path, ``file:///…`` or ``s3://bucket/prefix``.

        Args:
            uri: the root.
            patient: whether what a bucket refuses is tried again for a few seconds.

        Raises:
            StorageError: the scheme is not supported, or nothing below a root is named.
        """
        self.host, self._patient = Host(), patient
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
        from pipeline.store import s3_objects

        self.host.imports = [s3_objects.__name__]
        self._root = self.uri.removeprefix("s3://")
        self._fs = s3_objects.Objects(use_listings_cache=False, patient=patient)

    def __reduce__(self) -> tuple[Any, ...]:
        return functools.partial(Store, patient=self._patient), (self.uri,)

    def path(self, key: str) -> str:
        """The URI of ``key``."""
        return f"{self.uri}/{key}" if key else self.uri

    def shown(self, key: str) -> str:
        """The same for messages, in one line: an input's keys are anybody's."""
        return one_line(self.path(key))

    def real_path(self, key: str = "") -> str:
        """The URI of ``key`` with the links of a local path resolved, to compare locations by."""
        return os.path.realpath(self.path(key)) if self.local else self.path(key)

    def list(self, prefix: str = "", start: str = "") -> Iterator[Entry]:
        """Every object under the folder ``prefix``, sorted by key; empty if there is none.

        A root that is itself one object is listed with the empty key. Links of a local store are
        followed, except those that lead back to a folder above them.

        Args:
            prefix: the folder.
            start: the prefix of their paths below the folder, within the first name of the path.
        """
        base = self._join(prefix)
        with self._errors(prefix):
            if self.local:
                found = local_files.find(base, start, self.host.now().timestamp())
            else:
                found = self._fs.find(base, detail=True, prefix=start)
        strip = len(self._root)
        for path in sorted(found):
            info = found[path]
            if info["type"] == "file":
                etag = str(info["ETag"]).strip('"') if "ETag" in info else None
                of_file = (info.get("stat"), info.get("young", False))
                yield Entry(path[strip:].lstrip("/"), int(info["size"]), etag, *of_file)

    def read(self, key: str) -> bytes:
        """The whole object."""
        with self._errors(key):
            return bytes(self._fs.cat_file(self._join(key)))

    def read_range(self, key: str, start: int, stop: int) -> bytes:
        """Bytes ``[start, stop)`` of an object; the interval must lie within it."""
        with self._errors(key):
            return bytes(self._fs.cat_file(self._join(key), start=start, end=stop))

    def read_into(self, key: str, start: int, memory: memoryview) -> int:
        """Fills memory with an object's bytes from ``start`` on; returns how many there were."""
        if self.local:
            with self._errors(key):
                return local_files.read_into(Path(self._join(key)), start, memory)
        done = 0
        while done < len(memory):
            stop = start + min(len(memory), done + _PIECE_BYTES)
            piece = self.read_range(key, start + done, stop)
            memory[done : done + len(piece)] = piece
            done += len(piece)
            if start + done < stop:
                break
        return done

    def size(self, key: str) -> int | None:
        """The object's size in bytes, or None if there is no such object."""
        with self._errors(key):
            try:
                info = self._fs.info(self._join(key))
            except FileNotFoundError:
                return None
            return None if info["type"] == "directory" else int(info["size"])

    def open(self, key: str, size: int) -> SourceFile:
        """A seekable reader that distinguishes a failing store from a corrupt file."""
        how = (functools.partial(self.read_range, key), functools.partial(self.read_into, key))
        return SourceFile(self.shown(key), size, *how)

    def create(self, key: str, data: bytes) -> bool:
        """Writes an object in one PUT unless it exists; True if this call created it.

        Existence is the commit: a reader sees the whole object or none. In a bucket this is True,
        too, where another writer has stored the very same bytes: where the answer to a PUT is lost,
        nobody can tell.
        """
        if not self.local:
            return self.swap(key, data, None) is not None
        with self._errors(key):
            return local_files.create(Path(self._join(key)), data)

    def put(self, key: str, data: bytes) -> None:
        """Writes an object in one PUT, replacing what is there."""
        with self._errors(key):
            if self.local:
                local_files.replace(Path(self._join(key)), data)
            else:
                self._fs.pipe_file(self._join(key), data)

    def read_version(self, key: str) -> Version | None:
        """An object with the tag of its version; None if there is no such object."""
        with self._errors(key):
            if self.local:
                path = Path(self._join(key))
                data = path.read_bytes() if path.exists() else None
                return None if data is None else Version(data, local_files.version(data))
            from pipeline.store import s3_objects

            found = s3_objects.read(self._fs, self._join(key), self.host.sleep)
            return None if found is None else Version(*found)

    def swap(self, key: str, data: bytes, expected: Version | None) -> Version | None:
        """Writes an object only if it is still as it was read: a compare-and-swap.

        Of many that swap the same version at once, exactly one wins, on this machine or any other.
        An object that is swapped must be written in no other way.

        Args:
            key: the object.
            data: what to write; must be unique to the writer, since where the answer to a PUT is
                lost, a writer that finds ``data`` stored concludes that it won.
            expected: from ``read_version`` or an earlier swap; None to create the object.

        Returns:
            The new version; None if another was there, and nothing was written.
        """
        tag = expected.tag if expected else None
        with self._errors(key):
            if self.local:
                new = local_files.swap(Path(self._join(key)), data, tag)
            else:
                from pipeline.store import s3_objects

                new = s3_objects.swap(self._fs, self._join(key), data, tag, self.host.sleep)
        return None if new is None else Version(data, new)

    def upload(self, key: str, *, hashed: bool = False) -> Upload:
        """Begins to write a large object piece by piece; see :class:`Upload`.

        Args:
            key: the object.
            hashed: whether its SHA-256 will be asked for.
        """
        path = self._join(key)
        with self._errors(key):
            sink = LocalSink(Path(path)) if self.local else S3Sink(self._fs, path)
        return Upload(self.shown(key), sink, lambda: self._errors(key), hashed=hashed)

    def delete(self, key: str) -> None:
        """Removes an object, if it exists. Needs a permission that labeling does not need."""
        with self._errors(key):
            if self.local:
                Path(self._join(key)).unlink(missing_ok=True)
            else:
                self._fs.rm_file(self._join(key))

    def filesystem(self, key: str) -> tuple[Any, str]:
        """The fsspec file system and the path in it, for libraries that read by themselves."""
        return self._fs, self._join(key)

    def content_key(self, entry: Entry) -> str:
        """Identifies a version of an object: its etag, or its content's hash.

        ``pipeline.store.content_keys`` hashes a file once.
        """
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
            if is_full(error):
                hint = FULL
            elif is_refusal(error):  # those without Python's PermissionError, too
                hint = hints[PermissionError]
            cause = one_line(f"{type(error).__name__}: {error}")
            text = f"{hint} ({cause})" if hint else cause
            passes = fault_of(error) is Fault.TRANSIENT
            fault = Fault.TRANSIENT if passes else Fault.CALLER
            raise StorageError(f"{self.shown(key)}: {text}", fault) from error


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
