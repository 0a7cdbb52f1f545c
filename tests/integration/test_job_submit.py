"""Jobs as operators start them: ``ray job submit`` to a cluster's job server.

A run of labeling that is stopped and goes on; and nightly runs on a bucket, with a change of
everything that changes in between: one judges on the cluster, one is blocked there, and the rest
are of this process. What readers get is recounted from the input alone.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

import pipeline
from pipeline.store.object_store import Store
from pipeline.store.s3_objects import Objects
from tests.job_server import JobServer, job_server
from tests.labeling import (
    assert_exact,
    forbid_ray,
    label_arguments,
    run_label,
    run_records,
    verdict_of,
    write_config,
)
from tests.nights import detail_of, nights, run_nightly, steps_of
from tests.policy_gate import PolicyGate, policy_gate
from tests.processes import wait_until
from tests.publishing import latest_of
from tests.s3_server import BUCKET, JOB, WORKER, S3Server
from tests.shards import pair, shard_bytes, write_shard
from tests.without_charts import draw_no_charts
from tests.without_ray import label_here

pytestmark = pytest.mark.s3
Row = dict[str, Any]
_UPLOAD_LIMIT = 30 * 2**20  # sources and the embedded judge, no environments or caches
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


@pytest.fixture(scope="module")
def gate(s3: S3Server) -> Iterator[PolicyGate]:
    """The buckets, for what the roles of head and workers allow alone."""
    roles = {JOB.access: "policy-head.json", WORKER.access: "policy-worker.json"}
    with policy_gate(s3, roles) as served:
        yield served


@pytest.fixture(scope="module")
def server(s3: S3Server, gate: PolicyGate) -> Iterator[JobServer]:
    """A cluster whose workers have a worker's key to the buckets, and whose jobs a head's."""
    workers, head = (gate.environment(s3.environment(key)) for key in (WORKER, JOB))
    with job_server({**workers, "RAY_JOB_STOP_WAIT_TIME_S": "120"}, head) as started:
        yield started


@pytest.fixture
def corpus(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Corpus]:
    """An empty corpus; this process reads the bucket by the job's key too."""
    for name, value in s3.environment(JOB).items():
        monkeypatch.setenv(name, value)
    Objects.clear_instance_cache()
    yield Corpus(s3)
    Objects.clear_instance_cache()


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


