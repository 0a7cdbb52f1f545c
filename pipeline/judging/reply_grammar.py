"""The reply grammar: how a judge writes its verdict, as it is declared in ``bundle.yaml``.

From this one declaration come the parser (``parsing``), the endings (``endings``), the regular
expression that decoding may be held to (``reply_patterns``), the slots whose log-probabilities can
be read (``soft_verdicts``), and written replies (``reply_writer``).
"""

from __future__ import annotations

import itertools
import json
import math
import re
import string
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, PlainSerializer, model_validator

from pipeline.runtime.config_file import Frozen
from pipeline.runtime.digest import digest

Side = Literal["a", "b", "tie", "good", "bad"]
Option = Literal["first", "second", "tie", "both_good", "both_bad"]
OPTIONS: dict[Side, Option] = {
    "a": "first",
    "b": "second",
    "tie": "tie",
    "good": "both_good",
    "bad": "both_bad",
}
RUBRIC = "rubric"  # as `crit`: the criteria of judge.rubric
ANY = "any"  # as `crit`: those that a reply names
OVERALL = "Overall"  # the slot of a rubric's overall score, where it is asked for
# The versions of the parser, by where a verdict stands: raise one with any change that reads some
# reply otherwise; the judges whose grammar it concerns become other judges.
_VERSIONS = {"whole": 1, "after": 1, "last": 1, "json": 1}
_BOUND = r"[-+]?(?:[0-9.]+?|inf)"
_SCALE = re.compile(
    rf"\s*(?:({_BOUND})\s*\.\.\s*({_BOUND})\s*[, ]\s*)?(int|real|share)\s*", re.ASCII
)
_NAME = re.compile(r"[^{}\[\]\n]{1,80}")
_CRITERION = "{criterion}"
# A text around a slot that begins and ends with neither a tag, white space nor the slot.
_CLOSELY = re.compile(r"(?!\s|<[^<>]*>|\{\}).*(?<![\s>])(?<!\{\})", re.DOTALL)
_STEP = re.compile(r"([^.\[\]]+)|\[([^\]]*)\]|\.")


@dataclass(frozen=True)
class Scale:
    """What a score may be.

    Attributes:
        low, high: the least and the greatest score.
        number: ``int``; ``real``, with up to three decimals, or up to twenty where it may be
            negative; or ``share``: the candidates' scores add up to ``low + high``, and a single
            one leaves the rest of it to the second.
    """

    low: float
    high: float
    number: Literal["int", "real", "share"]

    @property
    def bounds(self) -> tuple[float, float]:
        """The least and the greatest score."""
        return self.low, self.high

    @property
    def finite(self) -> bool:
        """Whether both bounds are numbers."""
        return math.isfinite(self.low) and math.isfinite(self.high)

    @property
    def signed(self) -> bool:
        """Whether a score may have a sign."""
        return self.low < 0

    @property
    def total(self) -> float:
        """What shares add up to."""
        return self.low + self.high

    def __str__(self) -> str:
        return f"{self.low:g}..{self.high:g} {self.number}"


def _scale(value: object) -> object:
    if isinstance(value, Scale) or value is None:
        return value
    found = _SCALE.fullmatch(value) if isinstance(value, str) else None
    try:
        stated = (found[1] or "-inf", found[2] or "inf") if found else ("0", "0")
        low, high = map(float, stated)
    except ValueError:
        low = high = 0.0
    if found is None or not low < high:
        raise ValueError(
            f"got {value!r}, expected a range and a kind of number, such as '1..10 int', "
            "'0..100 real' or '0..1 share'; 'real' alone has no bounds, '-inf..0 real' has one"
        )
    infinite = not (math.isfinite(low) and math.isfinite(high))
    if found[3] == "share" and infinite:
        raise ValueError(f"got {value!r}: shares are of a range")
    if found[3] == "int" and not all(b.is_integer() for b in (low, high) if math.isfinite(b)):
        raise ValueError(f"got {value!r}: the bounds of int scores are whole numbers")
    return Scale(low, high, found[3])  # type: ignore[arg-type]  # one of the three


@dataclass(frozen=True)
class Slot:
    """One place of a verdict that holds a score or a choice.

    Attributes:
        candidate: which one shown it is of, from 0; None where it is about all of them.
        criterion: the criterion; None without criteria.
    """

    candidate: int | None = None
    criterion: str | None = None


@dataclass(frozen=True)
class Every:
    """A step to every element of a list: the score is the mean of what is found there."""


@dataclass(frozen=True)
class Where:
    """A step to the only element of a list whose ``key`` is ``value``.

    Attributes:
        names: whether the value is declared to be a criterion's name.
    """

    key: str
    value: str
    names: bool = False


EVERY = Every()
Step = str | int | Every | Where


