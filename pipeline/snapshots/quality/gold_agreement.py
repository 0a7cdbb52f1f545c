"""Labels against gold: the confusion of both, a calibration curve, and ranked pairs.

Gold of a pair is ``a``, ``b`` or ``tie``; its label is the preference of a labeled pair, or else
its status (``schemas.quality.AGREEMENT_LABELS``). As in :mod:`pipeline.stats.agreement` and the
evaluation of a judge, a pair is *decided* where label and gold both prefer one of the two.

* agreement: right ones of the decided pairs. How often a stated preference is right.
* agreement of all: right ones of all pairs with gold, where a tie is right if gold is a tie, and
  a tie for a preference, an abstention and a quarantined pair are wrong. A judge cannot raise it
  by abstaining.

Of ranked groups, whose gold are a human's scores, both are about the pairs of candidates that the
human orders: decided are those that the judge orders too; without scores none is.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.snapshots.quality.label_counts import probabilities
from pipeline.stats.arrays import Ints
from pipeline.stats.cluster_sums import ClusterSums
from pipeline.stats.intervals import NOTHING, share_by_prompt
from pipeline.stats.rank_agreement import ordered_pairs
from pipeline.stats.tally import Tally
from schemas.labels import Status
from schemas.pairs import GOLD_VALUES
from schemas.quality import AGREEMENT_LABELS, Agreement, Rate

_BINS = 10
_OUTCOMES = {"a": 1.0, "b": 0.0, "tie": 0.5}
# The cells of the confusion, counted row by row, where the label is the gold one.
_RIGHT = [
    GOLD_VALUES.index(each) * len(AGREEMENT_LABELS) + AGREEMENT_LABELS.index(each)
    for each in GOLD_VALUES
]
_SIDED = [GOLD_VALUES.index(each) for each in "ab"]  # and so of AGREEMENT_LABELS


def of_pairs(name: str, rows: pa.Table, gold: pa.Array, prompts: Ints) -> Tally:
    """Counts pairs against gold.

    Args:
        name: the prefix of the counts.
        rows: labels, or rows in quarantine.
        gold: of each row; a row whose gold is null or none of ``GOLD_VALUES`` is not counted.
        prompts: the key of each row's prompt.
    """
    labeled = pc.equal(rows["status"], Status.LABELED)
    label = pc.index_in(
        pc.if_else(labeled, rows["preference"], rows["status"]), pa.array(AGREEMENT_LABELS)
    )
    human = pc.index_in(gold, pa.array(GOLD_VALUES))
    # A label without votes is the gold value itself, and measures no judge.
    voted = pc.or_(pc.greater(rows["n_votes"], 0), pc.equal(rows["status"], Status.QUARANTINED))
    known = np.asarray(pc.and_(pc.is_valid(human), voted), bool)
    cells = [np.asarray(pc.fill_null(each, 0), np.int64)[known] for each in (human, label)]
    confusion = np.zeros((len(GOLD_VALUES), len(AGREEMENT_LABELS)), np.int64)
    np.add.at(confusion, tuple(cells), 1)
    p = probabilities(rows)[known]
    outcome = np.array([_OUTCOMES[value] for value in GOLD_VALUES])[cells[0]][~np.isnan(p)]
    p = p[~np.isnan(p)]
    bins = np.minimum((p * _BINS).astype(np.int64), _BINS - 1)
    sums = [np.bincount(bins, weights, _BINS) for weights in (None, p, outcome)]
    tally = Tally(
        tables={f"{name}/confusion": confusion, f"{name}/calibration": np.stack(sums, axis=1)}
    )
    tally.numbers[f"{name}/pairs"] = int(np.count_nonzero(known))
    right = np.isin(cells[0] * len(AGREEMENT_LABELS) + cells[1], _RIGHT)
    decided = np.isin(cells[0], _SIDED) & np.isin(cells[1], _SIDED)
    every = np.ones(len(right), np.int64)
    tally.clusters[f"{name}/decided"] = ClusterSums.of(prompts[known], right & decided, decided)
    tally.clusters[f"{name}/all"] = ClusterSums.of(prompts[known], right, every)
    return tally


def of_groups(
    name: str, rows: pa.Table, gold_scores: Sequence[Sequence[float | None] | None], prompts: Ints
) -> Tally:
    """Counts ranked groups against a human's scores; a group that lacks a score is not counted."""
    found = []
    columns = (rows["scores"].to_pylist(), gold_scores, prompts.tolist())
    for scores, given, prompt in zip(*columns, strict=True):
        gold = [score for score in given or () if score is not None]
        whole = bool(gold) and len(gold) == len(given or ())
        if whole and (scores is None or len(scores) == len(gold)):
            alike, equal, count = ordered_pairs(scores, gold)
            found.append((prompt, alike, 0 if scores is None else count - equal, count))
    keys, part, decided, ordered = np.array(found, np.int64).reshape(-1, 4).T
    tally = Tally()
    tally.numbers[f"{name}/pairs"] = len(found)
    tally.clusters[f"{name}/decided"] = ClusterSums.of(keys, part, decided)
    tally.clusters[f"{name}/all"] = ClusterSums.of(keys, part, ordered)
    return tally


def agreement_rates(name: str, tally: Tally) -> dict[str, Rate]:
    """Agreement, and agreement of all, as the module's docstring defines them."""
    tables = {"agreement": "decided", "agreement_all": "all"}
    found = {rate: tally.clusters.get(f"{name}/{table}") for rate, table in tables.items()}
    return {
        f"{name}_{rate}": NOTHING if counts is None else share_by_prompt(counts.sums)
        for rate, counts in found.items()
    }


def agreement_of(name: str, tally: Tally, source: str) -> Agreement | None:
    """The table of agreement and the calibration curve; None where no pair has gold."""
    pairs = tally.numbers[f"{name}/pairs"]
    if not pairs:
        return None
    confusion = tally.tables.get(f"{name}/confusion")
    if confusion is None:
        return Agreement(source, pairs, None)
    curve = tally.tables[f"{name}/calibration"]
    curve = curve[curve[:, 0] > 0]
    stated, observed = (curve[:, 1:] / curve[:, :1]).T.tolist()
    counts = map(int, curve[:, 0])
    table = tuple(tuple(map(int, cells)) for cells in confusion)
    return Agreement(source, pairs, table, tuple(stated), tuple(observed), tuple(counts))
