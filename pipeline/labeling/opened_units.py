"""The units of a judge after another one, in the order in which that one's commits open them.

Where the judges of a cascade work side by side, a unit is opened for a later judge once each of
those before it has committed all rows that it has to do among those of the unit. The one before
alone does not tell: it may have all of its parts, and a judge that is new before it none.
"""

from __future__ import annotations

import bisect
import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace

from pipeline.labeling.read_pairs import ShardTask
from pipeline.parts.units import Unit

_OWN_CORPUS = 0  # others, as canaries, wait for nobody


class OpenedUnits:
    """Shard tasks as their units are opened; any thread may open them, and one takes them.

    Attributes:
        tasks: all of them, opened or not.
    """

    def __init__(self, tasks: Sequence[ShardTask], before: Sequence[ShardTask]) -> None:
        """Nothing of ``before`` is committed yet.

        Args:
            tasks: of this judge; units of a shard ascend and do not overlap.
            before: what the judges before have to do in the same run, of all of them.
        """
        self.tasks = tuple(tasks)
        self._changed = threading.Condition()
        self._closed = False
        self._waiting: dict[str, _Shard] = {}
        self._ready: list[ShardTask] = []
        self._left = sum(len(task.units) for task in tasks)  # to be taken
        awaited = ranges_of(before)
        for task in tasks:
            held = awaited.get(task.units[0].shard_key) if task.corpus == _OWN_CORPUS else None
            if held is None:
                self._ready.append(task)
                continue
            shard = self._waiting[task.units[0].shard_key] = _Shard(task, held)
            self._add(task, shard.free())

    def committed(self, unit: Unit) -> None:
        """Receives a unit, or a piece of one, that a judge before has committed."""
        shard = self._waiting.get(unit.shard_key)
        if shard is None:
            return
        with self._changed:
            self._add(shard.task, shard.committed(unit.start, unit.stop))
            self._changed.notify_all()

    def close(self) -> None:
        """Opens nothing more, since the run ends before all is committed."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def take(self, most: int) -> list[ShardTask]:
        """What is open, once anything is: a task for each shard, of ``most`` units together.

        Empty when all units were taken, or none will be opened any more.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._ready or self._closed or not self._left)
            if self._closed:
                return []
            taken, self._ready = _joined(self._ready, most)
            self._left -= sum(len(task.units) for task in taken)
            return taken

    def _add(self, task: ShardTask, units: Sequence[Unit]) -> None:
        if units:
            self._ready.append(replace(task, units=tuple(units)))


class _Shard:
    """The units of a shard, each with how many of its rows are still awaited of all judges."""

    def __init__(self, task: ShardTask, awaited: Sequence[tuple[int, int]]) -> None:
        self.task = task
        self._stops = [unit.stop for unit in task.units]
        self._awaited = [0] * len(task.units)
        for start, stop in awaited:
            for number, rows in self._overlaps(start, stop):
                self._awaited[number] += rows

    def free(self) -> list[Unit]:
        """Those that wait for nothing."""
        pairs = zip(self.task.units, self._awaited, strict=True)
        return [unit for unit, awaited in pairs if not awaited]

    def committed(self, start: int, stop: int) -> list[Unit]:
        """The units that these rows were the last ones of."""
        opened = []
        for number, rows in self._overlaps(start, stop):
            left = self._awaited[number] = self._awaited[number] - rows
            if left < 0:
                raise AssertionError(f"{self.task.units[number]}: rows {start} to {stop} again")
            if left == 0:
                opened.append(self.task.units[number])
        return opened

    def _overlaps(self, start: int, stop: int) -> Iterator[tuple[int, int]]:
        """The units that have rows of a range, by number, and how many."""
        units = self.task.units
        number = bisect.bisect_right(self._stops, start)
        while number < len(units) and units[number].start < stop:
            unit = units[number]
            yield number, min(stop, unit.stop) - max(start, unit.start)
            number += 1


def ranges_of(tasks: Sequence[ShardTask]) -> dict[str, list[tuple[int, int]]]:
    """The rows of their own input that judges have to do, by the key of their shard."""
    found = defaultdict(list)
    for task in tasks:
        if task.corpus == _OWN_CORPUS:
            for unit in task.units:
                found[unit.shard_key].append((unit.start, unit.stop))
    return found


def _joined(tasks: Sequence[ShardTask], most: int) -> tuple[list[ShardTask], list[ShardTask]]:
    """One task for each shard, of ``most`` units together, and what is left over."""
    groups: dict[tuple[int, str], list[ShardTask]] = defaultdict(list)
    for task in tasks:
        groups[task.corpus, task.units[0].shard_key].append(task)
    taken: list[ShardTask] = []
    left: list[ShardTask] = []
    for some in groups.values():
        units = tuple(sorted(unit for task in some for unit in task.units))
        for where, part in ((taken, units[:most]), (left, units[most:])):
            if part:
                where.append(replace(some[0], units=part))
        most = max(0, most - len(units))
    return taken, left
