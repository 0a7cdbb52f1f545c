"""What a verdict is held to while it is written, from the grammar that reads it.

The reasoning is never constrained, nor is a reply that means no verdict made one: where the judge
is about to write something else, such as a refusal, that is seen before anything is forced.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from pipeline.judging.bundle import Format
from pipeline.judging.parsing import THINK_END
from pipeline.judging.reply_grammar import ReplyGrammar
from pipeline.judging.reply_patterns import plain_expression

LEAST_MEANT = 0.5  # probability of what may begin a verdict, below which none is meant


@dataclass(frozen=True)
class Constraint:
    """How a verdict must be written.

    Attributes:
        expression: a plain regular expression of it.
        behind: the text that ends the reasoning; None where there is none, and the verdict is the
            whole reply.
        beginnings: the declared texts with which a verdict begins.
    """

    expression: str
    behind: str | None
    beginnings: tuple[str, ...]

    @classmethod
    @cache
    def of(cls, grammar: ReplyGrammar, count: int) -> Constraint:
        """The constraint of a grammar, where so many candidates are shown.

        Raises:
            ValueError: its verdict stands in prose or in JSON.
        """
        expression = plain_expression(grammar, count)
        if expression is None:
            raise ValueError("the verdict stands in prose or in JSON")
        before, behind = grammar.around(grammar.slots(count)[0])
        literals = grammar.choice or [f"{digit}" for digit in range(10)] + ["-"]
        beginnings = tuple(f"{before}{literal}{behind}".lstrip() for literal in literals)
        return cls(expression, THINK_END if grammar.think == "tags" else None, beginnings)

    def meant(self, begun: str, likely: Iterable[tuple[str, float]]) -> float:
        """How likely the judge is to begin a verdict.

        Args:
            begun: white space that it has written.
            likely: texts of the likeliest tokens behind it, and the probability of each.
        """
        return sum(p for text, p in likely if self._may_begin((begun + text).lstrip()))

    def _may_begin(self, text: str) -> bool:
        return any(each.startswith(text) or text.startswith(each) for each in self.beginnings)


def why_not_constrained(format_: Format, prefix: str) -> str | None:
    """Why no verdict of a format can be constrained; None if it can."""
    if format_.declared.reply is None:
        return "a reward model writes no verdict"
    grammar = format_.grammar
    if grammar.place not in ("whole", "after"):
        return "its verdict stands in prose or in JSON (at: after and at: whole can be)"
    if grammar.place == "whole" and prefix:
        return "its replies begin with a prefix, which would be part of the verdict"
    return None
