"""Every exception of the libraries in use is sorted; what nobody has sorted is a bug."""

from __future__ import annotations

import ast
import errno
import importlib
import importlib.util
import inspect
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from botocore.exceptions import ClientError
from fsspec.exceptions import FSTimeoutError
from ray.exceptions import ActorDiedError, OutOfDiskError, RaySystemError, RayTaskError
from s3fs.errors import ERROR_CODE_TO_EXCEPTION, translate_boto_error

from pipeline.runtime import errors
from pipeline.runtime.errors import (
    Fault,
    PairmillError,
    RowRejected,
    ShardChangedError,
    StorageError,
)
from pipeline.runtime.faults import exit_code_of, fault_of, is_full, is_refusal, sentence_of
from schemas.labels import Reason

LIBRARIES = {
    "pyarrow.lib": "pyarrow",
    "botocore.exceptions": "botocore",
    "botocore.parsers": "botocore",
    "aiohttp.client_exceptions": "aiohttp",
    "PIL": "PIL",
    "PIL.Image": "PIL",
    "PIL.ImageCms": "PIL",
    "av.error": "av",
    "ray.exceptions": "ray",
}
# What is raised only by code that uses the library wrongly, or whose cause is not known.
BUGS = {
    "aiohttp": {"WSMessageTypeError"},
    "av": {"PyAVCallbackError"},
    "botocore": {
        "AwsChunkedWrapperError",
        "MissingServiceIdError",
        "NoInitialResponseError",
        "StubAssertionError",
        "StubResponseError",
        "UnStubbedResponseError",
        "UndefinedModelAttributeError",
    },
    "pyarrow": {"ArrowCancelled"},
    "ray": {
        "ActorAlreadyExistsError",
        "ActorHandleNotFoundError",
        "CrossLanguageError",
        "ObjectFreedError",
        "ObjectRefStreamEndOfStreamError",
        "OufOfBandObjectRefSerializationException",
        "PendingCallsLimitExceeded",
        "RayCgraphCapacityExceeded",
        "RayTaskError",
        "ReferenceCountingAssertionError",
        "StreamingGeneratorReplayInconsistentError",
        "UnserializableException",
        "UserCodeException",
    },
    "vllm": {"GracefulHTTPError", "ProfilerAlreadyActiveError", "VLLMError"},
}


def exceptions_of(module: str, package: str) -> Iterator[type[Exception]]:
    for kind in vars(importlib.import_module(module)).values():
        if not inspect.isclass(kind) or not issubclass(kind, Exception):
            continue
        if kind.__module__.partition(".")[0] == package and not issubclass(kind, Warning):
            yield kind


def vllm_exceptions() -> dict[str, type[Exception]]:
    """Classes of the names and bases of vLLM's, which takes a minute to import."""
    spec = importlib.util.find_spec("vllm")
    assert spec is not None
    assert spec.origin is not None
    found: dict[str, type[Exception]] = {"Exception": Exception}
    for name in ("exceptions.py", "v1/engine/exceptions.py"):
        for node in ast.parse((Path(spec.origin).parent / name).read_text("utf-8")).body:
            if isinstance(node, ast.ClassDef):
                bases = tuple(found[ast.unparse(base)] for base in node.bases)
                found[node.name] = type(node.name, bases, {"__module__": "vllm.exceptions"})
    del found["Exception"]
    return found


Kind = TypeVar("Kind", bound=Exception)


def made(kind: type[Kind]) -> Kind:
    """One of a class, whatever its constructor asks for."""
    fields = {"__module__": kind.__module__, "__init__": _nothing}
    found: type[Kind] = type(kind.__name__, (kind,), fields)
    return found()


def _nothing(self: object) -> None:
    """In place of a constructor."""


def of_task(cause: Exception) -> RayTaskError:
    return RayTaskError("judge", "Traceback: lines", cause)  # type: ignore[no-untyped-call]


def answered(code: str, status: int = 0) -> ClientError:
    response: Any = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(response, "GetObject")


def test_every_exception_of_the_libraries_is_sorted() -> None:
    bugs: dict[str, set[str]] = {}
    for module, package in LIBRARIES.items():
        kinds = [*exceptions_of(module, package)]
        assert kinds, module
        for kind in kinds:
            if not issubclass(kind, ClientError) and fault_of(made(kind)) is Fault.BUG:
                bugs.setdefault(package, set()).add(kind.__name__)
    for kind in vllm_exceptions().values():
        if fault_of(made(kind)) is Fault.BUG:
            bugs.setdefault("vllm", set()).add(kind.__name__)
    assert bugs == BUGS


