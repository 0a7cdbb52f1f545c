"""Writes replies in a declared grammar: for the scripted engine, for tests, for what fuzzes it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.judging.reply_grammar import (
    ANY,
    Every,
    ReplyGrammar,
    Side,
    Slot,
    Step,
    Where,
    path_steps,
)


def write_reply(
    grammar: ReplyGrammar,
    scores: Sequence[float],
    reasoning: str,
    by_criterion: Mapping[str, Sequence[float]] | None = None,
) -> str:
    """A reply that gives candidates these scores, as far as the grammar can say them.

    Args:
        grammar: how the verdict is written.
        scores: one for each candidate in the order shown, on a scale of 1 to 10.
        reasoning: what precedes the verdict.
        by_criterion: scores of criteria that have others.
    """
    known = by_criterion or {}
    filled = [
        _Filled(part, slot, _content(part, slot, known.get(slot.criterion or "", scores)))
        for part, slot in _slots(grammar, len(scores), known)
    ]
    return _written(grammar, filled, reasoning)


@dataclass(frozen=True)
class _Filled:
    """A slot of a grammar, or of a part of one, and the text in it."""

    grammar: ReplyGrammar
    slot: Slot
    content: str


def _slots(
    grammar: ReplyGrammar, count: int, named: Mapping[str, object]
) -> list[tuple[ReplyGrammar, Slot]]:
    """All slots in the order written, with the part of the grammar that each is of."""
    parts = [grammar.scored, grammar.decided] if grammar.scored else [grammar]
    names = [*named] or ["Quality", "Truth"]
    return [
        (part, slot)
        for part in parts
        if part is not None
        for slot in part.slots(count, names if part.crit == ANY else ())
    ]


def _written(grammar: ReplyGrammar, filled: Sequence[_Filled], reasoning: str) -> str:
    """A reply with these texts in its slots, whether they are on the scale or not."""
    if grammar.place == "json":
        return _json(grammar, filled, reasoning)
    pieces = []
    for each in filled:
        before, behind = each.grammar.around(each.slot)
        pieces.append(f"{before}{each.content}{behind}")
    closed = grammar.wrap.partition("{}")[2].strip() and not grammar.crit
    verdict = ("" if closed else "\n").join(pieces)
    if grammar.think == "tags":
        return f"<think>\n{reasoning}\n</think>\n\n{verdict}"
    return verdict if grammar.place == "whole" else f"{reasoning}\n\n{verdict}"


def beyond_the_scale(grammar: ReplyGrammar, count: int) -> str:
    """A reply whose slots hold what is on no scale and is no literal."""
    scale = grammar.decided.score
    values = ["0"] if scale is None else [f"{scale.low - 1:g}", f"{scale.high + 1:g}"]
    filled = [
        _Filled(part, slot, values[place % len(values)])
        for place, (part, slot) in enumerate(_slots(grammar, count, {}))
    ]
    return _written(grammar, filled, "x")


def literal_of(grammar: ReplyGrammar, *sides: Side) -> str | None:
    """The first literal that says the first of these sides for which there is one."""
    choices = grammar.choice or {}
    return next((each for side in sides for each, of in choices.items() if of == side), None)


def _content(grammar: ReplyGrammar, slot: Slot, scores: Sequence[float]) -> str:
    if grammar.choice is not None:
        first, second = scores
        if first != second:
            sides: tuple[Side, ...] = ("a",) if first > second else ("b",)
        else:  # a grammar without ties has to take a side
            sides = ("good", "tie", "bad", "a") if first > 5 else ("bad", "tie", "good", "a")
        return str(literal_of(grammar, *sides))
    scale = grammar.score
    assert scale is not None  # a grammar has scores or a choice
    if scale.number == "share":
        value = scale.total * scores[slot.candidate or 0] / sum(scores)
        return f"{min(max(value, scale.low), scale.high):.6g}"
    return f"{min(max(scores[slot.candidate or 0], scale.low), scale.high):g}"


def _json(grammar: ReplyGrammar, filled: Sequence[_Filled], reasoning: str) -> str:
    whole: Any = {} if isinstance(grammar.steps(filled[0].slot)[0], str) else []
    if grammar.rationale is not None:
        _put(whole, path_steps(grammar.rationale, Slot()), reasoning)
    for each in filled:
        value: Any = each.content
        if each.grammar.score is not None and re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", value):
            value = float(value) if "." in value else int(value)
        _put(whole, each.grammar.steps(each.slot), value)
    written = json.dumps(whole, ensure_ascii=False, indent=1)
    return f"<think>\n{reasoning}\n</think>\n\n{written}" if grammar.think == "tags" else written


def _put(whole: Any, steps: Sequence[Step], value: Any) -> None:
    for step, following in zip(steps, [*steps[1:], None], strict=True):
        empty: Any = value if following is None else {} if isinstance(following, str) else []
        if isinstance(step, Where):
            whole = _element(whole, step)
            continue
        place = 0 if isinstance(step, Every) else step
        if isinstance(place, int):
            whole.extend([None] * (place + 1 - len(whole)))
            if whole[place] is None:
                whole[place] = empty
        elif following is None or place not in whole:
            whole[place] = empty
        whole = whole[place]


def _element(those: list[Any], step: Where) -> Any:
    """The element that a step leads to, made if there is none."""
    found = next((each for each in those if each[step.key] == step.value), None)
    if found is None:
        found = {step.key: step.value}
        those.append(found)
    return found
