"""What one run may spend: votes, which its workers take from one store of them, and time."""

from __future__ import annotations

import argparse
import math
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from pydantic import Field

from pipeline.runtime.config_file import Frozen
from pipeline.runtime.errors import BudgetSpentError
from pipeline.runtime.stop import Stop


class BudgetConfig(Frozen):
    """What one run may spend before it ends with exit code 6; the next one goes on."""

    max_judgments: int | None = Field(default=None, ge=2)
    """Most judgments: no pair is begun that it does not suffice for, and pairs in flight are
    finished, with at most ``judge.votes.max_votes`` each.
    """
    max_usd: float | None = Field(default=None, gt=0)
    """Most dollars: of ``report.gpus`` GPUs at ``report.gpu_usd_per_hour`` from the start of the
    engines, or of tokens at ``report.usd_per_million_tokens``; pairs in flight are then finished.
    """


TokenPrice = Callable[[int, int, int], float]
"""Dollars of prompt tokens, of those among them that were cached, and of output tokens."""


@dataclass(frozen=True)
class RunBudget:
    """The limits of one run.

    Attributes:
        judgments: votes; None for any number.
        usd: dollars; None for any number.
        usd_per_hour: what the run's GPUs cost, if that is known.
        token_price: what the tokens of a judge at a server cost, if that is known.
        spent_judgments, spent_usd: what judges before have spent of it.
    """

    judgments: int | None = None
    usd: float | None = None
    usd_per_hour: float | None = None
    token_price: TokenPrice | None = None
    spent_judgments: int = 0
    spent_usd: float = 0.0

    def after(self, judgments: int, seconds: float, tokens: tuple[int, int, int]) -> RunBudget:
        """What is left of it for the next judge.

        Args:
            judgments: that were made.
            seconds: from the start of the engines.
            tokens: of prompts, of these cached, and of replies.
        """
        usd = (self.usd_per_hour or 0.0) * seconds / 3_600 + (self.tokens_usd(*tokens) or 0.0)
        spent = (self.spent_judgments + judgments, self.spent_usd + usd)
        return replace(self, spent_judgments=spent[0], spent_usd=spent[1])

    @property
    def limited(self) -> bool:
        """Whether there is a limit at all."""
        return self.judgments is not None or self.usd is not None

    @property
    def counted(self) -> bool:
        """Whether workers have to ask before they begin a pair."""
        return self.judgments is not None or (self.usd is not None and self.token_price is not None)

    def tokens_usd(self, prompt: int, cached: int, output: int) -> float | None:
        """What tokens cost; None where they have no price."""
        return None if self.token_price is None else self.token_price(prompt, cached, output)

    @contextmanager
    def timed(self, stop: Stop) -> Iterator[None]:
        """Asks ``stop`` to end once the GPUs have cost the dollars, in the time of this block."""
        if self.usd is None or not self.usd_per_hour:
            yield
            return
        left = max(0.0, self.usd - self.spent_usd)
        timer = threading.Timer(3_600 * left / self.usd_per_hour, self.end, (stop,))
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def end(self, stop: Stop) -> None:
        """Asks ``stop`` to end, since the budget is spent."""
        limits = {"max_judgments": self.judgments, "max_usd": self.usd}
        named = (f"budget.{name} {value:g}" for name, value in limits.items() if value is not None)
        stop.ask(f"the budget is spent ({', '.join(named)})", BudgetSpentError)


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
    """A pair is not begun, since what the run may spend does not suffice for it."""


class Spending:
    """What a run has left of its budget; one for all of its workers."""

    def __init__(self, budget: RunBudget) -> None:
        """Begins with all of it."""
        judgments, usd = budget.judgments, budget.usd
        self._votes = math.inf if judgments is None else judgments - budget.spent_judgments
        self._usd = math.inf if usd is None else usd - budget.spent_usd

    def take(self, votes: int, begun: bool, usd: float) -> bool:
        """Takes votes for one round of a pair; whether they may be asked for.

        No pair is begun that the rest does not suffice for. A pair that is begun is finished: what
        it takes beyond the budget is at most the later rounds of the pairs in flight.

        Args:
            votes: how many.
            begun: whether the pair has had votes in this run.
            usd: what tokens have cost this worker since it took votes last.
        """
        self._usd -= usd
        if not begun and (votes > self._votes or self._usd <= 0):
            return False
        self._votes -= votes
        return True


Take = Callable[[int, bool, float], Awaitable[bool]]
"""As :meth:`Spending.take`, from wherever it is."""


class Purse:
    """What one worker takes its votes from, and pays their tokens to."""

    def __init__(self, take: Take | None = None, token_price: TokenPrice | None = None) -> None:
        """Without ``take`` any number of votes may be asked for."""
        self._take, self._token_price, self._unpaid = take, token_price, 0.0

    async def take(self, votes: int, begun: bool) -> None:
        """Takes votes for one round of a pair.

        Raises:
            VotesSpentError: the pair is not begun, and the rest does not suffice for it.
        """
        if self._take is None:
            return
        usd, self._unpaid = self._unpaid, 0.0
        if not await self._take(votes, begun, usd):
            raise VotesSpentError

    def pay(self, prompt: int, cached: int, output: int) -> None:
        """Notes the tokens of a reply."""
        if self._token_price is not None:
            self._unpaid += self._token_price(prompt, cached, output)
