"""Rows that are asked about again: they alone, in a new revision, and with all of their votes."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from pipeline.judging.judge_config import JudgeConfig
from pipeline.judging.renderings import CURRENT
from pipeline.labeling.pair_judge import Judge
from pipeline.labeling.planning.reopening import COLUMNS, Reopening, parse_reasons
from pipeline.labeling.unit_result import RowCounts
from pipeline.parts.commit import commit_part
from pipeline.parts.part_files import read_part
from pipeline.runtime.errors import EngineDeadError, InputError
from pipeline.store.object_store import Store
from schemas.labels import Reason
from tests.judging import JUDGE_ID, Row, judge_rows, pairs_of, runner, scripted, text_pair, unit
from tests.shards import labels_of

ROWS = [text_pair(0), text_pair(1, "CHAT"), text_pair(2, "SAYNO"), text_pair(3, prompt=" ")]
BROKEN = {"faults": {"CHAT": "malformed", "SAYNO": "refused"}}
KINDS = ("text", "image", "video", "ending")
MALFORMED = frozenset({Reason.MALFORMED})


def run(
    output: Store,
    judge: Judge,
    run_id: str,
    retries: frozenset[Reason] = frozenset(),
    rows: list[Row] = ROWS,
) -> RowCounts:
    worker = runner(judge, output, run_id, retries=retries)
    return asyncio.run(worker.run(unit(0, len(rows)), pairs_of(rows))).counts


@pytest.fixture
def output(tmp_path: Path) -> Store:
    store = Store(str(tmp_path))
    run(store, scripted(BROKEN)[0], "first")
    return store


def reasons(output: Store) -> list[tuple[str | None, str]]:
    return [(row["reason"], row["run_id"]) for row in labels_of(output.uri)]


FIRST = [(None, "first"), ("malformed", "first"), ("refused", "first"), ("bad_row", "first")]


def test_only_rows_of_the_reasons_named_are_asked_about(output: Store) -> None:
    assert reasons(output) == FIRST
    before = labels_of(output.uri)
    judge, engine = scripted()
    counts = run(output, judge, "second", MALFORMED)
    assert {"CHAT" in chat.user for chat, _ in engine.asked} == {True}
    after = labels_of(output.uri)
    assert [(row["status"], row["run_id"]) for row in after] == [
        ("labeled", "first"),
        ("labeled", "second"),
        ("quarantined", "first"),
        ("quarantined", "second"),  # it is no pair that could be known again; it asked nothing
    ]
    kept = before[0].keys() - {"part_revision"}
    same = [all(after[n][name] == before[n][name] for name in kept) for n in range(3)]
    assert same == [True, False, True]
    assert [(row["revision"], row["part_revision"]) for row in after] == [
        (1, 2),
        (2, 2),
        (1, 2),
        (2, 2),
    ]
    assert (counts.pairs, counts.judgments, counts.reused) == (4, 2, 2)
    names = [entry.key.rpartition("/")[2] for entry in output.list("parts")]
    assert names == ["000000000-000000004.1.parquet", "000000000-000000004.2.parquet"]


def test_votes_before_a_retry_stay_and_count_no_more(output: Store) -> None:
    (_, before, _, _) = labels_of(output.uri)
    run(output, scripted()[0], "second", MALFORMED)
    (_, after, _, _) = labels_of(output.uri)
    old, new = after["votes"][:8], after["votes"][8:]
    assert [vote | {"superseded": False} for vote in old] == before["votes"]
    assert {vote["superseded"] for vote in old} == {True}
    assert [(vote["outcome"], vote["run_id"], vote["superseded"]) for vote in new] == [
        ("verdict", "second", False)
    ] * 2
    assert not {vote["seed"] for vote in old} & {vote["seed"] for vote in new}
    assert (before["n_votes"], after["n_votes"]) == (8, 2)


def votes_config(most: int) -> Row:
    return {"votes": {"min_votes": 2, "max_votes": most, "threshold": 0.74}}


def test_a_larger_budget_asks_about_open_rows_alone_and_goes_on(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    unsure = text_pair(1, "EITHER")  # the one shown first, whichever it is
    rows = [text_pair(0), unsure, text_pair(3)]
    script = {"faults": {"EITHER": "flip"}}
    run(store, scripted(script, votes_config(4))[0], "first", rows=rows)
    before = labels_of(store.uri)
    assert [row["n_votes"] for row in before] == [2, 4, 2]
    judge, engine = scripted(script, votes_config(6))
    counts = run(store, judge, "second", rows=rows)
    assert {"EITHER" in chat.user for chat, _ in engine.asked} == {True}
    after = labels_of(store.uri)
    assert [row["n_votes"] for row in after] == [2, 6, 2]
    assert after[1]["votes"][:4] == before[1]["votes"]
    assert [row["revision"] for row in after] == [1, 2, 1]
    assert (counts.pairs, counts.judgments, counts.reused) == (3, 2, 2)
    again, engine = scripted(script, votes_config(6))
    run(store, again, "third", rows=rows)
    assert engine.asked == []


def rendered(row: Row, **versions: int | None) -> Row:
    """The row with votes that were made with other versions."""
    return row | {"votes": [vote | {"rendering": versions} for vote in row["votes"]]}


def test_rows_whose_votes_were_shown_otherwise_are_asked_about_again(tmp_path: Path) -> None:
    store, rows = Store(str(tmp_path)), [text_pair(n) for n in range(4)]
    made = judge_rows(scripted()[0], rows)
    kinds = {"text": CURRENT.text, "image": None, "video": None, "ending": CURRENT.ending}
    older = {"text": (CURRENT.text or 0) - 1}
    # What a kind was before concerns no row without that kind.
    old = [made[0], rendered(made[1], **kinds | older), rendered(made[2], **kinds), made[3]]
    commit_part(store, JUDGE_ID, unit(0, 4), old)
    judge, engine = scripted()
    counts = run(store, judge, "second", rows=rows)
    assert {chat.user.partition("?")[0] for chat, _ in engine.asked} == {"[Question]\nQuestion 1"}
    after = labels_of(store.uri)
    assert [row["revision"] for row in after] == [1, 2, 1, 1]
    assert [vote["superseded"] for vote in after[1]["votes"]] == [True, True, False, False]
    assert after[1]["votes"][2]["rendering"] == kinds
    assert (counts.judgments, counts.reused) == (2, 3)
    part = read_part(store, unit(0, 4).part_key(JUDGE_ID), COLUMNS)
    assert Reopening(JudgeConfig(), "x").pending(part) == {"shown_otherwise": 1}


def test_a_label_stays_where_its_pair_can_no_longer_be_judged(tmp_path: Path) -> None:
    store, rows = Store(str(tmp_path)), [text_pair(0), text_pair(1)]
    made = judge_rows(scripted()[0], rows)
    commit_part(store, JUDGE_ID, unit(0, 2), [rendered(row, text=1) for row in made])
    counts = run(store, scripted()[0], "second", rows=[text_pair(0), text_pair(1, prompt=" ")])
    first, second = labels_of(store.uri)
    assert (first["run_id"], first["revision"]) == ("second", 2)
    assert (second["status"], second["run_id"], second["revision"]) == (made[1]["status"], "run", 1)
    assert second["votes"] == rendered(made[1], **dict.fromkeys(KINDS) | {"text": 1})["votes"]
    assert counts.pairs == 2


def test_a_run_tries_a_row_once(output: Store) -> None:
    run(output, scripted(BROKEN)[0], "second", MALFORMED)
    again, engine = scripted(BROKEN)
    run(output, again, "second", MALFORMED)  # Ray gives a unit to another worker
    assert engine.asked == []
    third, engine = scripted(BROKEN)
    run(output, third, "third", MALFORMED)
    assert len(engine.asked) == 8


def test_without_reasons_nothing_is_tried_again(output: Store) -> None:
    judge, engine = scripted()
    run(output, judge, "second")
    assert (engine.asked, reasons(output)) == ([], FIRST)
    part = read_part(output, unit(0, 4).part_key(JUDGE_ID), COLUMNS)
    counts = [
        Reopening(JudgeConfig(), "second", chosen).pending(part).total()
        for chosen in (frozenset[Reason](), MALFORMED, frozenset(Reason))
    ]
    assert counts == [0, 1, 3]
    assert not Reopening(JudgeConfig(), "first", frozenset(Reason)).pending(part)


def test_a_row_that_kills_its_worker_when_tried_again_is_left_as_it_is(output: Store) -> None:
    for _ in range(2):
        with pytest.raises(EngineDeadError):
            run(output, scripted({"faults": {"CHAT": "die"}})[0], "second", MALFORMED)
    counts = run(output, scripted({"faults": {"CHAT": "die"}})[0], "second", MALFORMED)
    assert (counts.pairs, counts.reused) == (4, 4)
    assert reasons(output) == FIRST


def test_reasons_by_name() -> None:
    assert parse_reasons(None) == frozenset()
    assert parse_reasons([]) == frozenset(Reason) - {Reason.FORGOTTEN}
    assert parse_reasons(["timeout", "refused"]) == {Reason.TIMEOUT, Reason.REFUSED}
    with pytest.raises(InputError, match="'tmeout' is not a valid Reason; expected some of malf"):
        parse_reasons(["tmeout"])
