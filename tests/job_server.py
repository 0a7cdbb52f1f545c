"""A Ray cluster with a job server, and jobs as operators submit them to it."""

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
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.processes import ROOT, processes_with, wait_until

RAY = str(Path(sys.executable).with_name("ray"))
TOKEN = secrets.token_hex(32)  # the job server answers nobody without


@dataclass(frozen=True)
class JobServer:
    """A head node with a job server: its URL, and its temporary folder."""

    url: str
    folder: Path

    def submit(self, module: str, arguments: list[str]) -> subprocess.CompletedProcess[str]:
        """``ray job submit -- python -m module …``; waits for the job, whose logs it prints."""
        return self.job("submit", "--working-dir", ".", "--", "python", "-m", module, *arguments)

    def job(self, action: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """``ray job <action>``."""
        command = [RAY, "job", action, "--address", self.url, *arguments]
        return subprocess.run(
            command, cwd=ROOT, env=_environment({}), capture_output=True, text=True, check=False
        )


@contextlib.contextmanager
def job_server(environment: Mapping[str, str]) -> Iterator[JobServer]:
    """A head node of two CPUs whose jobs and workers have these variables in their environment."""
    folder = Path(tempfile.mkdtemp(prefix="mill-", dir="/tmp"))
    port = _free_port()
    command = [RAY, "start", "--head", "--block", "--num-cpus=2", "--num-gpus=1"]
    command += [f"--port={_free_port()}", f"--dashboard-port={port}", f"--temp-dir={folder}"]
    command += ["--include-dashboard=true", f"--dashboard-agent-listen-port={_free_port()}"]
    command += [f"--object-store-memory={100 * 2**20}", "--disable-usage-stats"]
    with (folder / "head.log").open("wb") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, env=_environment(environment), start_new_session=True
        )
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: process.poll() is not None or _takes_jobs(url))
        assert process.poll() is None, (folder / "head.log").read_text()
        yield JobServer(url, folder)
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


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _takes_jobs(url: str) -> bool:
    """Whether a job is accepted: a server that answers may still have no agent to start one."""
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{url}/api/jobs/", b'{"entrypoint": "true"}', headers)
    with contextlib.suppress(OSError), urllib.request.urlopen(request, timeout=30) as reply:
        return bool(reply.status == 200)
    return False


def _environment(more: Mapping[str, str]) -> dict[str, str]:
    """This environment, with the token of the test and this Python first in the path."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    ours = {"PATH": path, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN}
    return {**os.environ, **ours, **more}
