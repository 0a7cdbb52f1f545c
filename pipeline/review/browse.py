"""Finds the rows that filters leave: how many, how many of each kind, and those of one page."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.review.filters import NO_VALUE, Filters, criterion_facet
from pipeline.review.input_columns import InputColumns
from pipeline.review.label_columns import (
    ORDERS,
    OUTCOMES,
    REASONS,
    STATUSES,
    Block,
    LabelColumns,
    known,
)
from pipeline.review.other_judges import RELATIONS, Codes, OtherJudges, relation
from pipeline.stats.arrays import Floats, Ints

PAGE_ROWS = 50
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Listed:
    """A row of a page.

    Attributes:
        shard, row: where the pair is.
        outcome: ``a``, ``b`` or ``tie``; empty where nothing is decided.
        gold: how the label stands to gold, a value of ``RELATIONS``.
    """

    shard: str
    row: int
    pair_id: str
    status: str
    reason: str
    outcome: str
    orders: str
    confidence: float | None
    margin: float | None
    votes: int
    gold: str
    source: str


@dataclass(frozen=True)
class Found:
    """What filters leave.

    Attributes:
        rows: how many rows.
        of: out of how many that were looked at.
        counts: of each facet, how many rows each value would leave with all other filters.
        page: the rows of the page.
    """

    rows: int
    of: int
    counts: Mapping[str, Mapping[str, int]]
    page: Sequence[Listed]

    @property
    def pages(self) -> int:
        """How many pages the rows take; at least one."""
        return max(1, -(-self.rows // PAGE_ROWS))


class Browser:
    """Finds rows among the labels of one source."""

    def __init__(
        self, labels: LabelColumns, inputs: InputColumns, others: OtherJudges | None = None
    ) -> None:
        """Binds to labels, and to what else their rows are filtered by."""
        self._labels, self._inputs = labels, inputs
        self._others = others or OtherJudges({})
        self._paths = list(labels.shards)

    def find(self, filters: Filters) -> Found:
        """The rows of a page, and the counts.

        Raises:
            InputError: a file is corrupt.
            StorageError: the store fails.
        """
        rows = of = 0
        counts: dict[str, Counter[str]] = defaultdict(Counter)
        best = _Best(filters.page * PAGE_ROWS)
        for block in self._labels.blocks():
            facets = self._facets(block)
            within = _within(block, filters)
            misses = {f: ~_chosen(facets.get(f), chosen, block)
                      for f, chosen in filters.chosen.items()}  # fmt: skip
            missed = sum((m.astype(np.uint8) for m in misses.values()), np.zeros(len(block), "u1"))
            for name, facet in facets.items():
                others = missed - misses[name] if name in misses else missed
                counts[name] += facet.counted(within & (others == 0))
            left = np.flatnonzero(within & (missed == 0))
            rows, of = rows + len(left), of + len(block)
            best.add(block, left, filters.sort)
        start = (filters.page - 1) * PAGE_ROWS
        return Found(rows, of, counts, [self._listed(*each) for each in best.sorted()[start:]])

    def around(self, filters: Filters, place: int) -> tuple[Listed | None, Listed | None]:
        """The rows before and after a place among those that filters leave, whatever the page."""
        best = _Best(place + 2)
        for block in self._labels.blocks():
            mask = _within(block, filters)
            facets = self._facets(block) if filters.chosen else {}
            for name, values in filters.chosen.items():
                mask &= _chosen(facets.get(name), values, block)
            best.add(block, np.flatnonzero(mask), filters.sort)
        found = best.sorted()
        before, after = found[place - 1 : place] if place else [], found[place + 1 :]
        return (
            self._listed(*before[0]) if before else None,
            self._listed(*after[0]) if after else None,
        )

    def _listed(self, block: Block, place: int) -> Listed:
        of = self._inputs.of(block)
        return Listed(
            shard=self._paths[block.shard[place]],
            row=int(block.row[place]),
            pair_id=str(block.pair_id[place]),
            status=STATUSES[block.status[place]],
            reason=REASONS[block.reason[place]],
            outcome=OUTCOMES[block.outcome[place]],
            orders=ORDERS[block.orders[place]],
            confidence=known(block.confidence[place]),
            margin=known(block.margin[place]),
            votes=int(block.votes[place]),
            gold=RELATIONS[relation(block.outcome[place], of.gold[place])],
            source=self._inputs.sources[of.source[place]],
        )

    def _facets(self, block: Block) -> dict[str, _Facet]:
        of = self._inputs.of(block)
        judges, sources = list(self._labels.judges), self._inputs.sources
        return {
            "status": _Facet(block.status, STATUSES),
            "outcome": _Facet(block.outcome, OUTCOMES),
            "reason": _Facet(block.reason, REASONS),
            "orders": _Facet(block.orders, ORDERS),
            "judge": _Facet(block.judge, judges),
            "others": _Facet(self._others.of(block), RELATIONS),
            "gold": _Facet(relation(block.outcome, of.gold), RELATIONS),
            "source": _Facet(of.source, sources),
            **{
                criterion_facet(name): _Facet(said, OUTCOMES)
                for name, said in block.criteria.items()
            },
        }


@dataclass
class _Best:
    """The rows that come first, of blocks that come one after the other."""

    most: int
    keys: list[Floats] = field(default_factory=list)
    places: list[Ints] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)

    def add(self, block: Block, places: Ints, sort: str) -> None:
        """Adds rows of a block."""
        keys = _sort_keys(block, sort, places)
        if len(keys) > self.most:
            last = np.partition(keys, self.most - 1)[self.most - 1]
            before, equal = np.flatnonzero(keys < last), np.flatnonzero(keys == last)
            # Of equal ones the first, so that every page has the same order.
            first = np.sort(np.concatenate([before, equal[: self.most - len(before)]]))
            keys, places = keys[first], places[first]
        self.keys.append(keys)
        self.places.append(places)
        self.blocks.append(block)

    def sorted(self) -> list[tuple[Block, int]]:
        """The first rows in order, each as its block and its place there."""
        if not self.keys:
            return []
        of_block = np.repeat(np.arange(len(self.keys)), [len(each) for each in self.keys])
        places = np.concatenate(self.places)
        order = np.argsort(np.concatenate(self.keys), kind="stable")[: self.most]
        return [(self.blocks[of_block[n]], int(places[n])) for n in order]


def _within(block: Block, filters: Filters) -> Mask:
    """The rows whose numbers and id are as wanted."""
    mask = np.ones(len(block), np.bool_)
    for name, (low, high) in filters.between.items():
        values = getattr(block, name)
        mask &= (values >= low) & (values <= high)
    if filters.pair:
        mask &= np.asarray(pc.starts_with(block.pair_id, filters.pair))
    return mask


@dataclass(frozen=True)
class _Facet:
    """A value for each row: its place among names."""

    codes: Codes
    names: Sequence[str]

    def counted(self, mask: Mask) -> Counter[str]:
        """How many rows of a mask have each value."""
        counts = np.bincount(self.codes[mask], minlength=len(self.names))
        return Counter({self.names[n] or NO_VALUE: int(counts[n]) for n in np.flatnonzero(counts)})


def _chosen(facet: _Facet | None, values: Sequence[str], block: Block) -> Mask:
    """The rows of a block that have one of the values; none has a facet that the block lacks."""
    if facet is None:
        return np.full(len(block), NO_VALUE in values)
    places = [n for n, name in enumerate(facet.names) if (name or NO_VALUE) in values]
    return np.isin(facet.codes, places)


def _sort_keys(block: Block, sort: str, place: Ints) -> Floats:
    """Keys by which rows are sorted, ascending; those without a value come last."""
    if not sort:
        keys = block.shard[place] * float(2**32) + block.row[place]
        return np.asarray(keys, np.float64)
    values = np.asarray(getattr(block, sort.removeprefix("-"))[place], np.float64)
    if sort.endswith("margin"):
        values = np.abs(values)
    return np.where(np.isnan(values), np.inf, -values if sort.startswith("-") else values)
