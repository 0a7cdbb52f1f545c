"""Memory that decoding may use at once, over all threads that decode."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from PIL import Image

_BLOCK = 2**30  # bytes


class DecodeBudget:
    """A number of bytes that threads share: who needs more than is free waits for the others."""

    def __init__(self, total: float = math.inf) -> None:
        """Allows ``total`` bytes at once; by default any number."""
        self._total = self._free = total
        self._changed = threading.Condition()
        self._first_in_line = threading.Lock()

    @contextmanager
    def reserve(self, needed: float) -> Iterator[None]:
        """Waits until ``needed`` bytes are free, and holds them.

        What needs more than all of them is decoded alone: whether a row can be judged is not for
        the budget to say. One thread waits for bytes and the others for their turn, so that a large
        picture does not wait until there are no small ones.
        """
        held = min(needed, self._total)
        with self._first_in_line, self._changed:
            self._changed.wait_for(lambda: self._free >= held)
            self._free -= held
        try:
            yield
        finally:
            with self._changed:
                self._free += held
                self._changed.notify_all()


UNLIMITED = DecodeBudget()


def give_memory_back() -> None:
    """Has large pictures go back to the system once they are freed; for the whole process.

    Pillow asks for 16 MiB at a time, which glibc keeps for the thread that had them: 3 GB for a
    picture of 500 MB that 16 threads decode in turn. What is beyond 32 MiB it always gives back.
    In one block, too, a picture can be sent without being packed before.
    """
    pillow: Any = Image  # its settings have no types
    pillow.core.set_block_size(_BLOCK)
