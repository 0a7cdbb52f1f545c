"""Cases whose candidates are texts: answers about a picture, several, words, or a clip."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

from pipeline.lab.tiny_judge.asked_formats import FormatName
from pipeline.lab.tiny_judge.judging_cases import (
    Candidate,
    Case,
    Context,
    Shown,
    in_words,
    sample_grades,
)
from pipeline.lab.tiny_judge.motions import DIRECTIONS, sample_motion
from pipeline.lab.tiny_judge.scene_questions import (
    NUMBERS,
    Kind,
    Question,
    SceneKind,
    ask,
    sample_kind,
    sample_question,
    sample_scene_of_split,
)
from pipeline.lab.tiny_judge.scene_wordings import (
    BRIEFLY,
    IN_WORDS,
    OF_ONE_PICTURE,
    ORDINALS,
    QUESTIONS,
)
from pipeline.lab.tiny_judge.scenes import COLOURS, SHAPES, is_held_out

_TURNS_WITH_PICTURE: Final = 0.7
_LISTS: Final = 0.25  # of the questions without a picture
_LONGEST_LIST: Final = 3

Asked = tuple[Question, tuple[tuple[str, str], ...], tuple[Shown, ...], str]
"""A question, the conversation that asks it, its pictures and clips, and how the reply's
description of them begins."""


def text_case(
    rng: random.Random,
    format_: FormatName,
    about: Context,
    count: int = 2,
    held_out: bool = False,
    kind: SceneKind | None = None,
) -> Case:
    """Sample a case whose wording carries no information about which answer is right.

    Args:
        rng: Source of every choice.
        format_: What the judge is asked for.
        about: What the question is about.
        count: Number of candidates.
        held_out: Whether what is shown comes from the held-out split.
        kind: The kind of question about a single picture; sampled by weight if None.
    """
    if about == "picture":
        scene, question = sample_question(rng, held_out, kind)
        asked: Asked = (question, (("user", question.text),), (scene,), "The picture shows")
    else:
        asked = _ASKED[about](rng, held_out)
    question, turns, context, lead = asked
    grades = sample_grades(rng, format_, count, graded=len(question.truth) == 2)
    # Different phrasings, so that equal answers are still different texts.
    phrasings = rng.sample(range(question.phrasings), len(grades))
    candidates = []
    for grade, phrasing in zip(grades, phrasings, strict=True):
        value = question.sample_answer(rng, grade)
        verdict = f"says {' '.join(value)}, which is {in_words(grade)}"
        text = question.answer_text(value, phrasing)
        candidates.append(Candidate(grade=grade, verdict=verdict, text=text))
    truth = " ".join(question.truth)
    return Case(
        format=format_,
        made_of="text",
        about=about,
        kind=question.kind,
        turns=turns,
        context=context,
        lead=f"{lead} {question.seen}.{question.evidence} The answer is {truth}.",
        candidates=tuple(candidates),
    )


def _of_pictures(rng: random.Random, held_out: bool) -> Asked:
    """A question about one of two or three pictures."""
    scene, question = sample_question(rng, held_out)
    others = [sample_scene_of_split(rng, held_out) for _ in range(rng.randint(1, 2))]
    place = rng.randint(0, len(others))
    scenes = (*others[:place], scene, *others[place:])
    ordinal = ORDINALS[place]
    text = rng.choice(OF_ONE_PICTURE).format(ordinal=ordinal, question=question.text)
    return question, (("user", text),), scenes, f"The {ordinal} picture shows"


def _of_words(rng: random.Random, held_out: bool) -> Asked:
    """A question whose text describes all that it asks about."""
    if rng.random() < _LISTS:
        question = _ask_lists(rng, held_out)
        return question, (("user", question.text),), (), "There are"
    _, question = sample_question(rng, held_out)
    text = rng.choice(IN_WORDS).format(seen=question.seen, question=question.text)
    return question, (("user", text),), (), "The text says"


def _of_turns(rng: random.Random, held_out: bool) -> Asked:
    """The second question of a conversation, about a picture or words in the first turn."""
    scene, question = sample_question(rng, held_out)
    kinds: set[Kind] = {question.kind}
    earlier = None
    while earlier is None:
        kind = sample_kind(rng)
        earlier = ask(rng, scene, kind) if kind not in kinds else None
    answer = earlier.answer_text(earlier.truth, rng.randrange(earlier.phrasings))
    pictured = rng.random() < _TURNS_WITH_PICTURE
    first = earlier.text
    if not pictured:
        first = rng.choice(IN_WORDS).format(seen=question.seen, question=first)
    start = [("system", rng.choice(BRIEFLY))] if rng.random() < 1 / 3 else []
    turns = (*start, ("user", first), ("assistant", answer), ("user", question.text))
    context, lead = ((scene,), "The picture shows") if pictured else ((), "The text says")
    return question, turns, context, lead


def _of_clip(rng: random.Random, held_out: bool) -> Asked:
    """A question about a motion."""
    while True:
        motion = sample_motion(rng, still=rng.randint(0, 1))
        if motion.held_out == held_out:
            break
    kind: Kind = rng.choice(("direction", "mover"))
    names = {"name": motion.mover.name}
    path = f" The {motion.mover.name} goes from {motion.mover.place} to {motion.goal.place}."
    direction = kind == "direction"
    question = Question(
        kind=kind,
        text=rng.choice(QUESTIONS[kind]).format(**names),
        seen=motion.describe(),
        evidence=path,
        truth=(motion.direction,) if direction else (motion.mover.colour, motion.mover.shape),
        domains=(tuple(DIRECTIONS),) if direction else (COLOURS, SHAPES),
        near=() if direction else tuple((t.colour, t.shape) for t in motion.still),
        names=names,
    )
    return question, (("user", question.text),), (motion,), "The video shows"


def _ask_lists(rng: random.Random, held_out: bool) -> Question:
    while True:
        lengths = rng.sample(range(1, _LONGEST_LIST + 1), 2)
        first, second = (", ".join(rng.sample(COLOURS, length)) for length in lengths)
        if is_held_out(f"{first};{second}") == held_out:
            break
    counts = [NUMBERS[length - 1] for length in lengths]
    return Question(
        kind="list",
        text=rng.choice(QUESTIONS["list"]).format(first=first, second=second),
        seen=f"{counts[0]} in the first list, {counts[1]} in the second",
        evidence="",
        truth=("first" if lengths[0] > lengths[1] else "second",),
        domains=(("first", "second"),),
        near=(),
        names={},
    )


_ASKED: Final[dict[Context, Callable[[random.Random, bool], Asked]]] = {
    "pictures": _of_pictures,
    "words": _of_words,
    "turns": _of_turns,
    "clip": _of_clip,
}