class ReplyGrammar(Frozen):
    """How a verdict is written."""

    think: Literal["none", "tags", "free"] = "tags"
    """``tags``: reasoning that ends with ``</think>``; ``free``: prose before the verdict;
    ``none``: the verdict alone.
    """
    at: str = "after"
    """Where the verdict stands: ``after`` the reasoning, and is all that follows it; ``whole``: it
    is the whole reply; ``last``: the last one written; ``json:PATH``: in a JSON object.
    """
    wrap: str = "{}"
    """The text around each slot ``{}``; may hold ``{n}``, ``{letter}`` and ``{criterion}``."""
    score: Annotated[
        Scale | None, BeforeValidator(_scale), PlainSerializer(lambda s: s and str(s))
    ] = None
    """A range and a kind of number, such as ``1..10 int``; ``real`` alone has no bounds."""
    choice: dict[str, Side] | None = None
    """Literals and what each says: ``a`` or ``b`` (of those shown the first or the second),
    ``tie``, ``good`` or ``bad`` (both are).
    """
    each: bool = False
    """A slot for each candidate shown, in turn."""
    crit: tuple[str, ...] | Literal["rubric", "any"] = ()
    """A slot for each of these criteria; ``rubric``: of those of ``judge.rubric``; ``any``: of
    those that the reply itself names, in a list of JSON (``[KEY={criterion}]``).
    """
    by_criterion: str | None = None
    """Where scores by criterion stand beside a choice, which decides: a path, with ``at:
    json:PATH``, or the text around each score, with ``at: last``. ``score``, ``each`` and ``crit``
    are theirs then.
    """
    tie: Literal["equal", "literal", "never"] | None = None
    """What calls a tie: equal scores, a literal, or nothing. By default what the grammar has."""
    loose: bool = False
    """Whether literals may be written in any case and spacing."""
    rationale: str | None = None
    """Of JSON: the path of the reasoning."""

    @model_validator(mode="after")
    def _sound(self) -> Self:
        for problem in _problems(self):
            raise ValueError(problem)
        return self

    @property
    def place(self) -> str:
        """``whole``, ``after``, ``last`` or ``json``."""
        return self.at.partition(":")[0]

    @property
    def path(self) -> str:
        """The path of JSON."""
        return self.at.partition(":")[2]

    @property
    def criteria(self) -> tuple[str | None, ...]:
        """The criteria of its slots; one that is None without criteria."""
        return (None,) if isinstance(self.crit, str) or not self.crit else tuple(self.crit)

    @property
    def decided(self) -> ReplyGrammar:
        """The grammar of what decides: of the choice, where scores stand beside one."""
        return _parts(self)[0] if self.by_criterion else self

    @property
    def scored(self) -> ReplyGrammar | None:
        """The grammar of the scores that stand beside a choice; None where none do."""
        return _parts(self)[1] if self.by_criterion else None

    @property
    def ties(self) -> str:
        """``equal``, ``literal`` or ``never``."""
        if self.tie is not None:
            return self.tie
        if self.choice is None:
            return "equal"
        return "literal" if {"tie", "good", "bad"} & set(self.choice.values()) else "never"

    def slots(self, count: int, named: Sequence[str] = ()) -> list[Slot]:
        """Its slots in the order written.

        Args:
            count: how many candidates are shown.
            named: criteria that the reply names.
        """
        shown: Sequence[int | None] = range(count) if self.each else (None,)
        if not self.each and count == 1:
            shown = (0,)
        return [Slot(each, criterion) for criterion in named or self.criteria for each in shown]

    def around(self, slot: Slot) -> tuple[str, str]:
        """The text before and behind a slot."""
        before, _, behind = self.wrap.partition("{}")
        return named(before, slot), named(behind, slot)

    def steps(self, slot: Slot) -> list[Step]:
        """The path of a slot in a JSON object."""
        return path_steps(self.path, slot)

    @cached_property
    def naming(self) -> tuple[list[Step], str]:
        """The path of the list whose elements name criteria, and the key with which they do."""
        steps = path_steps(self.path, Slot())
        place = next(n for n, step in enumerate(steps) if isinstance(step, Where) and step.names)
        found = steps[place]
        assert isinstance(found, Where)  # it names
        return steps[:place], found.key

    def with_criteria(self, names: Sequence[str]) -> ReplyGrammar:
        """The same grammar with the criteria of a rubric."""
        return type(self).model_validate({**self.model_dump(), "crit": tuple(names)})

    def __hash__(self) -> int:
        return hash(self.identity)

    @cached_property
    def identity(self) -> str:
        """Digest of everything that decides how a reply is read."""
        stated = self.model_dump(mode="json", exclude_defaults=True)
        signs = ["signs"] if self.score is not None and self.score.signed else []
        # Literals that no text surrounds were read in their own case alone.
        bare = not all(each.strip() for each in self.wrap.split("{}"))
        cases = ["cases"] if self.loose and bare and self.place in ("whole", "after") else []
        # Between slots whose texts are no tags white space was none.
        several = self.place != "json" and (self.each or bool(self.crit))
        lines = ["lines"] if several and _CLOSELY.fullmatch(self.wrap) else []
        whole = json.dumps(stated, sort_keys=True)
        return digest(whole, f"{_VERSIONS[self.place]}", *signs, *cases, *lines)


