"""The embedded judge is good, and only because it looks at the picture."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.lab.tiny_judge.blind_controls import CONTROLS
from pipeline.lab.tiny_judge.scene_corpus import scene_rows
from tests.engines.conftest import TinyJudge

pytestmark = pytest.mark.engine
PAIRS = 200


def _accuracy(rows: list[dict[str, Any]], labels: list[dict[str, Any]]) -> tuple[float, float]:
    """Of the pairs with a better answer: share labelled right, and that among the decided."""
    decidable = [(r, x) for r, x in zip(rows, labels, strict=True) if r["gold"] != "tie"]
    decided = [(r, x) for r, x in decidable if x["preference"]]
    right = sum(r["gold"] == x["preference"] for r, x in decided)
    return right / len(decidable), right / len(decided)


def test_held_out_pairs_are_labelled_right(tiny: TinyJudge) -> None:
    rows = scene_rows(PAIRS, seed=1)
    labels = tiny.labels(rows)
    votes = [vote for label in labels for vote in label["votes"]]
    assert sum(vote["outcome"] == "verdict" for vote in votes) / len(votes) >= 0.995
    overall, _ = _accuracy(rows, labels)
    assert overall >= 0.97


@pytest.mark.parametrize("control", list(CONTROLS))
def test_without_its_picture_the_judge_is_at_chance(tiny: TinyJudge, control: str) -> None:
    rows = scene_rows(PAIRS, seed=2)
    overall, among_decided = _accuracy(rows, tiny.labels(CONTROLS[control](rows)))
    assert overall <= 0.5
    assert 0.42 <= among_decided <= 0.58
