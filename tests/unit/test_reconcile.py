"""At its end a run looks at what is really stored."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.labeling.label_config import QuarantineConfig
from pipeline.labeling.planning.plan import Plan
from pipeline.labeling.planning.published_shards import PublishedShards
from pipeline.labeling.planning.reconcile import check_coverage, check_quarantine
from pipeline.labeling.planning.shard_planner import ShardPlan
from pipeline.parts.part_keys import ShardParts
from pipeline.runtime.errors import LeaseLostError, QuarantineError, ReconcileError
from pipeline.runtime.stop import Stop
from pipeline.store.content_keys import ContentKeys
from pipeline.store.host import Host
from pipeline.store.object_store import Entry, Store
from tests.judging import JUDGE_ID, unit

SHARD = ShardPlan(Entry("s.parquet", 1, None), "key", rows=10, units=(unit(4, 10),))
PLAN = Plan((SHARD,), (2, 8), JUDGE_ID, PublishedShards(), ContentKeys(Store("/in"), Store("/out")))


def commit(output: Store, *ranges: tuple[int, int]) -> None:
    for start, stop in ranges:
        output.put(unit(start, stop).part_key(JUDGE_ID), b"")


class PatientHost(Host):
    """A machine on which nothing waits; while it would, somebody else may act."""

    def __init__(self, meanwhile: Callable[[], None] = lambda: None) -> None:
        self.meanwhile = meanwhile

    def sleep(self, seconds: float) -> None:
        self.meanwhile()


def test_parts_that_cover_a_shard_once_reconcile(tmp_path: Path) -> None:
    output = Store(str(tmp_path))
    commit(output, (4, 10), (0, 1), (1, 4))
    check_coverage(PLAN, output, JUDGE_ID, Stop())


@pytest.mark.parametrize(
    ("ranges", "message"),
    [
        ([(0, 4), (5, 10)], "rows 4 to 5 are in no part"),
        ([(0, 4), (4, 9)], "rows 9 to 10 are in no part"),
        ([(1, 10)], "rows 0 to 1 are in no part"),
        ([(0, 6), (4, 10)], "rows 6 to 10 are in no part"),  # the second part does not count
    ],
)
def test_gaps_and_overlaps_are_named(
    tmp_path: Path, ranges: list[tuple[int, int]], message: str
) -> None:
    output = Store(str(tmp_path))
    output.host = PatientHost()
    commit(output, *ranges)
    with pytest.raises(ReconcileError, match=f"s.parquet: {message}"):
        check_coverage(PLAN, output, JUDGE_ID, Stop())


def test_a_run_that_has_lost_its_lease_says_so_in_place_of_what_others_removed(
    tmp_path: Path,
) -> None:
    output, stop = Store(str(tmp_path)), Stop()
    output.host = PatientHost()
    commit(output, (4, 10))
    stop.end_on(lambda: LeaseLostError("the lease is lost"))
    with pytest.raises(LeaseLostError, match="the lease is lost"):
        check_coverage(PLAN, output, JUDGE_ID, stop)
    commit(output, (0, 4))
    check_coverage(PLAN, output, JUDGE_ID, stop)  # what it did is whole


def test_parts_that_are_listed_later_are_waited_for(tmp_path: Path) -> None:
    output = Store(str(tmp_path))
    output.host = PatientHost(lambda: commit(output, (4, 10)))
    commit(output, (0, 4))
    check_coverage(PLAN, output, JUDGE_ID, Stop())


def test_parts_that_do_not_count_are_named_also_where_nothing_was_judged(tmp_path: Path) -> None:
    doubled = ShardParts.of([unit(0, 10).part_key(JUDGE_ID), unit(2, 3).part_key(JUDGE_ID)]).doubled
    shard = ShardPlan(Entry("s.parquet", 1, None), "key", rows=10, doubled=doubled)
    with pytest.raises(ReconcileError, match=r"002-000000003\.1\.parquet: its rows are in other"):
        check_coverage(replace(PLAN, shards=(shard,)), Store(str(tmp_path)), JUDGE_ID, Stop())


def record(run_id: str, pairs: int, quarantined: int, **more: Any) -> dict[str, Any]:
    return {
        "run_id": run_id,
        "judge_id": JUDGE_ID,
        "input": "/in",
        "pairs": pairs,
        "quarantined": quarantined,
        "quarantined_by_reason": {"bad_row": quarantined},
        "unreadable_shards": {},
    } | more


@pytest.mark.parametrize(
    ("earlier", "now", "refused"),
    [
        ([], record("c", 100, 5), False),
        ([], record("c", 100, 6), True),
        ([record("a", 100, 50)], record("c", 0, 0), True),  # its retry must not hide a failure
        ([record("a", 100, 50), record("b", 100, 0)], record("c", 0, 0), False),
        ([record("a", 100, 50), record("b", 0, 0)], record("c", 0, 0), True),
        ([record("a", 100, 50, judge_id="other")], record("c", 0, 0), False),
        ([record("a", 100, 50, input="/else")], record("c", 0, 0), False),
        ([record("a", 100, 50)], record("c", 10, 0), False),
        ([], record("c", 10, 0, unreadable_shards={"x": "corrupt"}), True),
    ],
)
def test_too_much_quarantine(
    tmp_path: Path, earlier: list[dict[str, Any]], now: dict[str, Any], refused: bool
) -> None:
    output = Store(str(tmp_path))
    for each in [*earlier, now]:
        output.put(f"runs/{each['run_id']}/run.json", json.dumps(each).encode())
    limits = QuarantineConfig(max_fraction=0.05)
    if not refused:
        check_quarantine(output, now, limits)
        return
    with pytest.raises(QuarantineError):
        check_quarantine(output, now, limits)
