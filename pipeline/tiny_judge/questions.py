"""Questions about scenes, their true answers, and wrong or partly right ones.

The wrong answers are drawn so that text alone says nothing about which answer is right: every
draw treats the values of an attribute alike, hence P(truth x, wrong y) = P(truth y, wrong x).
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from pipeline.tiny_judge.scenes import COLOURS, SHAPES, Scene, Thing, sample_scene

Kind: TypeAlias = Literal["colour", "shape", "count", "relation", "description"]
Grade: TypeAlias = Literal["right", "partly", "wrong"]
Value: TypeAlias = tuple[str, ...]
"""An answer as attributes: ``("red",)``, or ``("red", "circle")`` for a description."""

KIND_WEIGHTS: Final[dict[Kind, float]] = {
    "colour": 0.16,
    "shape": 0.22,
    "count": 0.12,
    "relation": 0.28,
    "description": 0.22,
}
NUMBERS: Final = ("one", "two", "three")
SIDES: Final = ("left-most", "right-most", "highest", "lowest")

# Half of the wrong values are those of another thing in the scene: the hard distractors.
_DISTRACTOR_SHARE: Final = 0.5

_QUESTIONS: Final[dict[Kind, tuple[str, ...]]] = {
    "colour": (
        "What colour is the {shape}?",
        "Which colour does the {shape} have?",
        "Tell me the colour of the {shape}.",
    ),
    "shape": (
        "What shape is the {colour} object?",
        "Which shape does the {colour} object have?",
        "Name the shape of the {colour} object.",
    ),
    "count": (
        "How many objects are there?",
        "How many objects are in the picture?",
        "Count the objects.",
    ),
    "relation": (
        "Is the {a} to the left or to the right of the {b}?",
        "On which side of the {b} is the {a}, left or right?",
        "Where is the {a}, seen from the {b}: left or right?",
    ),
    "description": (
        "Describe the {side} object: colour and shape.",
        "What are the colour and the shape of the {side} object?",
        "Which object is the {side} one? Give its colour and shape.",
    ),
}
_ANSWERS: Final[dict[Kind, tuple[str, ...]]] = {
    "colour": (
        "It is {x}.",
        "The {shape} is {x}.",
        "The colour is {x}.",
        "I would say {x}.",
        "{X}.",
    ),
    "shape": (
        "It is a {x}.",
        "The {colour} object is a {x}.",
        "That is a {x}.",
        "I can see a {x}.",
        "A {x}.",
    ),
    "count": (
        "I count {x}.",
        "The number of objects is {x}.",
        "I can see {x} in the picture.",
        "The count is {x}.",
        "{X}.",
    ),
    "relation": (
        "It is on the {x}.",
        "The {a} is to the {x} of the {b}.",
        "To the {x}.",
        "On the {x} side.",
        "{X}.",
    ),
    "description": (
        "It is a {x}.",
        "The {side} object is a {x}.",
        "That is a {x}.",
        "I can see a {x} there.",
        "A {x}.",
    ),
}


@dataclass(frozen=True)
class Question:
    """A question about one scene.

    Attributes:
        scene: The scene it asks about.
        kind: What it asks for.
        text: The question as asked.
        truth: The right answer.
        evidence: Sentences that lead from the description to the answer; may be empty.
        names: What the templates of answers may mention.
    """

    scene: Scene
    kind: Kind
    text: str
    truth: Value
    evidence: str
    names: dict[str, str]

    def grade(self, value: Value) -> Grade:
        """Grade an answer: right, partly right (one attribute of two) or wrong."""
        hits = sum(x == y for x, y in zip(value, self.truth, strict=True))
        return "right" if hits == len(self.truth) else "partly" if hits else "wrong"

    def say(self, value: Value, phrasing: int) -> str:
        """Word an answer in one of the phrasings, 0 to ``phrasings - 1``."""
        said = " ".join(value)
        template = _ANSWERS[self.kind][phrasing]
        return template.format(x=said, X=said.capitalize(), **self.names)

    @property
    def phrasings(self) -> int:
        """Number of ways to word an answer."""
        return len(_ANSWERS[self.kind])

    def draw(self, rng: random.Random, grade: Grade) -> Value:
        """Draw an answer of the given grade.

        Args:
            rng: Source of every choice.
            grade: ``partly`` needs a question with two attributes.
        """
        if grade == "right":
            return self.truth
        if grade == "partly":
            kept = rng.randrange(2)
            wrong = self.draw(rng, "wrong")
            return (self.truth[0], wrong[1]) if kept == 0 else (wrong[0], self.truth[1])
        near = [v for v in self._others() if self.grade(v) == "wrong"]
        if near and rng.random() < _DISTRACTOR_SHARE:
            return rng.choice(near)
        return tuple(
            rng.choice([v for v in values if v != true])
            for values, true in zip(self._domains(), self.truth, strict=True)
        )

    def _domains(self) -> tuple[tuple[str, ...], ...]:
        return {
            "colour": (COLOURS,),
            "shape": (SHAPES,),
            "count": (NUMBERS,),
            "relation": (("left", "right"),),
            "description": (COLOURS, SHAPES),
        }[self.kind]

    def _others(self) -> list[Value]:
        values: dict[Kind, Callable[[Thing], Value]] = {
            "colour": lambda thing: (thing.colour,),
            "shape": lambda thing: (thing.shape,),
            "description": lambda thing: (thing.colour, thing.shape),
        }
        value = values.get(self.kind)
        return [value(thing) for thing in self.scene.things] if value else []


def sample_question(rng: random.Random, held_out: bool, kind: Kind | None = None) -> Question:
    """Draw a scene of the wanted split and a question that it answers unambiguously.

    Args:
        rng: Source of every choice.
        held_out: Which split of the scenes to draw from.
        kind: The kind of question; drawn by ``KIND_WEIGHTS`` if None.
    """
    kind = kind or rng.choices(list(KIND_WEIGHTS), list(KIND_WEIGHTS.values()))[0]
    # The count is fixed before scenes are rejected, so that counts stay uniform.
    count = rng.randint(2 if kind == "relation" else 1, 3)
    while True:
        scene = sample_scene(rng, count)
        if scene.held_out == held_out and (question := _ask(rng, scene, kind)) is not None:
            return question


def _ask(rng: random.Random, scene: Scene, kind: Kind) -> Question | None:
    """Ask a random question of the kind; None if the scene gives no single answer to it."""
    target = rng.choice(scene.things)
    others = [thing for thing in scene.things if thing is not target]
    evidence, names = "", {"shape": target.shape, "colour": target.colour}
    truth: Value
    if kind == "count":
        truth = (NUMBERS[len(scene.things) - 1],)
    elif kind == "colour":
        if any(thing.shape == target.shape for thing in others):
            return None
        truth = (target.colour,)
    elif kind == "shape":
        if any(thing.colour == target.colour for thing in others):
            return None
        truth = (target.shape,)
        # Without this step the model of this size never learns to look a shape up by its colour.
        evidence = f" The {target.name} is at {target.place}."
    elif kind == "relation":
        base = rng.choice(others)
        all_names = [thing.name for thing in scene.things]
        if base.column == target.column or len(set(all_names)) < len(all_names):
            return None
        truth = ("left" if target.column < base.column else "right",)
        evidence = f" The {target.name} is at {target.place}. The {base.name} is at {base.place}."
        names = {"a": target.name, "b": base.name}
    else:
        side = rng.choice(SIDES)
        if not _is_extreme(target, others, side):
            return None
        truth = (target.colour, target.shape)
        names = {"side": side}
    text = rng.choice(_QUESTIONS[kind]).format(**names)
    return Question(scene, kind, text, truth, evidence, names)


def _is_extreme(target: Thing, others: list[Thing], side: str) -> bool:
    if side == "left-most":
        return all(target.column < thing.column for thing in others)
    if side == "right-most":
        return all(target.column > thing.column for thing in others)
    if side == "highest":
        return all(target.row < thing.row for thing in others)
    return all(target.row > thing.row for thing in others)
