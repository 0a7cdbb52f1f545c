"""Parses a judge's reply by its grammar: a verdict, or the exact reason why it is not one.

A verdict stands where the grammar says, is all that stands there unless the grammar is of prose,
and must stay on the scale; whatever the reasoning quotes is inert. Verdicts that differ are none.
Nothing here has a default verdict, and every reply is read in time that grows with its length.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pipeline.judging.reply_grammar import (
    ANY,
    OPTIONS,
    OVERALL,
    Every,
    Option,
    ReplyGrammar,
    Slot,
    Step,
    Where,
    normal,
    path_steps,
)
from pipeline.judging.reply_patterns import score_pattern, search_patterns, verdict_pattern
from schemas.labels import Reason

THINK_END = "</think>"
_THINK_START = "<think>"
_REFUSAL = re.compile(
    r"\s*I(['\u2019]m sorry| am sorry| cannot| can['\u2019]t| am unable|['\u2019]m unable)\b", re.I
)
_FENCE = "```"
_SUM_WITHIN = 0.01  # of their total, by which rounded shares may miss it
_MOST_DIGITS = 18  # of a number in JSON
_MOST_NAMED = 30  # criteria that a reply names by itself
_LONGEST_NAME = 80

Criteria = tuple[tuple[str, tuple[float, ...]], ...]


@dataclass(frozen=True)
class Verdict:
    """A reply's verdict about the candidates in the order shown.

    Attributes:
        scores: one for each candidate; empty where the format asks for an option. With criteria,
            the mean of theirs, unless the reply has a score of its own for all together.
        option: the option chosen; None where the format asks for scores.
        rationale: the reasoning before the verdict.
        criteria: each criterion's name and its score for each candidate.
    """

    scores: tuple[float, ...]
    option: Option | None
    rationale: str
    criteria: Criteria = ()


@dataclass(frozen=True)
class Unparseable:
    """A reply without a verdict.

    Attributes:
        reason: truncated, out_of_range, refused or malformed.
        detail: what was found instead, for people.
        rationale: the reasoning, as far as it can be recognised.
    """

    reason: Reason
    detail: str
    rationale: str


@dataclass(frozen=True)
class WrittenContents:
    """What a reply has in the slots of its verdict.

    Attributes:
        grammar: how it is written.
        slots, contents: in the order of the slots; as the grammar's patterns read them.
        last: the slot that is written last, by its place among them.
        start: where its content begins in the reply; of a verdict that is written again, the first
            time, when the judge decided.
        count: candidates shown.
    """

    grammar: ReplyGrammar
    slots: tuple[Slot, ...]
    contents: tuple[Any, ...]
    last: int
    start: int
    count: int

    def with_last_open(self) -> WrittenContents:
        """The same, wherever it stands and whatever the last slot holds."""
        contents = (*self.contents[: self.last], None, *self.contents[self.last + 1 :])
        return replace(self, contents=contents, start=0)

    def verdict_with(self, literal: str) -> Verdict | None:
        """The verdict if the last slot held a literal; None if there would be none."""
        content: Any = literal if self.grammar.choice is not None else (literal, None)
        contents = [*self.contents]
        contents[self.last] = content
        try:
            return _verdict(self.grammar, self.slots, contents, "", self.count)
        except _NoVerdict:
            return None


class _NoVerdict(Exception):
    """Why there is no verdict: a reason and its detail."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason, self.detail = reason, detail


def parse(
    grammar: ReplyGrammar, reply: str, finish_reason: str | None, count: int
) -> Verdict | Unparseable:
    """Parses a reply.

    Args:
        grammar: how the verdict is written.
        reply: the judge's text, from the start of its reasoning.
        finish_reason: as the engine reports it; ``"length"`` means that the reply was cut off.
        count: how many candidates were shown.
    """
    rationale, zone = reply, reply
    if grammar.think == "tags":
        reasoning, closed, after = reply.rpartition(THINK_END)
        rationale, zone = (reasoning if closed else reply), after
    rationale = rationale.strip().removeprefix(_THINK_START).strip()
    if grammar.think != "tags" and grammar.place != "last":
        rationale = ""
    if finish_reason == "length":
        return Unparseable(Reason.TRUNCATED, "the reply reached max_tokens", rationale)
    if grammar.think == "tags" and not closed:
        if _REFUSAL.match(rationale):
            return Unparseable(Reason.REFUSED, _excerpt(reply), rationale)
        return Unparseable(Reason.MALFORMED, f"no {THINK_END} in the reply", rationale)
    try:
        verdict = _read(grammar.decided, zone, rationale, count)
        if grammar.scored is None:
            return verdict
        return replace(verdict, criteria=_read(grammar.scored, zone, "", count).criteria)
    except _NoVerdict as none:
        return Unparseable(none.reason, none.detail, rationale)


