"""Pairs that were taken down: recognised by salted hashes, never judged, reused or shown again."""

from __future__ import annotations

import asyncio
import csv
import json
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.labeling.planning.reopening import parse_reasons
from pipeline.parts.commit import commit_part, revise_part, shard_parts
from pipeline.parts.forgotten import FOLDER, Forgotten, remember
from pipeline.parts.part_files import read_part
from pipeline.retention.forget_file import read_named
from pipeline.store.object_store import Store
from schemas.contract import table_of
from schemas.labels import LABELS, Reason
from tests.judging import JUDGE_ID, Row, judge_rows, pairs_of, runner, scripted, text_pair, unit


def by_runner(output: Store, rows: list[Row]) -> list[Row]:
    """The labels that a worker commits for these pairs."""
    one = runner(scripted()[0], output, forgotten=Forgotten.read(output))
    asyncio.run(one.run(unit(0, len(rows)), pairs_of(rows)))
    (part,) = shard_parts(output, JUDGE_ID, unit(0, len(rows)).shard_key).parts
    labels: list[Row] = read_part(output, part.key).to_pylist()
    return labels


def test_a_forgotten_pair_is_a_row_without_anything_of_it(tmp_path: Path) -> None:
    output, pairs = Store(str(tmp_path)), [text_pair(number) for number in range(4)]
    labels = judge_rows(scripted()[0], pairs)
    remember(output, [pairs[0]["pair_id"]], [labels[2]["pair_hash"]], "run")
    first, second, third, fourth = by_runner(output, pairs)
    assert [row["row"] for row in (first, second, third, fourth)] == [0, 1, 2, 3]
    for row in (first, third):
        assert (row["status"], row["reason"], row["votes"]) == ("quarantined", "forgotten", [])
        kept = {name for name, value in row.items() if value is not None}
        assert kept == {
            *("judge_id", "shard", "unit", "row", "run_id", "judged_at", "epoch", "revision"),
            *("part_revision", "status", "reason", "detail", "votes", "n_votes"),
        }
        assert table_of([row], LABELS).num_rows == 1
    for row, label in ((second, labels[1]), (fourth, labels[3])):
        assert (row["pair_hash"], row["status"]) == (label["pair_hash"], label["status"])
    assert Reason.FORGOTTEN not in parse_reasons([])  # nothing retries them


def test_a_record_discloses_nothing(tmp_path: Path) -> None:
    output = Store(str(tmp_path))
    remember(output, ["ann@example.org"], ["ab" * 32], "run")
    remember(output, ["ann@example.org"], ["ab" * 32], "again")  # known: no second record
    known = remember(output, ["bob"], [], "later")
    keys = [entry.key for entry in output.list(FOLDER)]
    assert keys == ["forgotten/000000.json", "forgotten/000001.json"]
    stored = b"".join(output.read(key) for key in keys)
    assert not any(word in stored for word in (b"ann@", b"ab" * 32, b"bob"))
    asked = [("ann@example.org", None), (None, "ab" * 32), ("bob", "cd" * 32), ("ab" * 32, "bob")]
    assert [known.knows(*pair) for pair in asked] == [True, True, True, False]
    assert not Forgotten().knows("bob", "ab" * 32)


def test_a_revision_may_lose_the_votes_of_forgotten_rows_alone(tmp_path: Path) -> None:
    """A run that revises a part whose pair was taken down meanwhile."""
    output, pairs = Store(str(tmp_path)), [text_pair(number) for number in range(2)]
    rows = judge_rows(scripted()[0], pairs)
    commit_part(output, JUDGE_ID, unit(0, 2), rows)
    (part,) = shard_parts(output, JUDGE_ID, unit(0, 2).shard_key).parts
    with pytest.raises(AssertionError, match="without the votes"):
        revise_part(output, JUDGE_ID, unit(0, 2), part, [rows[0], rows[1] | {"votes": []}])
    gone = rows[1] | {"votes": [], "status": "quarantined", "reason": "forgotten"}
    assert revise_part(output, JUDGE_ID, unit(0, 2), part, [rows[0], gone])


NAMES = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1)
HASHES = st.text("0123456789abcdef", min_size=64, max_size=64)


@settings(max_examples=30, deadline=None)
@given(
    st.sets(NAMES.filter(lambda name: len(name) != 64), min_size=1),
    st.sets(HASHES),
    st.sets(st.tuples(NAMES, st.integers(0, 10**6))),
)
def test_what_is_written_is_what_is_named(
    ids: set[str], hashes: set[str], places: set[tuple[str, int]]
) -> None:
    with TemporaryDirectory() as folder:
        lines: list[Row] = [{"pair_id": each} for each in ids] + [
            {"pair_hash": each} for each in hashes
        ]
        lines += [{"shard": shard, "row": row} for shard, row in places]
        jsonl, table, text = (Path(folder, name) for name in ("a.jsonl", "a.csv", "a.txt"))
        jsonl.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
        with table.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, ["pair_id", "pair_hash", "shard", "row"])
            writer.writeheader()
            writer.writerows(lines)
        text.write_text("\n".join([*ids, *hashes]), encoding="utf-8")
        for path in (jsonl, table):
            named = read_named(str(path))
            assert (set(named.ids), set(named.hashes), set(named.places)) == (ids, hashes, places)
        named = read_named(str(text))
        assert (set(named.ids), set(named.hashes)) == (ids, hashes)
        assert not named.places
