"""The derivation job on stored parts: what it writes, what it leaves alone, what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipeline.aggregation.calibration_cards import put_calibration
from pipeline.aggregation.labeler import Labeler
from pipeline.aggregation.policy import PolicyConfig
from pipeline.aggregation.relabel import Relabeler
from pipeline.judging.votes import Vote
from pipeline.parts.part_files import part_bytes, read_part
from pipeline.store.object_store import Store
from schemas.contract import table_of
from schemas.labels import LABELS
from tests.calibrations import calibration, scored
from tests.derivations import Labelled, cast, rows_of, run_derive, three_parts
from tests.labeling import contents

STRICT = ("--set", "policy.threshold=0.93")


@pytest.fixture
def made(tmp_path: Path) -> Labelled:
    return three_parts(tmp_path / "out")


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
    assert run_derive(made) == 0
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
    assert run_derive(made, *STRICT) == 0
    after = contents(made.output.uri)
    assert {key: after[key] for key in before} == before  # not one original object is touched
    where = folder(made, threshold=0.93)
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
    assert (record["policy"]["threshold"], record["rule"]["threshold"]) == (0.93, 0.93)
    assert {row["policy_id"] for row in rows} == {record["policy_id"]}
    done = [json.loads(line) for line in capsys.readouterr().out.splitlines()][-1]
    assert (done["event"], done["rows_out"], done["abstained"]) == ("done", 9, 5)


def test_a_second_run_makes_nothing_and_an_ended_one_goes_on(
    made: Labelled, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = folder(made, threshold=0.93)
    assert run_derive(made, *STRICT) == 0
    whole, record = contents(made.output.uri, where), record_of(made.output, where)
    lost = next(key for key in whole if key.endswith(".parquet"))
    Path(made.output.path(lost)).unlink()
    Path(made.output.path(f"{where}/derivation.json")).unlink()
    assert run_derive(made, *STRICT) == 0
    again = contents(made.output.uri, where)
    assert {key: data for key, (_, data) in again.items() if key.endswith(".parquet")} == {
        key: data for key, (_, data) in whole.items() if key.endswith(".parquet")
    }
    kept = [key for key in whole if key.endswith(".parquet") and key != lost]
    assert [again[key] for key in kept] == [whole[key] for key in kept]
    monkeypatch.setattr(Relabeler, "table", None)  # nothing is derived any more
    assert run_derive(made, *STRICT) == 0
    assert {**record_of(made.output, where), "derived_at": None} == {**record, "derived_at": None}


def test_elsewhere(made: Labelled, tmp_path: Path) -> None:
    before = contents(made.output.uri)
    assert run_derive(made, *STRICT, "--to", str(tmp_path / "else")) == 0
    assert contents(made.output.uri) == before
    assert len(parts_under(Store(str(tmp_path / "else")), folder(made, threshold=0.93))) == 3


def test_a_policy_from_the_configuration_of_a_labeling_job(made: Labelled, tmp_path: Path) -> None:
    config = tmp_path / "label.yaml"
    config.write_text("policy: {undecided: tie, threshold: 0.9}\nengine: {max_num_seqs: 7}\n")
    assert run_derive(made, "--config", str(config), "--set", "policy.threshold=0.93") == 0
    record = record_of(made.output, folder(made, undecided="tie", threshold=0.93))
    assert record["after"] == {"labeled": 3, "quarantined": 1, "tie": 5}


def test_the_calibration_of_the_card_of_a_file_and_none(made: Labelled, tmp_path: Path) -> None:
    first, second = calibration(made.judge_id), calibration(made.judge_id, (0.0, 0.0, 0.5))
    put_calibration(made.output, first)
    file = tmp_path / "second.json"
    file.write_text(second.model_dump_json())
    for choice, fitted in (("card", first), (str(file), second), ("none", None)):
        assert run_derive(made, "--calibration", choice) == 0
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
    assert run_derive(made, "--pairs") == 0
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
    assert run_derive(made, "--pairs") == 0  # what is there is counted again, not made again
    assert record_of(made.output, folder(made, suffix="-pairs"))["rows_out"] == 10
    assert run_derive(made) == 0  # the groups themselves, beside their pairs
    assert record_of(made.output, folder(made))["rows_out"] == 3


def test_what_was_derived_before_rows_were_judged_again_is_derived_again(made: Labelled) -> None:
    assert run_derive(made) == 0
    before = contents(made.output.uri, folder(made))
    key = next(entry.key for entry in made.output.list("parts") if "000-000000003" in entry.key)
    rows = read_part(made.output, key).to_pylist()
    judged_again = rows_of([cast(2)], Labeler.of(made.judge), made.judge_id, 2)[0]
    made.output.put(
        key, part_bytes([table_of([*rows[:2], judged_again | {"run_id": "later"}], LABELS)])
    )
    assert run_derive(made) == 0
    stored = parts_under(made.output, f"parts/judge={made.judge_id[:16]}")
    assert parts_under(made.output, folder(made)) == stored
    after = contents(made.output.uri, folder(made))
    parts = [name for name in before if name.endswith(".parquet")]
    assert sum(after[name] != before[name] for name in parts) == 1
    assert "quarantined" not in record_of(made.output, folder(made))["after"]


def test_a_derived_part_that_lacks_rows_is_derived_again(made: Labelled) -> None:
    assert run_derive(made) == 0
    where, whole = folder(made), contents(made.output.uri, folder(made))
    key = next(name for name in whole if name.endswith(".parquet"))
    made.output.put(key, part_bytes([read_part(made.output, key).slice(1)]))
    assert run_derive(made) == 0
    assert contents(made.output.uri, where)[key][1] == whole[key][1]


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


def test_many_parts_are_reported_as_they_are_done(
    made: Labelled, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(5):
        made.part([cast(2)], start=100 + number)
    monkeypatch.setattr("pipeline.aggregation.derive._WAVE", 3)
    assert run_derive(made) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    notes = [event["text"] for event in events if event["event"] == "note"]
    assert notes == ["3 of 8 parts", "6 of 8 parts"]
    assert len(parts_under(made.output, folder(made))) == 8
    assert record_of(made.output, folder(made))["rows_out"] == 14
