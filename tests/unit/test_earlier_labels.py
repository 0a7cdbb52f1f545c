"""Pairs that were judged before are found wherever they are now, by the newest of their votes."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from pipeline.aggregation.judged_pairs import read_labels
from pipeline.aggregation.labeler import Labeler
from pipeline.aggregation.policy import PolicyConfig
from pipeline.judging.judge_config import JudgeConfig
from pipeline.labeling.pair_judge import Judge
from pipeline.labeling.unit_result import RowCounts
from pipeline.pairs.shards import shard_key
from pipeline.parts.index_files import state_key
from pipeline.parts.index_update import update_index
from pipeline.parts.label_index import open_index
from pipeline.parts.units import Unit
from pipeline.store.object_store import Store
from schemas.labels import Reason
from tests.judging import JUDGE_ID, Row, pairs_of, runner, scripted, text_pair


class CountingStore(Store):
    """A store that counts the bytes that are read of labels and of their index."""

    read_bytes = 0

    def read(self, key: str) -> bytes:
        data = super().read(key)
        CountingStore.read_bytes += len(data)
        return data

    def read_range(self, key: str, start: int, stop: int) -> bytes:
        CountingStore.read_bytes += stop - start
        return super().read_range(key, start, stop)


@pytest.fixture
def output(tmp_path: Path) -> Store:
    return Store(str(tmp_path))


def version(name: str, rows: int, shard: str = "s.parquet") -> Unit:
    return Unit(shard, shard_key(shard, 1, name), 0, rows)


def run(
    output: Store,
    judge: Judge,
    unit: Unit,
    rows: list[Row],
    run_id: str,
    retries: frozenset[Reason] = frozenset(),
) -> RowCounts:
    """Judges a unit as a run of its own, which brings the index up to date first."""
    update_index(output, JUDGE_ID)
    worker = runner(judge, output, run_id, retries=retries)
    return asyncio.run(worker.run(unit, pairs_of(rows))).counts


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


def test_pairs_are_reused_from_wherever_they_were(output: Store) -> None:
    """Of an earlier version, of a shard that was moved, and of one that was merged into this."""
    run(output, scripted()[0], version("one", 2), OLD[:2], "a")
    run(output, scripted()[0], version("two", 2), OLD[4:], "b")
    run(output, scripted()[0], version("x", 1, "other.parquet"), OLD[2:3], "c")
    judge, engine = scripted()
    run(output, judge, version("three", 6, "merged/s.parquet"), OLD, "d")
    assert {chat.user.partition("?")[0] for chat, _ in engine.asked} == {"[Question]\nQuestion 3"}
    rows = labels(output, version("three", 6, "merged/s.parquet"))
    assert [row["run_id"] for row in rows] == ["a", "a", "c", "d", "b", "b"]
    assert {row["shard"] for row in rows} == {"merged/s.parquet"}


def test_a_row_that_was_retried_stays_so_in_every_later_version(output: Store) -> None:
    for name in ("one", "two"):
        run(output, scripted(SCRIPT)[0], version(name, 6), OLD, "before")
    run(output, scripted()[0], version("one", 6), OLD, "retry", frozenset({Reason.MALFORMED}))
    judge, engine = scripted(SCRIPT)
    for name in ("three", "four", "five"):
        run(output, judge, version(name, 6), OLD, "after")
        row = labels(output, version(name, 6))[3]
        assert (row["status"], row["run_id"], row["revision"]) == ("labeled", "retry", 2)
    assert engine.asked == []


def test_what_one_more_version_costs_does_not_grow(tmp_path: Path) -> None:
    output, read = CountingStore(str(tmp_path)), []
    rows = [text_pair(n) for n in range(32)]
    for number in range(8):
        rows = [*rows[:-1], text_pair(1_000 + number)]
        CountingStore.read_bytes = 0
        counts = run(output, scripted()[0], version(str(number), 32), rows, f"run {number}")
        assert (counts.pairs, counts.reused) == (32, 31 if number else 0)
        read.append(CountingStore.read_bytes)
    assert max(read[2:]) <= 2 * read[1]


def test_a_reused_label_follows_the_policy_of_the_run(output: Store) -> None:
    run(output, scripted()[0], version("old", 6), OLD, "first")
    strict = Labeler.of(JudgeConfig(), PolicyConfig(threshold=0.99))
    judge, engine = scripted(labeler=strict)
    run(output, judge, version("new", 6), OLD, "second")
    assert engine.asked == []
    old, new = (labels(output, version(name, 6)) for name in ("old", "new"))
    assert (old[0]["status"], new[0]["status"]) == ("labeled", "abstained")
    assert (old[0]["votes"], old[0]["judged_at"]) == (new[0]["votes"], new[0]["judged_at"])
    assert {row["policy_id"] for row in new} == {strict.policy_id}


def test_a_damaged_index_is_made_again_from_the_parts(output: Store) -> None:
    run(output, scripted()[0], version("old", 6), OLD, "first")
    update_index(output, JUDGE_ID)
    before = open_index(output, JUDGE_ID)
    ((entries,),) = before.state.runs
    for key, data in ((state_key(JUDGE_ID, before.number), b"{"), (entries.key, b"short")):
        output.put(key, data)
        notes: list[str] = []
        update_index(output, JUDGE_ID, notes.append)
        assert [note.rpartition("; ")[2] for note in notes] == ["it is made again from the parts"]
        after = open_index(output, JUDGE_ID)
        assert after.state == before.state
        assert after.find(labels(output, version("old", 6))[0]["pair_hash"]) is not None
