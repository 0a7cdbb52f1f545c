"""Soft verdicts: how likely a judge was to write each verdict that a reply could hold.

The last slot of a reply's verdict is read: given everything before it, the log-probabilities of the
tokens that a literal may begin with say how likely each verdict was. Literals may take several
tokens, share their first ones (``1`` and ``10``; ``Answer 1 …`` and ``Answer 2 …``), and follow a
space that is part of their first token: so a tree of tokens is walked, by their texts, until what
is written decides who is preferred. Nothing here knows an engine: it is asked what may follow.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from pipeline.judging.bundle import Format
from pipeline.judging.parsing import Verdict, WrittenContents, written_contents
from pipeline.judging.reply_grammar import ReplyGrammar

LEAST_MASS = 0.9  # of the verdicts that were resolved, below which a vote stays as it was sampled
_MOST_LITERALS = 1_200
_SMALL = 0.02  # share of a branch that is not worth asking for what follows it
_MOST_ASKED = 6  # places of one reply
MOST_TOKENS = 20  # whose log-probabilities are asked for at a place: as many as any engine gives

Outcome = str | float
"""What a literal says: ``first``, ``second`` or ``tie``; of one candidate its score."""


@dataclass(frozen=True)
class NextToken:
    """A token that may follow, its text in its place, and its log-probability before sampling."""

    text: str
    logprob: float
    id: int = -1


Following = Callable[[tuple[NextToken, ...]], Awaitable[Sequence[NextToken] | None]]
"""The likeliest tokens behind some others; None where that cannot be known."""


@dataclass(frozen=True)
class SlotReading:
    """What was read at the last slot of a verdict.

    Attributes:
        shares: how likely each outcome was to be sampled, among those that are resolved.
        mass: probability, before temperature, of what is resolved: near 1 where the judge was about
            to write a verdict.
    """

    shares: Mapping[Outcome, float]
    mass: float


class Literals:
    """What may be written in a slot, and what the verdict would be with it."""

    def __init__(self, outcomes: Mapping[str, Outcome], *, loose: bool = False) -> None:
        """Takes the outcome of each literal.

        Args:
            outcomes: by the literal's text.
            loose: whether literals may be written in any case and spacing.
        """
        self.outcomes = outcomes
        self._loose = loose
        self._shapes = {self._shape(text): said for text, said in outcomes.items()}
        self._begun: dict[str, set[Outcome]] = {}  # what a text may go on to
        for shape, said in self._shapes.items():
            for end in range(len(shape) + 1):
                self._begun.setdefault(shape[:end], set()).add(said)

    def possible(self, text: str) -> set[Outcome]:
        """What the verdict may still be once a text is written where the content begins."""
        shape = self._shape(text.lstrip())
        behind = range(len(shape))  # where a literal may end, and something else follow
        written = {self._shapes[shape[:end]] for end in behind if self._ends_at(shape, end)}
        return self._begun.get(shape, set()) | written

    def ended(self, text: str) -> set[Outcome]:
        """What the verdict is if nothing more is written."""
        said = self._shapes.get(self._shape(text.strip()))
        return set() if said is None else {said}

    def _ends_at(self, shape: str, end: int) -> bool:
        if shape[:end] not in self._shapes:
            return False
        behind = shape[end:]
        joined = behind[:1].isalnum() or _is_decimal(behind)
        return not (shape[:end][-1:].isalnum() and joined)

    def _shape(self, text: str) -> str:
        """The form in which texts are compared."""
        if self._loose:
            return "".join(text.split()).casefold()
        ends = " " if text[-1:].isspace() and text.strip() else ""
        return " ".join(text.split()) + ends


@dataclass(frozen=True)
class WrittenSlot:
    """The last slot of a verdict in a reply.

    Attributes:
        start: where its content begins, in characters of the reply without its prefix.
        literals: what may be written there.
    """

    start: int
    literals: Literals


def _is_decimal(text: str) -> bool:
    return text[:1] in (".", ",") and text[1:2].isdigit()


@dataclass(frozen=True)
class SoftReader:
    """Finds the slot to read in replies about so many candidates.

    Attributes:
        forced: whether replies that were cut off are read, too, as benchmarks need it.
    """

    forced: ClassVar[bool] = False
    format_: Format
    count: int
    prefix: str = ""

    def locate(self, reply: str) -> WrittenSlot | None:
        """The last slot of a reply's verdict; None where it has none."""
        grammar = self.format_.grammar.decided
        found = written_contents(grammar, self.prefix + reply, self.count)
        if found is None or found.start < len(self.prefix):
            return None
        return WrittenSlot(found.start - len(self.prefix), _literals(found.with_last_open()))


@functools.lru_cache(1_024)  # as many as other slots may hold: a hundred verdicts are made of each
def _literals(written: WrittenContents) -> Literals:
    verdicts = {text: written.verdict_with(text) for text in literals_of(written.grammar)}
    outcomes = {text: outcome_of(made) for text, made in verdicts.items() if made is not None}
    return Literals(outcomes, loose=written.grammar.loose)


def why_not_soft(format_: Format) -> str | None:
    """Why no vote of a format can be soft; None if they can."""
    if format_.family != "pair":
        return "soft votes are about pairs"
    grammar = format_.grammar
    if grammar.place == "json":
        return "its verdict is JSON, of which no slot is read"
    if format_.has_criteria and grammar.scored is None:
        return "its verdict is made of criteria, whose weights are a policy"
    if not literals_of(grammar):
        return f"its scores ({grammar.score}) are no short list of literals"
    if format_.apart and grammar.score is not None and grammar.score.number != "int":
        return "candidates that are scored apart need scores of whole numbers"
    return None


