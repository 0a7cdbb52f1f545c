"""Functions that disposable processes run in tests: some end them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.runtime.disposable_process import ask
from pipeline.runtime.errors import InputError, RowRejected
from schemas.labels import Reason


def echo(value: Any) -> Any:
    return value


def pid() -> int:
    return os.getpid()


def abort() -> None:
    os.abort()


def leave() -> None:
    os._exit(7)


def segfault_after(count: int) -> Iterator[int]:
    yield from range(count)
    os.kill(os.getpid(), signal.SIGSEGV)
    time.sleep(60)


def hang() -> None:
    time.sleep(600)


def reject() -> None:
    raise RowRejected(Reason.MEDIA_CORRUPT, "half a picture")


def odd_error() -> None:
    class LocalError(Exception):
        pass

    raise LocalError("cannot be pickled")


def tables(count: int, rows: int) -> Iterator[pa.Table]:
    for number in range(count):
        yield pa.table({"n": np.full(rows, number), "text": [f"{number}"] * rows})
    raise InputError("the end")


def asking(sizes: list[int]) -> str:
    for size in sizes:
        ask(size)
    return "granted"


def dying_image(data: bytes, limits: bytes, share: int) -> None:
    os.abort()


def hanging_image(data: bytes, limits: bytes, share: int) -> None:
    time.sleep(600)