@lru_cache(1_024)  # rows may have criteria of their own
def _parts(grammar: ReplyGrammar) -> tuple[ReplyGrammar, ReplyGrammar]:
    """The grammars of a choice, and of the scores that stand beside it."""

    def part(**changes: object) -> ReplyGrammar:
        stated = {name: getattr(grammar, name) for name in ReplyGrammar.model_fields}
        return ReplyGrammar.model_construct(**{**stated, "by_criterion": None, **changes})

    json_ = grammar.place == "json"
    where = {"at": f"json:{grammar.by_criterion}"} if json_ else {"wrap": grammar.by_criterion}
    return part(score=None, each=False, crit=()), part(choice=None, tie=None, **where)


def normal(literal: str, *, loose: bool) -> str:
    """A literal as it is compared."""
    return "".join(literal.split()).casefold() if loose else " ".join(literal.split())


def named(text: str, slot: Slot) -> str:
    """A text with a slot's names filled in, in one pass."""
    candidate = slot.candidate or 0
    known = {
        "{n}": str(candidate + 1),
        "{i}": str(candidate),
        "{letter}": string.ascii_uppercase[candidate],
        "{criterion}": slot.criterion or "",
    }
    return re.sub(r"\{(?:n|i|letter|criterion)\}", lambda found: known[found[0]], text)


def path_steps(path: str, slot: Slot) -> list[Step]:
    """The steps of a path such as ``scores.{criterion}[{i}]`` or ``list[name={criterion}].a``.

    Raises:
        ValueError: what stands between brackets is none of them.
    """
    steps: list[Step] = []
    for found in _STEP.finditer(path):
        if found[1] is not None:
            steps.append(named(found[1], slot))
        elif found[2] is not None:
            key, equals, value = found[2].partition("=")
            if equals and key.strip():
                names = value.strip() == _CRITERION
                steps.append(Where(key.strip(), named(value.strip(), slot), names))
            else:
                steps.append(int(named(found[2], slot)) if found[2] else EVERY)
    return steps


def _problems(grammar: ReplyGrammar) -> Iterator[str]:
    if grammar.place not in _VERSIONS or (grammar.place == "json") != bool(grammar.path):
        yield f"at: got {grammar.at!r}, expected after, whole, last or json:PATH"
    if (grammar.place == "after") and grammar.think != "tags":
        yield f"at: after needs think: tags, got think: {grammar.think}; use whole or last"
    if grammar.place == "whole" and grammar.think != "none":
        yield f"at: whole needs think: none, got think: {grammar.think}; use after or last"
    if grammar.by_criterion is not None:
        yield from _beside_problems(grammar)
        return
    if (grammar.score is None) == (grammar.choice is None):
        yield "expected either score or choice; or both, with by_criterion, where scores stand"
    if grammar.rationale is not None and grammar.place != "json":
        yield "rationale: a path is for at: json:PATH; elsewhere it is what precedes the verdict"
    yield from _wrap_problems(grammar)
    yield from _criteria_problems(grammar)
    yield from _choice_problems(grammar)
    if grammar.tie == "equal" and grammar.score is None:
        yield "tie: equal is for scores; a choice has tie: literal or never"
    if grammar.tie == "literal" and grammar.ties != _of_literals(grammar):
        yield "tie: literal needs a literal whose side is tie, good or bad"
    if grammar.tie == "never" and _of_literals(grammar) == "literal":
        yield "tie: never, and a literal calls a tie; take one of them out"


def _beside_problems(grammar: ReplyGrammar) -> Iterator[str]:
    """What is wrong with scores beside a choice; each of the two is a grammar of its own."""
    if grammar.score is None or grammar.choice is None or not grammar.crit:
        yield "by_criterion: is for a choice that has scores (score, crit) beside it"
    elif grammar.place not in ("json", "last"):
        yield f"by_criterion: needs at: json:PATH or last, got at: {grammar.at}"
    else:
        for part, name in ((grammar.decided, "choice"), (grammar.scored, "by_criterion")):
            assert part is not None  # it has by_criterion
            yield from (f"{name}: {problem}" for problem in _problems(part))


def _of_literals(grammar: ReplyGrammar) -> str:
    sides = set((grammar.choice or {}).values())
    return "literal" if sides & {"tie", "good", "bad"} else "never"


