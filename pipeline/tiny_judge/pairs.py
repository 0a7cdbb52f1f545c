"""Pairs of answers about a scene, with known scores, and the reply a perfect judge gives."""

import random
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from pipeline.tiny_judge.questions import Grade, Kind, Question, Value, sample_question
from pipeline.tiny_judge.scenes import Scene

Gold: TypeAlias = Literal["a", "b", "tie"]
Order: TypeAlias = Literal["ab", "ba"]

SCORES: Final[dict[Grade, int]] = {"right": 9, "partly": 5, "wrong": 2}
"""The score a perfect judge gives to each grade, on the scale of 1 to 10."""

SOURCE: Final = "tiny-judge-scenes"

_GRADES_OF_ONE: Final[dict[tuple[Grade, Grade], float]] = {
    ("right", "wrong"): 0.76,
    ("right", "right"): 0.12,
    ("wrong", "wrong"): 0.12,
}
_GRADES_OF_TWO: Final[dict[tuple[Grade, Grade], float]] = {
    ("right", "partly"): 0.26,
    ("partly", "wrong"): 0.26,
    ("right", "wrong"): 0.20,
    ("right", "right"): 0.09,
    ("partly", "partly"): 0.10,
    ("wrong", "wrong"): 0.09,
}


@dataclass(frozen=True)
class ScenePair:
    """Two answers to a question about a scene.

    Attributes:
        asked: The question with its scene and its truth.
        value_a: What answer a claims.
        value_b: What answer b claims.
        answer_a: Answer a as worded.
        answer_b: Answer b as worded.
    """

    asked: Question
    value_a: Value
    value_b: Value
    answer_a: str
    answer_b: str

    @property
    def scene(self) -> Scene:
        """The scene that the picture shows."""
        return self.asked.scene

    @property
    def kind(self) -> Kind:
        """What the question asks for."""
        return self.asked.kind

    @property
    def question(self) -> str:
        """The question as asked."""
        return self.asked.text

    @property
    def grades(self) -> tuple[Grade, Grade]:
        """Grades of answers a and b."""
        return self.asked.grade(self.value_a), self.asked.grade(self.value_b)

    @property
    def score_a(self) -> int:
        """Score of answer a, 1 to 10."""
        return SCORES[self.grades[0]]

    @property
    def score_b(self) -> int:
        """Score of answer b, 1 to 10."""
        return SCORES[self.grades[1]]

    @property
    def gold(self) -> Gold:
        """The better answer."""
        return _compare(self.score_a, self.score_b)

    def answers(self, order: Order) -> tuple[str, str]:
        """The two answers as shown in an order: first and second."""
        shown = (self.answer_a, self.answer_b)
        return shown if order == "ab" else (shown[1], shown[0])


def sample_pair(rng: random.Random, held_out: bool = False, kind: Kind | None = None) -> ScenePair:
    """Draw a pair whose wording carries no information about which answer is right.

    Args:
        rng: Source of every choice.
        held_out: Whether the scene comes from the held-out split.
        kind: The kind of question; drawn by weight if None.
    """
    asked = sample_question(rng, held_out, kind)
    weights = _GRADES_OF_TWO if asked.kind == "description" else _GRADES_OF_ONE
    grades = list(rng.choices(list(weights), list(weights.values()))[0])
    rng.shuffle(grades)
    value_a, value_b = (asked.draw(rng, grade) for grade in grades)
    # Two different phrasings, whatever is claimed: equal claims are still two texts.
    wording_a, wording_b = rng.sample(range(asked.phrasings), 2)
    return ScenePair(
        asked, value_a, value_b, asked.say(value_a, wording_a), asked.say(value_b, wording_b)
    )


def reference_reply(pair: ScenePair, order: Order = "ab") -> str:
    """The reply of a perfect judge, without the end-of-turn token.

    The picture is described before any verdict: trained without that description, a model of
    this size stays at chance.

    Args:
        pair: The pair to judge.
        order: ``ab`` shows answer a first, ``ba`` shows it second.
    """
    values = (pair.value_a, pair.value_b) if order == "ab" else (pair.value_b, pair.value_a)
    grades = [pair.asked.grade(value) for value in values]
    verdicts = " ".join(
        f"Assistant {number} says {' '.join(value)}, which is {_in_words(grade)}."
        for number, value, grade in zip((1, 2), values, grades, strict=True)
    )
    first, second = (SCORES[grade] for grade in grades)
    return (
        f"<think>\nThe picture shows {pair.scene.describe()}.{pair.asked.evidence} "
        f"The answer is {' '.join(pair.asked.truth)}. {verdicts}\n</think>\n\n"
        f"<answer>{first}</answer><answer>{second}</answer>"
    )


def pair_row(pair: ScenePair, pair_id: str, image_bytes: bytes) -> dict[str, Any]:
    """The pair as a row of the pairs contract.

    Args:
        pair: The pair.
        pair_id: Identifier of the row.
        image_bytes: The encoded picture.
    """
    return {
        "pair_id": pair_id,
        "prompt": pair.question,
        "images": [{"bytes": image_bytes, "path": None}],
        "response_a": _response(pair.answer_a),
        "response_b": _response(pair.answer_b),
        "gold": pair.gold,
        "source": SOURCE,
    }


def _response(text: str) -> dict[str, Any]:
    return {"text": text, "images": [], "videos": [], "model": None}


def _compare(score_a: int, score_b: int) -> Gold:
    return "tie" if score_a == score_b else "a" if score_a > score_b else "b"


def _in_words(grade: Grade) -> str:
    return "partly right" if grade == "partly" else grade
