"""Functions that disposable processes run in tests: some end them."""

from __future__ import annotations

import hashlib
import os
import signal
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.runtime.disposable_process import ask, uncounted
from pipeline.runtime.errors import InputError, RowRejected
from schemas.labels import Reason


def echo(value: Any) -> Any:
    return value


def pid() -> int:
    return os.getpid()


def is_imported(module: str) -> bool:
    return module in sys.modules


def are_imported(modules: list[str]) -> Iterator[bool]:
    return map(is_imported, modules)


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


def column_sizes(data: bytes) -> list[int]:
    """As whoever reads row groups does, to know how many rows fit."""
    footer = pq.ParquetFile(pa.BufferReader(data)).metadata
    groups = [footer.row_group(number) for number in range(footer.num_row_groups)]
    return [g.column(c).total_uncompressed_size for g in groups for c in range(g.num_columns)]


def busy() -> None:
    """Half an hour in C, where no Python runs."""
    hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)


def waiting(seconds: float) -> str:
    with uncounted():
        time.sleep(seconds)
    return "done"


def slow_after(count: int) -> Iterator[int]:
    yield from range(count)
    time.sleep(600)


def slow_outline(store: Any, entry: Any) -> None:
    time.sleep(600)
