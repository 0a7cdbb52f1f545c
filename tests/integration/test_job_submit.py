"""The job as operators start it: ``ray job submit`` to a cluster's job server."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.labeling import assert_exact, label_arguments, write_config
from tests.processes import ROOT, processes_with, wait_until
from tests.shards import pair, write_shard

RAY = str(Path(sys.executable).with_name("ray"))
TOKEN = secrets.token_hex(32)  # the job server answers nobody without
_UPLOAD_LIMIT = 30 * 2**20  # sources and the embedded judge, no environments or caches


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def answers(url: str) -> bool:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {TOKEN}"})
    with contextlib.suppress(OSError), urllib.request.urlopen(request, timeout=5) as reply:
        return bool(reply.status == 200)
    return False


def environment() -> dict[str, str]:
    """This environment, with the token of the test and this Python first in the path."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return os.environ | {"PATH": path, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN}


@pytest.fixture
def head() -> Iterator[tuple[str, Path]]:
    """A head node with a job server: its URL, and its temporary folder."""
    folder = Path(tempfile.mkdtemp(prefix="mill-", dir="/tmp"))
    port = free_port()
    command = [RAY, "start", "--head", "--block", "--num-cpus=2", "--num-gpus=1"]
    command += [f"--port={free_port()}", f"--dashboard-port={port}", f"--temp-dir={folder}"]
    command += ["--include-dashboard=true", f"--dashboard-agent-listen-port={free_port()}"]
    command += [f"--object-store-memory={100 * 2**20}", "--disable-usage-stats"]
    with (folder / "head.log").open("wb") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, env=environment(), start_new_session=True
        )
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: process.poll() is not None or answers(f"{url}/api/version"))
        assert process.poll() is None, (folder / "head.log").read_text()
        yield url, folder
    finally:
        family = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        process.wait()
        for member in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()
        for left in processes_with(str(folder)):
            os.kill(left, signal.SIGKILL)
        shutil.rmtree(folder, ignore_errors=True)


def test_submitted_to_a_job_server(tmp_path: Path, model: Path, head: tuple[str, Path]) -> None:
    url, folder = head
    rows = [pair(number) for number in range(50)]
    write_shard(tmp_path / "in" / "a.parquet", rows, 20)
    config = write_config(tmp_path / "label.yaml", model)
    job = ["python", "-m", "jobs.label", *label_arguments(config, tmp_path / "in", tmp_path / "o")]
    submit = [RAY, "job", "submit", "--address", url, "--working-dir", ".", "--", *job]
    done = subprocess.run(submit, cwd=ROOT, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "succeeded" in done.stdout + done.stderr
    assert_exact(tmp_path / "o", {"a.parquet": rows})

    # What was uploaded is what git knows of: no environment, no cache.
    (uploaded,) = folder.glob("session_2*/runtime_resources/working_dir_files/_ray_pkg_*/")
    assert (uploaded / "jobs" / "label.py").is_file()
    names = {found.name for found in uploaded.iterdir()}
    assert not {name for name in names if name.startswith(".venv") or name.endswith("_cache")}
    size = sum(found.stat().st_size for found in uploaded.rglob("*") if found.is_file())
    assert size < _UPLOAD_LIMIT
