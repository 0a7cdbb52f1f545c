"""Marks of attempts: how often a worker died while it judged a unit, or while its engine started.

A mark is an empty object; nothing is ever deleted (the job needs no right to delete).
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.parts.part_keys import judge_folder
from pipeline.parts.units import Unit
from pipeline.runtime.errors import EngineStartError
from pipeline.store.object_store import Store


class Attempts:
    """The attempts of one run at the units of one judge.

    Attempts that shared their worker with other units and attempts that ran alone on it are counted
    separately: only the latter prove anything about a unit.
    """

    def __init__(self, store: Store, judge_id: str, run_id: str) -> None:
        """The marks are objects of the output store."""
        self._store, self._judge_id, self._run_id = store, judge_id, run_id

    def deaths(self, unit: Unit, *, alone: bool) -> int:
        """How many attempts at the unit are known to have ended with the death of their worker.

        Every attempt of this run that is followed by another one did. Of an earlier run, the last
        attempt is not counted: that run may have been ended as a whole, the worker with it.
        """
        counts = self._counts(unit, alone)
        own = counts.pop(self._run_id, 0)
        return own + sum(count - 1 for count in counts.values())

    def begin(self, unit: Unit, *, alone: bool) -> None:
        """Marks the start of an attempt."""
        number = self._counts(unit, alone)[self._run_id]
        self._store.put(f"{self._folder(unit, alone)}/{self._run_id}.{number}", b"")

    def _folder(self, unit: Unit, alone: bool) -> str:
        return f"{unit.attempts_prefix(self._judge_id)}/{'alone' if alone else 'shared'}"

    def _counts(self, unit: Unit, alone: bool) -> Counter[str]:
        marks = self._store.list(self._folder(unit, alone))
        return Counter(mark.key.rpartition("/")[2].rpartition(".")[0] for mark in marks)


class Starts:
    """The starts of a run's engines, so that an engine that kills its process does so a few times.

    Ray itself restarts a process that dies while it starts without any limit.
    """

    def __init__(self, store: Store, judge_id: str, run_id: str) -> None:
        """The marks are objects of the output store."""
        self._store = store
        self._folder = f"attempts/{judge_folder(judge_id)}/starts/{run_id}"

    def counts(self) -> Counter[str]:
        """How many starts were ``begun``, and how many of them became ``ready``."""
        return Counter(mark.key.rpartition(".")[2] for mark in self._store.list(self._folder))

    @contextmanager
    def watched(self, at_once: int, max_failures: int) -> Iterator[None]:
        """Marks the start and the success of the block.

        Args:
            at_once: starts that may run at the same time.
            max_failures: deaths allowed for each start that succeeded, and before the first.

        Raises:
            EngineStartError: more starts than that ended with the death of their process.
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
