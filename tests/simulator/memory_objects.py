"""The objects of one bucket, with the conditions of S3, and the history of every change."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field

from botocore.exceptions import ClientError


@dataclass(frozen=True)
class StoredObject:
    """One version of an object; its etag is the digest of its content, as in S3."""

    data: bytes
    etag: str


@dataclass(frozen=True)
class Change:
    """One object before and after a request; None where there is none.

    Attributes:
        by: the process whose request it was.
    """

    key: str
    before: StoredObject | None
    after: StoredObject | None
    by: str


def code_error(code: str, operation: str, condition: str = "") -> ClientError:
    """An error answer of S3."""
    return ClientError(
        {"Error": {"Code": code, "Message": code, "Condition": condition}}, operation
    )


@dataclass
class MemoryObjects:
    """A bucket.

    Attributes:
        watchers: called with every change, after it.
    """

    objects: dict[str, StoredObject] = field(default_factory=dict)
    watchers: list[Callable[[Change], None]] = field(default_factory=list)

    def put(
        self, key: str, data: bytes, by: str, none: bool = False, tag: str | None = None
    ) -> str:
        """PUT, with ``If-None-Match: *`` where ``none`` and ``If-Match`` where ``tag``.

        Raises:
            ClientError: the condition does not hold; nothing is written.
        """
        before = self.objects.get(key)
        if none and before is not None:
            raise code_error("PreconditionFailed", "PutObject", "If-None-Match")
        if tag is not None and before is None:
            raise code_error("NoSuchKey", "PutObject")
        if tag is not None and before is not None and before.etag != tag:
            raise code_error("PreconditionFailed", "PutObject", "If-Match")
        after = StoredObject(data, f'"{hashlib.md5(data).hexdigest()}"')
        self.objects[key] = after
        self._changed(Change(key, before, after, by))
        return after.etag

    def get(self, key: str) -> StoredObject:
        """GET.

        Raises:
            ClientError: there is no such object.
        """
        if key not in self.objects:
            raise code_error("NoSuchKey", "GetObject")
        return self.objects[key]

    def list(self, prefix: str) -> dict[str, StoredObject]:
        """LIST of everything whose key begins with ``prefix``."""
        return {key: found for key, found in self.objects.items() if key.startswith(prefix)}

    def delete(self, key: str, by: str) -> None:
        """DELETE, which succeeds where there is no such object too."""
        before = self.objects.pop(key, None)
        if before is not None:
            self._changed(Change(key, before, None, by))

    def _changed(self, change: Change) -> None:
        for watcher in self.watchers:
            watcher(change)
