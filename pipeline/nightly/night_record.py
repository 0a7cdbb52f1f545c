"""``nightly.json``: the steps of a nightly run, stored again after each of them."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Literal

from pipeline.runtime.clock import timestamp
from pipeline.runtime.errors import PairmillError, StoppedError, StorageError
from pipeline.runtime.faults import is_full
from pipeline.runtime.printable import printable
from pipeline.store.object_store import Store
from pipeline.store.removal import remove_objects

StepState = Literal["done", "skipped", "failed", "blocked", "stopped"]
NightState = Literal[
    "running", "published", "unchanged", "withdrawn", "blocked", "failed", "stopped"
]
_BRIEF = 500  # characters: so that a record is no larger than a page of a disk


class NightRecord:
    """The record of one nightly run; its ``step`` is a ``pipeline.runtime.steps.Step``.

    Attributes:
        snapshot_id: the snapshot that the run made or found.
    """

    def __init__(self, output: Store, run_id: str, input_uri: str) -> None:
        """Stores the record of a run that starts now."""
        self.snapshot_id: str | None = None
        self._output, self._run_id, self._input_uri = output, run_id, input_uri
        self._key = f"runs/{run_id}/nightly.json"
        self._judge_id: str | None = None
        self._started = timestamp()
        self._finished: str | None = None
        self._state: NightState = "running"
        self._exit_code: int | None = None
        self._steps: list[dict[str, Any]] = []
        self._adding = threading.Lock()
        self._store()

    @contextmanager
    def step(self, name: str) -> Iterator[dict[str, Any]]:
        """Records a step when it ends; yields a dictionary to be filled with its detail.

        A step with ``passed`` false in its detail is blocked; a ``judge_id`` or ``snapshot_id`` in
        it becomes the run's.
        """
        began, detail = time.monotonic(), dict[str, Any]()
        try:
            yield detail
        except BaseException as error:
            detail["error"] = _text(error)
            with suppress(StorageError):  # the first error matters more
                stopped: StepState = "stopped" if isinstance(error, StoppedError) else "failed"
                self._add(name, stopped, time.monotonic() - began, detail)
            raise
        state: StepState = "blocked" if detail.get("passed") is False else "done"
        self._judge_id = detail.get("judge_id", self._judge_id)
        self.snapshot_id = detail.get("snapshot_id", self.snapshot_id)
        self._add(name, state, time.monotonic() - began, detail)

    def skip(self, name: str, why: str) -> None:
        """Records that a step has nothing to do."""
        self._add(name, "skipped", 0, {"why": why})

    def skip_unreached(self, names: Sequence[str], why: str) -> None:
        """Records those of these steps that were not reached as skipped."""
        reached = {step["name"] for step in self._steps}
        for name in names:
            if name not in reached:
                self.skip(name, why)

    def end(self, state: NightState, exit_code: int) -> None:
        """Records how the run ends; the report may follow."""
        self._state, self._exit_code, self._finished = state, exit_code, timestamp()
        try:
            self._store()
        except StorageError as error:
            if not self._output.local or not is_full(error.__cause__ or error):
                raise
            # What the run has stored of itself makes room for how it ended, in few words.
            remove_objects(self._output, [self._key], lambda: None)
            self._steps = [step | {"detail": _brief(step["detail"])} for step in self._steps]
            self._store()

    def summary(self) -> dict[str, Any]:
        """The run in a few fields."""
        return {
            "run_id": self._run_id,
            "state": self._state,
            "exit_code": self._exit_code,
            "snapshot": self.snapshot_id,
            **{step["name"]: step["state"] for step in self._steps},
        }

    def _add(self, name: str, state: StepState, seconds: float, detail: Mapping[str, Any]) -> None:
        step = {"name": name, "state": state, "seconds": round(seconds, 1), "detail": detail}
        with self._adding:  # judges that work side by side end their steps in threads of their own
            self._steps.append(step)
            self._store()

    def _store(self) -> None:
        record = {
            "run_id": self._run_id,
            "started_at": self._started,
            "finished_at": self._finished,
            "state": self._state,
            "exit_code": self._exit_code,
            "steps": self._steps,
            "snapshot_id": self.snapshot_id,
            "judge_id": self._judge_id,
            "input": self._input_uri,
            "output": self._output.uri,
        }
        self._output.put(self._key, json.dumps(record, indent=1).encode())


def _brief(detail: Mapping[str, Any]) -> dict[str, Any]:
    """Of a step's detail the error alone."""
    return {"error": detail["error"][:_BRIEF]} if "error" in detail else {}


def _text(error: BaseException) -> str:
    """An error as the report shows it: ours by their message, others with their type."""
    name = type(error).__name__
    text = str(error) if isinstance(error, PairmillError) else f"{name}: {error}".rstrip(": ")
    return printable(text)
