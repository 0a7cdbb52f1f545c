"""What a pair of a gold set is used for: to fit probabilities, or to test what they promise.

A confidence that was fitted to a pair says nothing about how far it can be trusted there. So two
fifths of a set's clusters calibrate, and the others test error bounds, by a hash of set and
cluster. Gold of the input may calibrate, unless its cluster is one of those that test.
"""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.gold.people import People
from pipeline.runtime.digest import digest

_OF, _CALIBRATE = 5, 2


def tests_bounds(name: str, cluster: int) -> bool:
    """Whether a cluster of a set is one that error bounds are tested on."""
    return int(digest("gold role", name, str(cluster))[:8], 16) % _OF >= _CALIBRATE


def calibrating(people: People, pairs: Sequence[tuple[str, int]]) -> list[bool]:
    """Which pairs with gold may be used to fit probabilities.

    Args:
        people: the answers of a set, if one is used.
        pairs: the hash and the cluster of each.
    """
    if people.set is None:
        return [True] * len(pairs)
    testing = {
        cluster
        for pair_hash, cluster in pairs
        if pair_hash in people.gold and tests_bounds(people.set.name, cluster)
    }
    return [cluster not in testing for _, cluster in pairs]
