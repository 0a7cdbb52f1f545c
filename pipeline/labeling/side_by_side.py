"""Judges of a cascade at the same time, each in a thread of the driver, with a flow and a pool.

The first judge that ends by an error ends the others, too: they commit what they have in flight.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from queue import SimpleQueue

from pipeline.labeling.label_run import Run, RunResult, judge_planned
from pipeline.labeling.ray_nodes import nodes_of_cluster
from pipeline.runtime.errors import ConfigError, RayLostError, StoppedError
from pipeline.runtime.reporter import Reporter
from pipeline.runtime.steps import Step
from pipeline.runtime.stop import Stop

_DROP_S = 10.0  # until judges have dropped what they had in flight


@dataclass
class _Judging:
    """What one of them does, in a thread."""

    run: Run
    behind: Run | None
    reporter: Reporter
    step: Step
    stop: Stop
    result: RunResult | None = None
    error: BaseException | None = None

    def __call__(self, ended: SimpleQueue[_Judging]) -> None:
        opens = self.behind.opened if self.behind else None
        try:
            self.result = judge_planned(self.run, self.reporter, self.step, self.stop, opens)
        except BaseException as error:  # noqa: BLE001  raised again by who waits for it
            self.error = error
            self.stop.ask("another judge of the cascade ended before")
            if opens is not None:
                opens.close()
        finally:
            if self.run.opened is not None:
                self.run.opened.close()
            ended.put(self)


def check_cores(runs: Sequence[Run]) -> None:
    """Checks that pools leave a core to read with, on a private Ray, which gets no more of them.

    Raises:
        ConfigError: they would wait for pairs for ever.
    """
    if os.environ.get("RAY_ADDRESS"):
        return
    pools = [run.config.workers for run in runs if run.plan.units]
    reserved = sum(pool.min * pool.cpus for pool in pools)
    there = sum(node["Resources"].get("CPU", 0.0) for node in nodes_of_cluster())
    least = max((pool.read_cpus for pool in pools), default=0.0)
    if reserved + least > there:
        raise ConfigError(
            f"cascade.side_by_side: the pools of all judges reserve {reserved:g} CPUs "
            f"(workers.min times workers.cpus of each), and a reader {least:g}; there are "
            f"{there:g}: lower workers.cpus, or let the judges work one after the other"
        )


def judge_side_by_side(
    runs: Sequence[Run], reporter: Reporter, steps: Sequence[Step], stop: Stop
) -> list[RunResult]:
    """Judges what several tiers have planned, at the same time; Ray is there.

    Args:
        runs: of each judge, in order of cost; each knows what the one before has to do.
        reporter: receives what each of them does, under its number.
        steps: of each.
        stop: of all of them.

    Raises:
        BaseException: the error by which the first of them ended; a stop is the error of whichever
            had nothing worse.
    """
    ended: SimpleQueue[_Judging] = SimpleQueue()
    behind = [*runs[1:], None]
    judging = [
        _Judging(run, after, reporter.of_tier(number), step, stop)
        for number, (run, after, step) in enumerate(zip(runs, behind, steps, strict=True), 1)
    ]
    # Daemons: where Ray is lost, they may wait for it for ever.
    threads = [threading.Thread(target=each, args=(ended,), daemon=True) for each in judging]
    for thread in threads:
        thread.start()
    try:
        done = [ended.get() for _ in judging]
    except RayLostError:
        raise
    except BaseException:  # Ctrl-C
        stop.drop("interrupted")
        for thread in threads:
            thread.join(_DROP_S)
        raise
    errors = [each.error for each in done if each.error is not None]
    for error in sorted(errors, key=lambda error: isinstance(error, StoppedError)):
        raise error
    return [each.result for each in judging if each.result is not None]