def _wrap_problems(grammar: ReplyGrammar) -> Iterator[str]:
    if grammar.wrap.count("{}") != 1:
        yield f"wrap: got {grammar.wrap!r}, expected one {{}} where the slot is"
    if grammar.place == "json":
        if grammar.wrap != "{}":
            yield "wrap: a JSON verdict has none; its place is in at: json:PATH"
        yield from _path_problems(grammar)
    distinct = grammar.path if grammar.place == "json" else grammar.wrap
    if grammar.crit == ANY and not re.search(r"\[[^\]=]+=\s*\{criterion\}\s*\]", grammar.path):
        yield "crit: any needs a list in JSON's path whose elements name them ([KEY={criterion}])"
    elif grammar.crit == ANY and EVERY in grammar.naming[0]:
        yield "crit: any needs one list of criteria, not one in every element of another ([])"
    elif grammar.crit and _CRITERION not in distinct:
        yield "crit: slots overlap unless {criterion} is in wrap (or in the path of JSON)"
    if grammar.place == "json" and grammar.each and not re.search(r"\{(n|i|letter)\}", distinct):
        yield "each: slots overlap unless {n}, {i} or {letter} is in the path of JSON"
    if grammar.place == "last" and grammar.score and not "".join(grammar.wrap.split("{}")).strip():
        yield "wrap: at: last takes a score only with text around it; any number could be one"


def _path_problems(grammar: ReplyGrammar) -> Iterator[str]:
    try:
        steps = path_steps(grammar.path, Slot(0, "x"))
        reason = path_steps(grammar.rationale or "", Slot())
    except ValueError:
        yield (
            f"at: {grammar.at!r}: expected between brackets a number, {{i}}, KEY=VALUE, or nothing "
            "for every element"
        )
        return
    if isinstance(steps[-1], Where):
        yield f"at: {grammar.at!r}: expected a key behind [KEY=VALUE], where the content is"
    if EVERY in steps and grammar.choice is not None:
        yield f"at: {grammar.at!r}: a choice is one value, not one of every element"
    if EVERY in reason:
        yield f"rationale: {grammar.rationale!r}: a text is one value, not one of every element"


def _criteria_problems(grammar: ReplyGrammar) -> Iterator[str]:
    if grammar.crit and grammar.score is None:
        yield "crit: criteria have scores, not choices"
    if isinstance(grammar.crit, str):
        return
    seen: dict[str, str] = {}
    for name in grammar.crit:
        if not _NAME.fullmatch(name) or not name.strip():
            yield f"crit: {name!r}: expected a name of 1 to 80 characters without braces"
        if (other := seen.setdefault(normal(name, loose=True), name)) != name or (
            grammar.crit.count(name) > 1
        ):
            yield f"crit: {other!r} and {name!r} have equal names; rename one"
    if grammar.place == "last":
        texts = {
            name: named(grammar.wrap.partition("{}")[0], Slot(0, name)) for name in seen.values()
        }
        shapes = {name: normal(text, loose=grammar.loose) for name, text in texts.items()}
        for one, other in itertools.permutations(shapes, 2):
            if shapes[one].endswith(shapes[other]):
                yield (
                    f"crit: what stands before the score of {one!r} ends with what stands before "
                    f"that of {other!r}, so that both would be found there; rename one, or put "
                    "text before {criterion} (wrap)"
                )


def _choice_problems(grammar: ReplyGrammar) -> Iterator[str]:
    if grammar.choice is None:
        return
    if grammar.each:
        yield "each: a choice is about both candidates, so it has one slot"
    sides = set(grammar.choice.values())
    for side in ("a", "b"):
        if side not in sides:
            yield f"choice: no literal has side {side}; expected one for a and one for b"
    seen: dict[str, str] = {}
    for literal in grammar.choice:
        shape = normal(literal, loose=grammar.loose)
        if not shape:
            yield "choice: an empty literal"
        elif shape in seen:
            yield f"choice: {seen[shape]!r} and {literal!r} are read alike; take one out"
        seen[shape] = literal
    pairs = [(x, y) for x in seen for y in seen if x != y and grammar.place == "last"]
    for one, other in pairs:
        if _overlap(one, other) and grammar.choice[seen[one]] != grammar.choice[seen[other]]:
            yield (
                f"choice: {seen[one]!r} can end where {seen[other]!r} begins, so a text may hold "
                "both; put text around the slot (wrap) or change one"
            )


def _overlap(one: str, other: str) -> bool:
    """Whether a proper end of one literal, inside of a word, is the beginning of another."""
    return any(
        one.endswith(other[:size])
        and (one[-size - 1].isalnum() == one[-size].isalnum())
        and (other[size - 1].isalnum() == other[size].isalnum())
        for size in range(1, min(len(one), len(other)))
    )
