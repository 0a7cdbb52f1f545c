"""One S3 object, written on a condition: ``If-None-Match: *`` and ``If-Match`` of PUT.

A module of its own because importing s3fs takes a second, which local stores need not wait for.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from fsspec.asyn import sync, sync_wrapper
from s3fs import S3FileSystem
from s3fs.core import S3_RETRYABLE_ERRORS

from pipeline.runtime.errors import Fault
from pipeline.runtime.faults import error_code, fault_of, is_refusal

_TRIES = 5
# Between tries of a request, each of which its client has tried a few times within seconds.
_PAUSES_S = (0.5, 2, 8)
_REFUSED_PAUSES_S = (0.2, 0.6, 1.8)  # a lasting refusal is to be heard soon
_LOST = ("PreconditionFailed", "NoSuchKey")  # AWS answers If-Match on a missing key with the latter
_CONFLICT = "ConditionalRequestConflict"  # another write was in progress; neither may have won


class Objects(S3FileSystem):  # type: ignore[misc]  # s3fs has no types
    """S3 by its keys as they are: a ``?versionId=`` in a key is a part of its name.

    Requests that fail for a passing cause are tried again for a while.
    """

    def __init__(self, *, patient: bool = True, **how: Any) -> None:
        """Connects by the default chain.

        Args:
            patient: whether refusals, too, are tried again: credentials may just be renewed.
            how: of s3fs.
        """
        super().__init__(**how)
        self._patient = patient

    async def _call_s3(self, method: str, *known: Any, **arguments: Any) -> Any:
        for number in range(len(_PAUSES_S)):
            try:
                return await super()._call_s3(method, *known, **arguments)
            except Exception as error:
                if fault_of(error) is Fault.TRANSIENT:
                    await asyncio.sleep(_PAUSES_S[number])
                elif self._patient and is_refusal(error):
                    await asyncio.sleep(_REFUSED_PAUSES_S[number])
                else:
                    raise
        return await super()._call_s3(method, *known, **arguments)

    call_s3 = sync_wrapper(_call_s3)  # that of s3fs calls its own

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


def _pause_s(tries: int) -> float:
    return 0.1 * float(2**tries)
