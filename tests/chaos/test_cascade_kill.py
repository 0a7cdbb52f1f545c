"""A cascade is killed inside and between its tiers: run again, it asks what is left alone."""

from __future__ import annotations

import json
import shutil
import signal
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from jobs import publish
from tests.cascades import SCRIPT, cascade_config
from tests.chaos.dying import dying
from tests.labeling import Row, label_arguments, run_job, run_records
from tests.processes import processes_with, started, wait_until
from tests.shards import pair, write_shard

ROWS, UNIT = 40, 8
HARD = {3, 9, 10, 11, 25, 39}  # the first judge is unsure of these
BROKEN = {17}  # and cannot be read about this one


def _rows() -> list[Row]:
    marks = dict.fromkeys(HARD, "HARD") | dict.fromkeys(BROKEN, "BROKEN")
    rows = [pair(n, images=None, prompt=f"Question {n}? {marks.get(n, '')}") for n in range(ROWS)]
    rows[0] |= {"gold": "a"}
    return rows


def recount(output: Path) -> dict[str, list[dict[str, Any]]]:
    """Every row of every judge's newest parts, by judge, from the files alone."""
    newest: dict[tuple[str, str], tuple[int, Path]] = {}
    for file in (output / "parts").rglob("*.parquet"):
        rows, _, revision = file.name.removesuffix(".parquet").partition(".")
        place = (str(file.parent), rows)
        newest[place] = max(newest.get(place, (-1, file)), (int(revision or 0), file))
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for _, file in sorted(newest.values(), key=lambda each: str(each[1])):
        for row in pq.read_table(file).to_pylist():
            found[row["judge_id"]].append(row)
    return dict(found)


def assert_whole(output: Path) -> None:
    """Each row once by each judge; the last was asked exactly what is open, and each vote once."""
    judges = recount(output)
    assert len(judges) == 2
    (first, cheap), (last, dear) = sorted(
        judges.items(), key=lambda each: sum(row["status"] == "not_asked" for row in each[1])
    )
    for rows in (cheap, dear):
        assert Counter(row["row"] for row in rows) == Counter(range(ROWS))
    settled = {row["row"] for row in cheap if row["status"] in ("labeled", "tie")}
    assert settled == set(range(ROWS)) - HARD - BROKEN
    asked = {row["row"] for row in dear if row["status"] != "not_asked"}
    assert asked == HARD | BROKEN | {0}
    assert {row["n_votes"] for row in dear if row["row"] in asked} == {2}
    assert {row["n_votes"] for row in dear if row["row"] not in asked} == {0}
    assert {row["decided_by"] for row in dear if row["row"] not in asked} == {first}
    latest = json.loads((output / "snapshots/LATEST.json").read_text())
    manifest = json.loads((output / latest["manifest"]).read_text())
    labels = [
        row
        for file in manifest["files"]
        if file["table"] == "labels"
        for row in pq.read_table(output / file["path"]).to_pylist()
    ]
    by = {row["row"]: row["decided_by"] for row in labels}
    assert by == {n: last if n in HARD | BROKEN else first for n in range(ROWS)}


def assert_published_alone(source: Path, output: Path) -> None:
    """One judge of a cascade has labels of its own if it was asked about everything."""
    codes = {}
    for judge, rows in recount(output).items():
        where = ["--input", str(source), "--output", str(output), "--judge", judge]
        done = run_job(publish.main, where)
        unasked = sum(row["status"] == "not_asked" for row in rows)
        codes[unasked > 0] = done.exit_code
        said = f"judge {judge[:16]} is one of a cascade, and was not asked about"
        assert (said in done.error) == (unasked > 0)
    assert codes == {False: 0, True: 2}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    write_shard(tmp_path / "in/a.parquet", _rows())
    return tmp_path / "in"


