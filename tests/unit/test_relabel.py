"""Relabelling is deciding each row, but quickly."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.aggregation import relabel
from pipeline.aggregation.labeler import DECIDED, Labeler
from pipeline.aggregation.policy import PolicyConfig
from pipeline.aggregation.relabel import Relabeler
from pipeline.judging.judge_config import JudgeConfig
from pipeline.judging.votes import Vote
from schemas.contract import table_of
from schemas.labels import LABELS, Reason
from tests.calibrations import calibration, scored
from tests.derivations import Row, rows_of, table

LABELER = Labeler.of(JudgeConfig(), PolicyConfig(min_confidence=0.8))
FITTED = Labeler.of(JudgeConfig(), None, calibration("ab" * 32))
LIMIT = "_MOST"


def failed(order: str) -> Vote:
    return Vote(order=order, seed=0, outcome=Reason.MALFORMED, detail="no tag", rationale="?")


VOTE = st.builds(
    lambda order, a, b, text: Vote(
        order=order, seed=len(text), outcome="verdict", scores=(a, b), rationale=text
    ),
    *(st.sampled_from(["ab", "ba"]), st.sampled_from([2.0, 5.0, 9.0])),
    *(st.sampled_from([2.0, 5.0, 8.5]), st.text(max_size=3)),
) | st.sampled_from([failed("ab"), failed("ba")])
CAST = st.none() | st.lists(VOTE, min_size=1, max_size=6).filter(
    lambda votes: not all(vote.parsed for vote in votes) or len({v.order for v in votes}) == 2
)  # asking ends once both orders have a verdict, or replies have failed


def by_hand(row: Row, labeler: Labeler) -> Row:
    """The row with what its votes decide."""
    if not row["votes"]:
        return row | {"policy_id": labeler.policy_id}
    decided = labeler.decide([Vote.from_row(vote) for vote in row["votes"]]).as_row()
    if decided["status"] == row["status"] == "quarantined":
        decided = {}
    decided_by = {"decided_by": row["judge_id"], "policy_id": labeler.policy_id}
    return row | decided | decided_by


@given(st.lists(CAST, max_size=8), st.sampled_from([LABELER, FITTED]))
def test_each_row_is_decided_by_its_votes(votes: Sequence[list[Vote] | None], by: Labeler) -> None:
    stored = table(votes, Labeler.of(JudgeConfig()))
    rows = stored.to_pylist()
    again = Relabeler(by).table(stored)
    assert again.schema.equals(LABELS, check_metadata=True)
    assert again.to_pylist() == [by_hand(row, by) for row in rows]
    assert (again["p_a"].null_count == len(again)) or by is FITTED


def test_a_reason_keeps_what_was_known_of_the_reply() -> None:
    stored = table([[failed("ab"), failed("ba")], None], Labeler.of(JudgeConfig()))
    again = Relabeler(LABELER).table(stored).to_pylist()
    first = "2 of 2 replies unparseable; last, order ba: no tag"
    assert [(row["status"], row["detail"]) for row in again] == [
        ("quarantined", first),
        ("quarantined", "no picture"),
    ]


def test_votes_that_are_superseded_count_no_more() -> None:
    rows = rows_of([[scored("ab", 9, 2), scored("ba", 9, 2)] * 2], Labeler.of(JudgeConfig()))
    for vote in rows[0]["votes"][:2]:
        vote |= {"score_a": 2.0, "score_b": 9.0, "superseded": True}
    (row,) = Relabeler(LABELER).table(table_of(rows, LABELS)).to_pylist()
    assert (row["status"], row["preference"], row["n_votes"]) == ("labeled", "a", 4)


def test_memory_is_bounded_and_forgetting_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = itertools.product((1.0, 2.5, 7.0), repeat=4)
    votes = [[scored("ab", a, b), scored("ba", c, d)] for a, b, c, d in scores]
    stored = table(votes, Labeler.of(JudgeConfig()))
    expected = Relabeler(LABELER).table(stored)
    monkeypatch.setattr(relabel, LIMIT, 5)
    small = Relabeler(LABELER)
    with ThreadPoolExecutor(4) as threads:
        pieces = [stored.slice(start, 10) for start in range(0, 81, 10)] * 5
        for piece, found in zip(pieces, threads.map(small.table, pieces), strict=True):
            start = piece["row"][0].as_py()
            assert found == expected.slice(start, len(piece))
    assert max(len(small._facts), len(small._votes), len(small._rows)) <= 5 + 20


def test_every_decided_column_is_replaced() -> None:
    assert set(DECIDED) <= set(LABELS.names)
    assert set(relabel._FACTS) & {"choice", "score_a", "soft_a", "weight", "superseded", "order"}


def test_a_row_whose_votes_are_all_superseded_stays_as_it_is() -> None:
    """As one that was retried, and could not be read again."""
    votes = [replace(failed("ab"), superseded=True), replace(failed("ba"), superseded=True)]
    (row,) = rows_of([None], LABELER)
    row["votes"] = [vote.as_row() for vote in votes]
    (found,) = Relabeler(LABELER).table(table_of([row], LABELS)).to_pylist()
    assert found["status"] == "quarantined"
    assert (found["reason"], found["detail"]) == (row["reason"], row["detail"])
    assert [vote["superseded"] for vote in found["votes"]] == [True, True]
