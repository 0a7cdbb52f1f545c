"""Pairs that were made of ranked sets: what their metadata say of the set that they are of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_ID, _PAIR, _SET = "ranked_id", "ranked_pair", "ranked_set"


@dataclass(frozen=True)
class RankedPair:
    """Where a pair stands in a ranked set.

    Attributes:
        set_id: the id that the set had.
        letters: of the pair's candidates in the set, such as ``bd``.
        all_letters: of all candidates of which pairs were made; empty where an earlier version made
            them, which did not say it.
    """

    set_id: str
    letters: str
    all_letters: str

    def entries(self) -> list[dict[str, str]]:
        """What the pair's metadata have of it."""
        values = {_ID: self.set_id, _PAIR: self.letters, _SET: self.all_letters}
        return [{"key": key, "value": value} for key, value in values.items()]


def ranked_pair(row: Mapping[str, Any]) -> RankedPair | None:
    """Where a row of pairs v2 stands in a ranked set; None if it is of none."""
    found = {each["key"]: each["value"] for each in row["metadata"] or () if each}
    if not found.get(_ID) or not found.get(_PAIR):
        return None
    return RankedPair(found[_ID], found[_PAIR], found.get(_SET) or "")
