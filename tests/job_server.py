"""A Ray cluster with a job server, and jobs as operators submit them to it."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.processes import ROOT, wait_until
from tests.starting import NotStartedError, end_family, free_port, ray_logs, start_or_retry

RAY = str(Path(sys.executable).with_name("ray"))
TOKEN = secrets.token_hex(32)  # the job server refuses requests without it
_START_SECONDS = 120


@dataclass(frozen=True)
class JobServer:
    """A head node with a job server.

    Attributes:
        url: its URL.
        folder: its temporary folder.
        jobs: variables that jobs have in place of those of workers.
    """

    url: str
    folder: Path
    jobs: Mapping[str, str]

    def entrypoint(self, module: str, arguments: list[str]) -> list[str]:
        """The command of a job."""
        variables = [f"{name}={value}" for name, value in self.jobs.items()]
        return [*(["env", *variables] if variables else []), "python", "-m", module, *arguments]

    def submit(self, module: str, arguments: list[str]) -> subprocess.CompletedProcess[str]:
        """``ray job submit -- python -m module …``; waits for the job, whose logs it prints."""
        command = self.entrypoint(module, arguments)
        return self.job("submit", "--working-dir", ".", "--", *command)

    def job(self, action: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """``ray job <action>``."""
        command = [RAY, "job", action, "--address", self.url, *arguments]
        return subprocess.run(
            command, cwd=ROOT, env=_environment({}), capture_output=True, text=True, check=False
        )


@contextlib.contextmanager
def job_server(
    environment: Mapping[str, str], jobs: Mapping[str, str] | None = None
) -> Iterator[JobServer]:
    """A head node of two CPUs.

    Args:
        environment: variables of its jobs and workers.
        jobs: those that jobs have in place of them.
    """
    server, process = start_or_retry(lambda: _start(environment, jobs or {}))
    try:
        yield server
    finally:
        _end(process, server.folder)


def _start(
    environment: Mapping[str, str], jobs: Mapping[str, str]
) -> tuple[JobServer, subprocess.Popen[bytes]]:
    folder = Path(tempfile.mkdtemp(prefix="ray-test-", dir="/tmp"))
    port = free_port()
    command = [RAY, "start", "--head", "--block", "--num-cpus=2", "--num-gpus=1"]
    command += [f"--port={free_port()}", f"--dashboard-port={port}", f"--temp-dir={folder}"]
    command += ["--include-dashboard=true", f"--dashboard-agent-listen-port={free_port()}"]
    command += [f"--object-store-memory={100 * 2**20}", "--disable-usage-stats"]
    log_path = folder / "head.log"
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, env=_environment(environment), start_new_session=True
        )
    server = JobServer(f"http://127.0.0.1:{port}", folder, jobs)
    try:
        wait_until(lambda: process.poll() is not None or _takes_jobs(server.url), _START_SECONDS)
        assert process.poll() is None, f"it ended with exit code {process.poll()}"
    except AssertionError as error:
        failed = NotStartedError("the job server", error, [log_path, *ray_logs(folder)])
        _end(process, folder)
        raise failed from error
    return server, process


def _end(process: subprocess.Popen[bytes], folder: Path) -> None:
    end_family(process.pid, folder)
    process.wait()
    shutil.rmtree(folder, ignore_errors=True)


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
