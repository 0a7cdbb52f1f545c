"""The judging formats: what each asks about, and how a reply to it is parsed.

A format is independent of what the candidates are made of (text, images, videos): that is in the
prompt (``pipeline.judging.prompts``) and in :mod:`pipeline.judging.row_checks`. What votes mean
together is decided in ``pipeline.aggregation.decisions``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from pipeline.judging.judge_config import FormatName
from pipeline.judging.parsing import Unparseable, Verdict, parse_option, parse_scores
from pipeline.judging.votes import round_orders

MOST_CANDIDATES = 10  # a judge does not keep more apart, and its reply would grow too long
Family = Literal["pair", "ranking", "score"]


class Format(Protocol):
    """One judging format."""

    @property
    def family(self) -> Family:
        """What its verdicts are about: a pair, a ranked group, or a single candidate's score."""

    @property
    def counts(self) -> tuple[int, int]:
        """The least and the most candidates that it takes."""

    @property
    def scale(self) -> tuple[int, int] | None:
        """The lowest and the highest score, or None without scores."""

    @property
    def grammar(self) -> int:
        """The version of its parser, part of the identity of the judges that use it."""

    def parse(self, reply: str, finish_reason: str | None, count: int) -> Verdict | Unparseable:
        """Reads a reply about ``count`` candidates."""


@dataclass(frozen=True)
class Pairwise:
    """Two candidates, by scores or by options."""

    scale: tuple[int, int] | None
    grammar: int
    counts: tuple[int, int] = (2, 2)
    family: Family = "pair"

    def parse(self, reply: str, finish_reason: str | None, count: int) -> Verdict | Unparseable:
        """Reads two scores, or one option."""
        if self.scale is None:
            return parse_option(reply, finish_reason)
        return parse_scores(reply, finish_reason, count, self.scale)


@dataclass(frozen=True)
class Ranking:
    """Several candidates, each scored beside the others; every two of them make a pair."""

    grammar: int
    scale: tuple[int, int] = (1, 10)
    counts: tuple[int, int] = (2, MOST_CANDIDATES)
    family: Family = "ranking"

    def parse(self, reply: str, finish_reason: str | None, count: int) -> Verdict | Unparseable:
        """Reads a score for each candidate; equal scores are read as a tie of those two."""
        return parse_scores(reply, finish_reason, count, self.scale)


@dataclass(frozen=True)
class Single:
    """One candidate, scored by itself."""

    grammar: int
    scale: tuple[int, int] = (1, 5)
    counts: tuple[int, int] = (1, 1)
    family: Family = "score"

    def parse(self, reply: str, finish_reason: str | None, count: int) -> Verdict | Unparseable:
        """Reads one score."""
        return parse_scores(reply, finish_reason, count, self.scale)


# Raise a format's `grammar` with any change of its parser that reads some reply otherwise.
FORMATS: dict[FormatName, Format] = {
    "pairwise_scores": Pairwise(scale=(1, 10), grammar=3),
    "pairwise_options": Pairwise(scale=None, grammar=4),
    "single_score": Single(grammar=3),
    "batch_ranking": Ranking(grammar=3),
}


def replies_a_round(format_: FormatName) -> int:
    """How many replies a row's first round asks for: one for each order of its candidates."""
    return len(round_orders(FORMATS[format_].counts[0], 0, ""))
