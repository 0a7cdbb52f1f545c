"""Questions about scenes, their right answers, and wrong or partly right ones.

Wrong answers are sampled so that text alone does not show which answer is right: all values of an
attribute are equally likely, hence P(truth x, wrong y) = P(truth y, wrong x).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from pipeline.lab.tiny_judge.scene_wordings import ANSWERS, QUESTIONS
from pipeline.lab.tiny_judge.scenes import COLOURS, SHAPES, Scene, Thing, sample_scene

SceneKind: TypeAlias = Literal["colour", "shape", "count", "relation", "description"]
Kind: TypeAlias = SceneKind | Literal["direction", "mover", "list"]
Grade: TypeAlias = Literal["right", "partly", "wrong"]
Value: TypeAlias = tuple[str, ...]
"""An answer as attributes: ``("red",)``, or ``("red", "circle")`` for a description."""

KIND_WEIGHTS: Final[dict[SceneKind, float]] = {
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

_DOMAINS: Final[dict[SceneKind, tuple[tuple[str, ...], ...]]] = {
    "colour": (COLOURS,),
    "shape": (SHAPES,),
    "count": (NUMBERS,),
    "relation": (("left", "right"),),
    "description": (COLOURS, SHAPES),
}


@dataclass(frozen=True, kw_only=True)
class Question:
    """A question with one right answer.

    Attributes:
        kind: What it asks for.
        text: The question as asked.
        seen: What there is to see, in words.
        evidence: Sentences that lead from what is seen to the answer; may be empty.
        truth: The right answer.
        domains: The values that each attribute of an answer can have.
        near: Answers about other things that can be seen.
        names: What the wordings of answers may mention.
    """

    kind: Kind
    text: str
    seen: str
    evidence: str
    truth: Value
    domains: tuple[tuple[str, ...], ...]
    near: tuple[Value, ...]
    names: dict[str, str]

    def grade(self, value: Value) -> Grade:
        """Grade an answer: right, partly right (one attribute of two) or wrong."""
        hits = sum(x == y for x, y in zip(value, self.truth, strict=True))
        return "right" if hits == len(self.truth) else "partly" if hits else "wrong"

    def answer_text(self, value: Value, phrasing: int) -> str:
        """Word an answer in one of the phrasings, 0 to ``phrasings - 1``."""
        words = " ".join(value)
        template = ANSWERS[self.kind][phrasing]
        return template.format(x=words, X=words.capitalize(), **self.names)

    @property
    def phrasings(self) -> int:
        """Number of ways to word an answer."""
        return len(ANSWERS[self.kind])

    def sample_answer(self, rng: random.Random, grade: Grade) -> Value:
        """Draw an answer of the given grade.

        Args:
            rng: Source of every choice.
            grade: ``partly`` needs a question with two attributes.
        """
        if grade == "right":
            return self.truth
        if grade == "partly":
            kept = rng.randrange(2)
            wrong = self.sample_answer(rng, "wrong")
            return (self.truth[0], wrong[1]) if kept == 0 else (wrong[0], self.truth[1])
        near = [v for v in self.near if self.grade(v) == "wrong"]
        if near and rng.random() < _DISTRACTOR_SHARE:
            return rng.choice(near)
        return tuple(
            rng.choice([v for v in values if v != true])
            for values, true in zip(self.domains, self.truth, strict=True)
        )


def sample_scene_of_split(rng: random.Random, held_out: bool, least: int = 1) -> Scene:
    """Sample a scene of the split, of ``least`` to three things, each count equally likely."""
    count = rng.randint(least, 3)
    while True:
        scene = sample_scene(rng, count)
        if scene.held_out == held_out:
            return scene


def sample_question(
    rng: random.Random, held_out: bool, kind: SceneKind | None = None
) -> tuple[Scene, Question]:
    """Sample a scene of the wanted split and a question that it answers unambiguously.

    Args:
        rng: Source of every choice.
        held_out: Which split of the scenes to sample from.
        kind: The kind of question; sampled by ``KIND_WEIGHTS`` if None.
    """
    kind = kind or sample_kind(rng)
    # The count is fixed before scenes are rejected, so that counts stay uniform.
    count = rng.randint(2 if kind == "relation" else 1, 3)
    while True:
        scene = sample_scene(rng, count)
        if scene.held_out == held_out and (question := ask(rng, scene, kind)) is not None:
            return scene, question


def sample_kind(rng: random.Random) -> SceneKind:
    """Sample a kind of question by ``KIND_WEIGHTS``."""
    return rng.choices(list(KIND_WEIGHTS), list(KIND_WEIGHTS.values()))[0]


def ask(rng: random.Random, scene: Scene, kind: SceneKind) -> Question | None:
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
        base = rng.choice(others) if others else target
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
    return Question(
        kind=kind,
        text=rng.choice(QUESTIONS[kind]).format(**names),
        seen=scene.describe(),
        evidence=evidence,
        truth=truth,
        domains=_DOMAINS[kind],
        near=_values(scene.things, kind),
        names=names,
    )


def _values(things: Sequence[Thing], kind: SceneKind) -> tuple[Value, ...]:
    if kind == "colour":
        return tuple((thing.colour,) for thing in things)
    if kind == "shape":
        return tuple((thing.shape,) for thing in things)
    return tuple((t.colour, t.shape) for t in things) if kind == "description" else ()


def _is_extreme(target: Thing, others: list[Thing], side: str) -> bool:
    if side == "left-most":
        return all(target.column < thing.column for thing in others)
    if side == "right-most":
        return all(target.column > thing.column for thing in others)
    if side == "highest":
        return all(target.row < thing.row for thing in others)
    return all(target.row > thing.row for thing in others)
