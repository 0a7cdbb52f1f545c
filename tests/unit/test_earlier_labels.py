"""A shard that was rewritten: only what changed in it is judged again."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from pipeline.aggregation.judged_pairs import read_labels
from pipeline.aggregation.labeler import Labeler
from pipeline.aggregation.policy import PolicyConfig
from pipeline.judging.judge_config import JudgeConfig
from pipeline.labeling.earlier_labels import EarlierVersions
from pipeline.labeling.pair_judge import Judge
from pipeline.labeling.unit_result import RowCounts
from pipeline.labeling.units import Unit
from pipeline.pairs.shards import shard_key
from pipeline.store.object_store import Store
from tests.judging import JUDGE_ID, Row, pairs_of, runner, scripted, text_pair
from tests.shards import labels_of


@pytest.fixture
def output(tmp_path: Path) -> Store:
    return Store(str(tmp_path))


def version(name: str, rows: int, shard: str = "s.parquet") -> Unit:
    return Unit(shard, shard_key(shard, 1, name), 0, rows)


def run(output: Store, judge: Judge, unit: Unit, rows: list[Row], run_id: str) -> RowCounts:
    return asyncio.run(runner(judge, output, run_id).run(unit, pairs_of(rows))).counts


def labels(output: Store, unit: Unit) -> list[Row]:
    return list(read_labels(output, JUDGE_ID, unit.shard_key))


OLD = [text_pair(n, "MARK" if n == 3 else "") for n in range(6)]
# One row removed at the start, one changed, one added; the others moved up by one.
NEW = [*OLD[1:4], text_pair(4, "changed"), OLD[5], text_pair(9)]
SCRIPT = {"faults": {"MARK": "malformed"}}


def test_only_changed_rows_are_asked_about(output: Store) -> None:
    first = run(output, scripted(SCRIPT)[0], version("old", 6), OLD, "first")
    judge, engine = scripted(SCRIPT)
    second = run(output, judge, version("new", 6), NEW, "second")
    asked = {chat.user.partition("?")[0] for chat, _ in engine.asked}
    assert asked == {"[Question]\nQuestion 4", "[Question]\nQuestion 9"}
    assert (first.reused, second.reused, second.pairs) == (0, 4, 6)
    assert second.judgments == 4
    before = {row["pair_hash"]: row for row in labels(output, version("old", 6))}
    after = labels(output, version("new", 6))
    assert [row["row"] for row in after] == list(range(6))
    for row in after:
        old = before.get(row["pair_hash"])
        assert row["run_id"] == ("first" if old else "second")
        if old:
            same = old.keys() - {"row", "unit", "shard"}
            assert {name: row[name] for name in same} == {name: old[name] for name in same}
    assert [row["status"] for row in after if row["reason"]] == ["quarantined"]


def test_all_earlier_versions_count_and_other_shards_do_not(output: Store) -> None:
    run(output, scripted()[0], version("one", 2), OLD[:2], "a")
    run(output, scripted()[0], version("two", 2), OLD[4:], "b")
    run(output, scripted()[0], version("x", 1, "other.parquet"), OLD[2:3], "c")
    judge, engine = scripted()
    run(output, judge, version("three", 6), OLD, "d")
    assert len({chat.user for chat, _ in engine.asked}) == 2 * 2  # rows 2 and 3, both orders


def test_a_moved_shard_takes_over_the_labels_of_its_former_key_alone(output: Store) -> None:
    there, here = version("same", 2, "old/s.parquet"), version("same", 3, "new/s.parquet")
    run(output, scripted()[0], there, OLD[:2], "a")
    run(output, scripted()[0], version("before", 1, "old/s.parquet"), OLD[2:3], "b")
    judge, engine = scripted()
    moved = {here.shard_key: there.shard_key}
    worker = runner(judge, output, "c", moved=moved)
    counts = asyncio.run(worker.run(here, pairs_of(OLD[:3]))).counts
    assert (counts.pairs, counts.reused) == (3, 2)
    assert len({chat.user for chat, _ in engine.asked}) == 2  # the third row, both orders
    rows = labels(output, here)
    assert [(row["shard"], row["row"], row["run_id"]) for row in rows] == [
        ("new/s.parquet", 0, "a"),
        ("new/s.parquet", 1, "a"),
        ("new/s.parquet", 2, "c"),
    ]


def test_a_label_is_taken_over_under_todays_policy(output: Store) -> None:
    flip = {"faults": {"MARK": "flip"}}
    run(output, scripted(flip)[0], version("old", 6), OLD, "first")
    policy = Labeler.of(JudgeConfig(), PolicyConfig(undecided="tie"))
    judge, engine = scripted(flip, labeler=policy)
    run(output, judge, version("new", 6), OLD, "second")
    assert engine.asked == []
    old, new = (labels(output, version(name, 6))[3] for name in ("old", "new"))
    assert (old["status"], new["status"]) == ("abstained", "tie")
    assert (old["votes"], old["judged_at"]) == (new["votes"], new["judged_at"])
    assert new["policy_id"] == policy.policy_id != old["policy_id"]


def test_a_new_shard_reads_nothing(output: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    run(output, scripted()[0], version("old", 6), OLD, "first")
    monkeypatch.setattr(Store, "read", lambda self, key: pytest.fail(f"{key} was read"))
    versions = EarlierVersions(output, JUDGE_ID, {})
    assert versions.of(version("x", 3, "new.parquet")).find("any") is None
    assert versions.of(version("old", 6)).find("any") is None  # its own parts are not earlier


def test_every_part_of_a_run_is_one_rows_label(output: Store) -> None:
    run(output, scripted()[0], version("old", 6), OLD, "first")
    run(output, scripted()[0], version("new", 6), NEW, "second")
    assert len(labels_of(output.uri)) == 12
