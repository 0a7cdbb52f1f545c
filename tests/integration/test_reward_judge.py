"""A reward model through the job: a killed worker, a second run, calibration, labels derived."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs import calibrate, derive
from pipeline.parts.part_files import read_part
from pipeline.store.object_store import Store
from tests.labeling import Outcome, Row, run_job, run_label, verdict_of, write_config
from tests.shards import labels_of, pair, write_shard

ROWS, KILLER = 60, 7
DEADLY = "deadly!"


def _rows() -> list[Row]:
    gold = [{"labeled": label[1], "tie": "tie"}[label[0]] for label in map(verdict_of, _plain())]
    rows = [row | {"gold": side} for row, side in zip(_plain(), gold, strict=True)]
    rows[KILLER] |= {"prompt": f"{rows[KILLER]['prompt']} {DEADLY}"}
    return rows


def _plain() -> list[Row]:
    return [pair(number) for number in range(ROWS)]


def _derived(outcome: Outcome) -> dict[int, Row]:
    store = Store(outcome.event("done")["derived"])
    parts = [entry.key for entry in store.list() if entry.key.endswith(".parquet")]
    return {row["row"]: row for part in parts for row in read_part(store, part).to_pylist()}


@pytest.mark.usefixtures("shared_ray")
def test_votes_outlive_a_killed_worker_and_become_labels_once_calibrated(
    tmp_path: Path, model: Path
) -> None:
    rows, source, output = _rows(), tmp_path / "in", tmp_path / "out"
    write_shard(source / "a.parquet", rows)
    changes = {
        "judge": {"bundle": "skywork-vl-reward"},
        "engine": {"script": {"faults": {DEADLY: "kill"}}},
        "input": {"unit_rows": 16},
        "workers": {"max_deaths": 1},
    }
    config = write_config(tmp_path / "label.yaml", model, changes)
    assert run_label(config, source, output).exit_code == 0

    labels = labels_of(str(output))
    assert [label["row"] for label in labels] == list(range(ROWS))
    killed = labels.pop(KILLER)
    assert (killed["status"], killed["reason"]) == ("quarantined", "engine_killed")
    assert {(label["status"], label["n_votes"]) for label in labels} == {("abstained", 1)}
    assert {label["position_consistent"] for label in labels} == {None}

    again = run_label(config, source, output)
    assert again.event("done")["judgments"] == 0

    where = ["--output", str(output)]
    fitted = run_job(calibrate.main, ["--config", str(config), "--input", str(source), *where])
    assert fitted.exit_code == 0
    assert fitted.event("calibration")["tie_band"] == 0
    assert fitted.event("calibration")["labels_right"] == 1
    judge = ["--judge", labels[0]["judge_id"]]
    derived = _derived(run_job(derive.main, [*where, *judge]))
    found = {row: (label["status"], label["preference"]) for row, label in derived.items()}
    assert found.pop(KILLER) == ("quarantined", None)
    expected = {number: verdict_of(row) for number, row in enumerate(rows) if number != KILLER}
    assert found == expected
    sure = [label["confidence"] for label in derived.values() if label["preference"]]
    assert min(sure) > 0.5
