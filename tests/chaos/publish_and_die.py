"""Publishes in forked processes, each ended by SIGKILL at one of its steps.

Reads a line of JSON for each process: ``source``, ``output``, and ``die_at``, the number of the
step (from 0) before which it kills itself, or null. Answers with a line of JSON: the signal that
ended the process, or null; its exit code, or null; and the steps that it came to.

A step is a write that others can see, the first byte of a file that is not visible yet, or the
end. Forked, so that each takes no second to start; nothing here uses a thread before it forks. What
takes long to import is imported here, once.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

import scipy.special  # noqa: F401

from pipeline.pairs.input_config import InputConfig
from pipeline.runtime.reporter import Reporter
from pipeline.runtime.steps import new_run_id
from pipeline.snapshots.gate import gate_for
from pipeline.snapshots.gate_checks import GateConfig
from pipeline.snapshots.publish_snapshot import publish
from pipeline.snapshots.quality.snapshot_counts import QualityConfig
from pipeline.store import s3_objects  # noqa: F401
from pipeline.store.host import Host
from pipeline.store.object_store import Store
from pipeline.store.uploads import Upload
from pipeline.store.writer_lease import writer_lease
from tests.publishing import SMALL
from tests.simulator.simulated_store import Inline

GATE = gate_for(GateConfig(at_most={"tie": 0.9}), QualityConfig(), InputConfig())
_LEASE_S = 60.0  # longer than any test: no renewal is among the steps


class Steps:
    """Counts and reports the steps of this process, and kills the process before one.

    Attributes:
        everywhere: whether threads beside the main one come to steps, too.
    """

    everywhere = False

    def __init__(self, die_at: int | None, report_to: int) -> None:
        self._die_at, self._report_to, self._count = die_at, report_to, 0

    def step(self, name: str) -> None:
        """The process comes to a step."""
        if threading.current_thread() is not threading.main_thread() and not self.everywhere:
            return
        if self._count == self._die_at:
            os.kill(os.getpid(), signal.SIGKILL)
        self._count += 1
        os.write(self._report_to, f"{name}\n".encode())

    def watch(self, kind: Any, method: str, name: Callable[..., str | None]) -> None:
        """Makes every call of a method a step; ``name`` may say that a call is none."""
        original = getattr(kind, method)

        def stepped(*arguments: Any, **options: Any) -> Any:
            shown = name(*arguments)
            if shown is not None:
                self.step(shown)
            return original(*arguments, **options)

        setattr(kind, method, stepped)


def run(request: dict[str, Any], steps: Steps) -> None:
    """Publishes in this process."""
    output = Store(request["output"])
    watch_writes(steps, output)
    setattr(Host, "pool", lambda host, threads: Inline())  # noqa: B010 - in one order
    reporter = Reporter()
    with writer_lease(output, new_run_id(), _LEASE_S, reporter) as lease:
        publish(request["source"], output, "", SMALL, reporter, lease, gate=GATE)
    steps.step("end")


def watch_writes(steps: Steps, output: Store) -> None:
    """Makes steps of what others can see of a store."""
    for method in ("create", "put", "swap"):
        steps.watch(Store, method, lambda store, key, *_, method=method: _step(method, key))
    steps.watch(
        Upload, "write", lambda file, _: None if file.tell() else f"begin {_key(file, output)}"
    )
    steps.watch(Upload, "commit", lambda file: f"commit {_key(file, output)}")


def _step(method: str, key: str) -> str | None:
    return None if key.startswith("cache/") else f"{method} {key}"  # it depends on files' ages


def _key(file: Upload, output: Store) -> str:
    return file.name.removeprefix(f"{output.uri}/")


def serve(run: Callable[[dict[str, Any], Steps], None]) -> None:
    """Serves requests until there are none."""
    for line in sys.stdin:
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(read)
            os.dup2(2, 1)  # what it reports is no answer
            request = json.loads(line)
            run(request, Steps(request["die_at"], write))
            os._exit(0)
        os.close(write)
        with os.fdopen(read) as reported:
            steps = reported.read().splitlines()
        _, status = os.waitpid(child, 0)
        died = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
        code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else None
        sys.stdout.write(json.dumps({"signal": died, "exit": code, "steps": steps}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    serve(run)