def written_contents(grammar: ReplyGrammar, reply: str, count: int) -> WrittenContents | None:
    """What a reply that is a verdict has in its slots; None of JSON, and of what is no verdict."""
    slots = grammar.slots(count)
    begins = reply.rfind(THINK_END) + len(THINK_END) if grammar.think == "tags" else 0
    if grammar.place == "json" or (grammar.think == "tags" and THINK_END not in reply):
        return None
    found: dict[Slot, tuple[int, Any]] = {}
    if grammar.place == "last":
        patterns = search_patterns(grammar, count)
        matches = [(of, pattern.search(reply, begins)) for of, pattern in patterns]
    else:
        matches = [(tuple(slots), verdict_pattern(grammar, count).fullmatch(reply, begins))]
    for of, match in matches:
        if match is None:
            return None
        size = 1 if grammar.choice is not None else 2  # groups of a slot
        starts = [match.start(1 + size * place) for place in range(len(of))]
        found.update(zip(of, zip(starts, _contents(grammar, match), strict=True), strict=True))
    starts = [found[slot][0] for slot in slots]
    last = starts.index(max(starts))
    contents = tuple(found[slot][1] for slot in slots)
    return WrittenContents(grammar, tuple(slots), contents, last, starts[last], count)


def _read(grammar: ReplyGrammar, zone: str, rationale: str, count: int) -> Verdict:
    slots = grammar.slots(count)
    if grammar.place == "json":
        found = _json_object(zone)
        if grammar.crit == ANY:
            slots = grammar.slots(count, _named_criteria(found, grammar))
        contents = [_json_contents(found, grammar.steps(slot)) for slot in slots]
        if grammar.rationale is not None:
            (stated,) = _json_contents(found, path_steps(grammar.rationale, Slot()))
            rationale = stated.strip() if isinstance(stated, str) else rationale
        read = [_json_score(grammar, e) if grammar.score else e[0] for e in contents]
    elif grammar.place == "last":
        return _last(grammar, zone, rationale, count)
    else:
        match = verdict_pattern(grammar, count).fullmatch(zone)
        if match is None:
            raise _unread(zone, grammar)
        read = _contents(grammar, match)
    return _verdict(grammar, slots, read, rationale, count)


def _last(grammar: ReplyGrammar, zone: str, rationale: str, count: int) -> Verdict:
    """The verdict in prose: every place where it is written must say the same."""
    read: dict[Slot, Any] = {}
    for slots, pattern in search_patterns(grammar, count):
        every = (_contents(grammar, match) for match in pattern.finditer(zone))
        found = {_key(grammar, contents): contents for contents in every}
        if not found:
            raise _unread(zone, grammar)
        if len(found) > 1:
            raise _NoVerdict(Reason.MALFORMED, f"verdicts that differ: {_listed(found)}")
        read.update(zip(slots, next(iter(found.values())), strict=True))
    ordered = grammar.slots(count)
    if grammar.think == "free":
        rationale = zone.strip()
    return _verdict(grammar, ordered, [read[slot] for slot in ordered], rationale, count)


def _key(grammar: ReplyGrammar, contents: Sequence[Any]) -> tuple[Any, ...]:
    """Contents of slots, equal where they say the same."""
    if grammar.choice is None:
        return tuple((float(number), of) for number, of in contents)
    return tuple(_side(grammar, content) or content for content in contents)


def _listed(found: Mapping[tuple[Any, ...], Sequence[Any]]) -> str:
    shown = [_excerpt(" ".join(map(_shown, one)), 40) for one in found.values()]
    return ", ".join(shown[:4])


def _shown(content: Any) -> str:
    return content if isinstance(content, str) else str(content[0])


