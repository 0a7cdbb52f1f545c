"""Voting strategies: a pair's votes in one order, both, a fixed number, or adaptively."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from pipeline.aggregation.decisions import Decision, decide, decide_pair
from pipeline.aggregation.evidence import GAIN_STEPS, next_orders
from pipeline.aggregation.policy import PolicyConfig, Rule, label_rule
from pipeline.aggregation.vote_price import Offers
from pipeline.judging.bundle import Format
from pipeline.judging.judge_config import JudgeConfig, VotesConfig
from pipeline.judging.votes import Vote
from schemas.labels import Status

MAJORITY = 0.5 + 1e-9  # a threshold that any majority passes, and an even split does not
_ANY_MAJORITY = Rule(threshold=MAJORITY)


class Strategy(Protocol):
    """How many votes a judge is asked for, in which orders, and how they become a label.

    Attributes:
        name: for tables; unique.
        most: most votes of a pair.
        reads_margins: whether score gaps matter beyond their sign.
    """

    @property
    def name(self) -> str: ...

    @property
    def most(self) -> int: ...

    @property
    def reads_margins(self) -> bool: ...

    def orders(self, votes: Sequence[Vote]) -> tuple[str, ...]:
        """The orders to ask next; empty to stop."""

    def decision(self, votes: Sequence[Vote]) -> Decision:
        """The label of the votes, once it stopped."""


@dataclass(frozen=True)
class OneOrder:
    """One vote in the order of the row, and no retry: common practice."""

    name: str = "one order"
    most: int = 1
    reads_margins: bool = False

    def orders(self, votes: Sequence[Vote]) -> tuple[str, ...]:
        """The row's order, once."""
        return () if votes else ("ab",)

    def decision(self, votes: Sequence[Vote]) -> Decision:
        """The vote as it is; quarantined if it cannot be parsed."""
        if not votes[0].parsed:
            return Decision(status=Status.QUARANTINED)
        return decide_pair(votes, _ANY_MAJORITY)


@dataclass(frozen=True)
class ProductStrategy:
    """The product's strategy under one configuration.

    Attributes:
        votes: budget and stop rule.
        policy: the rule of the label, where it differs from the stop rule.
    """

    name: str
    votes: VotesConfig
    policy: PolicyConfig = field(default_factory=PolicyConfig)
    format: Format = field(default_factory=lambda: JudgeConfig().declared_format)

    @property
    def most(self) -> int:
        """The budget."""
        return self.votes.max_votes

    @property
    def reads_margins(self) -> bool:
        """Whether either rule weighs votes by their margin."""
        return bool(self.votes.margin_scale or self.policy.margin_scale)

    def orders(self, votes: Sequence[Vote]) -> tuple[str, ...]:
        """Those that the product asks for."""
        return next_orders(self.format, votes, self.votes, 2, "")

    def decision(self, votes: Sequence[Vote]) -> Decision:
        """The product's label."""
        return decide(self.format, votes, label_rule(self.votes, self.policy))


def fixed(count: int) -> ProductStrategy:
    """``count`` votes, half in each order; the majority labels, an even split is undecided."""
    name = "both orders" if count == 2 else f"fixed {count}"
    config = VotesConfig(min_votes=count, max_votes=count, threshold=MAJORITY, margin_scale=0)
    return ProductStrategy(name, config)


def adaptive(
    cap: int,
    threshold: float | None = None,
    margin_scale: float | None = None,
    prior: float | None = None,
    label_threshold: float | None = None,
) -> ProductStrategy:
    """Asks until the posterior decides, at most ``cap`` votes; the defaults are the product's.

    Args:
        cap: most votes.
        threshold: of the stop rule.
        margin_scale: of both rules.
        prior: of both rules.
        label_threshold: of the label, where it is not that of the stop rule.
    """
    given = {"threshold": threshold, "margin_scale": margin_scale, "prior": prior}
    config = VotesConfig(max_votes=cap, **{k: v for k, v in given.items() if v is not None})
    name = f"adaptive {cap}, t {config.threshold:g}"
    name += f", gap {config.margin_scale:g}" if config.margin_scale else ""
    name += f", prior {config.prior:g}" if config.prior != 1 else ""
    if label_threshold is None:
        return ProductStrategy(name, config)
    shown = "majority" if label_threshold == MAJORITY else f"{label_threshold:g}"
    return ProductStrategy(
        f"{name}, label {shown}", config, PolicyConfig(threshold=label_threshold)
    )


def gaining(cap: int, price: float) -> ProductStrategy:
    """Asks while a round gains ``price``, at most ``cap`` votes; the majority labels."""
    config = VotesConfig(max_votes=cap, stop="gain", price=price)
    return ProductStrategy(f"gain {cap}, {price:g}", config, PolicyConfig(threshold=MAJORITY))


def priced(pairs: Sequence[Sequence[Vote]], cap: int, budget: float) -> float:
    """The price that would have kept pairs to a budget of votes; all were asked to the end.

    That of a whole step, which all pairs pay alike.
    """
    first = [votes[:cap] for votes in pairs]
    asked = VotesConfig(min_votes=2, max_votes=cap)
    price = Offers.of(JudgeConfig().declared_format, first, asked).price(budget)
    return math.ceil(round(price * GAIN_STEPS, 6)) / GAIN_STEPS


def with_ties(cap: int, tie_odds: float, gap_spread: float = 2.0) -> ProductStrategy:
    """Asks as the default does; labels by Davidson's model of ties."""
    name = f"adaptive {cap}, Davidson {tie_odds:g}, {gap_spread:g}"
    policy = PolicyConfig(tie_odds=tie_odds, gap_spread=gap_spread)
    return ProductStrategy(name, VotesConfig(max_votes=cap), policy)
