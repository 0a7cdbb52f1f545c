"""Hooks: an operator's commands, each run once for every change of ``LATEST.json``.

Which of them have succeeded is stored beside the record of the run that made the change, so that
after a run that was killed, or whose hook failed, the next one runs the rest. A hook that was
killed with its run is run again: hooks must be idempotent.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.nightly.nightly_config import Hook, NightlyConfig
from pipeline.runtime.digest import digest
from pipeline.runtime.errors import PairmillError
from pipeline.runtime.reporter import Reporter
from pipeline.runtime.stop import Stop
from pipeline.snapshots.manifests import Latest
from pipeline.store.object_store import Store

_STDERR = 2  # standard output is read by machines
_CHECK_S = 0.5  # between two checks whether to stop


class HookError(PairmillError):
    """A hook failed; the snapshot is live nevertheless."""


class Hooks:
    """The hooks of one output and one change of what is live there."""

    def __init__(self, config: NightlyConfig, output: Store, latest: Latest) -> None:
        """Reads which of them have been run."""
        self._config, self._output, self._latest = config, output, latest
        self._key = f"runs/{latest.published_by}/hooks.json"
        self._done: list[Any] = []
        if output.size(self._key) is not None:
            self._done = json.loads(output.read(self._key))["done"]

    @property
    def pending(self) -> list[Hook]:
        """Those that have not succeeded yet, in order."""
        return [hook for hook in self._config.hooks if not self._is_done(hook)]

    def _is_done(self, hook: Hook) -> bool:
        # Earlier versions stored the words themselves.
        return _key(hook) in self._done or list(hook) in self._done

    def run(
        self, input_uri: str, run_id: str, reporter: Reporter, stop: Stop, stop_seconds: float
    ) -> None:
        """Runs the pending ones, in order.

        Args:
            input_uri: of the nightly run.
            run_id: of the nightly run.
            reporter: receives a note for each.
            stop: checked before each, and while it runs.
            stop_seconds: after a stop, a hook that takes longer is killed.

        Raises:
            HookError: one failed; those after it were not run.
            StoppedError: a stop was asked for.
        """
        environment = {
            "PAIRMILL_INPUT": input_uri,
            "PAIRMILL_OUTPUT": self._output.uri,
            "PAIRMILL_SNAPSHOT": self._latest.snapshot_id,
            "PAIRMILL_RUN_ID": run_id,
        }
        for hook in self.pending:
            stop.check(f"{shown_hook(hook)} was next")
            reporter.note(f"running {shown_hook(hook)}")
            limits = _Limits(self._config.hook_seconds, stop, stop_seconds)
            if (problem := _problem(hook, os.environ | environment, limits)) is not None:
                raise HookError(
                    f"{shown_hook(hook)} {problem}; its output is in this job's log; snapshot "
                    f"{self._latest.snapshot_id} is live nevertheless; the same command runs the "
                    "hook again, and those after it"
                )
            self._done.append(_key(hook))
            record = {"snapshot_id": self._latest.snapshot_id, "done": self._done}
            self._output.put(self._key, json.dumps(record, indent=1).encode())


@dataclass(frozen=True)
class _Limits:
    """The time limits of a hook."""

    seconds: float
    stop: Stop
    stop_seconds: float


def _problem(hook: Hook, environment: dict[str, str], limits: _Limits) -> str | None:
    """Runs a hook; returns what went wrong."""
    end = time.monotonic() + limits.seconds
    try:
        # In a session of its own, so that what it has started can be killed with it.
        process = subprocess.Popen(
            hook, env=environment, stdin=subprocess.DEVNULL, stdout=_STDERR, start_new_session=True
        )
    except OSError as error:
        return f"cannot be run ({error})"
    try:
        while time.monotonic() < end:
            with suppress(subprocess.TimeoutExpired):
                code = process.wait(min(_CHECK_S, max(0, end - time.monotonic())))
                return f"ended with exit code {code}" if code else None
            if limits.stop.over(limits.stop_seconds):
                limits.stop.check(f"{shown_hook(hook)} was killed before its end")
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return f"was killed: it took more than {limits.seconds:g} s (nightly.hook_seconds)"


def shown_hook(hook: Hook) -> str:
    """A hook for people: its program, since words behind it may be passwords."""
    return f"hook {Path(hook[0]).name}"


def _key(hook: Hook) -> str:
    return digest(*hook)
