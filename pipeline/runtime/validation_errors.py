"""A failed validation in one line, for messages that name what failed and where."""

from __future__ import annotations

from pydantic import ValidationError

_SHOWN = 4


def problems_of(error: ValidationError) -> str:
    """The first problems of a failed validation: ``votes.max_votes: Input should be …; …``."""
    return "; ".join(
        f"{'.'.join(map(str, item['loc']))}: {item['msg']}".removeprefix(": ")
        for item in error.errors()[:_SHOWN]
    )
