"""Log records as JSON lines, each with the run, and where there is one the unit, that it is about.

Progress and results are no log: commands print them as events (``pipeline.runtime.reporter``).
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TextIO

from pipeline.runtime.clock import timestamp
from pipeline.runtime.printable import printable

_PACKAGE = "pipeline"
_ABOUT: ContextVar[dict[str, Any]] = ContextVar("about", default={})  # noqa: B039 (never changed)


@contextmanager
def log_context(**fields: Any) -> Iterator[None]:
    """What the records of this block, and of tasks begun in it, are about."""
    before = _ABOUT.set(_ABOUT.get() | fields)
    try:
        yield
    finally:
        _ABOUT.reset(before)


def log_fields(**fields: Any) -> dict[str, Any]:
    """The ``extra`` of a log call whose fields stand beside the message."""
    return {"fields": fields}


@contextmanager
def logging_of(run_id: str, level: int, stream: TextIO | None = None) -> Iterator[None]:
    """For the length of a block, this package's records go to ``stream``, or standard error.

    On a terminal they are plain lines for people, elsewhere JSON lines with the run's id.
    """
    stream = stream or sys.stderr
    output = logging.StreamHandler(stream)
    output.setFormatter(_PlainLines(_PLAIN) if stream.isatty() else _JsonLines(run_id))
    package = logging.getLogger(_PACKAGE)
    before = package.level, package.propagate
    package.addHandler(output)
    package.setLevel(level)
    package.propagate = False  # or whoever has set up the root logger says it again
    try:
        yield
    finally:
        package.removeHandler(output)
        package.level, package.propagate = before


_PLAIN = "%(levelname)s: %(message)s"


class _PlainLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        """The record as a line for people; names of shards and files are anybody's."""
        return printable(super().format(record))


class _JsonLines(logging.Formatter):
    def __init__(self, run_id: str) -> None:
        super().__init__()
        self._run_id = run_id

    def format(self, record: logging.LogRecord) -> str:
        """One object in one line."""
        line = {
            "time": timestamp(),
            "level": record.levelname.lower(),
            "run_id": self._run_id,
            **_ABOUT.get(),
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        text = json.dumps(line | {"logger": record.name}, ensure_ascii=False, default=str)
        return printable(text)
