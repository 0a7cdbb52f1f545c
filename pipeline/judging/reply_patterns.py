"""Regular expressions of a verdict, made from its declared grammar; all of them take linear time.

Whitespace is optional around a slot and around a tag such as ``<answer>``; a space in a declared
text is any run of whitespace; everything else stands as it is written. Runs of whitespace are
matched possessively and everything else is bounded, so that no text makes a match go back far.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

from pipeline.judging.reply_grammar import ReplyGrammar, Scale, Slot

_TOKENS = re.compile(r"(<[^<>]*>|\s+)")
# Whitespace that may stand, that must where a declared text has some, and that must between two
# contents with no text between them; where they meet, a gap leaves a space optional.
_GAP, _SPACE, _PART = r"\s*+", r"\s++", r"(?:\s++)"
_WHITE = (_SPACE, _GAP, _PART)  # of those that meet, the last one here stands
# White space before a slot, where decoding is constrained.
_AIR, _AIR_NEEDED = r"[ \n]{0,2}", r"[ \n]{1,2}"
_LONGEST = 40  # characters of a slot's content that is none of the literals
# What may not follow a number that no text closes: the rest of a longer one, or of a range.
_NO_MORE = r"(?!\w|[.,]\d|\s*+[-\u2013\u2014~/]\s*+\d)"


class _Content(str):
    """The pattern of a slot's content."""


class _Open(_Content):
    """One that takes the whitespace about it itself, within its length."""


@lru_cache(1_024)  # rows may have criteria of their own
def verdict_pattern(grammar: ReplyGrammar, count: int) -> re.Pattern[str]:
    """The whole of a verdict: one group for each choice; for each score its number, and of what.

    A choice that text surrounds may be anything of the literals' characters, so that a slot with
    another content is told from what is no verdict.
    """
    elements = [_GAP, *_sequence(grammar, grammar.slots(count)), _GAP]
    return re.compile(_joined(elements), re.ASCII)


@lru_cache(1_024)
def search_patterns(
    grammar: ReplyGrammar, count: int
) -> tuple[tuple[tuple[Slot, ...], re.Pattern[str]], ...]:
    """What to search for in prose: the slots that stand together, and the pattern of these.

    Slots whose surrounding texts differ are found by themselves.
    """
    slots = grammar.slots(count)
    apart = len({grammar.around(slot) for slot in slots}) == len(slots)
    # Else the candidates of a criterion follow each other.
    size = 1 if apart else len(slots) // len(grammar.criteria)
    groups = [tuple(slots[at : at + size]) for at in range(0, len(slots), size)]
    return tuple((group, _search(grammar, group)) for group in groups)


def number_pattern(scale: Scale) -> str:
    """A number as a score is written; more digits than any score has are none."""
    sign = "[-+]?" if scale.signed else ""
    whole = max(3, len(f"{max(abs(scale.low), abs(scale.high)):.0f}")) if scale.finite else 12
    places = 20 if scale.signed or not scale.finite else 3
    decimals = {
        "int": "",
        "real": rf"(?:\.[0-9]{{1,{places}}})?",
        "share": r"(?:\.[0-9]{1,20})?",
    }
    return f"({sign}[0-9]{{1,{whole}}}{decimals[scale.number]})"


def score_pattern(scale: Scale) -> str:
    """A score: its number, and in a second group what it says it is out of."""
    return rf"{number_pattern(scale)}(?:\s*+/\s*+([0-9]{{1,3}}))?+"


def plain_expression(grammar: ReplyGrammar, count: int) -> str | None:
    """A verdict as a regular expression for constrained decoding: one way to write each.

    It is plain: groups, classes and counts alone, which all decoders know. Before a slot there may
    be a space or two line breaks, as judges write them.

    Returns:
        None where the verdict stands in prose or in JSON.
    """
    if grammar.place not in ("whole", "after"):
        return None
    pieces = []
    for slot in grammar.slots(count):
        before, behind = grammar.around(slot)
        pieces.append(f"{_escaped(before)}{_plain_content(grammar)}{_escaped(behind)}")
    between = _AIR if "".join(grammar.wrap.split("{}")).strip() else _AIR_NEEDED
    return _AIR + between.join(pieces)


