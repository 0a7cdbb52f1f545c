"""A worker node of a cluster dies in the middle of a run; the result is the same."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from pipeline.store.object_store import Store
from tests.labeling import assert_exact, label_arguments, write_config
from tests.processes import ROOT, dead, started, wait_until
from tests.shards import labels_of, pair, write_shard
from tests.starting import NotStartedError, end_all_with, ray_logs, start_or_retry

OPEN = {"RAY_AUTH_MODE": "disabled"}  # whatever other tests have set in this process


@dataclass
class Cluster:
    """A head without GPUs and two worker nodes with one pretended GPU each."""

    process: subprocess.Popen[str]
    folder: Path
    address: str
    raylets: list[int]

    def kill_node(self, number: int) -> None:
        """SIGKILLs the raylet of a worker node and every process below it."""
        raylet = psutil.Process(self.raylets[number])
        family = [raylet, *raylet.children(recursive=True)]
        for process in family:
            process.send_signal(signal.SIGKILL)
        wait_until(lambda: all(dead(process) for process in family))

    def end(self) -> None:
        """Ends the cluster, and whatever it has left."""
        self.process.communicate()  # its standard input ends, and the cluster with it
        end_all_with(self.folder)
        shutil.rmtree(self.folder, ignore_errors=True)


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    started_cluster = start_or_retry(_start)
    yield started_cluster
    started_cluster.end()


def _start() -> Cluster:
    folder = Path(tempfile.mkdtemp(prefix="ray-test-", dir="/tmp"))
    log_path = folder / "cluster.log"
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.two_nodes"],
            cwd=ROOT,
            # How often Ray asks whether a node lives; five times without an answer, and it is dead.
            env=os.environ
            | OPEN
            | {"RAY_TMPDIR": str(folder), "RAY_health_check_period_ms": "500"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            start_new_session=True,
        )
    assert process.stdout is not None
    address, *raylets = process.stdout.readline().split() or [""]
    made = Cluster(process, folder, address, [int(raylet) for raylet in raylets])
    if not address:
        logs = [log_path, *ray_logs(folder / "ray")]
        failed = NotStartedError("the cluster", f"exit code {process.wait()}", logs)
        made.end()
        raise failed
    return made


def test_a_node_is_lost(tmp_path: Path, model: Path, cluster: Cluster) -> None:
    rows = [pair(number) for number in range(160)]
    write_shard(tmp_path / "in" / "a.parquet", rows, 32)
    changes: dict[str, Any] = {
        "engine": {"script": {"latency_s": 0.2}},
        "input": {"unit_rows": 8},
        "workers": {"min": 2, "max": 2},
    }
    config = write_config(tmp_path / "label.yaml", model, changes)
    output = tmp_path / "out"
    store = Store(str(output))
    arguments = label_arguments(config, tmp_path / "in", output)
    where = OPEN | {"RAY_ADDRESS": cluster.address}
    with started("jobs.label", arguments, where) as job:
        assert (
            job.process.communicate()[1]
            .splitlines()[-1]
            .startswith(
                f"error: RAY_ADDRESS={cluster.address}: this Ray cluster asks for no token, "
            )
        )
        assert job.process.returncode == 2
    arguments += ["--set", "workers.cluster_without_token=true"]
    with started("jobs.label", arguments, where) as job:

        def both_at_work() -> bool:
            assert job.process.poll() is None, job.process.communicate()
            ready = [e for e in store.list("attempts") if e.key.endswith(".ready")]
            return len(ready) == 2 and len(list(store.list("parts"))) >= 4

        wait_until(both_at_work)
        done = {(row["shard"], row["row"]) for row in labels_of(output)}
        assert len(done) < len(rows)
        cluster.kill_node(0)
        out, error = job.process.communicate()
    assert job.process.returncode == 0, error
    assert '"pairs": 160' in out.splitlines()[-1]
    assert_exact(output, {"a.parquet": rows})
    # The engine of the lost node was not the other one: some unit was begun twice.
    marks = [entry.key for entry in store.list("attempts") if "/starts/" not in entry.key]
    assert len(marks) > len(list(store.list("parts")))
