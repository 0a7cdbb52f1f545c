"""``nightly.json``: what became of each step of a night, written anew as it happens."""

from __future__ import annotations

import datetime
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Literal

from pipeline.runtime.errors import PairmillError, StorageError
from pipeline.store.object_store import Store

StepState = Literal["done", "skipped", "failed", "blocked"]
NightState = Literal[
    "running", "published", "unchanged", "withdrawn", "blocked", "failed", "stopped"
]


class NightRecord:
    """The record of one night; its ``step`` is a ``pipeline.runtime.steps.Step``.

    Attributes:
        snapshot_id: the snapshot that the night made or found.
    """

    def __init__(self, output: Store, run_id: str, input_uri: str) -> None:
        """Stores the record of a night that begins now."""
        self.snapshot_id: str | None = None
        self._output, self._run_id, self._input_uri = output, run_id, input_uri
        self._judge_id: str | None = None
        self._started = _now()
        self._finished: str | None = None
        self._state: NightState = "running"
        self._exit_code: int | None = None
        self._steps: list[dict[str, Any]] = []
        self._store()

    @contextmanager
    def step(self, name: str) -> Iterator[dict[str, Any]]:
        """Records a step when it ends; what is put into the yielded object is its detail.

        A step whose detail says that something has not ``passed`` is blocked; a ``judge_id`` or
        ``snapshot_id`` in it is the night's from then on.
        """
        began, detail = time.monotonic(), dict[str, Any]()
        try:
            yield detail
        except BaseException as error:
            detail["error"] = _text(error)
            with suppress(StorageError):  # what went wrong first is what must be told
                self._add(name, "failed", time.monotonic() - began, detail)
            raise
        state: StepState = "blocked" if detail.get("passed") is False else "done"
        self._judge_id = detail.get("judge_id", self._judge_id)
        self.snapshot_id = detail.get("snapshot_id", self.snapshot_id)
        self._add(name, state, time.monotonic() - began, detail)

    def skip(self, name: str, why: str) -> None:
        """Records that a step has nothing to do."""
        self._add(name, "skipped", 0, {"why": why})

    def skip_unreached(self, names: Sequence[str], why: str) -> None:
        """Records that those of these steps which were not come to have nothing to do."""
        reached = {step["name"] for step in self._steps}
        for name in names:
            if name not in reached:
                self.skip(name, why)

    def end(self, state: NightState, exit_code: int) -> None:
        """Records how the night ends; the report may be still to come."""
        self._state, self._exit_code, self._finished = state, exit_code, _now()
        self._store()

    def summary(self) -> dict[str, Any]:
        """The night in a few lines."""
        return {
            "run_id": self._run_id,
            "state": self._state,
            "exit_code": self._exit_code,
            "snapshot": self.snapshot_id,
            **{step["name"]: step["state"] for step in self._steps},
        }

    def _add(self, name: str, state: StepState, seconds: float, detail: Mapping[str, Any]) -> None:
        self._steps.append(
            {"name": name, "state": state, "seconds": round(seconds, 1), "detail": detail}
        )
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
        self._output.put(f"runs/{self._run_id}/nightly.json", json.dumps(record, indent=1).encode())


def _text(error: BaseException) -> str:
    """An error as a report shows it: ours are for people, others need their type."""
    name = type(error).__name__
    return str(error) if isinstance(error, PairmillError) else f"{name}: {error}".rstrip(": ")


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
