"""Whose fault an exception is, whatever library raised it: the one place that sorts them.

Libraries are named, not imported: sorting needs none of them. What no entry names is a bug, and
propagates.
"""

from __future__ import annotations

import errno
import struct
import tempfile
import zlib
from typing import Any

import pyarrow as pa

from pipeline.runtime.ending import how_it_ended
from pipeline.runtime.errors import Fault, PairmillError, RowRejected
from pipeline.runtime.printable import one_line

UNREADABLE_FILE: tuple[type[Exception], ...] = (pa.ArrowException, OSError, UnicodeDecodeError)
"""What Arrow raises for a file that is damaged, or does not come (see ``SourceFile.reading``)."""

DAMAGED_PICTURE: tuple[type[Exception], ...] = (
    OSError,
    RuntimeError,  # of AVIF
    ValueError,
    SyntaxError,
    EOFError,
    LookupError,
    ArithmeticError,
    TypeError,
    struct.error,
    zlib.error,
)
"""What Pillow's decoders raise for damaged files; anything else is a bug and propagates."""

FULL = "the disk is full, or a quota is used up: make room, and run again"

# By package and name; an exception's nearest ancestor counts.
_NAMED: dict[str, dict[str, Fault]] = {
    "pyarrow": {"ArrowException": Fault.SHARD, "ArrowCancelled": Fault.BUG},
    "PIL": {
        "UnidentifiedImageError": Fault.ROW,
        "DecompressionBombError": Fault.ROW,
        "PyCMSError": Fault.ROW,
        "BLPFormatError": Fault.ROW,
        "PdfFormatError": Fault.ROW,
    },
    "av": {"FFmpegError": Fault.ROW, "BugError": Fault.ROW, "PyAVCallbackError": Fault.BUG},
    "botocore": {
        "BotoCoreError": Fault.CALLER,  # credentials, regions, profiles, settings, parameters
        "HTTPClientError": Fault.TRANSIENT,
        "ConnectionError": Fault.TRANSIENT,
        "SSLError": Fault.CALLER,
        "ChecksumError": Fault.TRANSIENT,
        "FlexibleChecksumError": Fault.TRANSIENT,
        "IncompleteReadError": Fault.TRANSIENT,
        "MetadataRetrievalError": Fault.TRANSIENT,
        "CredentialRetrievalError": Fault.TRANSIENT,
        "CapacityNotAvailableError": Fault.TRANSIENT,
        "ResponseParserError": Fault.TRANSIENT,  # a proxy's page in place of XML
        "UndefinedModelAttributeError": Fault.BUG,
        "StubResponseError": Fault.BUG,
        "AwsChunkedWrapperError": Fault.BUG,
    },
    "aiohttp": {
        "ClientError": Fault.TRANSIENT,
        "ClientSSLError": Fault.CALLER,
        "ServerFingerprintMismatch": Fault.CALLER,
        "InvalidURL": Fault.CALLER,
        "NonHttpUrlClientError": Fault.CALLER,
        "RedirectClientError": Fault.CALLER,
        "TooManyRedirects": Fault.CALLER,
        "ClientHttpProxyError": Fault.CALLER,
        "WSMessageTypeError": Fault.BUG,
    },
    "fsspec": {"FSTimeoutError": Fault.TRANSIENT},
    "ray": {
        "RayTaskError": Fault.BUG,  # whose cause is not known
        "RayError": Fault.TRANSIENT,  # processes and nodes that died, objects that were lost
        "AuthenticationError": Fault.CALLER,
        "RuntimeEnvSetupError": Fault.CALLER,
        "TaskUnschedulableError": Fault.CALLER,
        "ActorUnschedulableError": Fault.CALLER,
        "OutOfDiskError": Fault.CALLER,
        "ObjectStoreFullError": Fault.CALLER,
        "CrossLanguageError": Fault.BUG,
        "UserCodeException": Fault.BUG,
        "ReferenceCountingAssertionError": Fault.BUG,
        "ObjectFreedError": Fault.BUG,
        "PendingCallsLimitExceeded": Fault.BUG,
        "ObjectRefStreamEndOfStreamError": Fault.BUG,
        "StreamingGeneratorReplayInconsistentError": Fault.BUG,
        "OufOfBandObjectRefSerializationException": Fault.BUG,
        "UnserializableException": Fault.BUG,
        "ActorAlreadyExistsError": Fault.BUG,
        "ActorHandleNotFoundError": Fault.BUG,
        "RayCgraphCapacityExceeded": Fault.BUG,
    },
    "vllm": {
        "VLLMError": Fault.BUG,
        "VLLMClientError": Fault.ROW,  # a request that the engine refuses
        "VLLMNotFoundError": Fault.CALLER,  # an adapter, a model
        "GenerationError": Fault.ROW,
        "RetryableRequestError": Fault.TRANSIENT,
        "EngineGenerateError": Fault.ROW,
        "EngineDeadError": Fault.TRANSIENT,
        "VLLMServerError": Fault.TRANSIENT,
        "QueueOverflowError": Fault.TRANSIENT,
        "MaxQueuedTokensError": Fault.TRANSIENT,
    },
}
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_OF_THE_CALLER = (
    *_FULL,
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOENT,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.ENAMETOOLONG,
    errno.ELOOP,
    errno.EINVAL,
    errno.ENODEV,
    errno.ENXIO,
    errno.ENOSYS,
)
_PASSING = (
    errno.EIO,
    errno.EREMOTEIO,
    errno.EAGAIN,
    errno.EINTR,
    errno.EBUSY,
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOBUFS,
    errno.ENOMEM,
    errno.EPIPE,
    errno.ESTALE,
    errno.ETIMEDOUT,
    errno.EHOSTUNREACH,
    errno.EHOSTDOWN,
    errno.ENETUNREACH,
    errno.ENETDOWN,
    errno.ENETRESET,
    errno.ECONNABORTED,
    errno.ECONNREFUSED,
    errno.ECONNRESET,
)
# Codes of S3's errors whose status does not say it.
_PASSING_CODES = (
    "BadDigest",
    "IncompleteBody",
    "OperationAborted",
    "RequestTimeout",
    "XAmzContentSHA256Mismatch",
)
_LIMITED = ("Throttl", "SlowDown", "TooManyRequests", "LimitExceeded", "RequestNotComplete")
_CONFLICTS = ("PreconditionFailed", "ConditionalRequestConflict", "412")
# Refusals of credentials that come with status 400; and a HEAD, whose refusal has no code.
_REFUSED_AT_400 = (
    "400",
    "ExpiredToken",
    "InvalidToken",
    "TokenRefreshRequired",
    "AuthorizationHeaderMalformed",
)


