"""Texts of people and models, fit to be shown; what two answers differ in is marked."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.runtime.printable import printable

_WORDS = re.compile(r"\s+|\w+|[^\w\s]")
_MOST_WORDS = 3_000  # of two texts together; comparing takes time with their square
_LEAST_ALIKE = 0.25  # of texts that have less in common, marks would say nothing
_MOST_CHARS = 200_000


@dataclass(frozen=True)
class Piece:
    """A piece of a text.

    Attributes:
        differs: whether the other text does not have it.
    """

    text: str
    differs: bool = False


def shown(text: str) -> str:
    """A text as the page shows it."""
    whole = printable(text)
    if len(whole) <= _MOST_CHARS:
        return whole
    return f"{whole[:_MOST_CHARS]}\n[… {len(whole) - _MOST_CHARS:,} more characters]"


def differences(a: str, b: str) -> tuple[list[Piece], list[Piece]]:
    """Both texts in pieces, those marked that the other lacks.

    Nothing is marked where both are long, or have little in common.
    """
    a, b = shown(a), shown(b)
    words_a, words_b = _WORDS.findall(a), _WORDS.findall(b)
    if len(words_a) + len(words_b) > _MOST_WORDS:
        return [Piece(a)], [Piece(b)]
    matcher = difflib.SequenceMatcher(a=words_a, b=words_b, autojunk=False)
    if matcher.ratio() < _LEAST_ALIKE:
        return [Piece(a)], [Piece(b)]
    same = [(m.a, m.b, m.size) for m in matcher.get_matching_blocks()]
    return (
        list(_pieces(words_a, [(start, size) for start, _, size in same])),
        list(_pieces(words_b, [(start, size) for _, start, size in same])),
    )


def _pieces(words: list[str], same: list[tuple[int, int]]) -> Iterator[Piece]:
    at = 0
    for start, size in same:
        if start > at:
            yield Piece("".join(words[at:start]), differs=True)
        if size:
            yield Piece("".join(words[start : start + size]))
        at = start + size
