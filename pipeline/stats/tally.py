"""Counts that are made batch by batch, in any order and by many threads, and then added up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from pipeline.stats.arrays import Ints, Table
from pipeline.stats.cluster_sums import ClusterSums


@dataclass
class Tally:
    """Sums: the tally of a whole is the sum of the tallies of its parts.

    Attributes:
        numbers: by name.
        tables: arrays by name, of one shape each: bins of a histogram, the cells of a table, or
            the sums behind a ratio (:func:`ratio_sums`).
        clusters: by name, counts of each prompt.
    """

    numbers: Counter[str] = field(default_factory=Counter)
    tables: dict[str, Table] = field(default_factory=dict)
    clusters: dict[str, ClusterSums] = field(default_factory=dict)

    def add(self, other: Tally) -> None:
        """Adds what another one has counted."""
        self.numbers.update(other.numbers)
        for name, table in other.tables.items():
            mine = self.tables.get(name)
            self.tables[name] = table.copy() if mine is None else mine + table
        for name, sums in other.clusters.items():
            self.clusters.setdefault(name, ClusterSums(sums.width)).add(sums)

    def as_record(self) -> dict[str, Any]:
        """The same sums, to the last bit, as JSON has them."""
        return {
            "numbers": dict(self.numbers),
            "tables": {name: table.tolist() for name, table in self.tables.items()},
            "clusters": {name: sums.as_record() for name, sums in self.clusters.items()},
        }

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> Self:
        """What :meth:`as_record` has made."""
        clusters = record["clusters"].items()
        return cls(
            Counter(record["numbers"]),
            {name: np.array(table) for name, table in record["tables"].items()},
            {name: ClusterSums.of_record(sums) for name, sums in clusters},
        )

    def named(self, prefix: str) -> dict[str, int]:
        """The numbers under ``<prefix>/``, without it, sorted; those that are 0 are left out."""
        found = {
            name.removeprefix(f"{prefix}/"): number
            for name, number in self.numbers.items()
            if name.startswith(f"{prefix}/") and number
        }
        return dict(sorted(found.items()))


def counted(values: Table, edges: tuple[float, ...]) -> Ints:
    """How many values lie in each bin; values outside go to the outermost ones, NaN to none.

    A bin holds its lower edge, and not its upper one.
    """
    bins = bins_of(values[~np.isnan(values)], edges)
    return np.bincount(bins, minlength=len(edges) - 1).astype(np.int64)


def bins_of(values: Table, edges: tuple[float, ...]) -> Ints:
    """The bin of each value, by the rule of :func:`counted`; none is NaN."""
    return np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2)


def ratio_sums(part: Table, whole: Table) -> Table:
    """The sums that a ratio over rows and its interval are made of.

    Args:
        part, whole: of each row, or of each other group whose things are alike, such as its
            truncated votes and all its votes; rows of which the whole is 0 do not count.

    Returns:
        Sums of part, whole, part², part * whole, whole²; and the number of rows.
    """
    sums = [part.sum(), whole.sum()]  # and one product at a time: there may be many groups
    sums += [(part * part).sum(), (part * whole).sum(), (whole * whole).sum(), (whole > 0).sum()]
    return np.array(sums)
