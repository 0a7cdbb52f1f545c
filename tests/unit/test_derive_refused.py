"""What the derivation job refuses, and how it says so."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.aggregation.relabel import Relabeler
from pipeline.parts.part_files import read_part
from schemas.contract import VERSION_KEY
from tests.calibrations import calibration
from tests.derivations import Labelled, cast, run_derive, three_parts


@pytest.fixture
def made(tmp_path: Path) -> Labelled:
    return three_parts(tmp_path / "out")


def fails(
    made: Labelled, capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 2
) -> str:
    assert run_derive(made, *arguments) == code
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--set", "judge.votes.threshold=0.9"), "no vote is changed here; expected policy.key"),
        (("--set", "policy.threshold=2"), "policy.threshold: got 2, expected less than 1"),
        (("--judge", "zz"), "the ids of 0 judges"),
        (("--calibration", "/nowhere/fitted.json"), "/nowhere/fitted.json: it does not exist"),
        (("--pairs",), "has the format pairwise_scores; expected one that ranks groups"),
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
    return table.replace_schema_metadata({VERSION_KEY: b"labels/v3"})


def other_columns(table: pa.Table) -> pa.Table:
    return table.drop_columns(["margin"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (other_version, "its contract is labels/v3, expected labels/v2"),
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


def test_rows_that_get_lost_do_not_reconcile(
    made: Labelled, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    derived = Relabeler.table
    monkeypatch.setattr(Relabeler, "table", lambda by, table: derived(by, table).slice(1))
    error = fails(made, capsys, code=1)
    assert re.search(r"/derived/judge=.*\.parquet: got \d rows, expected \d of the \d in ", error)
