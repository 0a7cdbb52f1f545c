"""What one run may spend: votes, which its workers take from one store of them, and time."""

from __future__ import annotations

import argparse
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from pydantic import Field

from pipeline.runtime.config_file import Frozen
from pipeline.runtime.errors import BudgetSpentError
from pipeline.runtime.stop import Stop

Take = Callable[[int, bool], Awaitable[bool]]
"""As :meth:`VoteBudget.take`, from wherever it is."""


class BudgetConfig(Frozen):
    """What one run may spend before it ends with exit code 6; the next one goes on."""

    max_judgments: int | None = Field(default=None, ge=2)
    """Most judgments: no pair is begun that it does not suffice for, and pairs in flight are
    finished, with at most ``judge.votes.max_votes`` each.
    """
    max_usd: float | None = Field(default=None, gt=0)
    """Most dollars, at ``report.gpu_usd_per_hour`` for ``report.gpus`` GPUs from the start of
    the engines; pairs in flight are then finished, for ``workers.stop_seconds`` at most.
    """


@dataclass(frozen=True)
class RunBudget:
    """The limits of one run.

    Attributes:
        judgments: votes; None for any number.
        seconds: from the start of its engines; None for any time. Pairs in flight are then still
            finished, for ``workers.stop_seconds`` at most.
        usd: what so many seconds cost, for messages.
    """

    judgments: int | None = None
    seconds: float | None = None
    usd: float | None = None

    @contextmanager
    def timed(self, stop: Stop) -> Iterator[None]:
        """Asks ``stop`` to end once the seconds of this block are over."""
        if self.seconds is None:
            yield
            return
        why = f"budget.max_usd {self.usd:g} is spent after {self.seconds:,.0f} s"
        timer = threading.Timer(self.seconds, stop.ask, (why, BudgetSpentError))
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def end_votes(self, stop: Stop) -> None:
        """Asks ``stop`` to end, since a worker was refused votes."""
        stop.ask(f"budget.max_judgments {self.judgments:,} is spent", BudgetSpentError)


NO_LIMITS = RunBudget()


def add_budget_options(parser: argparse.ArgumentParser) -> None:
    """Adds ``--max-judgments`` and ``--max-usd``, which :func:`budget_settings` reads."""
    text = "end after so many judgments; the next run goes on (budget.max_judgments)"
    parser.add_argument("--max-judgments", metavar="N", help=text)
    text = "end after so many dollars; the next run goes on (budget.max_usd)"
    parser.add_argument("--max-usd", metavar="USD", help=text)


def budget_settings(options: argparse.Namespace) -> list[str]:
    """The settings that these options give, as ``key=value``."""
    given = {name: getattr(options, name) for name in BudgetConfig.model_fields}
    return [f"budget.{name}={value}" for name, value in given.items() if value is not None]


class VotesSpentError(Exception):
    """A pair is not begun, since the votes of the run do not suffice for it."""


class VoteBudget:
    """The votes that a run may still ask for; one for all of its workers."""

    def __init__(self, votes: int) -> None:
        """Begins with all of them."""
        self._left = votes

    def take(self, votes: int, begun: bool) -> bool:
        """Takes votes for one round of a pair; whether they may be asked for.

        No pair is begun that the rest does not suffice for. A pair that is begun is finished: what
        it takes beyond the budget is at most the later rounds of the pairs in flight.
        """
        if not begun and votes > self._left:
            return False
        self._left -= votes
        return True


async def unlimited(votes: int, begun: bool) -> bool:
    """Any number of votes may be asked for."""
    return True
