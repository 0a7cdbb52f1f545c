"""Simulated processes and time: real threads of which exactly one runs, chosen by a seed.

A thread runs until it waits for virtual time; then the thread (or event) that is due next runs. All
random choices come from one generator and only the running thread makes any, so the same seed gives
the same history.
"""

from __future__ import annotations

import heapq
import random
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from botocore.exceptions import ClientError


class Killed(BaseException):
    """Ends a thread of a killed process; no code of the product catches it."""


class Process:
    """A simulated process: threads that are killed together, and a clock of its own.

    Attributes:
        machine: the name of the machine that it runs on.
        number: its own among all processes of a run.
        skew_s: how far its time of day is ahead.
        killed: whether it was killed; nothing that it still does has an effect.
        cut_off_until: until when it does not reach the lease objects.
        stalls: whether it is one of those that may be stalled.
        stalled_until: until when none of its threads runs, as when a machine swaps or is paused.
    """

    def __init__(self, name: str, number: int, machine: str, skew_s: float) -> None:
        self.name, self.number, self.machine, self.skew_s = name, number, machine, skew_s
        self.killed, self.cut_off_until, self.stalled_until = False, 0.0, 0.0
        self.stalls = True
        self.threads: list[SimulatedThread] = []


class SimulatedThread:
    """One thread of a process; made by :meth:`Scheduler.start`."""

    def __init__(self, scheduler: Scheduler, process: Process, run: Callable[[], None]) -> None:
        self.process, self.ended = process, False
        self.waiting_for = 0  # the number of the event that resumes it
        self.joining: list[SimulatedThread] = []
        self._scheduler, self._run = scheduler, run
        self.baton = threading.Lock()
        self.baton.acquire()
        threading.Thread(target=self._main, daemon=True).start()

    def _main(self) -> None:
        self.baton.acquire()
        try:
            if not self.process.killed:
                self._run()
        except Killed:
            pass
        except BaseException as error:  # noqa: BLE001  # reported by the run as its failure
            self._scheduler.fail(error)
        self.ended = True
        self.process.threads.remove(self)
        for other in self.joining:
            self._scheduler.resume(other)
        self._scheduler.leave()


Event = tuple[float, int, Any]  # when, a number, and a thread or what to call


class Scheduler:
    """Virtual time and whose turn it is.

    Attributes:
        random: every choice of a run comes from it.
        now: seconds since the run began.
        steps: store operations so far.
        failure: what ended the run early.
    """

    def __init__(self, seed: int, max_steps: int) -> None:
        self.random = random.Random(seed)
        self.now, self.steps = 0.0, 0
        self.failure: BaseException | None = None
        self._max_steps, self._number, self._started = max_steps, 0, 0
        self._events: list[Event] = []
        self._processes: list[Process] = []
        self._current: SimulatedThread | None = None
        self._ending = False
        self._done = threading.Lock()
        self._done.acquire()

    def process(self, role: str, machine: str, skew_s: float) -> Process:
        """A new process, without threads."""
        self._started += 1
        process = Process(f"{role}-{self._started}", self._started, machine, skew_s)
        self._processes = [each for each in self._processes if each.threads]
        self._processes.append(process)
        return process

    @property
    def started(self) -> int:
        """The number of the last process that has begun."""
        return self._started

    def lives(self, number: int) -> bool:
        """Whether the process of that number has neither ended nor been killed."""
        found = (each for each in self._processes if each.number == number)
        return any(each.threads and not each.killed for each in found)

    def start(self, process: Process, run: Callable[[], None]) -> SimulatedThread:
        """Starts a thread of a process; it runs when those before it wait."""
        thread = SimulatedThread(self, process, run)
        process.threads.append(thread)
        self.resume(thread)
        return thread

    def run(self) -> None:
        """Runs until the steps are used up or something fails.

        Raises:
            BaseException: what failed.
        """
        self._next()
        self._done.acquire()
        if self.failure is not None:
            raise self.failure

    def step(self) -> None:
        """Counts one operation of the store; the last one ends the run."""
        self.steps += 1
        if self.steps >= self._max_steps:
            self._end()
            raise Killed

    def wait(self, seconds: float) -> None:
        """The running thread waits; others run meanwhile.

        Raises:
            Killed: its process was killed.
        """
        thread = self._running()
        self._pause(thread, seconds)
        while thread.process.stalled_until > self.now:
            self._pause(thread, thread.process.stalled_until - self.now)

    def join(self, other: SimulatedThread) -> None:
        """The running thread waits until another one of its process has ended."""
        thread = self._running()
        if not other.ended:
            other.joining.append(thread)
            self._take()
            self._pass_on(thread)
        self._resumed(thread)

    def resume(self, thread: SimulatedThread) -> None:
        """Ends a thread's wait now."""
        self._push(0, thread)

    def later(self, seconds: float, act: Callable[[], object]) -> None:
        """Calls something in time, such as a request that the network delivers late."""
        self._number += 1
        heapq.heappush(self._events, (self.now + seconds, self._number, act))

    def kill(self, process: Process) -> None:
        """Kills a process wherever its threads are."""
        process.killed = True
        for thread in process.threads:
            self.resume(thread)

    def fail(self, error: BaseException) -> None:
        """Ends the run with an error; the first one counts."""
        if self.failure is None and not self._ending:
            self.failure = error
        self._end()

    def leave(self) -> None:
        """Called by a thread that has ended, as the last thing that it does."""
        self._next()

    def _running(self) -> SimulatedThread:
        thread = self._current
        assert thread is not None
        if thread.process.killed:
            raise Killed
        return thread

    def _pause(self, thread: SimulatedThread, seconds: float) -> None:
        self._push(seconds, thread)
        if self._take() is not thread:
            self._pass_on(thread)
        self._resumed(thread)

    def _resumed(self, thread: SimulatedThread) -> None:
        if thread.process.killed:
            raise Killed

    def _push(self, seconds: float, thread: SimulatedThread) -> None:
        self._number += 1
        thread.waiting_for = self._number
        heapq.heappush(self._events, (self.now + seconds, self._number, thread))

    def _take(self) -> SimulatedThread | None:
        """The thread whose turn it is, after the events before that."""
        while self._events:
            due, number, what = heapq.heappop(self._events)
            if isinstance(what, SimulatedThread):
                if what.ended or what.waiting_for != number:
                    continue
                self.now, self._current = max(self.now, due), what
                return what
            self.now = max(self.now, due)
            if not self._ending:
                with suppress(ClientError):  # nobody waits for the answer
                    what()
        self._current = None
        return None

    def _pass_on(self, thread: SimulatedThread) -> None:
        following = self._current
        assert following is not None, "every thread waits for another one"
        following.baton.release()
        thread.baton.acquire()

    def _next(self) -> None:
        following = self._take()
        if following is None:
            self._done.release()
        else:
            following.baton.release()

    def _end(self) -> None:
        if not self._ending:
            self._ending = True
            for process in self._processes:
                self.kill(process)
