"""Runs ``jobs.evaluate`` in tests, and reads what it wrote."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobs.evaluate import main
from tests.labeling import write_config
from tests.shards import pair


@dataclass(frozen=True)
class Outcome:
    """How the job ended: exit code, standard output and standard error."""

    exit_code: int
    output: str
    error: str


def run(*arguments: object) -> Outcome:
    """Runs the job in this process."""
    stdout, stderr = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
        exit_code = main([str(argument) for argument in arguments])
    return Outcome(exit_code, stdout.getvalue(), stderr.getvalue())


def report_of(output: Path, name: str) -> tuple[dict[str, Any], Path]:
    """The only report of an evaluation, and its folder."""
    (file,) = (output / "evaluations" / name).glob("*/evaluation.json")
    return json.loads(file.read_text()), file.parent


def value(report: Mapping[str, Any], figure: str) -> Any:
    """A figure over all pairs."""
    return report["overall"][figure]["value"]


def config_for(tmp_path: Path, model: Path, **changes: Any) -> Path:
    """A configuration of the scripted engine."""
    return write_config(tmp_path / "judge.yaml", model, changes)


def gold_pairs(count: int) -> list[dict[str, Any]]:
    """Pairs that the judge gets right, but for every fifth, whose gold is another one."""
    better = {0: "a", 1: "b", 2: "tie"}
    rows = []
    for number in range(count):
        gold = better[(number + (number % 5 == 4)) % 3]
        rows.append(pair(number, gold=gold, source=f"set-{number % 2}"))
    return rows