def _contents(grammar: ReplyGrammar, match: re.Match[str]) -> list[Any]:
    """A number and what it is out of for each score; a literal for each choice."""
    groups = match.groups()
    if grammar.choice is not None:
        return list(groups)
    return list(zip(groups[::2], groups[1::2], strict=True))


def _verdict(
    grammar: ReplyGrammar, slots: Sequence[Slot], read: Sequence[Any], rationale: str, count: int
) -> Verdict:
    if grammar.choice is not None:
        side = _side(grammar, read[0])
        if side is None:
            listed = ", ".join(grammar.choice)
            detail = f"expected one of {listed}, got {_excerpt(str(read[0]))}"
            raise _NoVerdict(Reason.OUT_OF_RANGE, detail)
        return Verdict((), OPTIONS[side], rationale)
    scores = _on_scale(grammar, read)
    by_criterion: dict[str | None, list[float]] = {}
    for slot, score in zip(slots, scores, strict=True):
        by_criterion.setdefault(slot.criterion, []).append(score)
    whole = {name: _for_each(grammar, each, count) for name, each in by_criterion.items()}
    own = next((name for name in (None, OVERALL) if name in whole), "")
    criteria = tuple((name, each) for name, each in whole.items() if name and name != own)
    overall = whole[own] if own in whole else _mean([each for _, each in criteria])
    if grammar.ties == "never" and len(overall) == 2 and overall[0] == overall[1]:
        raise _NoVerdict(Reason.MALFORMED, f"equal scores, {overall[0]:g}, where none may be")
    return Verdict(overall, None, rationale, criteria)


def _on_scale(grammar: ReplyGrammar, read: Sequence[tuple[str, str | None]]) -> list[float]:
    scale = grammar.score
    assert scale is not None  # a grammar has scores or a choice
    low, high = scale.bounds
    if any(of is not None and float(of) != high for _, of in read):
        got = " ".join(f"{number}/{of}" if of else str(number) for number, of in read)
        raise _NoVerdict(
            Reason.OUT_OF_RANGE, f"expected scores out of {high:g}, got {_excerpt(got)}"
        )
    scores = [float(number) for number, _ in read]
    if not all(low <= score <= high for score in scores):
        got = ", ".join(f"{score:g}" for score in scores)
        detail = f"expected scores from {low:g} to {high:g}, got {got}"
        raise _NoVerdict(Reason.OUT_OF_RANGE, detail)
    return scores


def _for_each(grammar: ReplyGrammar, scores: Sequence[float], count: int) -> tuple[float, ...]:
    """A score for each candidate; shares must add up, and one share leaves the rest of it."""
    scale = grammar.score
    assert scale is not None  # a grammar has scores or a choice
    if scale.number != "share":
        return tuple(scores)
    if len(scores) == 1 and count == 2:
        return scores[0], scale.total - scores[0]
    if abs(sum(scores) - scale.total) > _SUM_WITHIN * abs(scale.total):
        got = " + ".join(f"{score:g}" for score in scores)
        raise _NoVerdict(Reason.OUT_OF_RANGE, f"expected shares of {scale.total:g}, got {got}")
    return tuple(scores)


def _mean(criteria: Sequence[tuple[float, ...]]) -> tuple[float, ...]:
    return tuple(sum(each) / len(each) for each in zip(*criteria, strict=True))


def _side(grammar: ReplyGrammar, literal: object) -> Any:
    if not isinstance(literal, str):
        return None
    shape = normal(literal, loose=grammar.loose)
    choices: Mapping[str, Any] = grammar.choice or {}
    return next(
        (side for each, side in choices.items() if normal(each, loose=grammar.loose) == shape), None
    )


def _unread(zone: str, grammar: ReplyGrammar) -> _NoVerdict:
    where = f"after {THINK_END}" if grammar.think == "tags" else "no verdict in the reply"
    reason = Reason.REFUSED if _REFUSAL.match(zone) else Reason.MALFORMED
    return _NoVerdict(reason, f"{where}: {_excerpt(zone)}")


