"""The job on a real S3 server: keys from the environment alone, and none may delete."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from jobs import evaluate as evaluate_job
from jobs import preview as preview_job
from pipeline.store.object_store import Store
from pipeline.store.s3_objects import Objects
from pipeline.store.writer_lease import writer_lease
from tests.labeling import (
    assert_exact,
    contents,
    forbid_ray,
    label_arguments,
    run_label,
    write_config,
)
from tests.publishing import QUIET, run_publish
from tests.s3_server import ADMIN, BUCKET, JOB, READER, Key, S3Server
from tests.shards import pair, picture, shard_bytes
from tests.without_charts import draw_no_charts
from tests.without_ray import label_here

pytestmark = pytest.mark.s3
ROOT = Path(__file__).parents[2]
SOURCE = f"s3://{BUCKET}/in/first"  # other tests have folders of their own

UseKey = Callable[[Key], None]


@pytest.fixture
def use_key(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[UseKey]:
    """Puts a key into the environment of this process, as an operator would."""

    def use(key: Key) -> None:
        for name, value in s3.environment(key).items():
            monkeypatch.setenv(name, value)
        Objects.clear_instance_cache()  # it remembers the key before

    use(JOB)
    yield use
    Objects.clear_instance_cache()


def reference(path: str) -> list[dict[str, str | None]]:
    return [{"bytes": None, "path": path}]


def test_from_bucket_to_bucket(tmp_path: Path, model: Path, s3: S3Server, use_key: UseKey) -> None:
    output = f"s3://{BUCKET}/out/first"
    use_key(JOB)
    with pytest.raises(ClientError, match="AccessDenied"):  # the proof that nothing is deleted
        s3.client(JOB).delete_object(Bucket=BUCKET, Key="out/first/anything")
    media = {
        1: (f"{SOURCE}/pictures/one.png", None),
        2: ("pictures/one.png", None),
        3: (f"{SOURCE}/pictures/none.png", "media_missing"),
        4: (f"s3://{BUCKET}/out/first/one.png", "media_forbidden"),
        5: ("s3://other-bucket/in/pictures/one.png", "media_forbidden"),
        6: ("../out/first/one.png", "media_forbidden"),
        7: ("/etc/hostname", "media_forbidden"),
    }
    s3.put("in/first/pictures/one.png", picture(1))
    s3.put("out/first/one.png", picture(1))
    shards = {
        "a.parquet": [pair(number) for number in range(50)],
        "sub/b.parquet": [pair(number) for number in range(3)],
    }
    for number, (path, _) in media.items():
        shards["a.parquet"][number] |= {"images": reference(path)}
    for name, rows in shards.items():
        s3.put(f"in/first/{name}", shard_bytes(rows, 11))

    config = write_config(tmp_path / "label.yaml", model, {"quarantine": {"max_fraction": 0.5}})
    # By itself: a Ray that other tests share has not the key.
    command = [sys.executable, "-m", "jobs.label", *label_arguments(config, SOURCE, output)]
    environment = os.environ | s3.environment(JOB)
    job = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert job.returncode == 0, job.stderr
    assert JOB.secret not in job.stdout + job.stderr
    quarantined = {("a.parquet", number): reason for number, (_, reason) in media.items() if reason}
    assert_exact(output, shards, quarantined)

    # Finished: no part is written again. An object overwritten with the same bytes has the same
    # etag, so the proof is its time.
    before = contents(output, "parts")
    times = written_at(s3, "out/first/parts")
    again = run_label(config, SOURCE, output)
    assert (again.exit_code, again.event("plan")["pairs_to_do"]) == (0, 0)
    assert contents(output, "parts") == before
    assert written_at(s3, "out/first/parts") == times


def written_at(s3: S3Server, prefix: str) -> dict[str, object]:
    """When each object was written."""
    pages = s3.client().get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
    return {found["Key"]: found["LastModified"] for page in pages for found in page["Contents"]}


@pytest.mark.parametrize(
    ("key", "source", "output", "uri", "cause"),
    [
        (
            Key(JOB.access, "wrong-secret-5d2"),
            "in/first",
            "out/x",
            f"s3://{BUCKET}/out/x",
            "access is denied",
        ),
        (
            Key("no-such-key", "secret-of-none"),
            "in/first",
            "out/x",
            f"s3://{BUCKET}/out/x",
            "access is denied",
        ),
        (JOB, SOURCE, "elsewhere", f"s3://{BUCKET}/elsewhere/", "access is denied"),
        (READER, SOURCE, "out/x", f"s3://{BUCKET}/out/x/", "access is denied"),
        (JOB, f"{SOURCE}/none", "out/x", f"{SOURCE}/none: ", "no *.parquet, *.pq there"),
        (ADMIN, "s3://no-bucket/in", "out/x", "s3://no-bucket/in: ", "it does not exist"),
        (ADMIN, SOURCE, "s3://no-bucket/out", "s3://no-bucket/out", "it does not exist"),
    ],
    ids=["secret", "key", "no-read", "no-write", "empty", "input-bucket", "output-bucket"],
)
def test_no_access_names_uri_and_cause_but_no_secret(
    tmp_path: Path,
    model: Path,
    s3: S3Server,
    use_key: UseKey,
    monkeypatch: pytest.MonkeyPatch,
    key: Key,
    source: str,
    output: str,
    uri: str,
    cause: str,
) -> None:
    forbid_ray(monkeypatch)
    s3.put("in/first/a.parquet", shard_bytes([pair(1)]))
    config = write_config(tmp_path / "label.yaml", model)
    use_key(key)
    where = [uri if "://" in uri else f"s3://{BUCKET}/{uri}" for uri in (source, output)]
    outcome = run_label(config, *where)
    assert outcome.exit_code == 2
    (line,) = outcome.error.splitlines()
    assert line.startswith(f"error: {uri}")
    assert cause in line
    assert key.secret not in outcome.error + str(outcome.events)


def test_a_server_that_is_not_there(
    tmp_path: Path, model: Path, use_key: UseKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_key(JOB)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    outcome = run_label(write_config(tmp_path / "c.yaml", model), SOURCE, f"s3://{BUCKET}/out/x")
    assert outcome.exit_code == 2
    # It is tried again for ten seconds, after which the wait is said.
    assert {event["event"] for event in outcome.events} <= {"phase"}
    assert outcome.error.startswith(f"error: s3://{BUCKET}/out/x/")
    assert "http://127.0.0.1:9" in outcome.error
    assert JOB.secret not in outcome.error


def test_while_one_writes_no_other_does(
    tmp_path: Path, model: Path, s3: S3Server, use_key: UseKey
) -> None:
    use_key(JOB)
    output = Store(f"s3://{BUCKET}/out/held")
    source = f"s3://{BUCKET}/in/held"
    s3.put("in/held/a.parquet", shard_bytes([pair(number) for number in range(8)], 4))
    config = write_config(tmp_path / "label.yaml", model)
    with writer_lease(output, "the-first", 3, QUIET) as lease:
        for unit_rows in (2, 3):
            label = run_label(config, source, output.uri, "--set", f"input.unit_rows={unit_rows}")
            assert label.exit_code == 5
            assert "the lease is held by run the-first on host" in label.error
        published = run_publish(output, "--input", source, "--config", str(config))
        assert published.exit_code == 5
        assert run_label(config, source, output.uri, "--dry-run").exit_code == 0
        lease.check()
    assert [entry.key for entry in output.list()] == ["leases/writer.json"]


def test_of_many_that_create_an_object_one_wins(use_key: UseKey) -> None:
    use_key(JOB)
    store = Store(f"s3://{BUCKET}/out/race")
    for number in range(3):
        key = f"{number}.parquet"
        bodies = [bytes([writer]) * 10_000 for writer in range(16)]

        def create(body: bytes, key: str = key) -> bool:
            return store.create(key, body)

        with ThreadPoolExecutor(16) as threads:
            won = list(threads.map(create, bodies))
        assert won.count(True) == 1
        assert store.read(key) == bodies[won.index(True)]
        assert store.create(key, b"late") is False
        assert store.read(key) == bodies[won.index(True)]


def test_odd_keys_are_labelled_previewed_and_evaluated(
    tmp_path: Path,
    model: Path,
    s3: S3Server,
    use_key: UseKey,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    use_key(JOB)
    label_here(monkeypatch)
    draw_no_charts(monkeypatch)
    keys = ["a::b.parquet", "c?versionId=7.pq", "d[1].PARQUET", "e=1%2F/f #g+h.parquet"]
    shards = {key: [pair(3 * number), pair(3 * number + 1)] for number, key in enumerate(keys)}
    for key, rows in shards.items():
        rows[0] |= {"gold": "a", "images": reference("pictures/x::y?z=1#.png")}
        s3.put(f"in/odd keys/{key}", shard_bytes(rows))
    s3.put("in/odd keys/pictures/x::y?z=1#.png", picture(1))
    source, output = f"s3://{BUCKET}/in/odd keys", f"s3://{BUCKET}/out/odd keys"
    config = write_config(tmp_path / "label.yaml", model)
    assert run_label(config, source, output).exit_code == 0
    assert_exact(output, shards)
    # One shard by its key, of which another name in the folder could be meant as a pattern.
    for key in keys:
        given = ["--config", str(config), "--input", f"{source}/{key}", "--log", "json"]
        assert preview_job.main(["--row", f"{key.rpartition('/')[2]}:1", *given]) == 0
        assert json.loads(capsys.readouterr().out)["pair_id"] == shards[key][1]["pair_id"]
    where = label_arguments(config, source, output)
    assert evaluate_job.main([*where, "--log", "json"]) == 0
    assert "written to" in capsys.readouterr().out