@pytest.mark.parametrize(
    "died_at", [(3, -1), pytest.param((0, 1, 2, 4, 5, 6, 7, 8), marks=pytest.mark.long)]
)
def test_killed_while_tiers_work_side_by_side(
    tmp_path: Path, source: Path, model: Path, died_at: tuple[int, ...]
) -> None:
    """Before some of the ten commits."""
    config = cascade_config(tmp_path / "config.yaml", model, input={"unit_rows": UNIT})
    together = ("--set", "cascade.side_by_side=true")

    def request(name: str, die_at: int | None) -> dict[str, Any]:
        arguments = label_arguments(config, source, tmp_path / name, *together)
        return {"arguments": arguments, "die_at": die_at}

    with dying("tests.chaos.cascade_and_die", {}) as ask:
        whole = ask(request("whole", None))
        assert (whole["signal"], whole["exit"], whole["steps"][-1]) == (None, 0, "exit 0")
        assert_whole(tmp_path / "whole")
        commits = [n for n, step in enumerate(whole["steps"]) if step.startswith("commit")]
        assert len(commits) == 2 * ROWS // UNIT
        begun = [step for step in whole["steps"] if step.startswith("begin")]
        plans = ["begin plan by judge 1", "begin plan"]
        assert (begun[:2], set(begun[2:4])) == (plans, {"begin label by judge 1", "begin label"})
        assert_published_alone(source, tmp_path / "whole")
        for number in (commits[which] for which in died_at):
            name = f"killed-{number}"
            assert ask(request(name, number))["signal"] == signal.SIGKILL
            before = recount(tmp_path / name)
            again = ask(request(name, None))
            assert (again["exit"], again["steps"][-1]) == (0, "exit 0")
            assert_whole(tmp_path / name)
            after = recount(tmp_path / name)
            assert all(row in after[judge] for judge, rows in before.items() for row in rows)


def test_killed_inside_and_between_tiers(tmp_path: Path, source: Path, model: Path) -> None:
    config = cascade_config(tmp_path / "config.yaml", model, input={"unit_rows": UNIT})

    def request(name: str, die_at: int | None) -> dict[str, Any]:
        return {"arguments": label_arguments(config, source, tmp_path / name), "die_at": die_at}

    with dying("tests.chaos.cascade_and_die", {}) as ask:
        whole = ask(request("whole", None))
        assert (whole["signal"], whole["exit"], whole["steps"][-1]) == (None, 0, "exit 0")
        assert_whole(tmp_path / "whole")
        judgments = [record["judgments"] for record in run_records(tmp_path / "whole")]
        assert judgments == [2 * (len(HARD | BROKEN) + 1), 2 * ROWS]
        commits = [n for n, step in enumerate(whole["steps"]) if step.startswith("commit")]
        between = next(
            n for n, step in enumerate(whole["steps"]) if step == "begin plan" and n > commits[0]
        )
        assert len(commits) == 2 * ROWS // UNIT
        inside = (commits[2], commits[ROWS // UNIT + 2])
        for number in (*inside, between):
            name = f"killed-{number}"
            died = ask(request(name, number))
            assert died["signal"] == signal.SIGKILL
            before = recount(tmp_path / name)
            again = ask(request(name, None))
            assert (again["exit"], again["steps"][-1]) == (0, "exit 0")
            assert_whole(tmp_path / name)
            # What was committed is there as it was: nothing of it was asked again.
            after = recount(tmp_path / name)
            assert all(row in after[judge] for judge, rows in before.items() for row in rows)
            shutil.rmtree(tmp_path / name)


@pytest.mark.long
def test_the_driver_is_killed_while_both_pools_judge(
    tmp_path: Path, source: Path, model: Path
) -> None:
    """With all processes of Ray: the second judge has committed a unit, the first one hangs."""
    output = tmp_path / "out"
    changes: dict[str, Any] = {
        "input": {"unit_rows": UNIT},
        "workers": {"gpus": 0, "cpus": 1, "local_cpus": 4},
    }
    hangs = {"faults": SCRIPT["faults"] | {f"Question {ROWS - 2}?": "hang"}}
    together = ("--set", "cascade.side_by_side=true")
    config = cascade_config(tmp_path / "hangs.yaml", model, script=hangs, **changes)
    arguments = label_arguments(config, source, output, *together)
    with started("jobs.nightly", arguments) as job:

        def both() -> bool:
            assert job.process.poll() is None, job.process.communicate()
            return len(recount(output)) == 2

        wait_until(both)
        (folder,) = job.ray_folders()
        assert job.kill() == -signal.SIGKILL
    assert processes_with(folder) == []
    before = recount(output)
    assert sum(map(len, before.values())) <= 2 * (ROWS - UNIT)
    config = cascade_config(tmp_path / "config.yaml", model, **changes)
    arguments = label_arguments(config, source, output, *together)
    with started("jobs.nightly", arguments) as job:
        _, error = job.process.communicate(timeout=300)
        assert job.process.returncode == 0, error
    assert_whole(output)
    after = recount(output)
    assert all(row in after[judge] for judge, rows in before.items() for row in rows)
