"""Rows and engines that kill: the killer is found, its neighbours are labelled, nothing loops."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from pipeline.store.object_store import Store
from tests.labeling import Row, assert_exact, run_label, write_config
from tests.shards import pair, write_shard

# Deaths are restarts of a worker, seconds each: small units keep the cuts few.
UNIT_ROWS = 4
MAX_DEATHS = 2


def poisoned(rows: list[Row], marks: dict[int, str]) -> list[Row]:
    """The rows, with a marker in the question of some."""
    for number, mark in marks.items():
        rows[number] |= {"prompt": f"{rows[number]['prompt']} {mark}"}
    return rows


def config_for(folder: Path, model: Path, script: dict[str, Any], **sections: Any) -> Path:
    changes = {
        "engine": {"script": script, "request_timeout_s": 30},
        "input": {"unit_rows": UNIT_ROWS},
        "workers": {"max_deaths": MAX_DEATHS},
    }
    return write_config(folder / "label.yaml", model, changes | sections)


def attempts(output: Path) -> dict[tuple[str, str], int]:
    """How many attempts were marked, by row range and kind."""
    keys = [entry.key.split("/") for entry in Store(str(output)).list("attempts")]
    return Counter((parts[-3], parts[-2]) for parts in keys if parts[2] != "starts")


@pytest.mark.usefixtures("shared_ray")
@pytest.mark.parametrize(
    ("killers", "count"),
    [
        ({1: "poison!", 6: "deadly!"}, 12),  # one in each of two units
        pytest.param(
            {1: "poison!", 2: "poison!", 27: "deadly!"}, 40, marks=pytest.mark.long
        ),  # two in the first unit, which tests/unit/test_unit_runner.py shows without Ray
    ],
)
def test_killers_are_found_and_their_neighbours_labelled(
    tmp_path: Path, model: Path, killers: dict[int, str], count: int
) -> None:
    rows = poisoned([pair(number) for number in range(count)], killers)
    write_shard(tmp_path / "in" / "a.parquet", rows)
    script = {"latency_s": 0.01, "faults": {"poison!": "kill", "deadly!": "die"}}
    config = config_for(tmp_path, model, script)
    pool = ("--set", "workers.min=2", "--set", "workers.max=2")
    outcome = run_label(config, tmp_path / "in", tmp_path / "out", *pool)

    assert outcome.exit_code == 4  # more than the default 5%
    found = len(killers)
    said = f"{found} of {count} rows are quarantined (engine_killed {found})"
    assert said in outcome.error.splitlines()[-1]
    killed = {("a.parquet", number): "engine_killed" for number in killers}
    labels = assert_exact(tmp_path / "out", {"a.parquet": rows}, killed)
    for number in killers:
        assert labels[number]["detail"] == (
            f"its worker died {MAX_DEATHS} times while judging this row alone"
        )
        assert labels[number]["votes"] == []
    assert outcome.event("done")["quarantined_by_reason"] == {"engine_killed": found}

    marks = attempts(tmp_path / "out")
    for (row_range, kind), count in marks.items():
        start, stop = map(int, row_range.split("-"))
        one_row = stop - start == 1
        assert count <= (MAX_DEATHS if kind == "shared" or one_row else 1), row_range
    for number in killers:
        assert marks[f"{number:09d}-{number + 1:09d}", "alone"] == MAX_DEATHS

    # Quarantine is an outcome like any other: it is not tried again, and not forgotten either.
    again = run_label(config, tmp_path / "in", tmp_path / "out")
    assert (again.exit_code, again.event("plan")["pairs_to_do"]) == (4, 0)
    assert attempts(tmp_path / "out") == marks


@pytest.mark.usefixtures("without_ray")
def test_replies_that_never_become_a_verdict_are_quarantined(tmp_path: Path, model: Path) -> None:
    faults = {
        3: ("<hang>", "hang", "timeout"),
        4: ("<chat>", "malformed", "malformed"),
        5: ("<cut>", "truncated", "truncated"),
        6: ("<no>", "refused", "refused"),
        7: ("<eleven>", "out_of_range", "out_of_range"),
    }
    rows = poisoned([pair(n) for n in range(9)], {n: fault[0] for n, fault in faults.items()})
    rows[8] = pair(9, prompt="Which one? <biased>")  # a is better, but the first shown wins
    write_shard(tmp_path / "in" / "a.parquet", rows)
    script = {"faults": {mark: fault for mark, fault, _ in faults.values()} | {"<biased>": "flip"}}
    config = config_for(
        tmp_path,
        model,
        script,
        engine={"script": script, "request_timeout_s": 0.3},
        quarantine={"max_fraction": 0.6},
    )
    outcome = run_label(config, tmp_path / "in", tmp_path / "out")
    assert (outcome.exit_code, outcome.error) == (0, "")
    reasons = {("a.parquet", number): fault[2] for number, fault in faults.items()}
    labels = assert_exact(tmp_path / "out", {"a.parquet": rows}, reasons, {("a.parquet", 8)})
    for number, (_, _, reason) in faults.items():
        # The whole budget of votes was tried, both orders alike, and every vote is kept.
        votes = [(vote["order"], vote["outcome"]) for vote in labels[number]["votes"]]
        assert votes == [("ab", reason), ("ba", reason)] * 4
    assert labels[8]["position_consistent"] is False
    assert [vote["choice"] for vote in labels[8]["votes"]] == ["a", "b"] * 4


@pytest.mark.usefixtures("shared_ray")
@pytest.mark.parametrize(
    ("script", "failures", "message"),
    [
        ({"start_fault": "refuse"}, 1, "error: the script plans that the engine cannot start"),
        ({"unknown": 1}, 0, "error: engine.script: unknown: got 1, expected no such field"),
        ({"start_fault": "kill"}, 1, "error: the worker's process died 2 times while its engine"),
    ],
)
def test_an_engine_that_cannot_start_ends_the_job(
    tmp_path: Path, model: Path, script: dict[str, Any], failures: int, message: str
) -> None:
    write_shard(tmp_path / "in" / "a.parquet", [pair(number) for number in range(3)])
    config = config_for(tmp_path, model, script, workers={"max_start_failures": failures})
    outcome = run_label(config, tmp_path / "in", tmp_path / "out")
    assert outcome.exit_code == 2
    assert message in outcome.error
    assert list(Store(str(tmp_path / "out")).list("parts")) == []


@pytest.mark.parametrize("kind", ["vllm", "transformers"])
def test_a_missing_model_is_found_before_anything_starts(tmp_path: Path, kind: str) -> None:
    write_shard(tmp_path / "in" / "a.parquet", [pair(1)])
    missing = tmp_path / "no" / "model"
    config = write_config(tmp_path / "c.yaml", missing, {"engine": {"kind": kind}})
    outcome = run_label(config, tmp_path / "in", tmp_path / "out")
    assert (outcome.exit_code, outcome.events) == (2, [])
    assert outcome.error == f"error: judge.model.name: there is no folder {missing}\n"
    assert not (tmp_path / "out").exists()