def literals_of(grammar: ReplyGrammar) -> tuple[str, ...]:
    """What may be written in a slot: literals, whole numbers, and tenths where scores are real."""
    if grammar.choice is not None:
        return tuple(grammar.choice)
    scale = grammar.score
    if scale is None or scale.number == "share":
        return ()
    low, high = scale.bounds
    whole = range(math.ceil(low), math.floor(high) + 1)
    tenths = range(math.ceil(low * 10), math.floor(high * 10) + 1)
    found = [f"{number}" for number in whole]
    if scale.number == "real":
        found += [f"{number / 10:.1f}" for number in tenths]
    return tuple(found) if len(found) <= _MOST_LITERALS else ()


def outcome_of(verdict: Verdict) -> Outcome:
    """What a verdict says about the candidates shown: a side, a tie, or one candidate's score."""
    if verdict.option is not None:
        return verdict.option if verdict.option in ("first", "second") else "tie"
    if len(verdict.scores) == 1:
        return verdict.scores[0]
    first, second = verdict.scores
    return "tie" if first == second else "first" if first > second else "second"


async def read_slot(
    slot: WrittenSlot, lead: str, following: Following, temperature: float, top_p: float
) -> SlotReading:
    """Reads a slot.

    Args:
        slot: where it is, and what may stand there.
        lead: the reply's text from the place that is asked first up to the slot; empty unless a
            token reaches over the slot's beginning.
        following: what may follow.
        temperature, top_p: of the sampling that wrote the reply; at 0, which samples nothing, what
            sampling at 1 would have done is read.
    """
    walk = _Walk(slot, lead, following, temperature or 1.0, top_p if temperature else 1.0)
    await walk.go_on((), 1.0, 1.0)
    total = sum(walk.shares.values())
    shares = {said: share / total for said, share in walk.shares.items()} if total else {}
    return SlotReading(shares, walk.mass)


class _Walk:
    """A walk over the tree of tokens with which literals may be written."""

    def __init__(
        self, slot: WrittenSlot, lead: str, following: Following, temperature: float, top_p: float
    ) -> None:
        self._slot, self._lead, self._following = slot, lead, following
        self._temperature, self._top_p = temperature, top_p
        self._asked = 0
        self.shares: dict[Outcome, float] = {}
        self.mass = 0.0

    async def go_on(self, path: tuple[NextToken, ...], share: float, raw: float) -> None:
        """Adds what may be written behind some tokens, which have a share of the sampling."""
        self._asked += 1
        tokens = await self._following(path) if self._asked <= _MOST_ASKED else None
        steps = [(token, self._possible(path, token)) for token in tokens or ()]
        open_ones = [(token, said) for token, said in steps if said]
        for (token, said), part in zip(open_ones, self._sampled(open_ones), strict=True):
            if not part:
                continue
            reached = raw * math.exp(token.logprob)
            if len(said) == 1:
                (outcome,) = said
                self.shares[outcome] = self.shares.get(outcome, 0.0) + share * part
                self.mass += reached
            elif share * part >= _SMALL:
                await self.go_on((*path, token), share * part, reached)

    def _possible(self, path: tuple[NextToken, ...], token: NextToken) -> set[Outcome]:
        before = "".join(each.text for each in path)
        text = before + token.text
        if self._lead.strip():
            if not text.startswith(self._lead):
                return set()
            text, before = text[len(self._lead) :], before[len(self._lead) :]
        if not token.text:  # a token that ends the reply
            return self._slot.literals.ended(before)
        return self._slot.literals.possible(text)

    def _sampled(self, tokens: Sequence[tuple[NextToken, set[Outcome]]]) -> list[float]:
        """How likely each token is to be sampled, among those with which a verdict goes on."""
        if not tokens:
            return []
        most = max(token.logprob for token, _ in tokens)
        heat = [math.exp((token.logprob - most) / self._temperature) for token, _ in tokens]
        total, kept, held = sum(heat), [0.0] * len(heat), 0.0
        for place in sorted(range(len(heat)), key=lambda at: -heat[at]):
            if held >= self._top_p:
                break
            kept[place] = heat[place] / total
            held += kept[place]
        return [each / held for each in kept]


def soft_first(readings: Sequence[SlotReading | None]) -> float | None:
    """How likely the first of two candidates is to be preferred, where one of them is.

    Args:
        readings: of one reply about both candidates, or of one about each of them.

    Returns:
        None where a reading lacks, or too little of it is resolved.
    """
    sound = [each for each in readings if each is not None and each.mass >= LEAST_MASS]
    if not sound or len(sound) < len(readings):
        return None
    if len(sound) == 1:
        first, second = (sound[0].shares.get(side, 0.0) for side in ("first", "second"))
    else:
        scores = list(_products(*sound))
        first = sum(p for x, y, p in scores if x > y)
        second = sum(p for x, y, p in scores if x < y)
    return first / (first + second) if first + second else None


def _products(one: SlotReading, other: SlotReading) -> Iterator[tuple[float, float, float]]:
    for x, p in one.shares.items():
        for y, q in other.shares.items():
            yield float(x), float(y), p * q
