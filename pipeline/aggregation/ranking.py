"""From the labels of a ranked set's pairs to one ranking of its candidates.

A candidate is above another if labels say so, directly or through others (a better than b, b better
than c), and none say the reverse. Candidates that labels hold to be equal share a level, and so do
candidates that no label orders, where each of the others is above or below all of them; where that
is not so there is no ranking, and none is made up. Where labels contradict each other (a better
than b, b than c, c than a), the candidates concerned are ordered among themselves by how many of
them each one beats, less how many it is beaten by.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

Relation = dict[str, set[str]]


@dataclass(frozen=True)
class Ranking:
    """Candidates in the order of their quality.

    Attributes:
        levels: the candidates' letters, the best first; those of one level are not ordered.
        open: of these the pairs that no label orders, such as ``("bc",)``.
        contradicted: the pairs whose own label says otherwise.
    """

    levels: tuple[str, ...]
    open: tuple[str, ...] = ()
    contradicted: tuple[str, ...] = ()

    def rank(self, letter: str) -> int:
        """A candidate's level, from 0, the best."""
        return next(rank for rank, level in enumerate(self.levels) if letter in level)

    def score(self, letter: str) -> float:
        """The share of the other candidates that one is above, those of its level counting half."""
        rank = self.rank(letter)
        below = sum(map(len, self.levels[rank + 1 :]))
        others = sum(map(len, self.levels)) - 1
        return (below + (len(self.levels[rank]) - 1) / 2) / others if others else 0.5


def ranking_of_scores(letters: str, scores: Sequence[float]) -> Ranking:
    """The ranking by a score for each candidate; equal scores share a level."""
    by_score = dict(zip(letters, scores, strict=True))
    return Ranking(_levels(letters, {letter: -score for letter, score in by_score.items()}))


def ranking_of_labels(letters: str, labels: Mapping[str, str]) -> Ranking | None:
    """The ranking that the labels of pairs give; None if they leave a candidate without a place.

    Args:
        letters: of all candidates.
        labels: by pair of letters (``"ab"``): ``a`` for the first of them, ``b`` or ``tie``; pairs
            without a label are left out.
    """
    reached = _reached(letters, labels)
    above = {x: {y for y in reached[x] if x not in reached[y]} for x in letters}
    place = {x: float(sum(x in above[y] for y in letters)) for x in letters}
    for x, y in itertools.combinations(letters, 2):
        if (y in above[x]) != (place[x] < place[y]) or (x in above[y]) != (place[y] < place[x]):
            return None
    same = {x: {y for y in reached[x] if x in reached[y]} | {x} for x in letters}
    won = {x: _net_wins(x, same[x], labels) for x in letters}
    # Whoever shares a level without any label cannot be beside candidates that are told apart.
    levels = _levels(letters, {x: place[x] - won[x] / (2 * len(letters)) for x in letters})
    for level in _levels(letters, place):
        if level not in levels and any(same[x] != set(level) for x in level):
            return None
    unordered = tuple(
        x + y for level in levels for x, y in itertools.combinations(level, 2) if y not in same[x]
    )
    if len(levels) == 1 and unordered:
        return None
    ranking = Ranking(levels, unordered)
    wrong = (pair for pair, label in sorted(labels.items()) if label != _said(ranking, pair))
    return replace(ranking, contradicted=tuple(wrong))


def _reached(letters: str, labels: Mapping[str, str]) -> Relation:
    """Whom each candidate is at least as good as, by labels and through others."""
    reached: Relation = {letter: set() for letter in letters}
    for pair, label in labels.items():
        x, y = tuple(pair)
        if label != "b":
            reached[x].add(y)
        if label != "a":
            reached[y].add(x)
    for middle, x in itertools.product(letters, letters):
        if middle in reached[x]:
            reached[x] |= reached[middle]
    return reached


def _net_wins(letter: str, among: set[str], labels: Mapping[str, str]) -> int:
    net = 0
    for pair, label in labels.items():
        if label != "tie" and letter in pair and set(pair) <= among:
            net += 1 if letter == pair["ab".index(label)] else -1
    return net


def _levels(letters: str, keys: Mapping[str, float]) -> tuple[str, ...]:
    """The letters in the order of their keys, those of equal keys together."""
    ordered = sorted(letters, key=lambda letter: (keys[letter], letter))
    return tuple("".join(level) for _, level in itertools.groupby(ordered, keys.__getitem__))


def _said(ranking: Ranking, pair: str) -> str:
    first, second = map(ranking.rank, pair)
    return "tie" if first == second else "a" if first < second else "b"
