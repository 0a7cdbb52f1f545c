"""A tier of a cascade is asked about exactly what is open, and a later rule opens exactly that."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from pipeline.aggregation.judged_pairs import read_labels
from pipeline.aggregation.policy import PolicyConfig
from pipeline.gold.gold_sets import create_set
from pipeline.judging.judge_config import JudgeConfig
from pipeline.labeling.open_rows import EarlierTier, OpenRows
from pipeline.labeling.planning.plan import Plan, plan_shards
from pipeline.labeling.planning.reopening import Reopening
from pipeline.labeling.planning.settled_parts import unsettled_parts
from pipeline.labeling.unit_result import RowCounts
from pipeline.pairs.input_config import InputConfig
from pipeline.pairs.shards import open_input
from pipeline.parts.index_update import mark_asked, update_index
from pipeline.parts.units import Unit
from pipeline.runtime.digest import digest
from pipeline.runtime.errors import ReconcileError
from pipeline.store.object_store import Store
from schemas.gold import Draw, DrawnPair, GoldSet
from schemas.labels import Reason
from tests.judging import Recording, Row, pairs_of, runner, scripted, text_pair
from tests.shards import hash_of, write_shard

CHEAP, DEAR = "ab" * 32, "cd" * 32
TWO_VOTES = {"votes": {"max_votes": 2}}
HARD, BROKEN = {2, 5}, {7}
SCRIPT = {"faults": {"HARD": "flip", "BROKEN": "malformed"}}
UNSURE = 0.8  # two equal votes reach 0.875


def rows_of(hard: set[int] = HARD, count: int = 10, **more: Any) -> list[Row]:
    """Pairs that the cheap judge settles, but for those that it is unsure of or cannot answer."""
    marks = dict.fromkeys(hard, "HARD") | dict.fromkeys(BROKEN, "BROKEN")
    return [text_pair(number, marks.get(number, ""), **more) for number in range(count)]


class Tiers:
    """Two judges on one output; each run of either begins with an index of its own."""

    def __init__(self, root: Path, rows: list[Row]) -> None:
        self.source, self.output = root / "in", Store(str(root / "out"))
        self.policy, self.rows = PolicyConfig(min_confidence=UNSURE), rows
        write_shard(self.source / "s.parquet", rows)

    @property
    def open_rows(self) -> OpenRows:
        cheap = JudgeConfig.model_validate(TWO_VOTES)
        return OpenRows.of(self.output, [EarlierTier.of(CHEAP, cheap, self.policy, None)])

    def plan(self, judge_id: str, retries: frozenset[Reason] = frozenset()) -> Plan:
        open_rows = self.open_rows if judge_id == DEAR else None
        rule = Reopening(JudgeConfig(), "plan", retries)
        index = update_index(self.output, judge_id)
        unsettled = unsettled_parts(self.output, judge_id, rule.asking, index, open_rows)
        plan = plan_shards(
            *open_input(str(self.source)),
            self.output,
            InputConfig(unit_rows=5),
            JudgeConfig(),
            judge_id,
            reopening=rule,
            unsettled=unsettled,
            open_rows=open_rows,
        )
        if plan.settled:
            mark_asked(index, self.output, {key: unsettled[key] for key in plan.settled})
        return plan

    def run(
        self, judge_id: str, run_id: str, script: Row | None = None
    ) -> tuple[set[int], RowCounts]:
        """Runs a judge over what it has to do; returns which pairs were asked, and counts."""
        judge, engine = scripted(SCRIPT if script is None else script, TWO_VOTES)
        open_rows = self.open_rows if judge_id == DEAR else None
        counts = RowCounts(run_id)
        for task in self.plan(judge_id).tasks:
            for unit in task.units:
                worker = runner(judge, self.output, run_id, open_rows=open_rows, judge_id=judge_id)
                pairs = pairs_of(self.rows[unit.start : unit.stop])
                counts.add(asyncio.run(worker.run(unit, pairs)).counts)
        return asked(engine), counts

    def labels(self, judge_id: str = DEAR) -> list[Row]:
        (task,) = plan_shards(
            *open_input(str(self.source)), self.output, InputConfig(), JudgeConfig(), "ee" * 32
        ).tasks
        return list(read_labels(self.output, judge_id, task.units[0].shard_key))


def asked(engine: Recording) -> set[int]:
    questions = (chat.user.partition("Question ")[2].partition("?")[0] for chat, _ in engine.asked)
    return {int(number) for number in questions}


def statuses(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return [row["status"] for row in rows]


@pytest.fixture
def tiers(tmp_path: Path) -> Tiers:
    made = Tiers(tmp_path, rows_of())
    made.run(CHEAP, "cheap")
    return made


def test_a_tier_is_asked_what_is_open_and_has_every_row(tiers: Tiers) -> None:
    found, counts = tiers.run(DEAR, "dear", script={})
    assert found == HARD | BROKEN
    assert (counts.pairs, counts.judgments) == (10, 6)
    cheap, dear = tiers.labels(CHEAP), tiers.labels()
    for before, row in zip(cheap, dear, strict=True):
        assert row["pair_hash"] == before["pair_hash"] == hash_of(tiers.rows[row["row"]])
        if row["row"] in HARD | BROKEN:
            assert (row["status"], row["decided_by"]) != ("not_asked", CHEAP)
            continue
        assert (row["status"], row["decided_by"], row["revision"]) == ("not_asked", CHEAP, 0)
        assert (row["votes"], row["preference"], row["confidence"]) == ([], None, None)
    assert tiers.plan(DEAR).tasks == []
    # What was never asked is not found as if it had been judged.
    index = update_index(tiers.output, DEAR)
    assert index.find(dear[0]["pair_hash"]) is None
    assert index.find(dear[2]["pair_hash"]) is not None


def test_gold_and_drawn_pairs_are_asked_of_every_tier(tmp_path: Path) -> None:
    rows = rows_of()
    rows[0] |= {"gold": "a"}
    made = Tiers(tmp_path, rows)
    made.run(CHEAP, "cheap")
    assert made.run(DEAR, "dear", script={})[0] == HARD | BROKEN | {0}
    drawn = Draw("2026", "run", "imported", (DrawnPair(hash_of(rows[3])),))
    create_set(made.output, GoldSet("audit", "2026", "run", draws=(drawn,)))
    assert made.plan(DEAR).summary()["pairs_opened"] == 1
    assert made.run(DEAR, "again", script={})[0] == {3}
    assert made.plan(DEAR).tasks == []


def test_one_pair_in_a_hundred_is_asked_of_every_tier(tiers: Tiers) -> None:
    rule, hashes = tiers.open_rows, [digest(f"pair {number}") for number in range(2_000)]
    chosen = [number for number, each in enumerate(hashes) if rule.asks_all(each)]
    assert (len(chosen), chosen[:3]) == (23, [197, 425, 565])


def test_a_stricter_rule_opens_exactly_its_rows_and_a_looser_one_asks_nothing(tiers: Tiers) -> None:
    tiers.run(DEAR, "dear", script={})
    before = tiers.labels()
    tiers.policy = PolicyConfig(min_confidence=0.9)  # ties of two votes reach 0.875, too
    plan = tiers.plan(DEAR).summary()
    assert (plan["pairs_opened"], plan["pairs_to_do"]) == (7, 10)
    found, counts = tiers.run(DEAR, "stricter", script={})
    assert found == set(range(10)) - HARD - BROKEN
    assert (counts.pairs, counts.judgments) == (10, 14)
    after = tiers.labels()
    for old, new in zip(before, after, strict=True):
        assert new["votes"][: len(old["votes"])] == old["votes"]
        assert len(new["votes"]) == 2
    tiers.policy = PolicyConfig(min_confidence=UNSURE)
    assert tiers.plan(DEAR).tasks == []
    assert tiers.plan(DEAR).settled == []  # looked into once


def test_a_revised_part_of_an_earlier_tier_opens_its_rows(tiers: Tiers) -> None:
    tiers.run(DEAR, "dear", script={})
    assert tiers.plan(DEAR).tasks == []
    # The judge before answers now about a row that it could not answer: what it settles stays
    # asked, and nothing else is.
    judge, _ = scripted({}, TWO_VOTES)
    for start, stop in ((0, 5), (5, 10)):
        (task,) = tiers.plan("ee" * 32).tasks
        unit = Unit("s.parquet", task.units[0].shard_key, start, stop)
        worker = runner(
            judge,
            tiers.output,
            "retry",
            judge_id=CHEAP,
            retries=frozenset({Reason.MALFORMED}),
        )
        asyncio.run(worker.run(unit, pairs_of(tiers.rows[start:stop])))
    assert tiers.labels(CHEAP)[7]["status"] == "labeled"
    plan = tiers.plan(DEAR)
    assert (plan.tasks, len(plan.settled)) == ([], 1)


def test_a_row_that_was_asked_keeps_its_votes_in_a_changed_shard(tiers: Tiers) -> None:
    tiers.run(DEAR, "dear", script={})
    tiers.rows = [*tiers.rows[1:], text_pair(20)]
    write_shard(tiers.source / "s.parquet", tiers.rows)
    assert tiers.run(CHEAP, "cheap again")[0] == {20}
    # A looser rule settles what the dear judge was asked about: its votes go along all the same.
    tiers.policy = PolicyConfig(min_confidence=0.1)
    found, counts = tiers.run(DEAR, "dear again", script={})
    assert (found, counts.judgments) == (set(), 0)
    rows = {row["row"]: row for row in tiers.labels()}
    voted = {row["row"] for row in rows.values() if row["votes"]}
    assert voted == {number - 1 for number in HARD | BROKEN}
    assert {rows[number]["run_id"] for number in voted} == {"dear"}


def test_rows_that_are_settled_are_not_retried(tiers: Tiers) -> None:
    tiers.run(DEAR, "dear", script={"faults": {"HARD": "malformed"}})
    retries = frozenset({Reason.MALFORMED})
    assert tiers.plan(DEAR, retries).summary()["pairs_to_retry"] == len(HARD)
    tiers.policy = PolicyConfig(min_confidence=0.1)  # the cheap judge now settles what it abstains
    assert tiers.plan(DEAR, retries).summary()["pairs_to_retry"] == len(HARD)


def test_without_the_tier_before_nothing_is_judged(tmp_path: Path) -> None:
    made = Tiers(tmp_path, rows_of())
    with pytest.raises(ReconcileError, match="asks before this one, has no part"):
        made.run(DEAR, "dear")


def test_alone_again_a_judge_is_asked_about_everything(tiers: Tiers) -> None:
    tiers.run(DEAR, "dear", script={})
    index = update_index(tiers.output, DEAR)
    unsettled = unsettled_parts(tiers.output, DEAR, Reopening(JudgeConfig(), "").asking, index)
    plan = plan_shards(
        *open_input(str(tiers.source)),
        tiers.output,
        InputConfig(),
        JudgeConfig(),
        DEAR,
        unsettled=unsettled,
    )
    assert plan.summary()["pairs_opened"] == 7
