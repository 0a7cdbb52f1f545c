"""Quarantined rows tried again: they alone, in place, and once a run."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from pipeline.labeling.pair_judge import Judge
from pipeline.labeling.retries import Retries, parse_reasons
from pipeline.labeling.unit_result import RowCounts
from pipeline.runtime.errors import EngineDeadError, InputError
from pipeline.store.object_store import Store
from schemas.labels import Reason
from tests.judging import JUDGE_ID, Row, pairs_of, runner, scripted, text_pair, unit
from tests.shards import labels_of

ROWS = [text_pair(0), text_pair(1, "CHAT"), text_pair(2, "SAYNO"), text_pair(3, prompt=" ")]
BROKEN = {"faults": {"CHAT": "malformed", "SAYNO": "refused"}}
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
    assert [after[n] == before[n] for n in range(3)] == [True, False, True]
    assert (counts.pairs, counts.judgments, counts.reused) == (4, 2, 2)
    assert len(list(output.list("parts"))) == 1


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
    key = unit(0, 4).part_key(JUDGE_ID)
    counts = [
        Retries(chosen, "second").pending(output, key)
        for chosen in (frozenset[Reason](), MALFORMED, frozenset(Reason))
    ]
    assert counts == [0, 1, 3]
    assert Retries(frozenset(Reason), "first").pending(output, key) == 0


def test_a_row_that_kills_its_worker_when_tried_again_is_left_as_it_is(output: Store) -> None:
    for _ in range(2):
        with pytest.raises(EngineDeadError):
            run(output, scripted({"faults": {"CHAT": "die"}})[0], "second", MALFORMED)
    counts = run(output, scripted({"faults": {"CHAT": "die"}})[0], "second", MALFORMED)
    assert (counts.pairs, counts.reused) == (4, 4)
    assert reasons(output) == FIRST


def test_a_unit_cut_otherwise_is_refused(output: Store) -> None:
    worker = runner(scripted()[0], output, "second", retries=MALFORMED)
    with pytest.raises(InputError, match=r"set input\.unit_rows and"):
        asyncio.run(worker.run(unit(0, 2), pairs_of(ROWS[:2])))


def test_reasons_by_name() -> None:
    assert parse_reasons(None) == frozenset()
    assert parse_reasons([]) == frozenset(Reason)
    assert parse_reasons(["timeout", "refused"]) == {Reason.TIMEOUT, Reason.REFUSED}
    with pytest.raises(InputError, match="'tmeout' is not a valid Reason; expected some of malf"):
        parse_reasons(["tmeout"])
