"""Counts a rubric's criteria over the rows of a snapshot, one batch at a time."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.stats.arrays import Floats
from pipeline.stats.tally import Tally
from schemas.labels import Status
from schemas.quality import Criterion

_PREFIX = "criterion/"
_MOST = 50  # criteria that quality.json has; rows may have rubrics of their own
# Of each criterion: rows with it, rows with equal scores, labeled rows with it, the sums of their
# winners' and losers' scores; all scores, their sum and that of their squares; rows where people
# and the criterion prefer one candidate, and those where it is the same one.
_COLUMNS = 10


def of_criteria(rows: pa.Table, gold: pa.Array | None) -> Tally:
    """The criteria of some rows of the table ``labels``.

    Args:
        rows: of the table.
        gold: what people say of each; None where it is not known, or no preference.
    """
    tally = Tally()
    column = rows["criteria"]
    if column.null_count == len(column):
        return tally
    labeled = pc.equal(rows["status"], Status.LABELED).to_pylist()
    preferred = rows["preference"].to_pylist()
    people = [None] * len(rows) if gold is None else gold.to_pylist()
    sums: defaultdict[str, Floats] = defaultdict(lambda: np.zeros(_COLUMNS))
    every = zip(column.to_pylist(), labeled, preferred, people, strict=True)
    for criteria, sided, side, human in every:
        for each in criteria or ():
            scores = each["scores"]
            won = sided and side in ("a", "b") and len(scores) == 2
            winner, loser = (scores[side == "b"], scores[side == "a"]) if won else (0.0, 0.0)
            equal, squares = len({*scores}) == 1, sum(score * score for score in scores)
            decided = human in ("a", "b") and not equal
            right = decided and (scores[0] > scores[1]) == (human == "a")
            row = (1, equal, won, winner, loser, len(scores), sum(scores), squares, decided, right)
            sums[each["name"]] += row
    tally.tables.update({f"{_PREFIX}{name}": values for name, values in sums.items()})
    return tally


def criteria_of(tally: Tally) -> dict[str, Criterion]:
    """What a snapshot says of each criterion, the most frequent first."""
    counted = {
        name.removeprefix(_PREFIX): [float(value) for value in values]
        for name, values in tally.tables.items()
        if name.startswith(_PREFIX)
    }
    most = sorted(counted, key=lambda name: (-counted[name][0], name))[:_MOST]
    return {name: _criterion(counted[name]) for name in most}


def _criterion(sums: list[float]) -> Criterion:
    rows, equal, labeled, winners, losers, scores, total, squares, decided, right = sums
    mean = total / scores
    return Criterion(
        rows=int(rows),
        equal=equal / rows,
        labeled=int(labeled),
        winner=winners / labeled if labeled else None,
        loser=losers / labeled if labeled else None,
        mean=mean,
        spread=max(0.0, squares / scores - mean * mean) ** 0.5,
        gold=int(decided),
        gold_agreement=right / decided if decided else None,
    )
