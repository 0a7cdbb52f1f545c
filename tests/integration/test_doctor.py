"""``jobs.doctor`` against services that run: a Ray cluster, and a bucket with its keys."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.labeling.preflight.store_checks import (
    input_checks,
    media_root_checks,
    output_checks,
)
from pipeline.pairs.input_config import InputConfig
from pipeline.store.s3_objects import Objects
from tests.labeling import write_config
from tests.processes import ROOT
from tests.s3_server import BUCKET, JOB, READER, Key, S3Server
from tests.shards import pair, write_shard


def test_a_cluster_is_asked_for_its_nodes(shared_ray: str, tmp_path: Path, model: Path) -> None:
    wanting = {"workers": {"min": 3, "max": 3}}  # of the two GPUs that this Ray pretends to have
    config = write_config(tmp_path / "c.yaml", model, wanting)
    done = subprocess.run(
        [sys.executable, "-m", "jobs.doctor", "--config", str(config)],
        cwd=ROOT,
        env=os.environ | {"RAY_ADDRESS": shared_ray},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    (line,) = [line for line in lines if "RAY_ADDRESS=" in line]
    assert line.split(maxsplit=3)[:3] == ["warn", "Ray", "cluster"]
    assert line.endswith(
        f"RAY_ADDRESS={shared_ray}: 1 nodes with 2 GPUs are up, 3 workers reserve 1 each"
    )
    advice = lines[lines.index(line) + 1].strip()
    assert advice == "-> the run waits until more nodes are up"


@pytest.fixture
def use_key(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[S3Server, Key], None]]:
    """Has the default credential chain find a key; s3fs keeps what it has found once."""

    def use(server: S3Server, key: Key) -> None:
        for name, value in server.environment(key).items():
            monkeypatch.setenv(name, value)
        Objects.clear_instance_cache()

    yield use
    Objects.clear_instance_cache()


@pytest.mark.s3
@pytest.mark.parametrize(
    ("key", "put", "rest", "read"),
    [
        (JOB, "ok", "ok", "ok"),
        (READER, "fail", "skipped", "ok"),
        (Key("no", "no"), "fail", "skipped", "fail"),
    ],
    ids=["job", "reader", "nobody"],
)
def test_rights_in_a_bucket(
    s3: S3Server,
    tmp_path: Path,
    use_key: Callable[[S3Server, Key], None],
    key: Key,
    put: str,
    rest: str,
    read: str,
) -> None:
    write_shard(tmp_path / "a.parquet", [pair(0)])
    s3.put("in/doctor/a.parquet", (tmp_path / "a.parquet").read_bytes())
    use_key(s3, key)
    source = f"s3://{BUCKET}/in/doctor"
    checks = output_checks(f"s3://{BUCKET}/out/doctor-{key.access}")
    assert [check.state for check in checks] == [read, put, *[rest] * 3]
    if put == "fail":
        assert "access is denied" in checks[1].found
    assert {check.state for check in input_checks("input", source, InputConfig())} == {read}
    assert [check.state for check in media_root_checks([source])] == [read]