def _json_object(zone: str) -> object:
    """The JSON of a reply, which may stand in a fence; nothing else may stand beside it."""
    text = zone.strip()
    if text.startswith(_FENCE) and text.endswith(_FENCE) and len(text) > 2 * len(_FENCE):
        text = text[len(_FENCE) : -len(_FENCE)].removeprefix("json")
    try:
        return json.loads(
            text,
            object_pairs_hook=_unique,
            parse_constant=_no_constant,
            parse_int=_short_int,
            parse_float=_short_float,
        )
    except (ValueError, RecursionError) as error:
        reason = Reason.REFUSED if _REFUSAL.match(text) else Reason.MALFORMED
        what = str(error)[:80] if isinstance(error, ValueError) else "nested too deeply"
        raise _NoVerdict(reason, f"not JSON ({what}): {_excerpt(text)}") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is given twice")
    return found


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is not a number of JSON")


def _short_int(digits: str) -> int:
    if len(digits) > _MOST_DIGITS:
        raise ValueError("a number of too many digits")
    return int(digits)


def _short_float(digits: str) -> float:
    if len(digits) > 2 * _MOST_DIGITS:
        raise ValueError("a number of too many digits")
    return float(digits)


def _json_contents(found: object, steps: Sequence[Step]) -> list[object]:
    """What a path leads to: one content, or more where it goes through every element of a list."""
    held = [found]
    for step in steps:
        held = [each for one in held for each in _json_step(one, step)]
        if not held:
            raise _NoVerdict(
                Reason.MALFORMED, f"an empty list in the reply's JSON: {_shown_step(step)}"
            )
    return held


def _json_step(found: object, step: Step) -> Sequence[object]:
    if isinstance(found, dict) and isinstance(step, str) and step in found:
        return [found[step]]
    if isinstance(found, list):
        if isinstance(step, Every):
            return found
        if isinstance(step, int) and step < len(found):
            return [found[step]]
        if isinstance(step, Where):
            those = [each for each in found if isinstance(each, dict) and _is_at(each, step)]
            if len(those) == 1:
                return those
    detail = f"no {_shown_step(step)} in the reply's JSON: {_excerpt(str(found))}"
    raise _NoVerdict(Reason.MALFORMED, detail)


def _is_at(element: Mapping[str, object], step: Where) -> bool:
    said = element.get(step.key)
    return isinstance(said, str) and normal(said, loose=True) == normal(step.value, loose=True)


def _named_criteria(found: object, grammar: ReplyGrammar) -> list[str]:
    """The names that the elements of a list give to criteria, in their order."""
    steps, key = grammar.naming
    held = _json_contents(found, steps)[0]
    names = [each.get(key) if isinstance(each, dict) else None for each in _elements(held)]
    texts = [" ".join(name.split()) for name in names if isinstance(name, str)]
    if not (len(names) == len(texts) <= _MOST_NAMED) or not all(
        0 < len(text) <= _LONGEST_NAME for text in texts
    ):
        detail = f"expected 1 to {_MOST_NAMED} criteria with a short {key} each"
        raise _NoVerdict(Reason.MALFORMED, f"{detail}, got {_excerpt(str(held))}")
    return texts


def _elements(found: object) -> list[object]:
    if isinstance(found, list) and found:
        return found
    raise _NoVerdict(Reason.MALFORMED, f"expected a list of criteria, got {_excerpt(str(found))}")


def _shown_step(step: Step) -> str:
    match step:
        case Where(key, value):
            return f"single element whose {key} is {value}"
        case Every():
            return "list"
        case _:
            return str(step)


def _json_score(grammar: ReplyGrammar, contents: Sequence[object]) -> tuple[str, str | None]:
    """A slot's score; of several contents, each of which must be on the scale, their mean."""
    read = [_json_number(grammar, each) for each in contents]
    if len(read) == 1:
        return read[0]
    scores = _on_scale(grammar, read)
    return repr(sum(scores) / len(scores)), None


def _json_number(grammar: ReplyGrammar, content: object) -> tuple[str, str | None]:
    assert grammar.score is not None  # called for scores alone
    text = content.strip() if isinstance(content, str) else json.dumps(content)
    match = re.fullmatch(score_pattern(grammar.score), text, re.ASCII)
    if match is None or isinstance(content, bool):
        raise _NoVerdict(Reason.MALFORMED, f"expected a score, got {_excerpt(text)}")
    return match[1], match[2]


def _excerpt(text: str, limit: int = 120) -> str:
    text = text.strip()
    return repr(text if len(text) <= limit else text[:limit] + "…")
