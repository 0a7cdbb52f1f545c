"""Labels derived again: the same under the same policy, recounted by hand under another."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.aggregation.decisions import decide_pair
from pipeline.aggregation.label_tables import number_of_pairs, pairs_of_groups
from pipeline.aggregation.labeler import DECIDED, Labeler
from pipeline.aggregation.policy import PolicyConfig, Rule
from pipeline.aggregation.relabel import Relabeler
from pipeline.judging.judge_config import JudgeConfig
from pipeline.judging.votes import Vote
from pipeline.lab.tiny_judge.asked_formats import FormatName
from schemas.labels import LABELS, Reason
from tests.calibrations import CHOSEN, SCORED, SCORES, calibration, chosen, pair_votes, scored
from tests.derivations import table

STRICT = PolicyConfig(threshold=0.95, margin_scale=0)  # counts every vote whole
CALIBRATION = calibration("ab" * 32)


def labeler(
    format_: FormatName = "pairwise_scores", policy: PolicyConfig | None = None, **more: Any
) -> Labeler:
    return Labeler.of(JudgeConfig(format=format_), policy, **more)


def derived(stored: pa.Table, by: Labeler) -> pa.Table:
    return Relabeler(by).table(stored)


def clear(count: int, side: int = 0) -> list[Vote]:
    scores = (9.0, 2.0) if side == 0 else (2.0, 9.0)
    return [scored(("ab", "ba")[number % 2], *scores) for number in range(count)]


POLICIES = st.builds(
    PolicyConfig,
    undecided=st.sampled_from(("abstain", "tie")),
    min_confidence=st.sampled_from((0.0, 0.7, 0.9)),
    threshold=st.sampled_from((None, 0.6, 0.95)),
    margin_scale=st.sampled_from((None, 2.0)),
)
ROWS = st.lists(pair_votes(SCORED) | st.none(), max_size=3)
CHOICES = st.lists(pair_votes(CHOSEN) | st.none(), max_size=3)


@st.composite
def rankings(draw: st.DrawFn) -> list[Vote]:
    """Votes about three or four candidates; the first permutation has both its orders."""
    letters = "abcd"[: draw(st.integers(3, 4))]
    orders = [letters, letters[::-1], *draw(st.lists(st.permutations(letters), max_size=2))]
    votes = [scored("".join(order), *(draw(SCORES) for _ in letters)) for order in orders]
    if draw(st.booleans()):
        votes.insert(0, Vote(order=letters, seed=1, outcome=Reason.TRUNCATED))
    return votes


SINGLE = st.lists(st.builds(scored, st.just("a"), SCORES), min_size=1, max_size=3)


@given(
    st.one_of(
        st.tuples(st.just("pairwise_scores"), ROWS),
        st.tuples(st.just("pairwise_options"), CHOICES),
        st.tuples(st.just("batch_ranking"), st.lists(rankings(), max_size=2)),
        st.tuples(st.just("single_score"), st.lists(SINGLE, max_size=3)),
    ),
    POLICIES,
    POLICIES,
    st.sampled_from((None, CALIBRATION)),
)
def test_the_same_policy_gives_the_same_labels_and_another_those_it_would_have_made(
    judged: tuple[FormatName, Sequence[list[Vote] | None]],
    policy: PolicyConfig,
    other: PolicyConfig,
    fitted: Any,
) -> None:
    format_, votes = judged
    ours = labeler(format_, policy, calibration=fitted)
    theirs = labeler(format_, other)
    stored = table(votes, ours)
    assert derived(stored, ours) == stored
    again = derived(stored, theirs)
    assert again.schema.equals(LABELS, check_metadata=True)
    made = table(votes, theirs)
    for name in set(LABELS.names) - {"judged_at"}:
        assert again[name].to_pylist() == made[name].to_pylist(), name
    assert again["judged_at"] == stored["judged_at"]


def test_a_higher_threshold_recounted_by_hand() -> None:
    # Beta posteriors of 2, 4 and 6 votes for one side: 7/8, 31/32, 127/128.
    stored = table([clear(2), clear(4), clear(6, side=1), None], labeler())
    strict = labeler(policy=STRICT)
    again = derived(stored, strict).to_pylist()
    assert [row["status"] for row in stored.to_pylist()] == ["labeled"] * 3 + ["quarantined"]
    assert [(row["status"], row["preference"]) for row in again] == [
        ("abstained", None),
        ("labeled", "a"),
        ("labeled", "b"),
        ("quarantined", None),
    ]
    assert [row["confidence"] for row in again[:3]] == pytest.approx([7 / 8, 31 / 32, 127 / 128])
    for old, new in zip(stored.to_pylist(), again, strict=True):
        changed = {name for name in new if new[name] != old[name]}
        assert changed <= {*DECIDED, "policy_id"}
        assert new["policy_id"] == strict.policy_id
    assert {name for name in old if new[name] != old[name]} == {"policy_id"}  # the quarantined row


def test_a_calibration_fills_p_a_and_keeps_the_raw_share() -> None:
    votes = [[*clear(2), scored("ab", 5, 5)], clear(4, side=1)]
    stored = table(votes, labeler())
    assert stored["p_a"].null_count == 2
    again = derived(stored, labeler(calibration=CALIBRATION)).to_pylist()
    assert [row["p_a"] for row in again] == [CALIBRATION.p_a(each) for each in votes]
    assert [row["p_a_raw"] for row in again] == stored["p_a_raw"].to_pylist() == [2.5 / 3, 0.0]
    assert again[1]["confidence"] == 1 - CALIBRATION.p_a(votes[1])


RANKED = [scored("abc", 8, 5, 5), scored("cba", 9, 3, 5), scored("bca", 7, 6, 5)]


def expanded(votes: Sequence[list[Vote] | None], **more: Any) -> list[dict[str, Any]]:
    ranking = labeler("batch_ranking", **more)
    tables = list(pairs_of_groups(table(votes, ranking), ranking))
    return pa.concat_tables(tables).to_pylist() if tables else []


def test_a_ranked_group_becomes_its_pairs() -> None:
    rows = expanded([RANKED])
    assert [row["pair_id"] for row in rows] == ["pair-0#a-b", "pair-0#a-c", "pair-0#b-c"]
    assert [row["status"] for row in rows] == ["labeled", "labeled", "abstained"]
    assert [row["preference"] for row in rows] == ["a", "a", None]
    assert [row["margin"] for row in rows] == pytest.approx([10 / 3, 3, -1 / 3])
    assert [row["scores"] for row in rows] == [
        pytest.approx([8, 14 / 3]),
        pytest.approx([8, 5]),
        pytest.approx([14 / 3, 5]),
    ]
    seen = [
        [(v["order"], v["score_a"], v["score_b"], v["choice"]) for v in r["votes"]] for r in rows
    ]
    assert seen == [
        [("ab", 8, 5, "a"), ("ba", 9, 3, "a"), ("ba", 7, 6, "a")],
        [("ab", 8, 5, "a"), ("ba", 9, 5, "a"), ("ba", 7, 5, "a")],
        [("ab", 5, 5, "tie"), ("ba", 3, 5, "b"), ("ab", 6, 5, "a")],
    ]
    assert {row["row"] for row in rows} == {0}
    assert len({row["label_id"] for row in rows} | {row["pair_hash"] for row in rows}) == 6


def test_groups_keep_their_pairs_apart_and_quarantined_ones_stay() -> None:
    rows = expanded([RANKED, None, RANKED[:2]], policy=STRICT)
    names = [f"pair-{n}#{pair}" for n in (0, 2) for pair in ("a-b", "a-c", "b-c")]
    assert [row["pair_id"] for row in rows] == [*names[:3], "pair-1", *names[3:]]
    assert len({row["label_id"] for row in rows}) == 7
    lost = rows[3]
    assert (lost["status"], lost["reason"], lost["votes"]) == ("quarantined", "media_corrupt", [])
    # Three votes for one side: 15/16; two: 7/8. Neither reaches 0.95.
    assert [row["status"] for row in rows if row["votes"]] == ["abstained"] * 6
    assert {row["policy_id"] for row in rows} == {labeler("batch_ranking", STRICT).policy_id}


@given(st.lists(rankings() | st.none(), max_size=3), POLICIES)
def test_every_pair_is_decided_as_a_pair(
    votes: Sequence[list[Vote] | None], policy: PolicyConfig
) -> None:
    ranking = labeler("batch_ranking", policy)
    rows = iter(expanded(votes, policy=policy))
    groups = table(votes, ranking).to_pylist()
    assert sum(map(number_of_pairs, groups)) == len(expanded(votes, policy=policy))
    for group, cast in zip(groups, votes, strict=True):
        if cast is None:
            assert next(rows)["pair_id"] == group["pair_id"]
            continue
        for first, second in itertools.combinations(range(len(cast[-1].scores)), 2):
            row = next(rows)
            by_hand = decide_pair([vote.between(first, second) for vote in cast], ranking.rule)
            assert row["status"] == by_hand.status
            assert (row["preference"], row["p_a_raw"]) == (by_hand.preference, by_hand.p_a_raw)
            assert (row["margin"], row["confidence"]) == (by_hand.margin, by_hand.confidence)
            assert row["n_votes"] == len(row["votes"]) == len(cast)
    assert next(rows, None) is None


def test_options_keep_their_kind_of_tie() -> None:
    both = [chosen(("ab", "ba")[n % 2], "both_bad") for n in range(4)]
    again = derived(table([both], labeler("pairwise_options")), labeler("pairwise_options", STRICT))
    assert again["tie_kind"].to_pylist() == ["bad"]
    assert decide_pair(both, Rule(tie_threshold=0.95)).tie_kind == "bad"
