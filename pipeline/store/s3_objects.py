"""One S3 object, written on a condition: ``If-None-Match: *`` and ``If-Match`` of PUT.

A module of its own because importing s3fs takes a second, which local stores need not wait for.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError
from fsspec.asyn import sync
from s3fs import S3FileSystem
from s3fs.core import S3_RETRYABLE_ERRORS

_TRIES = 5
_LOST = ("PreconditionFailed", "NoSuchKey")  # AWS answers If-Match on a missing key with the latter
_CONFLICT = "ConditionalRequestConflict"  # another write was in progress; neither may have won


class Objects(S3FileSystem):  # type: ignore[misc]  # s3fs has no types
    """S3 by its keys as they are: a ``?versionId=`` in a key is a part of its name."""

    def split_path(self, path: str) -> tuple[str, str, str | None]:
        """Bucket and key; never a version."""
        bucket, _, key = path.removeprefix("s3://").lstrip("/").partition("/")
        return bucket, key, None


def read(
    fs: Any, path: str, sleep: Callable[[float], None] = time.sleep
) -> tuple[bytes, str] | None:
    """An object and its etag, from one request; None if there is no such object."""
    bucket, key, _ = fs.split_path(path)
    for tries in range(1, _TRIES + 1):
        try:
            answer = fs.call_s3("get_object", Bucket=bucket, Key=key)
            body = answer["Body"]
            try:
                return bytes(sync(fs.loop, body.read)), str(answer["ETag"])
            finally:
                body.close()
        except S3_RETRYABLE_ERRORS as error:
            if tries == _TRIES:
                raise OSError(f"{type(error).__name__}: {error}") from error
            sleep(_pause_s(tries))
        except OSError as error:
            if error_code(error) != "NoSuchKey":
                raise
            return None
    raise AssertionError("not reached")


def swap(
    fs: Any,
    path: str,
    data: bytes,
    expected: str | None,
    sleep: Callable[[float], None] = time.sleep,
) -> str | None:
    """Writes an object if its etag is the expected one (None: if it does not exist).

    The client retries a PUT whose answer was lost, and the retry then conflicts with the first PUT;
    so a refused write reads the object, and counts as won if that holds ``data``.

    Returns:
        The new etag; None if another was there, and nothing was written.
    """
    bucket, key, _ = fs.split_path(path)
    condition = {"IfNoneMatch": "*"} if expected is None else {"IfMatch": expected}
    for tries in range(1, _TRIES + 1):
        try:
            answer = fs.call_s3("put_object", Bucket=bucket, Key=key, Body=data, **condition)
            return str(answer["ETag"])
        except OSError as error:
            code = error_code(error)
            if code not in (*_LOST, _CONFLICT) and not isinstance(error, FileExistsError):
                raise
            found = read(fs, path, sleep)
            if found is not None and found[0] == data:
                return found[1]
            undecided = code == _CONFLICT and (found and found[1]) == expected
            if not undecided:
                return None
            if tries == _TRIES:
                raise
            sleep(_pause_s(tries))
    raise AssertionError("not reached")


def error_code(error: BaseException) -> str | None:
    """The S3 error code behind an error of s3fs, if there is one."""
    cause = error.__cause__
    if isinstance(cause, ClientError):
        return str(cause.response.get("Error", {}).get("Code"))
    return None


def _pause_s(tries: int) -> float:
    return 0.1 * float(2**tries)
