"""A run: its name, and the steps that it records."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from pipeline.runtime.clock import utc_now

_SLICES = 16**3  # of a second


def new_run_id() -> str:
    """A name for a run that begins now; names sort by time, those of one second, too."""
    now = utc_now()
    within = now.microsecond * _SLICES // 1_000_000
    return f"{now:%Y%m%dT%H%M%S}-{within:03x}{secrets.randbelow(_SLICES):03x}"


# Entered around each step with its name; yields a mapping for the step's details. A step that
# raises has failed.
Step = Callable[[str], AbstractContextManager[dict[str, Any]]]


def unrecorded(name: str) -> AbstractContextManager[dict[str, Any]]:
    """No step is recorded."""
    return nullcontext({})
