"""The job on local folders: what it labels, what it leaves alone, and what it says."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs import label as job
from pipeline.store.lease import take_lease
from pipeline.store.object_store import Store
from tests.labeling import (
    Row,
    assert_exact,
    contents,
    forbid_ray,
    label_arguments,
    run_label,
    run_records,
    write_config,
)
from tests.shards import labels_of, pair, picture, write_shard

ROOT = Path(__file__).parents[2]
# Row groups that are small, empty, larger than a unit (32 rows), and of one row.
GROUPS = {"a.parquet": [7, 1, 20, 0, 13], "sub/b.parquet": [70], "sub/deep/c.parquet": [1]}


@pytest.fixture
def corpus(tmp_path: Path) -> dict[str, list[Row]]:
    """Three shards in ``in/``, by their path."""
    shards, first = {}, 0
    for name, groups in GROUPS.items():
        shards[name] = [pair(number) for number in range(first, first + sum(groups))]
        write_shard(tmp_path / "in" / name, shards[name], groups)
        first += sum(groups)
    return shards


@pytest.fixture
def config(tmp_path: Path, model: Path) -> Path:
    return write_config(tmp_path / "label.yaml", model)


@pytest.mark.usefixtures("shared_ray")
def test_a_unit_is_reported_before_the_next_one_is_done(tmp_path: Path, model: Path) -> None:
    rows = [pair(number, images=None) for number in range(8)]
    rows[6]["prompt"] += "<slow>"
    write_shard(tmp_path / "in" / "a.parquet", rows, 4)
    slow = {
        "judge": {"votes": {"max_votes": 2}},
        "engine": {"script": {"faults": {"<slow>": "hang"}}, "request_timeout_s": 5},
        "input": {"unit_rows": 4},
        "quarantine": {"max_fraction": 1},
        "progress_seconds": 0.5,
    }
    config = write_config(tmp_path / "slow.yaml", model, slow)
    outcome = run_label(config, tmp_path / "in", tmp_path / "out")
    assert (outcome.exit_code, outcome.error) == (0, "")
    reported = {event["pairs"] for event in outcome.events if event["event"] == "progress"}
    assert 4 in reported
    assert_exact(tmp_path / "out", {"a.parquet": rows}, {("a.parquet", 6): "timeout"})


@pytest.mark.usefixtures("shared_ray")
def test_every_row_is_labelled_once_and_then_left_alone(
    tmp_path: Path,
    corpus: dict[str, list[Row]],
    config: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    output = tmp_path / "out"
    first = run_label(config, tmp_path / "in", output)
    assert (first.exit_code, first.error) == (0, "")
    labels = assert_exact(output, corpus)
    for label in labels:
        number = int(label["pair_id"].removeprefix("pair-"))
        scores = [(9.0, 2.0), (3.0, 8.0), (5.0, 5.0)][number % 3]
        votes = [(v["order"], v["score_a"], v["score_b"], v["outcome"]) for v in label["votes"]]
        assert votes == [("ab", *scores, "verdict"), ("ba", *scores, "verdict")]
        assert label["rationale"] == f"I count {scores[0]:g} and {scores[1]:g}."
    units = {(label["shard"], label["unit"]) for label in labels}
    assert units == {
        ("a.parquet", "000000000-000000028"),
        ("a.parquet", "000000028-000000041"),
        ("sub/b.parquet", "000000000-000000023"),
        ("sub/b.parquet", "000000023-000000046"),
        ("sub/b.parquet", "000000046-000000070"),
        ("sub/deep/c.parquet", "000000000-000000001"),
    }

    (record,) = run_records(output)
    judge_id = record["judge_id"]
    assert {label["judge_id"] for label in labels} == {judge_id}
    card = json.loads((output / "judges" / f"{judge_id[:16]}.json").read_text())
    assert card["judge_id"] == judge_id
    assert card["judge"]["sampling"]["temperature"] == 0.2
    statuses = [label["status"] for label in labels]
    counts = {status: statuses.count(status) for status in ("labeled", "tie", "abstained")}
    assert {status: record[status] for status in counts} == counts
    assert (record["pairs"], record["quarantined"]) == (len(labels), 0) == (112, 0)
    assert record["judgments"] == 224
    assert record["plan"]["pairs"] == record["plan"]["pairs_to_do"] == 112
    assert first.event("plan")["units_to_do"] == 6
    assert first.event("done")["run_id"] == record["run_id"]

    # Finished work: no Ray, no engine, and not one object of the first run is touched.
    before = contents(output)
    forbid_ray(monkeypatch)
    second = run_label(config, tmp_path / "in", output)
    assert (second.exit_code, second.error) == (0, "")
    assert second.event("plan")["pairs_to_do"] == 0
    assert "no engine started" in second.notes[0]
    after = contents(output)
    assert {key: after[key] for key in before} == before
    # Beside the index of the first run's labels, and the hashes of shards that are old enough now.
    derived = ("index/", "cache/content/")
    (new,) = (key for key in after.keys() - before.keys() if not key.startswith(derived))
    assert json.loads(after[new][1])["pairs"] == 0


@pytest.mark.usefixtures("corpus")
def test_dry_run_writes_nothing_and_starts_nothing(
    tmp_path: Path, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forbid_ray(monkeypatch)
    outcome = run_label(config, tmp_path / "in", tmp_path / "out", "--dry-run")
    assert (outcome.exit_code, outcome.error) == (0, "")
    plan = outcome.event("plan")
    assert plan["estimated_prompt_tokens"] > 0
    assert {
        key: plan[key] for key in ("shards", "units_to_do", "pairs_to_do", "judgments_at_least")
    } == {
        "shards": 3,
        "units_to_do": 6,
        "pairs_to_do": 112,
        "judgments_at_least": 224,
    }
    assert not (tmp_path / "out").exists()


def test_a_second_run_is_kept_out_while_one_writes(
    tmp_path: Path, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_shard(tmp_path / "in" / "a.parquet", [pair(n) for n in range(8)])
    output = tmp_path / "out"
    how = ["--config", str(config), "--input", str(tmp_path / "in"), "--output", str(output)]
    with take_lease(Store(str(output)), "writer", "another-run", ttl_s=3):
        assert job.main([*how, "--set", "input.unit_rows=4"]) == 5
    assert "run another-run" in capsys.readouterr().err
    assert [entry.key for entry in Store(str(output)).list()] == ["leases/writer.json"]


@pytest.mark.usefixtures("without_ray")
def test_what_is_stale_and_only_that_is_judged_again(tmp_path: Path, config: Path) -> None:
    source, output = tmp_path / "in", tmp_path / "out"
    shards = {"a.parquet": [pair(i) for i in range(40)], "b.parquet": [pair(i) for i in range(9)]}
    for name, rows in shards.items():
        write_shard(source / name, rows)
    assert run_label(config, source, output).exit_code == 0
    before = contents(output)

    # How the judge is run is not what it judges: nothing to do, so no engine starts (with this
    # script it could not).
    same = run_label(config, source, output, "--set", "engine.script={unknown: 1}")
    assert (same.exit_code, same.event("plan")["pairs_to_do"]) == (0, 0)

    # Another judge: everything again, into a folder of its own.
    colder = ("--set", "judge.sampling.temperature=0")
    assert run_label(config, source, output, *colder).exit_code == 0
    after = contents(output)
    assert {key: after[key] for key in before} == before
    judges = {key.split("/")[1] for key in after if key.startswith("parts/")}
    assert len(judges) == 2
    (old,) = {key.split("/")[1] for key in before if key.startswith("parts/")}
    new = [row for row in labels_of(output) if f"judge={row['judge_id'][:16]}" != old]
    assert sorted((row["shard"], row["row"]) for row in new) == [
        (name, number) for name, rows in shards.items() for number in range(len(rows))
    ]

    # A rewritten shard: only its units.
    shards["a.parquet"][17] |= {"prompt": "Another question?"}
    write_shard(source / "a.parquet", shards["a.parquet"])
    changed = run_label(config, source, output)
    plan = changed.event("plan")
    assert (plan["shards_to_do"], plan["pairs_done"], plan["pairs_to_do"]) == (1, 9, 40)
    run_id = changed.event("done")["run_id"]
    rows = [row for row in labels_of(output) if row["run_id"] == run_id]
    assert [(row["shard"], row["row"]) for row in rows] == [("a.parquet", 17)]


@pytest.mark.usefixtures("without_ray")
def test_foreign_columns_of_a_single_file(tmp_path: Path, model: Path) -> None:
    rows = [pair(number) for number in range(5)]
    foreign = pa.table(
        {
            "id": pa.array(range(5)),
            "question": [row["prompt"] for row in rows],
            "img": [picture(number) for number in range(5)],
            "answers": [[row[f"response_{x}"]["text"] for x in "ab"] for row in rows],
        }
    )
    path = tmp_path / "in" / "foreign.parquet"
    path.parent.mkdir()
    pq.write_table(foreign, path)
    write_shard(path.with_name("beside.parquet"), [pair(1)])  # not asked for
    columns = {
        "pair_id": "id",
        "prompt": "question",
        "images": "img",
        "response_a": "answers[0]",
        "response_b": "answers[1]",
    }
    config = write_config(tmp_path / "c.yaml", model, {"input": {"columns": columns}})
    outcome = run_label(config, path, tmp_path / "out")
    assert (outcome.exit_code, outcome.error) == (0, "")
    for number, row in enumerate(rows):
        row["pair_id"] = str(number)
    assert_exact(tmp_path / "out", {"foreign.parquet": rows})


@pytest.mark.usefixtures("corpus")
def test_a_terminal_shows_a_bar(tmp_path: Path, config: Path, shared_ray: str) -> None:
    arguments = label_arguments(config, tmp_path / "in", tmp_path / "out")
    screen = _on_terminal([sys.executable, "-m", "jobs.label", *arguments], shared_ray)
    for text in ("plan", "judging", "112/112", "pairs/s", "tokens/s", "quarantined 0", "ETA"):
        assert text in screen
    assert '{"event"' not in screen


def _on_terminal(command: list[str], ray_address: str) -> str:
    """What a command that must succeed writes to a terminal of 160 columns."""
    leader, follower = pty.openpty()
    environment: dict[str, Any] = {"RAY_ADDRESS": ray_address, "COLUMNS": "160", "TERM": "xterm"}
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=os.environ | environment,
        stdin=follower,
        stdout=follower,
        stderr=subprocess.STDOUT,
    ) as process:
        os.close(follower)
        written = bytearray()
        while chunk := _read_terminal(leader):
            written += chunk
    os.close(leader)
    assert process.returncode == 0, written.decode()
    return written.decode()


def _read_terminal(leader: int) -> bytes:
    try:
        return os.read(leader, 4096)
    except OSError:  # EIO: the last process on the terminal is gone
        return b""
