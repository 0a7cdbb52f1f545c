"""Ends a Ray Data execution cleanly: a callback that its scheduling loop calls between two steps.

Ray Data has no call for this. Its consumer waits without a time limit, and an exception that a
signal handler raised in it once made Ray abort. An execution callback that raises ends the
execution by the same path as a failing task.
"""

from __future__ import annotations

from typing import Any

from ray.data._internal.execution.execution_callback import ExecutionCallback

from pipeline.labeling.run_spec import RunSpec
from pipeline.labeling.stop_mark import StopMark
from pipeline.runtime.stop import Stop
from pipeline.store.object_store import Store


class StopBudgetOver(Exception):
    """``workers.stop_seconds`` are over: what is still in flight is dropped."""


class StopWatch(ExecutionCallback):
    """Stores the stop mark, and ends the execution if workers and readers take too long."""

    def __init__(self, stop: Stop, spec: RunSpec) -> None:
        """Watches ``stop`` for the run of ``spec``."""
        self._stop, self._budget_s = stop, spec.config.workers.stop_seconds
        self._mark = StopMark(Store(spec.output_uri), spec.run_id)
        self._marked = False

    def on_execution_step(self, executor: Any) -> None:
        """Called by Ray Data, several times a second.

        Raises:
            StopBudgetOver: to end the execution.
            StorageError: the mark cannot be stored.
        """
        if self._stop.asked and not self._marked:
            self._marked = True
            self._mark.put()
        if self._stop.over(self._budget_s):
            raise StopBudgetOver
