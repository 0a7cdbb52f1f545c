"""The slots of a verdict whose log-probabilities can be read, and the literals of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.judging.reply_grammar import ReplyGrammar, Slot

_MOST_LITERALS = 128  # token ids whose log-probabilities vLLM gives for one request


@dataclass(frozen=True)
class ScoredSlot:
    """One slot, and what may be written in it.

    Attributes:
        slot: of which candidate and criterion.
        before, behind: the declared texts around it; ``before`` precedes the literal's first token.
        literals: each literal, and its score or the option that it says.
    """

    slot: Slot
    before: str
    behind: str
    literals: Mapping[str, float | str]


def scored_slots(grammar: ReplyGrammar, count: int) -> list[ScoredSlot]:
    """The slots with few enough literals, in the order written; none of real numbers or JSON."""
    literals = _literals(grammar)
    if grammar.place == "json" or not 0 < len(literals) <= _MOST_LITERALS:
        return []
    return [ScoredSlot(slot, *grammar.around(slot), literals) for slot in grammar.slots(count)]


def _literals(grammar: ReplyGrammar) -> dict[str, float | str]:
    if grammar.choice is not None:
        return dict(grammar.choice)
    scale = grammar.score
    if scale is None or scale.number != "int":
        return {}
    if scale.high - scale.low >= _MOST_LITERALS:
        return {}
    return {f"{score}": float(score) for score in range(int(scale.low), int(scale.high) + 1)}
