"""A case: all that a judge is shown in one judging format, and the perfect reply to it."""

from __future__ import annotations

import random
import string
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from pipeline.judging.judge_config import CandidateKind
from pipeline.lab.tiny_judge.asked_formats import FormatName, format_of
from pipeline.lab.tiny_judge.motions import Motion
from pipeline.lab.tiny_judge.scene_questions import Grade
from pipeline.lab.tiny_judge.scenes import Scene

Context: TypeAlias = Literal["picture", "pictures", "words", "turns", "clip", "prompt"]
"""What a question is about: one picture, several, words only, a conversation, or a clip; where
candidates are pictures or clips, the prompt they were made for."""
Shown: TypeAlias = Scene | Motion

SCORES: Final[dict[Grade, int]] = {"right": 9, "partly": 5, "wrong": 2}
"""The score a perfect judge gives to each grade, on the scale of 1 to 10."""
SINGLE_SCORES: Final[dict[Grade, int]] = {"right": 5, "partly": 3, "wrong": 1}
"""The same, on the scale of 1 to 5."""
MOST_CANDIDATES: Final[dict[CandidateKind, int]] = {"text": 5, "image": 3, "edit": 3, "video": 3}
"""Longest rankings, by kind of candidates."""

LETTERS: Final = "abcdefgh"

# Of a pair: shares of grades, in either order. Few candidates of one attribute can be partly
# right; options have no word for two answers that are equally half right.
_PAIRS_OF_ONE: Final[dict[tuple[Grade, Grade], float]] = {
    ("right", "wrong"): 0.76,
    ("right", "right"): 0.12,
    ("wrong", "wrong"): 0.12,
}
_PAIRS_OF_TWO: Final[dict[tuple[Grade, Grade], float]] = {
    ("right", "partly"): 0.26,
    ("partly", "wrong"): 0.26,
    ("right", "wrong"): 0.20,
    ("right", "right"): 0.09,
    ("partly", "partly"): 0.10,
    ("wrong", "wrong"): 0.09,
}


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One candidate.

    Attributes:
        grade: How good it is.
        verdict: The perfect reply's text on it, after ``Assistant 1``.
        text: A textual candidate.
        shown: What the picture or clip shows that is the candidate.
    """

    grade: Grade
    verdict: str
    text: str | None = None
    shown: Shown | None = None


@dataclass(frozen=True, kw_only=True)
class Case:
    """What a judge is shown.

    Attributes:
        format: What it is asked for.
        made_of: What the candidates are.
        about: What the question is about.
        kind: The kind of question, prompt or instruction.
        turns: Roles and contents of a conversation, the question last.
        context: What the pictures and clips of the question show.
        lead: The perfect reply's text before its verdicts.
        candidates: What is judged.
    """

    format: FormatName
    made_of: CandidateKind
    about: Context
    kind: str
    turns: tuple[tuple[str, str], ...]
    context: tuple[Shown, ...]
    lead: str
    candidates: tuple[Candidate, ...]

    @property
    def question(self) -> str:
        """The question as the product lays it out; a conversation with its roles named."""
        if len(self.turns) == 1:
            return self.turns[0][1]
        return "\n\n".join(f"{role.capitalize()}: {content}" for role, content in self.turns)

    @property
    def order(self) -> str:
        """The order in which the row has the candidates."""
        return LETTERS[: len(self.candidates)]

    @property
    def scores(self) -> tuple[int, ...]:
        """A perfect judge's score of each candidate."""
        scale = SINGLE_SCORES if format_of(self.format).about == "score" else SCORES
        return tuple(scale[candidate.grade] for candidate in self.candidates)

    @property
    def gold(self) -> Literal["a", "b", "tie"]:
        """The better one of two candidates."""
        first, second = self.scores
        return "tie" if first == second else "a" if first > second else "b"

    def ordered(self, order: str) -> list[Candidate]:
        """The candidates in the order shown, such as ``"ba"``."""
        return [self.candidates[LETTERS.index(letter)] for letter in order]

    def reply(self, order: str) -> str:
        """The reply of a perfect judge, without the end-of-turn token.

        The media are described before any verdict: trained without that description, a model of
        this size stays at chance.
        """
        shown = self.ordered(order)
        signs = string.ascii_uppercase if self.format == "pairwise_options" else string.digits[1:]
        names = [f"Assistant {sign}" for sign in signs[: len(shown)]]
        if len(shown) == 1:
            names = ["The assistant"]
        verdicts = [f"{n} {c.verdict}." for n, c in zip(names, shown, strict=True)]
        thoughts = " ".join([self.lead, *verdicts] if self.lead else verdicts)
        return f"<think>\n{thoughts}\n</think>\n\n{self._answer(order)}"

    def _answer(self, order: str) -> str:
        scores = [self.scores[LETTERS.index(letter)] for letter in order]
        if format_of(self.format).scores:
            return "".join(f"<answer>{score}</answer>" for score in scores)
        first, second = scores
        if first == second:
            option = "A=B=Good" if first == SCORES["right"] else "A=B=Bad"
        else:
            option = "A>B" if first > second else "B>A"
        return f"<answer>[[{option}]]</answer>"


def in_words(grade: Grade) -> str:
    """The grade as replies word it."""
    return "partly right" if grade == "partly" else grade


def sample_grades(rng: random.Random, format_: FormatName, count: int, graded: bool) -> list[Grade]:
    """Sample the grades of the candidates, each grade equally often at every position.

    Args:
        rng: Source of every choice.
        format_: What is asked for.
        count: Number of candidates.
        graded: Whether a candidate can be partly right.
    """
    levels: Sequence[Grade] = ("right", "partly", "wrong") if graded else ("right", "wrong")
    if format_of(format_).about != "pair":
        return [rng.choice(levels) for _ in range(count)]
    weights = dict(_PAIRS_OF_TWO if graded else _PAIRS_OF_ONE)
    if not format_of(format_).scores:
        weights.pop(("partly", "partly"), None)
    grades = list(rng.choices(list(weights), list(weights.values()))[0])
    rng.shuffle(grades)
    return grades


def sample_count(rng: random.Random, format_: FormatName, made_of: CandidateKind) -> int:
    """Sample a number of candidates that the format takes."""
    if format_of(format_).about == "score":
        return 1
    return rng.randint(2, MOST_CANDIDATES[made_of]) if format_of(format_).about == "ranking" else 2
