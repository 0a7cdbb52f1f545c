"""A bundle: what a kind of judge is asked, how it is shown, and how it replies, as data.

``bundles/<name>/bundle.yaml`` declares it, or that of a user's folder; ``bundles/README.md`` says
how to write one. Code asks a format for its family and its grammar, never for a bundle's name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from pipeline.judging.parsing import Unparseable, Verdict, parse
from pipeline.judging.prompts import Prompt
from pipeline.judging.reply_grammar import OVERALL, RUBRIC, ReplyGrammar
from pipeline.judging.votes import LETTERS, round_orders
from pipeline.runtime.config_file import Frozen

MOST_CANDIDATES = 10  # a judge does not keep more apart, and its reply would grow too long
Family = Literal["pair", "ranking", "score", "reward"]
CandidateKind = Literal["text", "image", "edit", "video"]
_COUNTS: dict[Family, tuple[int, int]] = {
    "pair": (2, 2),
    "ranking": (2, MOST_CANDIDATES),
    "score": (1, 1),
    "reward": (2, 2),
}
_TEXT = ".txt"


class Known(Frozen):
    """The name under which identities know a grammar, while its declaration has this digest."""

    name: str
    digest: str


class FormatFile(Frozen):
    """One format of a ``bundle.yaml``."""

    family: Family
    """What verdicts are about: a ``pair``, a ``ranking`` of several candidates, a ``score`` of a
    single one, or a ``reward`` model's scalars.
    """
    counts: tuple[int, int] | None = None
    """The least and the most candidates; by default those of the family."""
    apart: bool = False
    """Of a pair: each candidate is asked about by itself, and both scores make one vote."""
    candidates: tuple[CandidateKind, ...] = Field(min_length=1)
    """What candidates may be made of; ``judge.candidates`` chooses, by default the first."""
    system: str | None = None
    """The system text; none where the model is to have no system turn of ours."""
    user: str
    """The user's turn around ``{context}`` (media that the question begins with), ``{question}``,
    ``{answers}``, and ``{rubric}`` where it takes one; their order is that of the turn. Of a reward
    model it may lack ``{answers}``: then the answer is the assistant's turn, and is scored there.
    """
    answer: str
    """One candidate among the answers: ``{answer}``, and ``{assistant}``, ``{n}`` or ``{letter}``
    for its name.
    """
    reply_prefix: str = ""
    """What the reply is made to begin with."""
    reply: ReplyGrammar | None = None
    """How the verdict is written; none of the family ``reward``."""
    head_tokens: tuple[str, str] | None = None
    """Of a ``reward`` model without a head of its own: the tokens that a reply begins with where
    the answer is the worse and the better one. The score is their difference, read at the end of
    the prompt.
    """
    known: Known | None = None
    """How identities name the grammar; by default by its digest."""

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if (self.reply is None) != (self.family == "reward"):
            raise ValueError("reply: every family but reward has one")
        if self.head_tokens and self.family != "reward":
            raise ValueError("head_tokens: is for the family reward")
        low, high = self.counts or _COUNTS[self.family]
        if not 1 <= low <= high <= MOST_CANDIDATES or (
            self.family in ("pair", "reward") and (low, high) != (2, 2)
        ):
            raise ValueError(
                f"counts: got {[low, high]}; a pair or a reward has [2, 2], others at most "
                f"[1, {MOST_CANDIDATES}]"
            )
        if self.apart and (self.family != "pair" or (self.reply and not self.reply.score)):
            raise ValueError("apart: is for the family pair, with scores")
        if self.reply is not None:
            self._check_slots(self.reply, 1 if self.apart else high)
        return self

    def _check_slots(self, reply: ReplyGrammar, shown: int) -> None:
        if reply.choice is not None and (self.family != "pair" or self.apart):
            raise ValueError("reply.choice: is for the family pair, which shows both candidates")
        one_share = reply.score is not None and reply.score.number == "share" and shown == 2
        if reply.score and shown > 1 and not (reply.each or one_share):
            raise ValueError(
                "reply.each: several candidates need a score each (each: true); or of a pair one "
                "share, which leaves the rest to the second"
            )
        if reply.score and reply.score.number == "share" and shown == 1:
            raise ValueError("reply.score: a share is of two or more candidates")


class BundleFile(Frozen):
    """A ``bundle.yaml``."""

    about: str
    """What it is for: the model, its licence, what was verified."""
    origin: str | None = None
    """Where its format is published."""
    defaults: dict[str, Any] = Field(default_factory=dict)
    """Settings of ``judge`` that it needs and that the configuration may override."""
    formats: dict[str, FormatFile] = Field(min_length=1)
    """The formats, the default first."""


@dataclass(frozen=True)
class Format:
    """One format of a bundle: what it asks about, and how a reply to it is read."""

    name: str
    declared: FormatFile

    @property
    def family(self) -> Family:
        """What its verdicts are about."""
        return self.declared.family

    @property
    def about(self) -> Literal["pair", "ranking", "score"]:
        """What a row's label is about; that of a reward model is about a pair."""
        return "pair" if self.family == "reward" else self.family

    @property
    def counts(self) -> tuple[int, int]:
        """The least and the most candidates that it takes."""
        return self.declared.counts or _COUNTS[self.family]

    @property
    def of_pairs(self) -> bool:
        """Whether its rows are pairs of two responses."""
        return self.counts == (2, 2)

    @property
    def of_two(self) -> Format:
        """Of a ranking: the format of its votes as votes about two of the candidates."""
        changes = {"family": "pair", "counts": None}
        return replace(self, declared=self.declared.model_copy(update=changes))

    @property
    def apart(self) -> bool:
        """Whether each candidate is asked about in a request of its own."""
        return self.declared.apart or self.family == "reward"

    @property
    def grammar(self) -> ReplyGrammar:
        """How its replies are written.

        Raises:
            TypeError: it is of the family reward, which has no replies.
        """
        if self.declared.reply is None:
            raise TypeError(f"format {self.name}: a reward model writes no reply")
        return self.declared.reply

    @property
    def scale(self) -> tuple[float, float] | None:
        """The lowest and the highest score, or None where scores do not decide."""
        reply = self.declared.reply and self.declared.reply.decided
        return reply.score.bounds if reply and reply.score else None

    @property
    def scores(self) -> bool:
        """Whether its verdicts are scores, and no options."""
        return self.family == "reward" or self.scale is not None

    @property
    def criteria(self) -> tuple[str, ...]:
        """The criteria that its verdicts have scores for."""
        reply = self.declared.reply
        named = reply.criteria if reply else ()
        return tuple(name for name in named if name is not None and name != OVERALL)

    @property
    def has_criteria(self) -> bool:
        """Whether its verdicts have scores by criterion, declared or named by each reply."""
        return self.declared.reply is not None and bool(self.declared.reply.crit)

    @property
    def takes_rubric(self) -> bool:
        """Whether ``judge.rubric`` says what it is asked."""
        reply = self.declared.reply
        return reply is not None and reply.crit == RUBRIC

    def with_criteria(self, names: Sequence[str]) -> Format:
        """The same format with the criteria of a rubric."""
        reply = self.grammar.with_criteria(names)
        return replace(self, declared=self.declared.model_copy(update={"reply": reply}))

    def orders(self, count: int, round_number: int, pair_hash: str) -> tuple[str, ...]:
        """The orders of one round: where candidates are asked about apart there is just one.

        A reward model's is empty: it can prefer no place.
        """
        if self.family == "reward":
            return ("",)
        orders = round_orders(count, round_number, pair_hash)
        return round_orders(count, 0, pair_hash)[:1] if self.apart else orders

    def requests(self, order: str) -> tuple[str, ...]:
        """The requests that one vote takes: the candidates that each of them shows, in order."""
        if self.family == "reward":
            return tuple(LETTERS[: self.counts[0]])
        return tuple(order) if self.apart else (order,)

    @property
    def replies_a_round(self) -> int:
        """How many replies a row's first round asks for."""
        count = self.counts[0]
        return len(self.orders(count, 0, "")) * (count if self.apart else 1)

    @property
    def requests_at_once(self) -> int:
        """How many of them are asked for at a time: a reward model's only one after the other."""
        return 1 if self.family == "reward" else self.replies_a_round

    def parse(self, reply: str, finish_reason: str | None, count: int) -> Verdict | Unparseable:
        """Reads a reply about ``count`` candidates."""
        return parse(self.grammar, reply, finish_reason, count)

    @property
    def grammar_identity(self) -> str:
        """How identities name its grammar."""
        if self.declared.reply is None:
            return self.family
        own = self.declared.reply.identity
        known = self.declared.known
        return known.name if known and known.digest == own else own