def test_stopped_and_given_again(
    tmp_path: Path, model: Path, server: JobServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`ray job stop` ends a job in good order, and the same command goes on to the end.

    That goes on in this process: nightly runs are submitted, and come to their ends.
    """
    rows = [pair(number) for number in range(60)]
    write_shard(tmp_path / "more" / "a.parquet", rows, 20)
    slow = {"engine": {"script": {"latency_s": 0.5}, "max_num_seqs": 4}}
    config, output = write_config(tmp_path / "slow.yaml", model, slow), tmp_path / "slow"
    job = label_arguments(config, tmp_path / "more", output)
    how = ["--working-dir=.", "--submission-id=stopped", "--no-wait", "--"]
    submitted = server.job("submit", *how, "python", "-m", "jobs.label", *job)
    assert submitted.returncode == 0, submitted.stdout + submitted.stderr
    store = Store(str(output))
    wait_until(lambda: any("/shared/" in entry.key for entry in store.list("attempts")))
    server.job("stop", "stopped")  # comes back when the job has ended
    said = server.job("logs", "stopped").stdout
    (record,) = run_records(output)
    assert record["state"] == "stopped", said
    assert 0 < record["pairs"] < 60
    assert f"{record['pairs']} of 60 pairs to do are labelled and committed" in said
    label_here(monkeypatch)
    again = run_label(config, tmp_path / "more", output, "--set", "engine.script.latency_s=0")
    assert (again.exit_code, again.error) == (0, "")
    assert_exact(output, {"a.parquet": rows})
    assert run_records(output)[-1]["pairs"] == 60 - record["pairs"]
    _assert_nothing_superfluous_was_uploaded(server)


def _assert_nothing_superfluous_was_uploaded(server: JobServer) -> None:
    """What was uploaded is what git knows of: no environment, no cache."""
    packages = "session_2*/runtime_resources/working_dir_files/_ray_pkg_*/"
    uploads = list(server.folder.glob(packages))
    assert uploads
    for uploaded in uploads:
        assert (uploaded / "jobs" / "label.py").is_file()
        names = {found.name for found in uploaded.iterdir()}
        assert not {name for name in names if name.startswith(".venv") or name.endswith("_cache")}
        size = sum(found.stat().st_size for found in uploaded.rglob("*") if found.is_file())
        assert size < _UPLOAD_LIMIT


def test_nightly_runs(
    tmp_path: Path, model: Path, s3: S3Server, gate: PolicyGate, server: JobServer, corpus: Corpus
) -> None:
    for number in range(6):
        corpus.write(f"{number}.parquet", rows_from(40 * number, 40))
    gold = [
        pair(n, gold={"labeled": verdict_of(pair(n))[1]}.get(verdict_of(pair(n))[0], "tie"))
        for n in range(900, 930)
    ]
    s3.put(f"{FOLDER}-canaries/gold.parquet", shard_bytes(gold, 16))
    config = write_config(tmp_path / "night.yaml", model, CHANGES)

    first = _first_night(server, config, corpus)
    _change(corpus)
    second = _second_night(server, config, corpus, first)
    _third_night(config, corpus, second)
    _each_kept_to_its_role(gate)


def _each_kept_to_its_role(gate: PolicyGate) -> None:
    """Nothing that the nights did was refused, and the policies would have refused more."""
    assert gate.refused == []
    written = {
        key: {request.key.split("/")[2] for by, request in gate.writes if by == key}
        for key in (JOB.access, WORKER.access)
    }
    assert written[WORKER.access] == {"parts", "attempts", "canaries"}
    assert {"judges", "leases", "runs", "snapshots"} <= written[JOB.access]
    latest = "out/rehearsal/snapshots/LATEST.json"
    client = gate.client(WORKER)
    with pytest.raises(ClientError, match="AccessDenied"):
        client.put_object(Bucket=BUCKET, Key=latest, Body=b"{}", IfMatch='"1"')
    part = next(r.key for _, r in gate.writes if r.key.startswith("out/rehearsal/parts/"))
    with pytest.raises(ClientError, match="AccessDenied"):
        client.put_object(Bucket=BUCKET, Key=part, Body=b"")
    with pytest.raises(ClientError, match="PreconditionFailed"):
        client.put_object(Bucket=BUCKET, Key=part, Body=b"", IfNoneMatch="*")


def _night(server: JobServer, config: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return server.submit("jobs.nightly", label_arguments(config, SOURCE, OUTPUT, *more))


def _succeeded(done: subprocess.CompletedProcess[str]) -> Row:
    assert done.returncode == 0, done.stdout + done.stderr
    assert "succeeded" in done.stdout + done.stderr
    return _last_published()


def _last_published() -> Row:
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
    """Judges in this process and is blocked; so is a job, which has nothing left to judge."""
    before, strict = published(), ("--set", "gate.at_most.tie=0.2")
    with pytest.MonkeyPatch.context() as patch:
        label_here(patch)
        draw_no_charts(patch)
        assert run_nightly(config, SOURCE, OUTPUT, *strict).exit_code == 3
    night = nights(OUTPUT)[-1]
    assert (night["state"], night["exit_code"]) == ("blocked", 3)
    plan, labeled = detail_of(night, "plan"), detail_of(night, "label")
    assert [plan[f"shards_{kind}"] for kind in ("new", "changed", "stale", "deleted")] == [
        *(2, 2, 0, 1)
    ]
    assert plan["pairs_of_deleted_shards"] == 40
    assert (labeled["pairs"], labeled["reused"]) == (40 + 80, 80 - 12)

    done = _night(server, config, *strict)
    assert done.returncode != 0
    assert re.search(r"exit code 3\b", done.stdout + done.stderr)
    night = nights(OUTPUT)[-1]
    assert (night["state"], night["exit_code"]) == ("blocked", 3)
    text = f"snapshot {night['snapshot_id']} is blocked"
    assert text in done.stdout + done.stderr
    assert live() == first
    assert published() == before

    # There is nothing left to judge, so this run needs no cluster: it runs in this process.
    with pytest.MonkeyPatch.context() as patch:
        forbid_ray(patch)
        draw_no_charts(patch)
        again = run_nightly(config, SOURCE, OUTPUT)
    assert (again.exit_code, again.error) == (0, "")
    night = _last_published()
    assert detail_of(night, "plan")["units_to_do"] == 0
    assert published() == corpus.recount()
    assert len(corpus.recount()) == 240
    assert len(set(corpus.recount().items()) - set(before.items())) == 12 + 40
    return live()


def _third_night(config: Path, corpus: Corpus, second: str) -> None:
    """Another judge judges all of it anew: in this process, since jobs are shown by then."""
    with pytest.MonkeyPatch.context() as patch:
        label_here(patch)
        draw_no_charts(patch)
        other = ("--set", "judge.sampling.temperature=0.5")
        assert run_nightly(config, SOURCE, OUTPUT, *other).exit_code == 0
    night = _last_published()
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
