"""Judges side by side, of which one ends before the others: no Ray, whose flows are elsewhere."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from pipeline.store.object_store import Store
from tests.cascades import cascade_config
from tests.labeling import Outcome, run_label, run_records
from tests.shards import labels_of, pair, write_shard

ROWS = 24


class Interrupted:
    """A queue at which whoever waits is interrupted."""

    def put(self, ended: Any) -> None:
        """Nobody takes it."""

    def get(self) -> Any:
        raise KeyboardInterrupt


@pytest.fixture
def source(tmp_path: Path, without_ray: None) -> Path:
    write_shard(tmp_path / "in/a.parquet", [pair(n, images=None) for n in range(ROWS)])
    return tmp_path / "in"


def together(config: Path, source: Path, output: Path) -> Outcome:
    return run_label(config, source, output, "--set", "cascade.side_by_side=true")


def assert_whole(output: Path) -> None:
    rows = Counter((row["judge_id"], row["row"]) for row in labels_of(output))
    assert len(rows) == rows.total() == 2 * ROWS
    assert bool(list(Store(str(output)).list("parts")))


@pytest.mark.parametrize("refusing", [1, 2])
def test_an_engine_that_does_not_start_ends_both_judges_and_the_next_run_goes_on(
    tmp_path: Path, model: Path, source: Path, refusing: int
) -> None:
    output, small = tmp_path / "out", {"unit_rows": 4}
    refuse: dict[str, Any] = {"script": {"start_fault": "refuse"}}
    own = {"script": refuse["script"]} if refusing == 1 else {"engine": refuse}
    broken = cascade_config(tmp_path / "broken.yaml", model, input=small, **own)
    failed = together(broken, source, output)
    assert failed.exit_code == 2, failed.error
    assert "the script plans that the engine cannot start" in failed.error

    config = cascade_config(tmp_path / "config.yaml", model, input=small)
    again = together(config, source, output)
    assert (again.exit_code, again.error) == (0, "")
    assert_whole(output)


def test_ctrl_c_drops_what_is_in_flight_and_the_next_run_goes_on(
    tmp_path: Path, model: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "out"
    config = cascade_config(tmp_path / "config.yaml", model, input={"unit_rows": 4})
    with monkeypatch.context() as interrupted:
        interrupted.setattr("pipeline.labeling.cascade.side_by_side.SimpleQueue", Interrupted)
        done = together(config, source, output)
    assert done.exit_code == 130
    assert {record["state"] for record in run_records(output)} <= {"stopped", "done"}
    again = together(config, source, output)
    assert (again.exit_code, again.error) == (0, "")
    assert_whole(output)