def fault_of(error: BaseException) -> Fault:
    """Whose fault an exception is."""
    if isinstance(error, PairmillError):
        return error.fault
    if isinstance(error, RowRejected):
        return Fault.ROW
    if (answer := _answer(error)) is not None:
        return _of_answer(answer)
    if error is not (cause := _raised(error)):
        return fault_of(cause)
    for kind in type(error).__mro__:
        package, name = _named(kind)
        if found := _NAMED.get(package, {}).get(name):
            return found
        if kind is OSError:
            return _of_errno(error)
    return Fault.BUG


def is_refusal(error: BaseException | None) -> bool:
    """Whether somebody was not allowed to do something, be it for a moment.

    Credentials that have expired and a clock that is wrong refuse everything for a while.
    """
    if error is not None and (answer := _answer(error)) is not None:
        return answer[1] in (401, 403) or answer[0] in _REFUSED_AT_400
    return isinstance(error, PermissionError)


def is_full(error: BaseException) -> bool:
    """Whether a disk is full, or a quota or limit of it is used up."""
    if isinstance(error, OSError) and error.errno in _FULL:
        return True
    return _named(type(error)) == ("ray", "OutOfDiskError")


def sentence_of(error: BaseException) -> str | None:
    """What to tell of an exception that no module expects: what happened, and what to do.

    None of a bug. What is a row's, a shard's or the caller's fault is for modules to expect, and
    so is a bug where it comes this far.
    """
    error = _raised(error)
    if is_full(error):
        name = getattr(error, "filename", None)
        # Files of stores are named by StorageError; of those left, few but these have no name.
        where = str(name) if name else f"{tempfile.gettempdir()} (TMPDIR, for temporary files)"
        return f"{one_line(where)}: {FULL} ({one_line(first_line(error))})"
    of_ray = _named(type(error))[0] == "ray"
    if (fault := fault_of(error)) is not Fault.TRANSIENT and not (of_ray and fault is Fault.CALLER):
        return None
    cause = one_line(f"{type(error).__name__}: {first_line(error)}")
    what = "Ray failed under the run" if of_ray else "something that the run needs failed"
    return f"{what} ({cause}); what is committed stays: run again"


def exit_code_of(error: BaseException) -> int:
    """The exit code of a job that an error ends."""
    if isinstance(error, PairmillError):
        return error.exit_code
    if isinstance(error, KeyboardInterrupt):
        return how_it_ended(error)[1]
    return (Fault.BUG if sentence_of(error) is None else Fault.TRANSIENT).exit_code


def error_code(error: BaseException) -> str | None:
    """The S3 error code behind an error of s3fs, if there is one."""
    answer = _answer(error)
    return answer[0] if answer else None


def first_line(error: BaseException) -> str:
    """What an error says first."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)[:300]


def _named(kind: type) -> tuple[str, str]:
    return kind.__module__.partition(".")[0], kind.__name__


def _raised(error: BaseException) -> BaseException:
    """What a task raised, or why a result cannot be read, of the error that Ray makes of it."""
    if _named(type(error))[0] != "ray":
        return error
    for name in ("cause", "client_exc"):  # the latter of RaySystemError: an exception, or a text
        if isinstance(cause := getattr(error, name, None), Exception):
            return cause
    return error


def _answer(error: BaseException) -> tuple[str, int] | None:
    """Code and status of an object store's answer behind an error; None if there was none."""
    response: Any = getattr(error, "response", None)
    if not isinstance(response, dict):  # s3fs makes Python's errors of botocore's
        response = getattr(error.__cause__, "response", None)
    if not isinstance(response, dict) or "Error" not in response:
        return None
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    code = str(response["Error"].get("Code", ""))
    return code, int(status or (code if code.isdigit() else 0))


def _of_answer(answer: tuple[str, int]) -> Fault:
    code, status = answer
    if code in _CONFLICTS:
        return Fault.CONFLICT
    passing = code in _PASSING_CODES or any(word in code for word in _LIMITED)
    return Fault.TRANSIENT if passing or status in (408, 429) or status >= 500 else Fault.CALLER


def _of_errno(error: Any) -> Fault:
    if error.errno == errno.EEXIST:
        return Fault.CONFLICT
    if error.errno in _OF_THE_CALLER or isinstance(error, PermissionError | FileNotFoundError):
        return Fault.CALLER
    passing = (ConnectionError, TimeoutError)
    return Fault.TRANSIENT if error.errno in _PASSING or isinstance(error, passing) else Fault.BUG
