"""Snapshots of several judges' votes: one label a row, and the votes of all of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.aggregation.first_settled import OPEN, FirstSettled
from pipeline.parts.part_files import part_bytes, read_part
from pipeline.runtime.errors import ConfigError, InputError, ReconcileError
from pipeline.snapshots.snapshot_reader import open_manifest
from schemas.labels import Status
from tests.calibrations import scored
from tests.publishing import SMALL, live_rows
from tests.side_by_side import JudgedInput

A = [scored("ab", 9, 2), scored("ba", 9, 2)]
SURE_A = [scored("ab", 9, 2), scored("ba", 9, 2)] * 3
B = [scored("ab", 2, 8), scored("ba", 2, 8)]
SPLIT = [scored("ab", 9, 2), scored("ba", 2, 9)]
CASCADE = FirstSettled((0.9,))  # 2 agreeing votes have a confidence of .875, 6 of .99
LOOSE = SMALL.model_copy(update={"allow_missing": True})


@pytest.fixture
def judged(tmp_path: Path) -> JudgedInput:
    """Two judges, whose parts begin and end at different rows."""
    made = JudgedInput(str(tmp_path), (0.2, 0.4)).shard("s.parquet", 40)
    cheap = [(A, SURE_A, SPLIT, None, B)[row % 5] for row in range(40)]
    made.judge(0, "s.parquet", 0, cheap, unit_rows=16)
    made.judge(1, "s.parquet", 0, [(B, B, A, A, None)[row % 5] for row in range(40)], unit_rows=7)
    return made


def test_the_first_judge_that_settles_a_row_decides_it(judged: JudgedInput) -> None:
    by = judged.composition(CASCADE)
    manifest = judged.publish(by).manifest
    first, second = (made.judge_id for made in judged.judges)
    found = {row["row"]: row for row in live_rows(judged.base.output)}
    assert sorted(found) == list(range(40))
    # Undecided by the first: the second's; read by none but one: that one's, however unsure.
    expected = [(second, "b"), (first, "a"), (second, "a"), (second, "a"), (first, "b")]
    assert [(row["decided_by"], row["preference"]) for _, row in sorted(found.items())] == [
        *expected * 8
    ]
    assert {row["judge_id"] for row in found.values()} == {by.judge_id} - {first, second}
    assert {row["policy_id"] for row in found.values()} == {by.policy_id}
    assert found[0]["rationale"] == "ab (2, 8)"
    assert found[1]["n_votes"] == 8
    assert [card["judge_id"] for card in manifest.judges] == [first, second]
    assert manifest.policy is not None
    assert manifest.policy.rule["accepts"] == [0.9]


def test_the_votes_of_every_judge_are_kept_with_their_judge(judged: JudgedInput) -> None:
    judged.publish(judged.composition(CASCADE))
    labels = {row["row"]: row["label_id"] for row in live_rows(judged.base.output)}
    expected = [
        (row, made.judge_id, number, labels[row], vote["rationale"])
        for row in range(40)
        for made, stored in zip(judged.judges, judged.of_row("s.parquet", row), strict=True)
        for number, vote in enumerate(stored["votes"] if stored else ())
    ]
    names = ("row", "judge_id", "vote", "label_id", "rationale")
    votes = [tuple(vote[name] for name in names) for vote in live_rows(judged.base.output, "votes")]
    assert sorted(votes) == sorted(expected)
    assert [vote[0] for vote in votes] == sorted(vote[0] for vote in votes)


def test_a_later_judge_that_was_not_asked_decides_nothing(tmp_path: Path) -> None:
    made = JudgedInput(str(tmp_path), (0.2, 0.4)).shard("s.parquet", 3)
    made.judge(0, "s.parquet", 0, [SURE_A, A, None])
    made.judge(1, "s.parquet", 0, [[], [], B])
    made.publish(made.composition(CASCADE))
    rows = live_rows(made.base.output)
    assert [(row["status"], row["detail"]) for row in rows] == [
        ("labeled", None),
        ("abstained", OPEN),
        ("labeled", None),
    ]
    assert rows[0]["decided_by"] == made.judges[0].judge_id
    assert rows[2]["decided_by"] == made.judges[1].judge_id


def test_what_nobody_could_read_is_quarantined_with_its_reason(tmp_path: Path) -> None:
    made = JudgedInput(str(tmp_path), (0.2, 0.4)).shard("s.parquet", 2)
    made.judge(0, "s.parquet", 0, [None, A])
    made.judge(1, "s.parquet", 0, [None, A])
    assert made.publish(made.composition(CASCADE)).manifest.counts[Status.QUARANTINED] == 1
    (row,) = live_rows(made.base.output, "quarantine")
    assert (row["reason"], row["detail"], row["decided_by"]) == (
        "media_corrupt",
        "no picture",
        None,
    )


def test_rows_that_one_judge_lacks_need_leave_to_be_published(tmp_path: Path) -> None:
    made = JudgedInput(str(tmp_path), (0.2, 0.4)).shard("s.parquet", 9)
    made.judge(0, "s.parquet", 0, [SPLIT] * 6, unit_rows=3)
    made.judge(1, "s.parquet", 3, [A] * 5)
    by = made.composition(CASCADE)
    judge = made.judges[0].judge_id[:16]
    with pytest.raises(ReconcileError, match=f"judge {judge} .*\n.*: rows 6 to 8"):
        made.publish(by)
    counts = made.publish(by, LOOSE).manifest.counts
    assert (counts["labeled"], counts["abstained"], counts["missing"]) == (5, 3, 1)
    rows = live_rows(made.base.output)
    assert [row["row"] for row in rows] == list(range(8))


def test_judges_without_a_row_in_common_are_refused(tmp_path: Path) -> None:
    made = JudgedInput(str(tmp_path), (0.2, 0.4)).shard("s.parquet", 9)
    made.judge(0, "s.parquet", 0, [A] * 4)
    made.judge(1, "s.parquet", 4, [A] * 5)
    wanted = r"none of its 9 rows in common \(\w{16} has 4, \w{16} has 5\)"
    with pytest.raises(InputError, match=wanted):
        made.publish(made.composition(CASCADE), LOOSE)


def test_different_pairs_in_one_row_are_refused(tmp_path: Path) -> None:
    made = JudgedInput(str(tmp_path), (0.2, 0.4)).shard("s.parquet", 1).shard("t.parquet", 1)
    made.judge(0, "s.parquet", 0, [A])
    made.judge(1, "s.parquet", 0, [A])
    listed = made.base.output.list(f"parts/judge={made.judges[1].judge_id[:16]}")
    key = next(entry.key for entry in listed)
    table = read_part(made.base.output, key)
    at = table.schema.get_field_index("pair_hash")
    other = table.set_column(at, table.schema.field(at), [["another"]])
    made.base.output.put(key, part_bytes([other]))
    made.judge(0, "t.parquet", 0, [A])
    made.judge(1, "t.parquet", 0, [A])
    with pytest.raises(InputError, match="2 different pairs in one row"):
        made.publish(made.composition(CASCADE))


def test_one_judge_is_no_composition(tmp_path: Path) -> None:
    made = JudgedInput(str(tmp_path), (0.2,))
    with pytest.raises(ConfigError, match="expected two or more judges"):
        made.composition(CASCADE)


def test_files_are_reused_until_a_part_of_any_judge_changes(tmp_path: Path) -> None:
    made = JudgedInput(str(tmp_path), (0.2, 0.4)).shard("a.parquet", 4).shard("b.parquet", 4)
    for name in ("a.parquet", "b.parquet"):
        made.judge(0, name, 0, [SPLIT] * 4)
        made.judge(1, name, 0, [A] * (4 if name == "a.parquet" else 2))
    by = made.composition(CASCADE)
    first = made.publish(by, LOOSE).manifest
    assert not made.publish(by, LOOSE).changed
    made.judge(1, "b.parquet", 2, [A, A])
    second = made.publish(by).manifest
    of = {shard.path: shard.group for shard in second.shards}
    before, after = ({g.number: g.source for g in each.groups} for each in (first, second))
    assert before[of["a.parquet"]] == after[of["a.parquet"]]
    assert before[of["b.parquet"]] != after[of["b.parquet"]]
    other = made.publish(made.composition(FirstSettled((0.5,)))).manifest
    assert other.snapshot_id not in (first.snapshot_id, second.snapshot_id)
    assert open_manifest(made.base.output).judges == other.judges


def test_a_least_confidence_and_what_is_undecided_are_of_the_composed_label(
    judged: JudgedInput,
) -> None:
    strict = judged.composition(CASCADE, min_confidence=0.95, undecided="tie")
    judged.publish(strict)
    rows = live_rows(judged.base.output)
    assert {(row["status"], row["row"] % 5 == 1) for row in rows} == {
        ("labeled", True),
        ("tie", False),
    }
