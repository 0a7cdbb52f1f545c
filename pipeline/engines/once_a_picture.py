"""What is made of a picture once, however many prompts show it.

Both orders of a pair, and every later vote, show the same decoded pictures.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Generic, TypeVar

Picture = TypeVar("Picture")
Made = TypeVar("Made")


class OnceAPicture(Generic[Picture, Made]):
    """Makes something of a picture or clip, and keeps it for as long as that one is held.

    Any thread may ask; two that ask at the same time may both make it.
    """

    def __init__(self, make: Callable[[Picture], Made]) -> None:
        """Takes what is made; it must depend on the picture alone."""
        self._make = make
        self._held: dict[int, tuple[weakref.ref[Picture], Made]] = {}

    def of(self, picture: Picture) -> Made:
        """What is made of this picture; of an equal one that is another object it is made anew."""
        place = id(picture)  # pictures have no hash
        held = self._held.get(place)
        if held is not None and held[0]() is picture:
            return held[1]
        made = self._make(picture)
        self._held[place] = (weakref.ref(picture, lambda _: self._held.pop(place, None)), made)
        return made

    def __len__(self) -> int:
        """How many are kept."""
        return len(self._held)
