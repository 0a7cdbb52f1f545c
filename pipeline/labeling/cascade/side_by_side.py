"""Judges of a cascade at the same time, each in a thread of the driver, with a flow and a pool.

The first judge that ends by an error ends the others, too: they commit what they have in flight.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from queue import SimpleQueue

from pipeline.labeling.label_run import RunResult, judge_planned
from pipeline.labeling.opened_units import OpenedUnits
from pipeline.labeling.planned_run import Run
from pipeline.parts.units import Unit
from pipeline.runtime.errors import ConfigError, RayLostError, StoppedError
from pipeline.runtime.reporter import Reporter

_DROP_S = 10.0  # until judges have dropped what they had in flight


@dataclass
class _Judging:
    """What one of them does, in a thread.

    Attributes:
        opens: the units of all judges after it.
        after: what is waited for, so that pools of judges before have their places.
        under_way: is set once it has committed a unit, or has ended.
    """

    run: Run
    opens: Sequence[OpenedUnits]
    after: Sequence[threading.Event]
    reporter: Reporter
    under_way: threading.Event = field(default_factory=threading.Event)
    result: RunResult | None = None
    error: BaseException | None = None

    def __call__(self, ended: SimpleQueue[_Judging]) -> None:
        try:
            for each in self.after:
                each.wait()
            self.result = judge_planned(self.run, self.reporter, self.committed)
        except BaseException as error:  # noqa: BLE001  raised again by who waits for it
            self.error = error
            self.run.request.stop.ask("another judge of the cascade ended before")
            for opened in self.opens:
                opened.close()
        finally:
            if self.run.opened is not None:
                self.run.opened.close()
            self.under_way.set()
            ended.put(self)

    def committed(self, unit: Unit) -> None:
        """Opens what waits for a unit that this judge has committed."""
        self.under_way.set()
        for opened in self.opens:
            opened.committed(unit)


def pools_fit(runs: Sequence[Run]) -> bool:
    """Whether the least workers of all pools, and a reader, fit on the nodes that are up.

    Raises:
        ConfigError: they do not, on a private Ray, which gets no more nodes: a pool that waits for
            the judge before would keep that one's from starting, for ever.
    """
    from pipeline.labeling.cluster.ray_nodes import nodes_of_cluster  # Ray takes seconds to load

    pools = [run.config.workers for run in runs if run.plan.units]
    read = max((pool.read_cpus for pool in pools), default=0.0)
    needed = {
        "CPU": sum(pool.min * pool.cpus for pool in pools) + read,
        "GPU": sum(pool.min * pool.gpus for pool in pools),
    }
    nodes = nodes_of_cluster()
    there = {name: sum(node["Resources"].get(name, 0.0) for node in nodes) for name in needed}
    if all(needed[name] <= there[name] for name in needed):
        return True
    if os.environ.get("RAY_ADDRESS"):
        return False
    raise ConfigError(
        f"cascade.side_by_side: the pools of all judges reserve {needed['GPU']:g} GPUs and "
        f"{needed['CPU']:g} CPUs together (workers.min times workers.gpus and workers.cpus of "
        f"each, and {read:g} CPUs of a reader); there are {there['GPU']:g} and {there['CPU']:g}: "
        "lower workers.gpus or workers.cpus, or let the judges work one after the other"
    )


def judge_side_by_side(
    runs: Sequence[Run], reporter: Reporter, *, at_once: bool = True
) -> list[RunResult]:
    """Judges what several tiers have planned, at the same time; Ray is there.

    Args:
        runs: of each judge, in order of cost; each knows what those before have to do. One stop
            is of all of them.
        reporter: receives what each of them does, under its number.
        at_once: whether all pools may start at once. Otherwise each judge waits until those before
            it have committed a unit, so that it never holds a place that they need.

    Raises:
        BaseException: the error by which the first of them ended; a stop is the error of whichever
            had nothing worse.
    """
    ended: SimpleQueue[_Judging] = SimpleQueue()
    judging: list[_Judging] = []
    for number, run in enumerate(runs, 1):
        opens = [each.opened for each in runs[number:] if each.opened is not None]
        after = [] if at_once else [each.under_way for each in judging]
        judging.append(_Judging(run, opens, after, reporter.of_tier(number)))
    # Daemons: where Ray is lost, they may wait for it for ever.
    threads = [threading.Thread(target=each, args=(ended,), daemon=True) for each in judging]
    for thread in threads:
        thread.start()
    try:
        done = [ended.get() for _ in judging]
    except RayLostError:
        raise
    except BaseException:  # Ctrl-C
        runs[0].request.stop.drop("interrupted")
        for thread in threads:
            thread.join(_DROP_S)
        raise
    errors = [each.error for each in done if each.error is not None]
    for error in sorted(errors, key=lambda error: isinstance(error, StoppedError)):
        raise error
    return [each.result for each in judging if each.result is not None]
