"""What pydantic refused, in the words of every message: where, got, expected."""

from __future__ import annotations

from pydantic import ValidationError
from pydantic_core import ErrorDetails

_SHOWN = 4
# Sections whose values may be secrets of somebody who put them there.
_HIDDEN = {"env", "hooks", "extra"}
_UNKNOWN = ("extra_forbidden", "unexpected_keyword_argument")


def fault_text(error: ErrorDetails) -> str:
    """One fault: ``votes.max_votes: got 'many', expected a valid integer``."""
    where = ".".join(map(str, error["loc"])) or "the whole"
    if error["type"] == "missing":
        return f"{where}: missing"
    if error["type"] == "value_error":  # raised by a check of ours, which names both
        return f"{where}: {error['ctx']['error']}"
    known = error["type"] not in _UNKNOWN
    expected = error["msg"].removeprefix("Input should be ") if known else "no such field"
    if _HIDDEN.intersection(error["loc"]):
        return f"{where}: got {type(error['input']).__name__}, expected {expected}"
    return f"{where}: got {error['input']!r:.100}, expected {expected}"


def first_faults(error: ValidationError) -> str:
    """The first faults of a failed validation in one line."""
    return "; ".join(map(fault_text, error.errors()[:_SHOWN]))
