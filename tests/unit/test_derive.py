"""The derivation job on stored parts: what it writes, what it leaves alone, what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.derive import main
from pipeline.assembly import derive as module
from pipeline.core.config import PolicyConfig
from pipeline.core.judge_cards import put_calibration
from pipeline.core.labeler import Labeler
from pipeline.core.storage import Store
from pipeline.core.votes import Vote
from pipeline.workers.label_sink import part_bytes, read_part
from schemas.contract import VERSION_KEY
from tests.calibrations import calibration, scored
from tests.derivations import Labelled
from tests.labeling import contents

STRICT = ("--set", "policy.threshold=0.95")
A, B = (9.0, 2.0), (2.0, 9.0)


def cast(count: int, scores: tuple[float, ...] = A) -> list[Vote]:
    return [scored(("ab", "ba")[number % 2], *scores) for number in range(count)]


@pytest.fixture
def made(tmp_path: Path) -> Labelled:
    """Three parts of two shards: nine rows with two, four and no votes."""
    labelled = Labelled.at(str(tmp_path / "out"))
    labelled.part([cast(2), cast(4), None])
    labelled.part([cast(2, B), cast(4, B)], start=3)
    labelled.part([cast(6), cast(2), [*cast(1), *cast(2, B)[1:]], cast(2)], shard="sub/t.parquet")
    return labelled


def run(made: Labelled, *arguments: str) -> int:
    where = ["--output", made.output.uri, "--judge", made.judge_id[:8]]
    return main([*where, *arguments])


def folder(made: Labelled, *, suffix: str = "", **policy: Any) -> str:
    labeler = Labeler.of(made.judge, PolicyConfig(**policy))
    return f"derived/judge={made.judge_id[:16]}/policy={labeler.policy_id[:16]}{suffix}"


def parts_under(store: Store, prefix: str) -> dict[str, pa.Table]:
    """Every part under a folder, by its name below it."""
    return {
        entry.key.removeprefix(f"{prefix}/"): read_part(store, entry.key)
        for entry in store.list(prefix)
        if entry.key.endswith(".parquet")
    }


def rows_under(store: Store, prefix: str) -> list[dict[str, Any]]:
    """The rows of these parts."""
    return [row for part in parts_under(store, prefix).values() for row in part.to_pylist()]


def record_of(store: Store, prefix: str) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(store.read(f"{prefix}/derivation.json"))
    return record


def test_the_default_derivation_is_what_is_stored(made: Labelled) -> None:
    assert run(made) == 0
    stored = parts_under(made.output, f"parts/judge={made.judge_id[:16]}")
    again = parts_under(made.output, folder(made))
    assert len(again) == 3
    assert again == stored
    record = record_of(made.output, folder(made))
    assert record["before"] == record["after"]
    assert record["moved"] == {}


def test_another_threshold_with_counts_that_reconcile(
    made: Labelled, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(made.output.uri)
    assert run(made, *STRICT) == 0
    after = contents(made.output.uri)
    assert {key: after[key] for key in before} == before  # not one original object is touched
    where = folder(made, threshold=0.95)
    stored = f"parts/judge={made.judge_id[:16]}"
    assert after.keys() - before.keys() == {
        f"{where}/derivation.json",
        *(key.replace(stored, where) for key in before if key.startswith(stored)),
    }
    rows = rows_under(made.output, where)
    record = record_of(made.output, where)
    assert record["rows_in"] == record["rows_out"] == len(rows) == 9
    assert record["after"] == Counter(row["status"] for row in rows)
    assert record["before"] == {"abstained": 1, "labeled": 7, "quarantined": 1}
    assert record["after"] == {"abstained": 5, "labeled": 3, "quarantined": 1}
    assert record["moved"] == {"labeled to abstained": 4}
    assert (record["parts"], record["calibration"]) == (3, None)
    assert (record["policy"]["threshold"], record["rule"]["threshold"]) == (0.95, 0.95)
    assert {row["policy_id"] for row in rows} == {record["policy_id"]}
    done = [json.loads(line) for line in capsys.readouterr().out.splitlines()][-1]
    assert (done["event"], done["rows_out"], done["abstained"]) == ("done", 9, 5)


def test_a_second_run_makes_nothing_and_an_ended_one_goes_on(
    made: Labelled, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = folder(made, threshold=0.95)
    assert run(made, *STRICT) == 0
    whole, record = contents(made.output.uri, where), record_of(made.output, where)
    lost = next(key for key in whole if key.endswith(".parquet"))
    Path(made.output.path(lost)).unlink()
    Path(made.output.path(f"{where}/derivation.json")).unlink()
    assert run(made, *STRICT) == 0
    again = contents(made.output.uri, where)
    assert {key: data for key, (_, data) in again.items() if key.endswith(".parquet")} == {
        key: data for key, (_, data) in whole.items() if key.endswith(".parquet")
    }
    kept = [key for key in whole if key.endswith(".parquet") and key != lost]
    assert [again[key] for key in kept] == [whole[key] for key in kept]
    monkeypatch.setattr(module, "derived", None)  # nothing is derived any more
    assert run(made, *STRICT) == 0
    assert {**record_of(made.output, where), "derived_at": None} == {**record, "derived_at": None}


def test_elsewhere(made: Labelled, tmp_path: Path) -> None:
    before = contents(made.output.uri)
    assert run(made, *STRICT, "--to", str(tmp_path / "else")) == 0
    assert contents(made.output.uri) == before
    assert len(parts_under(Store(str(tmp_path / "else")), folder(made, threshold=0.95))) == 3


def test_a_policy_from_the_configuration_of_a_labeling_job(made: Labelled, tmp_path: Path) -> None:
    config = tmp_path / "label.yaml"
    config.write_text("policy: {undecided: tie, threshold: 0.9}\nengine: {max_num_seqs: 7}\n")
    assert run(made, "--config", str(config), "--set", "policy.threshold=0.95") == 0
    record = record_of(made.output, folder(made, undecided="tie", threshold=0.95))
    assert record["after"] == {"labeled": 3, "quarantined": 1, "tie": 5}


def test_the_calibration_of_the_card_of_a_file_and_none(made: Labelled, tmp_path: Path) -> None:
    first, second = calibration(made.judge_id), calibration(made.judge_id, (0.0, 0.0, 0.5))
    put_calibration(made.output, first)
    file = tmp_path / "second.json"
    file.write_text(second.model_dump_json())
    for choice, fitted in (("card", first), (str(file), second), ("none", None)):
        assert run(made, "--calibration", choice) == 0
        labeler = Labeler.of(made.judge, None, fitted)
        where = f"derived/judge={made.judge_id[:16]}/policy={labeler.policy_id[:16]}"
        rows = [
            row for part in parts_under(made.output, where).values() for row in part.to_pylist()
        ]
        by_hand = [
            fitted.p_a([Vote.from_row(vote) for vote in row["votes"]])
            if fitted and row["votes"]
            else None
            for row in rows
        ]
        assert [row["p_a"] for row in rows] == by_hand
        stored = record_of(made.output, where)["calibration"]
        assert stored == (fitted.model_dump(mode="json") if fitted else None)


def test_groups_become_pairs(tmp_path: Path) -> None:
    made = Labelled.at(str(tmp_path / "out"), format="batch_ranking")
    three = [scored("abc", 9, 5, 1), scored("cba", 8, 4, 1)]
    made.part([three, None, [scored("abcd", 9, 9, 5, 1), scored("dcba", 9, 9, 4, 1)]])
    assert run(made, "--pairs") == 0
    (part,) = parts_under(made.output, folder(made, suffix="-pairs")).values()
    assert part["pair_id"].to_pylist() == [
        *(f"pair-0#{pair}" for pair in ("a-b", "a-c", "b-c")),
        "pair-1",
        *(f"pair-2#{pair}" for pair in ("a-b", "a-c", "a-d", "b-c", "b-d", "c-d")),
    ]
    record = record_of(made.output, folder(made, suffix="-pairs"))
    assert (record["rows_in"], record["rows_out"], record["pairs_of_groups"]) == (3, 10, True)
    assert record["before"] == {"labeled": 2, "quarantined": 1}
    assert record["after"] == {"labeled": 8, "quarantined": 1, "tie": 1}
    assert run(made, "--pairs") == 0  # what is there is counted again, not made again
    assert record_of(made.output, folder(made, suffix="-pairs"))["rows_out"] == 10
    assert run(made) == 0  # the groups themselves, beside their pairs
    assert record_of(made.output, folder(made))["rows_out"] == 3


def fails(
    made: Labelled, capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 2
) -> str:
    assert run(made, *arguments) == code
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--set", "judge.votes.threshold=0.9"), "no vote is changed here; expected policy.key"),
        (("--set", "policy.threshold=2"), "policy.threshold: Input should be less than 1"),
        (("--judge", "zz"), "the ids of 0 judges"),
        (("--calibration", "/nowhere/fitted.json"), "/nowhere/fitted.json: it does not exist"),
        (("--pairs",), "has the format pairwise_scores; expected batch_ranking"),
    ],
)
def test_bad_arguments(
    made: Labelled, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    assert message in fails(made, capsys, *arguments)
    assert list(made.output.list("derived")) == []


def test_a_calibration_of_another_judge(
    made: Labelled, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "fitted.json"
    file.write_text(calibration("cd" * 32).model_dump_json())
    error = fails(made, capsys, "--calibration", str(file))
    assert f"was fitted to judge cdcdcdcdcdcdcdcd, expected {made.judge_id[:16]}" in error


def test_a_judge_without_parts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = Labelled.at(str(tmp_path / "out"))
    assert "no parts there; expected labels of this judge" in fails(made, capsys)


def other_version(table: pa.Table) -> pa.Table:
    return table.replace_schema_metadata({VERSION_KEY: b"labels/v2"})


def other_columns(table: pa.Table) -> pa.Table:
    return table.drop_columns(["margin"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (other_version, "it says that it keeps to labels/v2, expected labels/v1"),
        (other_columns, "column 'margin' is missing (expected double)"),
    ],
)
def test_a_part_of_another_version_is_named(
    made: Labelled, capsys: pytest.CaptureFixture[str], change: Any, message: str
) -> None:
    key = made.part([cast(2)], start=5)
    buffer = pa.BufferOutputStream()
    pq.write_table(change(read_part(made.output, key)), buffer)
    made.output.put(key, buffer.getvalue().to_pybytes())
    error = fails(made, capsys)
    assert f"{made.output.path(key)}: not a part of this version" in error
    assert message in error


@pytest.mark.parametrize("keep", [0, 100, -30])
def test_a_damaged_part_is_named(
    made: Labelled, capsys: pytest.CaptureFixture[str], keep: int
) -> None:
    key = made.part([cast(2)], start=5)
    made.output.put(key, made.output.read(key)[:keep])
    assert f"{made.output.path(key)}: corrupt part" in fails(made, capsys)


def test_a_derived_part_with_other_rows_does_not_reconcile(
    made: Labelled, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(made) == 0
    key = next(e.key for e in made.output.list(folder(made)) if e.key.endswith(".parquet"))
    rows = read_part(made.output, key)
    made.output.put(key, part_bytes([rows.slice(1)]))
    error = fails(made, capsys, code=1)
    assert f"{made.output.path(key)}: got {rows.num_rows - 1} rows" in error


def test_neither_ray_nor_an_engine_is_loaded(made: Labelled) -> None:
    arguments = ["--output", made.output.uri, "--judge", made.judge_id]
    code = (
        "import sys; from jobs.derive import main; code = main(sys.argv[1:]); "
        "print(sorted({'ray', 'vllm', 'torch', 'transformers'} & sys.modules.keys())); "
        "sys.exit(code)"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout.splitlines()[-1], done.stderr) == (0, "[]", "")


def test_many_parts_are_told_as_they_are_done(
    made: Labelled, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(5):
        made.part([cast(2)], start=100 + number)
    monkeypatch.setattr(module, "_WAVE", 3)
    assert run(made) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    notes = [event["text"] for event in events if event["event"] == "note"]
    assert notes == ["3 of 8 parts", "6 of 8 parts"]
    assert len(parts_under(made.output, folder(made))) == 8
    assert record_of(made.output, folder(made))["rows_out"] == 14
