"""Where two judges or two snapshots differ about the same pairs, most telling first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.review.browse import PAGE_ROWS
from pipeline.review.label_columns import NO_OUTCOME, OUTCOMES, LabelColumns, known
from pipeline.runtime.errors import InputError
from pipeline.stats.arrays import Floats, Ints

_MOST_ROWS = 20_000_000  # of both together; some 40 bytes each
_TIE = OUTCOMES.index("tie")
_UNSTATED = 0.5  # the confidence of a label that states none


@dataclass(frozen=True)
class Difference:
    """A pair about which two sources say different things.

    Attributes:
        ours, theirs: what each prefers; empty where nothing is decided.
    """

    shard: str
    row: int
    pair_id: str
    ours: str
    theirs: str
    our_confidence: float | None
    their_confidence: float | None


@dataclass(frozen=True)
class Comparison:
    """Two sources, pair by pair.

    Attributes:
        common: pairs that both have.
        counts: pairs by what ours (rows) and theirs (columns) prefer, as ``OUTCOMES`` are.
        differing: how many differ.
        page: some of them.
    """

    common: int
    counts: NDArray[np.int64]
    differing: int
    page: Sequence[Difference]

    @property
    def pages(self) -> int:
        """How many pages those that differ take; at least one."""
        return max(1, -(-self.differing // PAGE_ROWS))


@dataclass(frozen=True)
class _Columns:
    """Of every pair that could be read, by ascending key, each once."""

    key: Ints
    outcome: NDArray[np.uint8]
    confidence: Floats
    shard: NDArray[np.int32]
    row: Ints
    block: NDArray[np.int32]
    place: Ints


def compare(
    ours: LabelColumns, theirs: LabelColumns, page: int = 1, page_rows: int | None = PAGE_ROWS
) -> Comparison:
    """Compares two sources.

    Args:
        ours: whose rows are shown.
        theirs: the other one.
        page: from 1.
        page_rows: how many differences a page has; None for all of them.

    Raises:
        InputError: there are too many rows, or a file is corrupt.
        StorageError: the store fails.
    """
    if ours.rows + theirs.rows > _MOST_ROWS:
        raise InputError(
            f"{ours.rows + theirs.rows:,} rows cannot be compared on one page; "
            f"at most {_MOST_ROWS:,} of both together can"
        )
    a, b = _columns(ours), _columns(theirs)
    _, in_a, in_b = np.intersect1d(a.key, b.key, assume_unique=True, return_indices=True)
    said = a.outcome[in_a], b.outcome[in_b]
    counts = np.zeros((len(OUTCOMES), len(OUTCOMES)), np.int64)
    np.add.at(counts, said, 1)
    differ = np.flatnonzero(said[0] != said[1])
    in_a, in_b = in_a[differ], in_b[differ]
    telling = _telling(a, b, in_a, in_b)
    most = page_rows or len(differ)
    order = np.argsort(-telling, kind="stable")[(page - 1) * most : page * most]
    shards, blocks = list(ours.shards), list(ours.blocks())
    found = [
        Difference(
            shards[a.shard[i]],
            int(a.row[i]),
            str(blocks[a.block[i]].pair_id[int(a.place[i])]),
            OUTCOMES[a.outcome[i]],
            OUTCOMES[b.outcome[j]],
            known(a.confidence[i]),
            known(b.confidence[j]),
        )
        for i, j in zip(in_a[order], in_b[order], strict=True)
    ]
    return Comparison(len(said[0]), counts, len(differ), found)


def _columns(labels: LabelColumns) -> _Columns:
    blocks = [
        (
            *(block.key, block.outcome, block.confidence, block.shard, block.row),
            np.full(len(block), number, np.int32),
            np.arange(len(block)),
        )
        for number, block in enumerate(labels.blocks())
    ]
    if not blocks:
        nothing = np.zeros(0, np.int64)
        return _Columns(*[nothing] * 7)  # type: ignore[arg-type]
    columns = [np.concatenate(each) for each in zip(*blocks, strict=True)]
    keys, first = np.unique(columns[0], return_index=True)
    first = first[keys != 0]
    return _Columns(*(column[first] for column in columns))


def _telling(a: _Columns, b: _Columns, in_a: Ints, in_b: Ints) -> Floats:
    """How much a difference says: opposite sides, then a side against a tie, then undecided ones.

    Within each, the confidence of the less confident one.
    """
    sides = a.outcome[in_a], b.outcome[in_b]
    sure = np.fmin(_stated(a.confidence[in_a]), _stated(b.confidence[in_b]))
    undecided = (sides[0] == NO_OUTCOME) | (sides[1] == NO_OUTCOME)
    tie = (sides[0] == _TIE) | (sides[1] == _TIE)
    return np.asarray(np.where(undecided, 0.0, np.where(tie, 2.0, 4.0)) + sure, np.float64)


def _stated(confidence: Floats) -> Floats:
    return np.asarray(np.where(np.isnan(confidence), _UNSTATED, confidence), np.float64)