def _plain_content(grammar: ReplyGrammar) -> str:
    if grammar.choice is not None:
        return f"({'|'.join(map(_escaped, grammar.choice))})"
    scale = _scale_of(grammar)
    if scale.number == "int" and scale.finite:
        values = range(int(scale.low), int(scale.high) + 1)
        if len(values) <= 200:
            return f"({'|'.join(map(str, values))})"
    return number_pattern(scale)


def _escaped(text: str) -> str:
    return re.sub(r"([\\.^$*+?()\[\]{}|/])", r"\\\1", text)


def _search(grammar: ReplyGrammar, slots: Sequence[Slot]) -> re.Pattern[str]:
    elements = _sequence(grammar, slots, closed=True)
    while elements[0] in _WHITE:  # or a run of spaces takes quadratic time
        elements.pop(0)
    while elements[-1] in _WHITE:
        elements.pop()
    pattern = _joined(elements)
    if isinstance(elements[-1], _Content) and grammar.score is not None:
        pattern += _NO_MORE
    return re.compile(pattern, re.ASCII | (re.IGNORECASE if grammar.loose else 0))


def _sequence(grammar: ReplyGrammar, slots: Iterable[Slot], *, closed: bool = False) -> list[str]:
    """The elements of slots that follow each other.

    Args:
        closed: whether a choice must be one of the literals.
    """
    elements: list[str] = []
    for slot in slots:
        before, behind = grammar.around(slot)
        content = _content(grammar, closed or not (before.strip() and behind.strip()))
        if elements:  # slots may stand in lines of their own
            elements.append(_GAP if behind.strip() or before.strip() else _PART)
        elements += [*_text(before), _GAP, content, _GAP, *_text(behind)]
    return elements


def _content(grammar: ReplyGrammar, closed: bool) -> _Content:
    if grammar.choice is None:
        return _Content(score_pattern(_scale_of(grammar)))
    literals = sorted(grammar.choice, key=len, reverse=True)
    if closed:
        case = "(?i:{})" if grammar.loose else "{}"
        return _Content(f"({case.format('|'.join(map(_literal, literals)))})")
    others = "".join(sorted({char for char in "".join(literals) if not re.match(r"[\w\s]", char)}))
    longest = max(_LONGEST, len(literals[0]))
    return _Open(rf"([\w\s{re.escape(others)}]{{1,{longest}}})")


def _literal(literal: str) -> str:
    first = r"(?<!\w)" if re.match(r"\w", literal) else ""
    last = r"(?!\w)" if re.search(r"\w\Z", literal) else ""
    return f"{first}{_SPACE.join(map(re.escape, literal.split()))}{last}"


def _text(text: str) -> Iterator[str]:
    """A declared text: what stands as it is written, and where whitespace may or must be."""
    for token in filter(None, _TOKENS.split(text)):
        if token.isspace():
            yield _SPACE
        elif token.startswith("<") and token.endswith(">"):
            yield from (_GAP, re.escape(token), _GAP)
        else:
            yield re.escape(token)


def _joined(elements: Sequence[str]) -> str:
    """One pattern; runs of whitespace that meet are one."""
    joined: list[str] = []
    for element in elements:
        if element in _WHITE and joined and joined[-1] in _WHITE:
            joined[-1] = max(element, joined[-1], key=_WHITE.index)
        else:
            joined.append(element)
    for place, element in enumerate(joined):
        if isinstance(element, _Open):
            for beside in (place - 1, place + 1):
                if 0 <= beside < len(joined) and joined[beside] == _GAP:
                    joined[beside] = ""
    return "".join(joined)


def _scale_of(grammar: ReplyGrammar) -> Scale:
    assert grammar.score is not None  # a grammar has either
    return grammar.score