def test_what_ray_calls_a_system_error_is_sorted_by_its_cause() -> None:
    assert fault_of(RaySystemError("The raylet died")) is Fault.TRANSIENT  # type: ignore[no-untyped-call]
    unreadable = RaySystemError(AttributeError("no such class"))  # type: ignore[no-untyped-call]
    assert fault_of(unreadable) is Fault.BUG
    assert sentence_of(unreadable) is None


def test_what_nobody_has_sorted_is_a_bug_and_propagates() -> None:
    other = type("StrangeError", (Exception,), {"__module__": "pyarrow.strange"})
    for error in (other(), KeyError("x"), ValueError(), AssertionError(), OSError("no number")):
        assert fault_of(error) is Fault.BUG
        assert sentence_of(error) is None
        assert exit_code_of(error) == 1


@pytest.mark.parametrize(
    ("code", "status", "fault", "refused"),
    [
        ("SlowDown", 503, Fault.TRANSIENT, False),
        ("ThrottlingException", 400, Fault.TRANSIENT, False),
        ("RequestLimitExceeded", 400, Fault.TRANSIENT, False),
        ("InternalError", 500, Fault.TRANSIENT, False),
        ("Whatever", 502, Fault.TRANSIENT, False),
        ("429", 0, Fault.TRANSIENT, False),
        ("AccessDenied", 403, Fault.CALLER, True),
        ("403", 0, Fault.CALLER, True),
        ("Unauthorized", 401, Fault.CALLER, True),
        ("RequestTimeTooSkewed", 403, Fault.CALLER, True),
        ("ExpiredToken", 400, Fault.CALLER, True),
        ("400", 400, Fault.CALLER, True),  # a HEAD has no code
        ("NoSuchKey", 404, Fault.CALLER, False),
        ("PreconditionFailed", 412, Fault.CONFLICT, False),
        ("ConditionalRequestConflict", 409, Fault.CONFLICT, False),
    ],
)
def test_answers_of_a_store(code: str, status: int, fault: Fault, refused: bool) -> None:
    error = answered(code, status)
    for seen in (error, translate_boto_error(error)):  # botocore's, and what s3fs makes of it
        assert (fault_of(seen), is_refusal(seen)) == (fault, refused)


def test_no_answer_of_a_store_is_a_bug() -> None:
    for code in ERROR_CODE_TO_EXCEPTION:
        assert fault_of(translate_boto_error(answered(code))) is not Fault.BUG
    assert fault_of(FSTimeoutError()) is Fault.TRANSIENT


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_said_wherever_it_is_met(number: int) -> None:
    error = OSError(number, "no room", "/data/x")
    task = of_task(error)
    assert is_full(error)
    assert is_full(made(OutOfDiskError))
    for seen in (error, task):
        sentence = sentence_of(seen)
        assert sentence is not None
        assert sentence.startswith("/data/x: the disk is full")
        assert "\n" not in sentence
        assert exit_code_of(seen) == 2


def test_ray_that_fails_is_one_sentence() -> None:
    sentence = sentence_of(ActorDiedError())
    assert sentence is not None
    assert sentence.startswith("Ray failed under the run (ActorDiedError: ")
    assert exit_code_of(ActorDiedError()) == 2
    assert fault_of(of_task(ConnectionResetError())) is Fault.TRANSIENT
    assert sentence_of(of_task(KeyError("x"))) is None


def test_our_own_errors_end_with_the_code_of_their_fault() -> None:
    codes = {Fault.BUG: 1, Fault.CALLER: 2, Fault.TRANSIENT: 2, Fault.SHARD: 4, Fault.CONFLICT: 5}
    for kind in vars(errors).values():
        if inspect.isclass(kind) and issubclass(kind, PairmillError):
            error = made(kind)
            if not issubclass(kind, errors.StoppedError):
                assert error.exit_code == codes[error.fault], kind
            assert exit_code_of(error) == error.exit_code
    assert exit_code_of(KeyboardInterrupt()) == 130
    assert fault_of(RowRejected(Reason.BAD_ROW, "")) is Fault.ROW


def test_errors_reach_other_processes_as_they_are() -> None:
    ours: list[PairmillError] = [
        StorageError("s3://b: slow", Fault.TRANSIENT),
        ShardChangedError("s3://b/a"),
    ]
    for error in ours:
        other = pickle.loads(pickle.dumps(error))
        assert (type(other), str(other), other.fault) == (type(error), str(error), error.fault)
