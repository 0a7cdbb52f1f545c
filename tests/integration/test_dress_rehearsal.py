"""Three nights as an operator has them: a bucket, a cluster, ``ray job submit``, and a change of
everything that changes; what readers get is recounted from the input alone."""

from __future__ import annotations

import json
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import s3fs

import pipeline
from pipeline.core.storage import Store
from tests.job_server import JobServer, job_server
from tests.labeling import label_arguments, run_records, verdict_of, write_config
from tests.nights import detail_of, nights, steps_of
from tests.publishing import latest_of
from tests.s3_server import BUCKET, JOB, S3Server
from tests.shards import pair, shard_bytes

pytestmark = pytest.mark.s3
Row = dict[str, Any]
FOLDER = "in/rehearsal"
SOURCE, OUTPUT = f"s3://{BUCKET}/{FOLDER}", f"s3://{BUCKET}/out/rehearsal"
CHANGES = {
    "input": {"unit_rows": 24},
    "canary": {"input": f"s3://{BUCKET}/in/rehearsal-canaries"},
    "gate": {
        "at_most": {"tie": 0.5, "quarantine": 0.1, "p_a_psi": 0.2},
        "at_least": {"canary_agreement": 0.9},
    },
}


class Corpus:
    """Shards in a bucket, and what the rows in them must become."""

    def __init__(self, server: S3Server) -> None:
        self._server = server
        self.shards: dict[str, list[Row]] = {}

    def write(self, name: str, rows: list[Row]) -> None:
        self.shards[name] = rows
        self._server.put(f"{FOLDER}/{name}", shard_bytes(rows, 16))

    def remove(self, name: str) -> None:
        del self.shards[name]
        self._server.remove(f"{FOLDER}/{name}")

    def recount(self) -> dict[str, tuple[str, str, str | None]]:
        """By pair, its shard and the verdict that its two answers demand."""
        return {
            row["pair_id"]: (name, *verdict_of(row))
            for name, rows in self.shards.items()
            for row in rows
        }


@pytest.fixture
def credentials(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """The environment of the job's key, which is this process's too."""
    environment = s3.environment(JOB)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    yield environment
    s3fs.S3FileSystem.clear_instance_cache()


def rows_from(first: int, count: int) -> list[Row]:
    return [pair(number) for number in range(first, first + count)]


def published() -> dict[str, tuple[str, str, str | None]]:
    """By pair, what readers of the live snapshot get."""
    columns = ["pair_id", "shard", "status", "preference"]
    rows = pipeline.open_snapshot(OUTPUT).to_table(columns, use_threads=False).to_pylist()
    found = {row["pair_id"]: (row["shard"], row["status"], row["preference"]) for row in rows}
    assert len(found) == len(rows), "rows are doubled"
    return found


def live() -> str:
    return str(latest_of(Store(OUTPUT))["snapshot_id"])


def test_three_nights(
    tmp_path: Path, model: Path, s3: S3Server, credentials: dict[str, str]
) -> None:
    corpus = Corpus(s3)
    for number in range(6):
        corpus.write(f"{number}.parquet", rows_from(40 * number, 40))
    gold = [
        pair(n, gold={"labeled": verdict_of(pair(n))[1]}.get(verdict_of(pair(n))[0], "tie"))
        for n in range(900, 930)
    ]
    s3.put(f"{FOLDER}-canaries/gold.parquet", shard_bytes(gold, 16))
    config = write_config(tmp_path / "night.yaml", model, CHANGES)

    with job_server(credentials) as server:
        first = _first_night(server, config, corpus)
        _change(corpus)
        second = _second_night(server, config, corpus, first)
        _third_night(server, config, corpus, second)


def _night(server: JobServer, config: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return server.submit("jobs.nightly", label_arguments(config, SOURCE, OUTPUT, *more))


def _succeeded(done: subprocess.CompletedProcess[str]) -> Row:
    assert done.returncode == 0, done.stdout + done.stderr
    night = nights(OUTPUT)[-1]
    assert (night["state"], night["exit_code"]) == ("published", 0)
    assert night["snapshot_id"] == live()
    return night


def _first_night(server: JobServer, config: Path, corpus: Corpus) -> str:
    night = _succeeded(_night(server, config))
    plan = detail_of(night, "plan")
    assert (plan["shards_new"], plan["pairs_to_do"], plan["canaries"]) == (6, 240, 30)
    assert published() == corpus.recount()
    assert len(corpus.recount()) == 240
    return live()


def _change(corpus: Corpus) -> None:
    """Twelve rows of 240 change, in two shards; one shard goes, and two come."""
    for name in ("1.parquet", "3.parquet"):
        rows = list(corpus.shards[name])
        for place in range(0, 36, 6):
            number = int(rows[place]["pair_id"].partition("-")[2])
            rows[place] = pair(number + 1_000, pair_id=f"pair-{number}")  # another verdict
        corpus.write(name, rows)
    corpus.remove("5.parquet")
    corpus.write("6.parquet", rows_from(300, 20))
    corpus.write("7.parquet", rows_from(400, 20))


def _second_night(server: JobServer, config: Path, corpus: Corpus, first: str) -> str:
    before = published()
    done = _night(server, config, "--set", "gate.at_most.tie=0.2")
    assert done.returncode != 0
    assert re.search(r"exit code 3\b", done.stdout + done.stderr)
    (night,) = [night for night in nights(OUTPUT) if night["state"] == "blocked"]
    assert night["exit_code"] == 3
    plan, labeled = detail_of(night, "plan"), detail_of(night, "label")
    assert [plan[f"shards_{kind}"] for kind in ("new", "changed", "stale", "deleted")] == [
        *(2, 2, 0, 1)
    ]
    assert plan["pairs_of_deleted_shards"] == 40
    assert (labeled["pairs"], labeled["reused"]) == (40 + 80, 80 - 12)
    text = f"snapshot {night['snapshot_id']} is blocked"
    assert text in done.stdout + done.stderr
    assert live() == first
    assert published() == before

    night = _succeeded(_night(server, config))
    assert detail_of(night, "plan")["units_to_do"] == 0
    assert published() == corpus.recount()
    assert len(corpus.recount()) == 240
    assert len(set(corpus.recount().items()) - set(before.items())) == 12 + 40
    return live()


def _third_night(server: JobServer, config: Path, corpus: Corpus, second: str) -> None:
    night = _succeeded(_night(server, config, "--set", "judge.sampling.temperature=0.5"))
    plan = detail_of(night, "plan")
    assert (plan["shards_stale"], plan["shards_to_do"], plan["pairs_to_do"]) == (7, 7, 240)
    assert detail_of(night, "label")["reused"] == 0
    assert published() == corpus.recount()
    assert live() != second
    assert {record["judge_id"] for record in run_records(OUTPUT)[-1:]} == {night["judge_id"]}
    assert len({night["judge_id"] for night in nights(OUTPUT)}) == 2
    # All that was ever published is there, whole, and says how it was counted.
    store = Store(OUTPUT)
    for found in nights(OUTPUT):
        manifest = json.loads(store.read(f"snapshots/{found['snapshot_id']}/manifest.json"))
        rows = pipeline.open_snapshot(OUTPUT, found["snapshot_id"]).to_table(use_threads=False)
        counts = Counter(rows["status"].to_pylist())
        assert {**manifest["counts"], **counts} == manifest["counts"]
        assert manifest["rows"] == rows.num_rows == 240
        assert steps_of(found)["plan"] == "done"
