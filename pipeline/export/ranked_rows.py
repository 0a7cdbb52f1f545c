"""The labels of a ranked set's pairs as one example: rows that follow each other, brought together.

Pairs of one set stand together where ingest made them, and parts of an export never divide a set. A
row that is of no set is one by itself: a pair is a ranking of two, and a row that a judge ranked in
whole has its ranking by its scores.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.aggregation.ranking import Ranking, ranking_of_labels, ranking_of_scores
from pipeline.export.labeled_example import Answer, Example, confidence_of
from pipeline.judging.votes import LETTERS
from pipeline.pairs.contents import Message
from pipeline.pairs.ranked_sets import RankedPair, ranked_pair
from schemas.labels import Status

Row = dict[str, Any]


def set_key(pair: Row) -> str | None:
    """The id of the ranked set that a row is of; None of a row by itself."""
    place = ranked_pair(pair)
    return None if place is None else place.set_id


def place_of(pair: Row) -> RankedPair:
    """Where a row stands in its set; a row of none has a set of its own candidates."""
    letters = LETTERS[: len(pair["candidates"])]
    return ranked_pair(pair) or RankedPair(pair["pair_id"], letters, letters)


@dataclass
class RankedRows:
    """The rows of one set.

    Attributes:
        place: of its first row.
        first: this row, without its media.
        prompt: of all rows, media as they are exported.
        labels: how many rows have one that counts.
        problem: why the set cannot be exported, and a detail of it; None as long as it can.
    """

    place: RankedPair
    first: Row
    prompt: Sequence[Message] = ()
    labels: int = 0
    problem: tuple[str, str] | None = None
    _said: dict[str, str] = field(default_factory=dict)
    _answers: dict[str, Answer] = field(default_factory=dict)
    _scores: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    _confidences: list[float] = field(default_factory=list)

    def takes(
        self, place: RankedPair, prompt: Sequence[Message], answers: Sequence[Answer]
    ) -> bool:
        """Whether a row is of this set: its id, and nothing that the set has otherwise.

        Args:
            place: of the row.
            prompt, answers: as they are exported; none if they cannot be.
        """
        return (
            (place.set_id, place.all_letters) == (self.place.set_id, self.place.all_letters)
            and place.letters not in self._said
            and (not prompt or not self.prompt or list(prompt) == list(self.prompt))
            and all(
                letter not in self._answers or self._answers[letter].content == answer.content
                for letter, answer in zip(place.letters, answers, strict=False)
            )
        )

    def add(
        self,
        place: RankedPair,
        prompt: Sequence[Message],
        answers: Sequence[Answer],
        label: Row,
        problem: tuple[str, str] | None,
    ) -> None:
        """Adds a row's label, and of its candidates those that are new; or why they are not."""
        self.prompt = self.prompt or prompt
        self.problem = self.problem or problem
        self.labels += 1
        self._confidences.append(confidence_of(label))
        self._said[place.letters] = _said(label)
        for letter, answer in zip(place.letters, answers, strict=False):
            self._answers.setdefault(letter, answer)
            if answer.score is not None:
                self._scores[letter].append(answer.score)

    def ranking(self) -> Ranking | None:
        """The set's ranking; None if there is none."""
        letters = self.place.all_letters
        if any(len(compared) != 2 for compared in self._said):  # by a judge that ranks
            means = [self._mean(letter) for letter in letters]
            known = [mean for mean in means if mean is not None]
            return ranking_of_scores(letters, known) if len(known) == len(letters) else None
        if not set().union(*self._said) <= set(letters):
            return None
        return ranking_of_labels(letters, self._said)

    def example(self, ranking: Ranking, split: str, tier: str) -> Example:
        """The set as trainer formats receive it."""
        answers = [
            Answer(letter, each.content, each.model, self._mean(letter))
            for letter in self.place.all_letters
            for each in (self._answers[letter],)
        ]
        label = {"confidence": self.confidence, "labels": self.labels}
        source = self.first["source"]
        return Example(
            self.place.set_id, self.prompt, answers, label, source, split, tier, ranking=ranking
        )

    @property
    def confidence(self) -> float:
        """The least of its labels."""
        return min(self._confidences, default=0.0)

    def _mean(self, letter: str) -> float | None:
        given = self._scores.get(letter)
        return sum(given) / len(given) if given else None


def _said(label: Row) -> str:
    """Which of two candidates a label calls better, by their scores where a judge ranks."""
    if label["status"] == Status.TIE or label["preference"] is not None:
        return label["preference"] or "tie"
    first, second = label["scores"][:2]
    return "tie" if first == second else "a" if first > second else "b"
