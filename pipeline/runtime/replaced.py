"""Another library's part replaced while a block runs, where the library has no setting for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def replaced(owner: Any, name: str, by: object) -> Iterator[None]:
    """Has an attribute of a module or class be another object inside the block.

    Args:
        owner: the module or class.
        name: of the attribute, which it has.
        by: what stands there meanwhile.

    Raises:
        AttributeError: there is none of this name.
    """
    before = getattr(owner, name)
    setattr(owner, name, by)
    try:
        yield
    finally:
        setattr(owner, name, before)