@dataclass(frozen=True)
class Bundle:
    """A bundle as it was read.

    Attributes:
        name: its folder's.
        declared: its ``bundle.yaml``.
        files: its text files by name.
        verified: whether a transcript of it names a public origin.
    """

    name: str
    declared: BundleFile
    files: Mapping[str, str]
    verified: bool

    @cached_property
    def formats(self) -> dict[str, Format]:
        """Its formats by name, the default first."""
        return {name: Format(name, each) for name, each in self.declared.formats.items()}

    def prompt(self, format_: str, candidates: str) -> Prompt:
        """The texts of a format about candidates of a kind."""
        declared = self.formats[format_].declared
        system = None if declared.system is None else self._text(declared.system, candidates)
        user, answer = (self._text(each, candidates) for each in (declared.user, declared.answer))
        return Prompt(system, user, answer)

    def _text(self, stated: str, candidates: str) -> str:
        """What a file holds, or the text itself where no file is named."""
        return self.files[file_name(stated, candidates)] if stated.endswith(_TEXT) else stated


def file_name(stated: str, candidates: str) -> str:
    """The name of a text file for a kind of candidates."""
    return stated.replace("{candidates}", candidates)


def named_files(declared: BundleFile) -> Iterator[str]:
    """The text files that a ``bundle.yaml`` names, for all of its kinds of candidates."""
    for format_ in declared.formats.values():
        for stated in (format_.system, format_.user, format_.answer):
            if stated is not None and stated.endswith(_TEXT):
                yield from (file_name(stated, kind) for kind in format_.candidates)
