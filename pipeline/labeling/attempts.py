"""Marks of begun attempts: how often a worker died while it judged a unit, or as it started.

A mark is an empty object; nothing is ever deleted (the job needs no right to delete).
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.judging.label_parts import judge_folder
from pipeline.labeling.units import Unit
from pipeline.runtime.errors import EngineStartError
from pipeline.store.object_store import Store


class Attempts:
    """The attempts of one run at the units of one judge.

    Attempts that shared their worker with other units and attempts that had it alone are kept
    apart: only the latter prove anything about a unit.
    """

    def __init__(self, store: Store, judge_id: str, run_id: str) -> None:
        """Keeps the marks in the output store."""
        self._store, self._judge_id, self._run_id = store, judge_id, run_id

    def deaths(self, unit: Unit, *, alone: bool) -> int:
        """How many attempts at the unit surely ended with the death of their worker.

        An attempt that this run began and must begin again died. Of an earlier run, the last
        attempt is left out: that run itself may have been ended, the worker with it.
        """
        counts = self._counts(unit, alone)
        own = counts.pop(self._run_id, 0)
        return own + sum(count - 1 for count in counts.values())

    def begin(self, unit: Unit, *, alone: bool) -> None:
        """Marks that an attempt begins now."""
        number = self._counts(unit, alone)[self._run_id]
        self._store.put(f"{self._folder(unit, alone)}/{self._run_id}.{number}", b"")

    def _folder(self, unit: Unit, alone: bool) -> str:
        return f"{unit.attempts_prefix(self._judge_id)}/{'alone' if alone else 'shared'}"

    def _counts(self, unit: Unit, alone: bool) -> Counter[str]:
        marks = self._store.list(self._folder(unit, alone))
        return Counter(mark.key.rpartition("/")[2].rpartition(".")[0] for mark in marks)


class Starts:
    """The starts of a run's engines: an engine that kills its process must not do so for ever.

    Ray replaces a process that dies as it starts without any limit.
    """

    def __init__(self, store: Store, judge_id: str, run_id: str) -> None:
        """Keeps the marks in the output store."""
        self._store = store
        self._folder = f"attempts/{judge_folder(judge_id)}/starts/{run_id}"

    def counts(self) -> Counter[str]:
        """How many starts were ``begun``, and how many of them became ``ready``."""
        return Counter(mark.key.rpartition(".")[2] for mark in self._store.list(self._folder))

    @contextmanager
    def watched(self, at_once: int, max_failures: int) -> Iterator[None]:
        """Marks the beginning and the success of what happens in the block.

        Args:
            at_once: starts that may be going on at the same time.
            max_failures: deaths allowed for each start that succeeded, and before the first.

        Raises:
            EngineStartError: more starts than that did not live to their end.
        """
        marks = self.counts()
        unfinished = marks["begun"] - marks["ready"]
        if unfinished >= at_once + max_failures * (1 + marks["ready"]):
            raise EngineStartError(
                f"the worker's process died {unfinished} times while its engine started; look for "
                "the cause (memory, drivers, engine.args) in the log of the last of them"
            )
        name = f"{self._folder}/{secrets.token_hex(8)}"
        self._store.put(f"{name}.begun", b"")
        yield
        self._store.put(f"{name}.ready", b"")
