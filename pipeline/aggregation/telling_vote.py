"""The rationale of a label that several judges gave: of a vote that says the same."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.aggregation.composition import Combined
from schemas.labels import VERDICT, Status

_FACTS = ("choice", "soft_a", "score_a", "score_b", "outcome", "superseded")


def telling_rationales(tables: Sequence[pa.Table], choices: Sequence[str | None]) -> pa.Array:
    """Of each row the rationale of the most confident vote that agrees with its label.

    Votes are compared within a judge: by how far their probability is from one half, then by the
    gap of their scores. Among judges that agree, the one whose own confidence is highest tells.
    Null where no vote with a text agrees, or the label is none.

    Args:
        tables: of each judge that has the rows, labels v2 decided by its labeler.
        choices: what each row's label says (:func:`choice_of`); None of rows to leave out.
    """
    best: list[tuple[tuple[float, ...], str] | None] = [None] * len(choices)
    for table in tables:
        votes = table["votes"].combine_chunks()
        counts = pc.fill_null(pc.list_value_length(votes), 0).to_pylist()
        starts = list(itertools.accumulate(counts, initial=0))
        flat = pc.list_flatten(votes)
        facts = list(
            zip(*(pc.struct_field(flat, each).to_pylist() for each in _FACTS), strict=True)
        )
        texts = pc.struct_field(flat, "rationale")
        own = zip(*(table[name].to_pylist() for name in ("preference", "confidence")), strict=True)
        for row, (choice, (preference, confidence)) in enumerate(zip(choices, own, strict=True)):
            if choice is None:
                continue
            agreeing = [n for n in range(starts[row], starts[row + 1]) if _agrees(facts[n], choice)]
            if not agreeing:
                continue
            number = max(agreeing, key=lambda n: _sureness(facts[n]))
            text = texts[number].as_py()
            sure = (confidence or 0.0) if preference == choice else 0.0
            rank = (float(preference == choice), sure, *_sureness(facts[number]))
            if text and ((known := best[row]) is None or rank > known[0]):
                best[row] = rank, text
    return pa.array([each and each[1] for each in best], pa.string())


def choice_of(label: Combined) -> str | None:
    """What a label says, as votes say it; None where it says nothing."""
    return "tie" if label.status == Status.TIE else label.preference


def _agrees(fact: tuple[Any, ...], choice: str) -> bool:
    said, soft_a, _, _, outcome, superseded = fact
    if outcome != VERDICT or superseded or said != choice:
        return False
    return soft_a is None or choice == "tie" or (soft_a > 0.5) == (choice == "a")


def _sureness(fact: tuple[Any, ...]) -> tuple[float, float]:
    _, soft_a, score_a, score_b, _, _ = fact
    share = 1.0 if soft_a is None else abs(2 * soft_a - 1)
    gap = 0.0 if score_a is None or score_b is None else abs(score_a - score_b)
    return share, gap
