"""Ranked rows as pairs of two candidates each, for judges that compare two."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import pyarrow as pa

from pipeline.judging.votes import LETTERS
from pipeline.pairs.contract_checks import empty_candidate
from pipeline.pairs.ranked_sets import RankedPair

Expansion = Literal["all", "adjacent", "best-against-rest"]
Row = dict[str, Any]


def as_pairs(pairs: pa.Table, how: Expansion) -> pa.Table:
    """The rows in their order, each ranked one replaced by its pairs.

    A pair keeps the order of the row's candidates, has the better one's letter as gold, and is
    called ``<pair_id>:<letters>``; its metadata say which set it is of (``ranked_sets``), so that
    an export makes one ranking of its pairs again. Rows with a defect, and rows of fewer than two
    candidates, stay.

    Args:
        pairs: as they are in memory.
        how: every two candidates; neighbours by score; or the best one against each other one.
    """
    some = (pairs[name].null_count < len(pairs) for name in ("candidates", "gold_scores"))
    if not any(some):
        return pairs
    rows = [made for row in pairs.to_pylist() for made in _expanded(row, how)]
    return pa.Table.from_pylist(rows, pairs.schema)


def _expanded(row: Row, how: Expansion) -> Iterator[Row]:
    candidates, scores = row["candidates"] or [], row["gold_scores"]
    ranked = None not in candidates and (len(candidates) > 2 or (len(candidates) == 2 and scores))
    # An empty candidate costs the pairs that it is in, unless their gold is known.
    if row["defect"] not in (None, empty_candidate(candidates)) or not ranked:
        yield row
        return
    if scores is None and how != "all":
        yield row | {"defect": f"no gold_scores, by which {how} pairs are chosen"}
        return
    if len(candidates) > len(LETTERS):
        most = len(LETTERS)
        yield row | {"defect": f"got {len(candidates)} candidates, expected at most {most}"}
        return
    chosen = _chosen(scores or [None] * len(candidates), how)
    all_letters = "".join(LETTERS[n] for n in sorted({n for pair in chosen for n in pair}))
    for first, second in chosen:
        letters = LETTERS[first] + LETTERS[second]
        both = [candidates[first], candidates[second]]
        gold = _gold(scores and scores[first], scores and scores[second])
        place = RankedPair(row["pair_id"], letters, all_letters)
        yield row | {
            "pair_id": f"{row['pair_id']}:{letters}",
            "candidates": both,
            "gold": gold,
            "gold_scores": None,
            "metadata": [*(row["metadata"] or ()), *place.entries()],
            "defect": None if gold else empty_candidate(both),
        }


def _chosen(scores: Sequence[float | None], how: Expansion) -> list[tuple[int, int]]:
    """Places of two candidates, in the row's order; without a score one is in no chosen pair."""
    if how == "all":
        return list(itertools.combinations(range(len(scores)), 2))
    known = [(-score, place) for place, score in enumerate(scores) if score is not None]
    order = [place for _, place in sorted(known)]
    chosen = itertools.pairwise(order) if how == "adjacent" else ((order[0], n) for n in order[1:])
    return sorted((min(pair), max(pair)) for pair in chosen)


def _gold(first: float | None, second: float | None) -> str | None:
    if first is None or second is None:
        return None
    return "tie" if first == second else "a" if first > second else "b"
