"""The steps of a job, told to whoever runs several jobs as one."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

# Entered around each step, by its name; takes up what there is to say of it. A step that raises
# has failed.
Step = Callable[[str], AbstractContextManager[dict[str, Any]]]


def untold(name: str) -> AbstractContextManager[dict[str, Any]]:
    """Nobody is told."""
    return nullcontext({})
