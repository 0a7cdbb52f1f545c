"""From gold labels to calibrated ones: label, calibrate, label more, and derive what was there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from jobs import calibrate, derive
from pipeline.aggregation.calibration_cards import read_calibration
from pipeline.judging.votes import Vote
from pipeline.parts.part_files import read_part
from pipeline.store.object_store import Store
from pipeline.store.s3_objects import Objects
from tests.calibrations import scored
from tests.derivations import Labelled
from tests.labeling import Outcome, Row, contents, run_label, write_config
from tests.s3_server import BUCKET, JOB, S3Server
from tests.shards import labels_of, pair, response, write_shard

GOLD_ROWS = 60


def gold_pair(number: int) -> Row:
    """A pair whose scores the scripted engine reads out; a human agrees with three in four."""
    gap, agrees = 1 + number % 6, number % 4 != 0
    side = "ab"[number // 4 % 2]
    scores = (9, 9 - gap) if side == "a" else (9 - gap, 9)
    return pair(
        number,
        images=None,
        response_a=response(f"Answer {number}, score={scores[0]}"),
        response_b=response(f"Reply {number}, score={scores[1]}"),
        gold=side if agrees else "ab".replace(side, ""),
    )


def run(job: Any, capsys: pytest.CaptureFixture[str], *arguments: object) -> Outcome:
    """Runs a job in this process; every line it prints must be a JSON object."""
    capsys.readouterr()
    code = job.main([str(argument) for argument in arguments])
    out, error = capsys.readouterr()
    return Outcome(code, [json.loads(line) for line in out.splitlines()], error)


def p_by_hand(calibration: Any, label: Row) -> float:
    p: float = calibration.p_a([Vote.from_row(row) for row in label["votes"]])
    return p


def derived_rows(outcome: Outcome) -> list[Row]:
    """The rows of what was derived, by shard and row."""
    store = Store(outcome.event("done")["derived"])
    parts = [entry.key for entry in store.list() if entry.key.endswith(".parquet")]
    rows = [row for part in parts for row in read_part(store, part).to_pylist()]
    return sorted(rows, key=lambda row: (row["shard"], row["row"]))


@pytest.fixture
def config(tmp_path: Path, model: Path) -> Path:
    return write_config(tmp_path / "label.yaml", model)


@pytest.fixture
def gold(tmp_path: Path) -> Path:
    rows = [gold_pair(number) for number in range(GOLD_ROWS)]
    rows[7] |= {"gold": "tie"}
    rows[8] |= {"gold": None}
    rows[9] |= {"prompt": " "}  # quarantined: no votes
    write_shard(tmp_path / "in" / "gold.parquet", rows)
    return tmp_path / "in" / "gold.parquet"


@pytest.mark.usefixtures("without_ray")
def test_label_calibrate_label_more_derive(
    tmp_path: Path, config: Path, gold: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, output = tmp_path / "in", tmp_path / "out"
    where = ("--config", config, "--input", gold, "--output", output)
    unlabelled = run(calibrate, capsys, *where)
    assert unlabelled.exit_code == 2
    assert "has labelled nothing here; run pairmill label" in unlabelled.error

    assert run_label(config, source, output, "--set", "quarantine.max_fraction=0.1").exit_code == 0
    plain = labels_of(output)
    assert {label["p_a"] for label in plain} == {None}
    parts = contents(output, "parts")

    fitted = run(calibrate, capsys, *where)
    assert (fitted.exit_code, fitted.error) == (0, "")
    figures = fitted.event("calibration")
    assert (figures["gold_pairs"], figures["ties"], figures["left_out"]) == (GOLD_ROWS - 2, 1, 1)
    assert (figures["method"], figures["knots"]) == ("platt", 0)
    assert figures["ece"] < figures["ece_raw"]
    assert figures["brier"] < figures["brier_raw"]
    assert contents(output, "parts") == parts
    judge_id = plain[0]["judge_id"]
    calibration = read_calibration(Store(str(output)), judge_id)
    assert calibration is not None
    assert calibration.gold == str(gold)
    assert calibration.calibration_id == figures["calibration_id"]

    # Labels made from now on are calibrated; those that are there stay as they are.
    more = [gold_pair(number) for number in range(100, 120)]
    write_shard(source / "more.parquet", more)
    assert run_label(config, source, output).exit_code == 0
    labels = labels_of(output)
    new = [label for label in labels if label["shard"] == "more.parquet"]
    assert [label for label in labels if label["shard"] == "gold.parquet"] == plain
    assert [label["p_a"] for label in new] == [p_by_hand(calibration, label) for label in new]
    for label in new:
        assert label["p_a_raw"] == (1.0 if label["preference"] == "a" else 0.0)
        certain = label["p_a"] if label["preference"] == "a" else 1 - label["p_a"]
        assert label["confidence"] == certain
        assert 0.5 < certain < 0.95

    # Derived: the new ones as they are, the old ones as if calibrated before.
    derived = run(derive, capsys, "--output", output, "--judge", judge_id[:10])
    assert (derived.exit_code, derived.error) == (0, "")
    again = derived_rows(derived)
    assert [row for row in again if row["shard"] == "more.parquet"] == new
    for old, row in zip(plain, (r for r in again if r["shard"] == "gold.parquet"), strict=True):
        if old["status"] == "quarantined":
            assert row == old | {"policy_id": new[0]["policy_id"]}
            continue
        assert row["p_a"] == p_by_hand(calibration, old)
        changed = {name for name in row if row[name] != old[name]}
        assert changed == {"p_a", "confidence", "policy_id"}
    undone = run(derive, capsys, "--output", output, "--judge", judge_id, "--calibration", "none")
    raw = derived_rows(undone)
    assert [row for row in raw if row["shard"] == "gold.parquet"] == plain


@pytest.mark.usefixtures("without_ray")
def test_gold_that_cannot_be_used(
    tmp_path: Path, config: Path, gold: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = tmp_path / "few" / "few.parquet"
    write_shard(few, [gold_pair(number) for number in range(19)])
    output = tmp_path / "out"
    assert run_label(config, few, output).exit_code == 0
    arguments = ("--config", config, "--output", output, "--input")
    refused = run(calibrate, capsys, *arguments, few)
    assert (refused.exit_code, refused.events) == (2, [])
    assert "19 different gold pairs with a preference" in refused.error
    elsewhere = run(calibrate, capsys, *arguments, gold)
    assert elsewhere.exit_code == 2
    assert "none with a label of judge" in elsewhere.error
    folds = run(calibrate, capsys, *arguments, few, "--folds", 1)
    assert (folds.exit_code, folds.error) == (2, "error: folds: got 1, expected 2 or more\n")
    for format_ in ("single_score", "batch_ranking"):
        no_pairs = run(calibrate, capsys, *arguments, few, "--set", f"judge.format={format_}")
        assert no_pairs.exit_code == 2
        assert f"judge.format {format_}: " in no_pairs.error
        assert "this format's rows are not pairs" in no_pairs.error


@pytest.mark.s3
def test_derivation_on_s3(
    s3: S3Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in s3.environment(JOB).items():
        monkeypatch.setenv(name, value)
    Objects.clear_instance_cache()
    made = Labelled.at(f"s3://{BUCKET}/out/derive")
    votes = [scored("ab", 9, 2), scored("ba", 9, 2)]
    for shard in ("a.parquet", "b.parquet"):
        made.part([votes, votes * 2, None], shard=shard)
    before = contents(made.output.uri)
    arguments = ("--output", made.output.uri, "--judge", made.judge_id[:6])
    first = run(derive, capsys, *arguments, "--set", "policy.threshold=0.93")
    assert (first.exit_code, first.error) == (0, "")
    done = first.event("done")
    assert (done["abstained"], done["labeled"], done["quarantined"]) == (2, 2, 2)
    again = run(derive, capsys, *arguments, "--set", "policy.threshold=0.93")
    assert (again.exit_code, again.event("plan")["parts_done"]) == (0, 2)
    after = contents(made.output.uri)
    assert {key: after[key] for key in before} == before
    assert len(after) == len(before) + 3  # two parts and derivation.json
    Objects.clear_instance_cache()
