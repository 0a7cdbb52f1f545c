"""What filters leave, recounted row by row; comparison, search and addresses."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.aggregation.policy import PolicyConfig
from pipeline.gold.answers import give_all
from pipeline.gold.gold_sets import create_set
from pipeline.gold.people import GoldConfig
from pipeline.pairs.input_config import InputConfig
from pipeline.parts.forgotten import remember
from pipeline.report.label_rows import SnapshotRows
from pipeline.review.browse import PAGE_ROWS, Browser
from pipeline.review.compare import compare
from pipeline.review.filters import RANGES, SORTS, Filters
from pipeline.review.input_columns import InputColumns
from pipeline.review.label_columns import LabelColumns, hash_keys, judge_columns
from pipeline.review.pair_view import pair_view
from pipeline.review.reason_words import REASONS
from pipeline.review.reviewed_output import Reviewed
from pipeline.review.shown_text import differences
from pipeline.review.taken_down import TAKEN_DOWN
from pipeline.review.text_search import Hit, Searched, search
from pipeline.runtime.errors import InputError
from pipeline.snapshots.browse_index import index_rows
from pipeline.store.object_store import Store
from schemas.gold import Answer, Draw, DrawnPair, GoldSet
from schemas.labels import LABELS, Reason, Status
from tests.measuring import Corpus, label, random_corpus, random_votes, ranking, text_pair
from tests.publishing import live_rows

Row = dict[str, Any]
NOW = "2026-11-29T12:00:00+00:00"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    made = random_corpus(str(tmp_path_factory.mktemp("browse")))
    made.publish()
    return made


@pytest.fixture(scope="module")
def reviewed(corpus: Corpus) -> Reviewed:
    opened = Reviewed(Store(corpus.output.uri), None, InputConfig(), 2**30)
    opened.inputs.read_all()
    return opened


@pytest.fixture(scope="module")
def rows(corpus: Corpus) -> list[Row]:
    """Every row of the snapshot with the gold of its pair, read without what is tested."""
    labels = [*live_rows(corpus.output), *live_rows(corpus.output, "quarantine")]
    found = [row | {"gold": corpus.pairs[row["shard"]][row["row"]]["gold"]} for row in labels]
    return sorted(found, key=lambda row: (row["shard"], row["row"]))


def outcome(row: Row) -> str:
    return "tie" if row["status"] == Status.TIE else row["preference"] or "none"


def gold_relation(row: Row) -> str:
    if row["gold"] is None:
        return "none"
    if outcome(row) == "none":
        return "undecided"
    return "agrees" if outcome(row) == row["gold"] else "differs"


FACETS = {
    "status": lambda row: row["status"],
    "outcome": outcome,
    "reason": lambda row: row["reason"] or "none",
    "orders": lambda row: {True: "same", False: "flips", None: "none"}[row["position_consistent"]],
    "gold": gold_relation,
}


def expected(rows: list[Row], filters: Filters, but: str = "") -> Iterator[Row]:
    for row in rows:
        within = all(
            (value := row[{"votes": "n_votes"}.get(name, name)]) is not None
            and low <= value <= high
            for name, (low, high) in filters.between.items()
        )
        chosen = all(
            name == but or FACETS[name](row) in values for name, values in filters.chosen.items()
        )
        if within and chosen and str(row["pair_id"]).startswith(filters.pair):
            yield row


CHOICES = {
    "status": [*map(str, Status)],
    "outcome": ["a", "b", "tie", "none"],
    "orders": ["same", "flips", "none"],
    "gold": ["agrees", "differs", "undecided", "none"],
}


@pytest.mark.parametrize("seed", range(40))
def test_filters_leave_what_a_recount_leaves(
    reviewed: Reviewed, rows: list[Row], seed: int
) -> None:
    rng = random.Random(seed)
    chosen = {
        name: tuple(rng.sample(values, rng.randint(1, len(values) - 1)))
        for name, values in CHOICES.items()
        if rng.random() < 0.4
    }
    between = {"confidence": (0.6, 0.95)} if rng.random() < 0.3 else {}
    between |= {"votes": (3.0, 6.0)} if rng.random() < 0.3 else {}
    filters = Filters(chosen, between, "pair-1" if rng.random() < 0.2 else "")
    found = Browser(reviewed.first.columns, reviewed.inputs).find(filters)
    left = list(expected(rows, filters))
    assert (found.rows, found.of) == (len(left), len(rows))
    assert [(each.shard, each.row) for each in found.page] == [
        (row["shard"], row["row"]) for row in left[:PAGE_ROWS]
    ]
    for facet, value_of in FACETS.items():
        others = expected(rows, filters, but=facet)
        assert found.counts[facet] == Counter(map(value_of, others))


@pytest.mark.parametrize("sort", [name for name in SORTS if name])
def test_pages_are_one_after_the_other_in_the_order_asked_for(
    reviewed: Reviewed, rows: list[Row], sort: str
) -> None:
    browser = Browser(reviewed.first.columns, reviewed.inputs)
    pages = browser.find(Filters(sort=sort)).pages
    listed = [row for page in range(1, pages + 1)
              for row in browser.find(Filters(sort=sort, page=page)).page]  # fmt: skip
    places = [(each.shard, each.row) for each in listed]
    assert sorted(places) == [(row["shard"], row["row"]) for row in rows]
    name, sign = sort.removeprefix("-"), -1 if sort.startswith("-") else 1
    values = [getattr(each, name) for each in listed]
    stated = [sign * (abs(v) if name == "margin" else v) for v in values if v is not None]
    assert stated == sorted(stated)
    assert values[len(stated) :] == [None] * (len(values) - len(stated))  # those without come last
    for place in (0, 1, 60, len(places) - 1):
        before, after = browser.around(Filters(sort=sort), place)
        around = [each and (each.shard, each.row) for each in (before, after)]
        assert around == [
            places[place - 1] if place else None,
            places[place + 1] if place + 1 < len(places) else None,
        ]


NAMES = st.sampled_from(["labeled", "tie", "a & b", "ä=?#", "none"])


@given(
    st.builds(
        Filters,
        st.dictionaries(
            st.sampled_from(["status", "source", "judge"]),
            st.lists(NAMES, min_size=1, unique=True).map(tuple),
        ),
        st.dictionaries(
            st.sampled_from([*RANGES]),
            st.tuples(st.integers(-9, 0).map(float), st.integers(1, 9).map(float)),
        ),
        st.sampled_from(["", "pair 7", "&page=3"]),
        st.sampled_from([*SORTS]),
        st.integers(1, 99),
    )
)
def test_an_address_holds_what_is_filtered(filters: Filters) -> None:
    assert Filters.parse(parse_qsl(filters.query())) == filters


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ([("statuss", "tie")], "there is no filter 'statuss'.*status"),
        ([("confidence_min", "much")], "confidence_min: got 'much'"),
        ([("confidence_min", "nan")], "expected a number"),
        ([("page", "0")], "page: got '0'"),
        ([("sort", "row; drop")], "sort: got"),
    ],
)
def test_an_address_that_says_nothing_is_refused(query: list[tuple[str, str]], why: str) -> None:
    with pytest.raises(InputError, match=why):
        Filters.parse(query)


def test_labels_are_filtered_by_what_other_judges_say(tmp_path: Path) -> None:
    rng = random.Random(8)
    pairs = [text_pair(number, None, "a", "b") for number in range(120)]
    ours = Corpus.at(str(tmp_path))
    ours.write("s.parquet", pairs, random_votes(rng, 120))
    ours.publish()
    said: dict[str, set[str]] = {}
    for temperature, count in ((0.25, 120), (0.75, 60)):  # two more, one not done yet
        other = Corpus.at(str(tmp_path), sampling={"temperature": temperature})
        for row in label(other, other.output, other.source, "s.parquet", random_votes(rng, count)):
            said.setdefault(row["pair_hash"], set()).add(outcome(row))
    reviewed = Reviewed(Store(ours.output.uri), None, InputConfig(), 2**30)
    browser = Browser(reviewed.first.columns, reviewed.inputs, reviewed.other_judges)
    assert browser.find(Filters()).counts["others"] == {"none": 120}
    reviewed.read_columns()
    assert reviewed.other_judges.progress == (2, 2)

    def relation(row: Row) -> str:
        known = said.get(row["pair_hash"], set()) - {"none"}
        if not known:
            return "none"
        if outcome(row) == "none":
            return "undecided"
        return "differs" if known - {outcome(row)} else "agrees"

    rows = [*live_rows(ours.output), *live_rows(ours.output, "quarantine")]
    found = browser.find(Filters({"others": ("differs",)}))
    assert found.counts["others"] == Counter(map(relation, rows))
    assert {*found.counts["others"]} == {"agrees", "differs", "undecided", "none"}
    differ = sorted(row["row"] for row in rows if relation(row) == "differs")
    assert [each.row for each in found.page] == differ[:PAGE_ROWS]
    assert found.rows == len(differ)


CRITERIA = st.lists(
    st.none()
    | st.dictionaries(
        st.sampled_from(["accuracy", "style", "ä & b"]),
        st.lists(st.none() | st.sampled_from([1.0, 2.0]), max_size=3),
    ),
    min_size=1,
    max_size=40,
)


@given(CRITERIA, st.sampled_from(["a", "b", "tie", "none"]))
def test_labels_are_filtered_by_what_each_criterion_prefers(
    of_rows: list[dict[str, list[float | None]] | None], wanted: str
) -> None:
    rows = []
    for number, criteria in enumerate(of_rows):
        scored = None if criteria is None else [
            {"name": name, "scores": scores} for name, scores in criteria.items()
        ]  # fmt: skip
        rows.append({"shard": "s", "row": number, "status": "abstained", "criteria": scored})

    def tables() -> Iterator[pa.Table]:
        for start in range(0, len(rows), 7):
            yield index_rows(pa.Table.from_pylist(rows[start : start + 7], LABELS))

    labels = LabelColumns("labels", ["s"], len(rows), tables, 2**30)
    inputs = InputColumns(labels, Store("."), {}, InputConfig(), {})
    expected = []
    for row, criteria in enumerate(of_rows):
        scores = (criteria or {}).get("style") or []
        a, b = scores if len(scores) == 2 else (None, None)
        prefers = "none" if a is None or b is None else "a" if a > b else "b" if b > a else "tie"
        expected += [row] * (prefers == wanted)
    filters = Filters.parse([("criterion.style", wanted)])
    assert Filters.parse(parse_qsl(filters.query())) == filters
    assert [each.row for each in Browser(labels, inputs).find(filters).page] == expected


def test_hashes_become_keys_in_their_order() -> None:
    hashes = ["0" * 64, "00000000000000ff" + "a" * 48, "f" * 64, None]
    assert hash_keys(pa.chunked_array([hashes])).tolist() == [0, 0xFF >> 1, 2**63 - 1, 0]


def test_answers_of_a_gold_set_take_the_place_of_the_inputs_gold(
    corpus: Corpus, rows: list[Row]
) -> None:
    output = Store(corpus.output.uri)
    said = {row["pair_hash"]: "b" for row in rows[::3] if row["pair_hash"]}
    draw = Draw(NOW, "run", "imported", tuple(DrawnPair(pair_hash=each) for each in said))
    create_set(output, GoldSet(name="one", created_at=NOW, created_by="run", draws=(draw,)))
    answer = Answer(answer="b", answered_at=NOW, given_in="test")
    give_all(output, "one", [("ann", each, answer) for each in said])
    opened = Reviewed(output, None, InputConfig(), 2**30, gold=GoldConfig(set="one"))
    opened.inputs.read_all()
    counts = Browser(opened.first.columns, opened.inputs).find(Filters()).counts["gold"]
    known = [row | {"gold": said.get(row["pair_hash"], row["gold"])} for row in rows]
    assert counts == Counter(map(gold_relation, known))
    (first,) = (r for r in rows if r["pair_hash"] == next(iter(said)))
    view = pair_view(opened, first["shard"], first["row"])
    assert view is not None
    assert (view.gold, [side.gold for side in view.candidates]) == ("b", [False, True])


def test_a_page_of_a_pair_reads_its_label_once(
    corpus: Corpus, rows: list[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Reviewed(Store(corpus.output.uri), None, InputConfig(), 2**30)
    read: list[tuple[str, int]] = []
    stored = SnapshotRows.rows

    def counted(self: SnapshotRows, shard: str, key: str, start: int, stop: int) -> list[Row]:
        read.append((shard, start))
        return stored(self, shard, key, start, stop)

    monkeypatch.setattr(SnapshotRows, "rows", counted)
    place = (rows[0]["shard"], rows[0]["row"])
    shown = pair_view(opened, *place)
    assert shown is not None
    assert opened.may_show(*place)
    assert (shown.label["pair_hash"], read) == (rows[0]["pair_hash"], [place])


def test_parts_are_browsed_as_the_snapshot_is(corpus: Corpus, reviewed: Reviewed) -> None:
    judge_id = reviewed.first.judge_id
    parts = judge_columns(reviewed.output, judge_id, reviewed.first.keys, 0)
    found = compare(reviewed.first.columns, parts)
    read = sum(row["status"] != Status.QUARANTINED or bool(row["votes"])
               for of_shard in corpus.shards.values() for row in of_shard)  # fmt: skip
    assert (found.common, found.differing) == (read, 0)


def test_what_two_snapshots_say_otherwise_is_listed_most_telling_first(tmp_path: Path) -> None:
    made = Corpus.at(str(tmp_path))
    rng = random.Random(3)
    pairs = [text_pair(number, None, "a", "b") for number in range(40)]
    made.write("s.parquet", pairs, random_votes(rng, 40))
    first = made.publish().manifest.snapshot_id
    before = {row["row"]: row for row in live_rows(made.output)}
    made.publish(policy=PolicyConfig(threshold=0.9))
    after = {row["row"]: row for row in live_rows(made.output)}
    reviewed = Reviewed(Store(made.output.uri), None, InputConfig(), 2**30)
    assert reviewed.others() == [(first, "the snapshot before")]
    found = compare(reviewed.first.columns, reviewed.source(first).columns)
    differ = {n for n, row in after.items() if outcome(row) != outcome(before[n])}
    assert differ
    assert {each.row for each in found.page} == differ
    assert found.differing == len(differ)
    assert found.counts.sum() == found.common


def test_of_a_pair_that_was_taken_down_nothing_is_shown(tmp_path: Path) -> None:
    """By the snapshot of before, on a page that was open then."""
    made = Corpus.at(str(tmp_path))
    pairs = [text_pair(number, "a", f"secret {number}", "other") for number in range(4)]
    made.write("a.parquet", pairs, [ranking(("ab", "ba"), 9, 2)] * 4, identified=True)
    made.publish()
    opened = Reviewed(made.output, None, InputConfig(), 2**30)
    before = pair_view(opened, "a.parquet", 1)
    assert before is not None
    assert "secret 1" in before.as_row
    by_hash, by_id = made.shards["a.parquet"][1:3]
    remember(made.output, [by_id["pair_id"]], [by_hash["pair_hash"]], "run")
    for row, gone in enumerate((False, True, True, False)):
        view = pair_view(opened, "a.parquet", row)
        assert view is not None
        assert (f"secret {row}" in str(view)) is not gone
        assert (view.problem == TAKEN_DOWN) is gone
        assert sum(len(each.votes) for each in view.opinions) == (0 if gone else 2)
        assert ((view.reason or "")[:1] == (REASONS[Reason.FORGOTTEN][0],)) is gone
        assert (view.pair_id, view.gold) == (("(no id)", None) if gone else (f"pair-{row}", "a"))
    hits = {each.row for each in search(opened, "secret") if isinstance(each, Hit)}
    assert hits == {0, 3}


def test_search_finds_every_text_once_and_says_how_much_it_read(
    corpus: Corpus, reviewed: Reviewed, rows: list[Row]
) -> None:
    text = "XXXX"  # in responses alone; case does not matter
    found = list(search(reviewed, text))
    hits = {(hit.shard, hit.row, hit.where) for hit in found if isinstance(hit, Hit)}
    expected_hits = {
        (shard, row, f"response {side}")
        for shard, pairs in corpus.pairs.items()
        for row, pair in enumerate(pairs)
        for side in "ab"
        if "xxxx" in ((pair[f"response_{side}"] or {}).get("text") or "")
    }
    assert expected_hits
    assert hits == expected_hits
    searched = [each for each in found if isinstance(each, Searched)]
    assert {each.what: each.rows for each in searched} == {
        "rationales": len(rows),
        "prompts and responses": len(rows),
    }


@given(st.text("ab \n", max_size=40), st.text("ab \n", max_size=40))
def test_marked_texts_are_whole_and_marks_leave_the_same_rest(a: str, b: str) -> None:
    marked = differences(a, b)
    assert tuple("".join(piece.text for piece in each) for each in marked) == (a, b)
    if any(piece.differs for each in marked for piece in each):
        same = ["".join(p.text for p in each if not p.differs) for each in marked]
        assert same[0] == same[1]
