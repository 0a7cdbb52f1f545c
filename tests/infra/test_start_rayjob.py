"""The plain CronJob's script, against a Kubernetes API that keeps what it is sent."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.infra.manifests import KUBERAY, one, rendered

SCRIPT = KUBERAY / "schedule" / "cronjob" / "start_rayjob.py"
PATH = "/apis/ray.io/v1/namespaces/pairmill/rayjobs"


class Api(ThreadingHTTPServer):
    """Holds RayJobs by name; refuses a name twice, as Kubernetes does."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.jobs: dict[str, dict[str, Any]] = {}
        self.tokens: set[str] = set()
        self.refuse = False


class _Answers(BaseHTTPRequestHandler):
    server: Api

    def do_GET(self) -> None:
        name = self.path.removeprefix(PATH + "/")
        found = self.server.jobs.get(name)
        self._answer(404 if found is None else 200, found or {"message": f"no rayjob {name}"})

    def do_POST(self) -> None:
        assert self.path == PATH
        job = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        name = job["metadata"]["name"]
        if self.server.refuse:
            self._answer(403, {"message": "pairmill-start cannot create rayjobs"})
        elif name in self.server.jobs:
            self._answer(409, {"message": "already exists"})
        else:
            self.server.jobs[name] = job
            self._answer(201, job)

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        self.server.tokens.add(self.headers["Authorization"])
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def api() -> Iterator[Api]:
    with Api() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        template = {**one(rendered("overlays/one-node"), "RayJob")}
        # What a cluster adds, and a new object must not have.
        added = {"uid": "1", "resourceVersion": "7", "annotations": {"last-applied": "{}"}}
        template["metadata"] = {**template["metadata"], **added}
        template["status"] = {"jobDeploymentStatus": "Suspended"}
        server.jobs["pairmill"] = template
        yield server
        server.shutdown()
        thread.join()


def start(api: Api, folder: Path, job: str) -> subprocess.CompletedProcess[str]:
    (folder / "token").write_text("t0ken\n", encoding="utf-8")
    # The manifest's own command line, but for where the API is.
    cron = one(rendered("overlays/one-node"), "CronJob")["spec"]["jobTemplate"]["spec"]
    (container,) = cron["template"]["spec"]["containers"]
    assert container["command"][:2] == ["python3", "-I"]
    host, port = api.server_address[:2]
    where = [f"--server=http://{host!s}:{port}", f"--account={folder}"]
    return subprocess.run(
        [sys.executable, "-I", str(SCRIPT), *container["args"], *where],
        env={"NAMESPACE": "pairmill", "JOB_NAME": job},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_tick_starts_the_template_under_its_own_name(api: Api, tmp_path: Path) -> None:
    done = start(api, tmp_path, "pairmill-nightly-start-29312345")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "started RayJob pairmill-nightly-29312345\n"
    template = api.jobs["pairmill"]
    # KubeRay names a RayCronJob's in the same way. A Job of this name would be taken for the
    # RayJob's submitter.
    assert api.jobs["pairmill-nightly-29312345"] == {
        "apiVersion": "ray.io/v1",
        "kind": "RayJob",
        "metadata": {
            "name": "pairmill-nightly-29312345",
            "namespace": "pairmill",
            "labels": {"app.kubernetes.io/part-of": "pairmill"},
        },
        "spec": {**template["spec"], "suspend": False},
    }
    assert api.tokens == {"Bearer t0ken"}


def test_the_same_tick_again_starts_nothing_and_succeeds(api: Api, tmp_path: Path) -> None:
    start(api, tmp_path, "pairmill-nightly-start-29312345")
    done = start(api, tmp_path, "pairmill-nightly-start-29312345")
    assert done.returncode == 0
    assert done.stdout == "RayJob pairmill-nightly-29312345 exists: this run is started already\n"
    assert set(api.jobs) == {"pairmill", "pairmill-nightly-29312345"}


def test_a_job_made_by_hand_gets_a_name_that_is_no_jobs(api: Api, tmp_path: Path) -> None:
    start(api, tmp_path, "today")
    assert set(api.jobs) == {"pairmill", "pairmill-nightly-today"}


def test_a_refusal_is_reported(api: Api, tmp_path: Path) -> None:
    api.refuse = True
    done = start(api, tmp_path, "pairmill-nightly-start-1")
    assert done.returncode == 1
    assert f"{PATH}: HTTP 403" in done.stderr
    assert "pairmill-start cannot create rayjobs" in done.stderr
    assert set(api.jobs) == {"pairmill"}


def test_a_missing_template_is_reported(api: Api, tmp_path: Path) -> None:
    del api.jobs["pairmill"]
    done = start(api, tmp_path, "pairmill-nightly-start-1")
    assert done.returncode == 1
    assert f"{PATH}/pairmill: HTTP 404" in done.stderr
    assert api.jobs == {}
