"""Counts of parts add up to the counts of the whole, and to those of a plain loop over rows."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.snapshots.quality.gold_agreement import (
    agreement_of,
    agreement_rates,
    of_groups,
    of_pairs,
)
from pipeline.snapshots.quality.label_counts import (
    EDGES,
    SAMPLE,
    of_lengths,
    of_prompts,
    of_rows,
    of_votes,
)
from pipeline.stats.agreement import calibration_curve
from pipeline.stats.rank_agreement import ordered_pairs
from pipeline.stats.tally import Tally, counted, ratio_sums
from schemas.labels import BY_GOLD, VERDICT, Reason, Status
from schemas.snapshots import SNAPSHOT_LABELS, SNAPSHOT_VOTES

Row = dict[str, Any]
_SHARE = st.none() | st.floats(0, 1)
_SIDE = st.sampled_from(("a", "b"))


@st.composite
def label(draw: st.DrawFn) -> Row:
    """A row of a snapshot, labels or quarantine, as far as it is counted."""
    row: Row = dict.fromkeys(SNAPSHOT_LABELS.names)
    row["status"] = draw(st.sampled_from(list(Status))).value
    row["n_votes"] = draw(st.integers(1, 40))
    row["decided_by"] = draw(st.sampled_from((None, "ab" * 32, "cd" * 32, BY_GOLD)))
    if row["status"] == Status.QUARANTINED:
        return row | {"reason": draw(st.sampled_from(list(Reason))).value}
    if row["status"] == Status.LABELED:
        row["preference"] = draw(_SIDE)
    return row | {
        "p_a": draw(_SHARE),
        "p_a_raw": draw(_SHARE),
        "margin": draw(st.none() | st.floats(-99, 99)),
        "confidence": draw(_SHARE),
        "position_consistent": draw(st.none() | st.booleans()),
        "scores": draw(st.none() | st.lists(st.floats(1, 10), min_size=3, max_size=3)),
    }


@st.composite
def votes_of_row(draw: st.DrawFn) -> list[Row]:
    """The votes of one row, in the order asked."""
    votes = []
    for number in range(draw(st.integers(1, 5))):
        outcome = draw(st.sampled_from((VERDICT, VERDICT, "truncated", "malformed")))
        row: Row = dict.fromkeys(SNAPSHOT_VOTES.names)
        row |= {"vote": number, "order": draw(st.sampled_from(("ab", "ba"))), "outcome": outcome}
        if outcome == VERDICT:
            row["choice"] = draw(st.sampled_from(("a", "b", "tie", None)))
        tokens = st.none() | st.integers(0, 2**17)
        row |= {f"{name}_tokens": draw(tokens) for name in ("prompt", "output", "cached")}
        votes.append(row)
    return votes


LABELS = st.lists(label(), max_size=12)
GOLD = st.sampled_from(("a", "b", "tie", None, "unknown: x"))
JUDGED = st.lists(st.tuples(label(), GOLD), max_size=12)
SCORES = st.none() | st.lists(st.none() | st.sampled_from((1.0, 2.0, 3.0)), max_size=3)
GROUPS = st.lists(st.tuples(label(), SCORES), max_size=8)


def labels_of(rows: Sequence[Row]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=SNAPSHOT_LABELS)


def votes_of(rows: Sequence[list[Row]]) -> pa.Table:
    return pa.Table.from_pylist(list(itertools.chain.from_iterable(rows)), schema=SNAPSHOT_VOTES)


def prompts_of(rows: Sequence[Row]) -> Any:
    """Keys of some prompts, with several rows each."""
    return np.array([row["n_votes"] % 3 for row in rows], np.int64)


def pairs_of(rows: Sequence[tuple[Row, str | None]]) -> Tally:
    labels, gold = [row for row, _ in rows], pa.array([g for _, g in rows], "str")
    return of_pairs("g", labels_of(labels), gold, prompts_of(labels))


def groups_of(rows: Sequence[tuple[Row, Any]]) -> Tally:
    labels = [row for row, _ in rows]
    return of_groups("g", labels_of(labels), [gold for _, gold in rows], prompts_of(labels))


def sampled(rows: Sequence[Row]) -> Tally:
    return of_prompts(labels_of(rows), prompts_of(rows))


def lengths_of(rows: Sequence[tuple[float, float, str, str]]) -> Tally:
    a, b = (np.array([row[i] for row in rows], np.float64) for i in (0, 1))
    preferred, gold = (np.array([row[i] for row in rows], np.str_) for i in (2, 3))
    return of_lengths(a, b, preferred, gold, np.nan_to_num(b).astype(np.int64) % 3)


LENGTH = st.just(float("nan")) | st.integers(0, 50).map(float)
TEXTS = st.lists(st.tuples(LENGTH, LENGTH, *[st.sampled_from(("a", "b", ""))] * 2), max_size=12)


def assert_same(one: Tally, other: Tally) -> None:
    """The same counts, where a name that is not there counts nothing."""
    assert +one.numbers == +other.numbers
    for name in one.tables.keys() | other.tables.keys():
        mine, theirs = one.tables.get(name), other.tables.get(name)
        some = theirs if mine is None else mine
        assert some is not None
        np.testing.assert_allclose(
            np.zeros_like(some) if mine is None else mine,
            np.zeros_like(some) if theirs is None else theirs,
            atol=1e-12,
        )
    for name in one.clusters.keys() | other.clusters.keys():
        found = [of.clusters[name].sums.tolist() for of in (one, other) if name in of.clusters]
        kept = [sorted(each for each in sums if any(each)) for sums in found]
        assert kept[0] == (kept[1] if len(kept) > 1 else [])


@pytest.mark.parametrize(
    ("rows", "count"),
    [
        (LABELS, lambda rows: of_rows(labels_of(rows))),
        (st.lists(votes_of_row(), max_size=8), lambda rows: of_votes(votes_of(rows))),
        (JUDGED, pairs_of),
        (GROUPS, groups_of),
        (TEXTS, lengths_of),
        (LABELS, sampled),
    ],
    ids=["rows", "votes", "pairs", "groups", "lengths", "sample"],
)
@given(data=st.data())
def test_parts_add_up_to_the_whole(
    rows: st.SearchStrategy[list[Any]], count: Callable[[list[Any]], Tally], data: st.DataObject
) -> None:
    drawn = data.draw(rows)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(drawn)), max_size=4)))
    pieces = [drawn[i:j] for i, j in itertools.pairwise([0, *cuts, len(drawn)])]
    merged = Tally()
    for piece in data.draw(st.permutations(pieces)):
        merged.add(count(piece))
    assert_same(merged, count(drawn))


def test_adding_leaves_the_added_as_it_was() -> None:
    one, sum_ = Tally(Counter(x=1), {"t": np.array([1, 2])}), Tally()
    for _ in range(3):
        sum_.add(one)
    assert (sum_.numbers["x"], sum_.tables["t"].tolist()) == (3, [3, 6])
    assert (one.numbers["x"], one.tables["t"].tolist()) == (1, [1, 2])


@given(LABELS)
def test_rows_are_counted_as_a_loop_counts_them(rows: list[Row]) -> None:
    tally = of_rows(labels_of(rows))
    statuses = Counter(row["status"] for row in rows)
    assert tally.named("status") == dict(sorted(statuses.items()))
    reasons = Counter(row["reason"] for row in rows if row["reason"])
    assert tally.named("reason") == dict(sorted(reasons.items()))
    judged = [row for row in rows if row["status"] != Status.QUARANTINED]
    deciders = Counter(row["decided_by"] for row in judged if row["decided_by"])
    assert tally.named("decided_by") == dict(sorted(deciders.items()))
    assert tally.named("preference") == dict(
        sorted(Counter(row["preference"] for row in rows if row["preference"]).items())
    )
    consistent = [r["position_consistent"] for r in rows if r["position_consistent"] is not None]
    assert tally.numbers["consistency_known"] == len(consistent)
    assert tally.numbers["consistent"] == sum(consistent)
    p = [row["p_a_raw"] if row["p_a"] is None else row["p_a"] for row in rows]
    for name, values in (
        ("p_a", p),
        ("margin", [row["margin"] for row in rows]),
        ("votes_per_pair", [row["n_votes"] for row in rows]),
    ):
        assert tally.tables[name].tolist() == in_bins(values, EDGES[name])


def in_bins(values: Sequence[float | None], edges: Sequence[float]) -> list[int]:
    """What a histogram is, by its definition."""
    counts = [0] * (len(edges) - 1)
    for value in values:
        if value is not None:
            inside = [number for number, edge in enumerate(edges[:-1]) if edge <= value]
            counts[max(inside, default=0)] += 1
    return counts


@given(st.lists(votes_of_row(), max_size=8))
def test_votes_are_counted_as_a_loop_counts_them(rows: list[list[Row]]) -> None:
    tally = of_votes(votes_of(rows))
    every = [vote for votes in rows for vote in votes]
    assert tally.named("outcome") == dict(sorted(Counter(v["outcome"] for v in every).items()))
    assert tally.numbers["tokens/output"] == sum(vote["output_tokens"] or 0 for vote in every)
    sided = [[v for v in votes if v["choice"] in ("a", "b")] for votes in rows]
    orders = [{v["order"][0] for v in votes if v["outcome"] == VERDICT} for votes in rows]
    in_both = [{"a", "b"} <= each for each in orders]
    expected = {
        "truncation": [(sum(v["outcome"] == "truncated" for v in vs), len(vs)) for vs in rows],
        "unreadable": [(sum(v["outcome"] != VERDICT for v in vs), len(vs)) for vs in rows],
        "first_slot_wins": [
            (sum(v["choice"] == v["order"][0] for v in vs), len(vs)) if both else (0, 0)
            for vs, both in zip(sided, in_both, strict=True)
        ],
    }
    for name, parts in expected.items():
        sums = [
            sum(x for x, _ in parts),
            sum(m for _, m in parts),
            sum(x * x for x, _ in parts),
            sum(x * m for x, m in parts),
            sum(m * m for _, m in parts),
            sum(m > 0 for _, m in parts),
        ]
        assert tally.tables[name].tolist() == sums


@given(LABELS)
def test_rows_of_a_prompt_are_counted_together(rows: list[Row]) -> None:
    tally = sampled(rows)
    of_prompt = {key: [row for row in rows if row["n_votes"] % 3 == key] for key in range(3)}

    def counts(name: str) -> list[list[int]]:
        sums = tally.clusters[f"{SAMPLE}/{name}"].sums.tolist()
        return sorted(each for each in sums if any(each))

    def expected(part: Callable[[Row], bool], whole: Callable[[Row], bool]) -> list[list[int]]:
        found = [
            [sum(part(row) for row in some if whole(row)), sum(map(whole, some))]
            for some in of_prompt.values()
        ]
        return sorted(each for each in found if any(each))

    def judged(row: Row) -> bool:
        return bool(row["status"] != Status.QUARANTINED)

    assert counts("tie") == expected(lambda row: row["status"] == Status.TIE, judged)
    assert counts("abstain") == expected(lambda row: row["status"] == Status.ABSTAINED, judged)
    assert counts("quarantine") == expected(lambda row: not judged(row), lambda _: True)
    assert counts("preference_a") == expected(
        lambda row: row["preference"] == "a", lambda row: row["status"] == Status.LABELED
    )
    assert counts("position_consistency") == expected(
        lambda row: row["position_consistent"], lambda row: row["position_consistent"] is not None
    )
    whole = of_rows(labels_of(rows)).tables["p_a"]
    assert tally.clusters[f"{SAMPLE}/p_a"].sums.sum(0).tolist() == whole.tolist()


@given(JUDGED)
def test_agreement_is_counted_as_a_loop_counts_it(rows: list[tuple[Row, str | None]]) -> None:
    tally = pairs_of(rows)
    known = [
        (row["preference"] if row["status"] == Status.LABELED else row["status"], gold, row)
        for row, gold in rows
        if gold in ("a", "b", "tie")
    ]
    decided = [(said, gold) for said, gold, _ in known if {said, gold} <= {"a", "b"}]
    rates = agreement_rates("g", tally)
    assert rates["g_agreement"].n == len(decided)
    assert rates["g_agreement_all"].n == len(known)
    if decided:
        assert rates["g_agreement"].value == sum(s == g for s, g in decided) / len(decided)
    agreement = agreement_of("g", tally, "/gold")
    if not known:
        assert (agreement, rates["g_agreement_all"].value) == (None, None)
        return
    assert agreement is not None
    assert agreement.confusion is not None
    assert rates["g_agreement_all"].value == sum(s == g for s, g, _ in known) / len(known)
    pairs = Counter((gold, said) for said, gold, _ in known)
    labels = ("a", "b", "tie", "abstained", "quarantined")
    assert agreement.confusion == tuple(
        tuple(pairs[gold, said] for said in labels) for gold in ("a", "b", "tie")
    )
    p = [
        (row["p_a_raw"] if row["p_a"] is None else row["p_a"], {"a": 1, "b": 0, "tie": 0.5}[gold])
        for _, gold, row in known
    ]
    if stated := [(value, outcome) for value, outcome in p if value is not None]:
        p_, outcomes = ([pair[i] for pair in stated] for i in (0, 1))
        curve = calibration_curve(p_, outcomes)
        np.testing.assert_allclose(agreement.stated, curve[0], atol=1e-12)
        np.testing.assert_allclose(agreement.observed, curve[1], atol=1e-12)
        assert agreement.counts == tuple(curve[2])
    else:
        assert agreement.counts == ()


@given(GROUPS)
def test_ranked_groups_count_the_pairs_that_a_human_orders(rows: list[tuple[Row, Any]]) -> None:
    tally = groups_of(rows)
    right = ordered = decided = groups = 0
    for row, gold in rows:
        scores = row["scores"]
        if not gold or None in gold or (scores and len(scores) != len(gold)):
            continue
        alike, equal, count = ordered_pairs(scores, gold)
        groups, right, ordered = groups + 1, right + alike, ordered + count
        decided += count - equal if scores else 0
    assert tally.numbers["g/pairs"] == groups
    rates = agreement_rates("g", tally)
    assert (rates["g_agreement"].n, rates["g_agreement_all"].n) == (decided, ordered)
    if decided:
        assert rates["g_agreement"].value == right / decided
    agreement = agreement_of("g", tally, "/gold")
    assert (agreement.confusion if agreement else None) is None


@given(TEXTS)
def test_the_longer_text_wins_where_a_loop_says_so(rows: list[Any]) -> None:
    tally = lengths_of(rows)
    differ = [row for row in rows if row[0] > 0 and row[1] > 0 and row[0] != row[1]]
    for place, name in ((2, "longer_wins"), (3, "gold_longer_wins")):
        sided = [row for row in differ if row[place]]
        wins = sum((row[place] == "a") == (row[0] > row[1]) for row in sided)
        assert tally.clusters[name].sums.sum(0).tolist() == [wins, len(sided)]
    labeled = [row for row in rows if row[0] > 0 and row[1] > 0 and row[2]]
    edges = EDGES["length_ratio"]
    ratios = [row[0] / row[1] for row in labeled]
    assert tally.tables["length_ratio"].tolist() == in_bins(ratios, edges)
    of_a = [row[0] / row[1] for row in labeled if row[2] == "a"]
    assert tally.tables["length_ratio_a"].tolist() == in_bins(of_a, edges)


def test_a_bin_holds_its_lower_edge_and_the_outermost_what_lies_outside() -> None:
    values = np.array([-5.0, 0.0, 0.5, 1.0, 2.0, 99.0, np.nan])
    assert counted(values, (0.0, 1.0, 2.0)).tolist() == [3, 3]
    assert counted(np.array([]), (0.0, 1.0)).tolist() == [0]


def test_ratio_sums_of_a_known_table() -> None:
    sums = ratio_sums(np.array([1, 0, 2, 0]), np.array([2, 3, 2, 0]))
    assert sums.tolist() == [3, 7, 5, 6, 17, 3]
