"""Cases whose candidates are pictures made for a prompt, edits of a picture, or clips."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Final, TypeVar

from pipeline.judging.judge_config import CandidateKind
from pipeline.lab.tiny_judge.asked_formats import FormatName
from pipeline.lab.tiny_judge.judging_cases import (
    Candidate,
    Case,
    Shown,
    in_words,
    sample_grades,
)
from pipeline.lab.tiny_judge.motions import DIRECTIONS, Motion, sample_motion
from pipeline.lab.tiny_judge.scene_questions import Grade
from pipeline.lab.tiny_judge.scene_wordings import INSTRUCTIONS, PROMPTS
from pipeline.lab.tiny_judge.scenes import COLOURS, SHAPES, Scene, Thing, sample_scene

_TRIES: Final = 60  # to find a candidate of the wanted split and grade before a new prompt
_YES: Final[dict[Grade, str]] = {"right": "yes", "partly": "half", "wrong": "no"}

Sampled = TypeVar("Sampled", Scene, Motion)
Made = tuple[str, str, tuple[Shown, ...], str, list[Candidate]]
"""Kind, text of the prompt, context, lead of the reply, and candidates."""


def media_case(
    rng: random.Random,
    format_: FormatName,
    made_of: CandidateKind,
    count: int = 2,
    held_out: bool = False,
) -> Case:
    """Sample a case.

    Args:
        rng: Source of every choice.
        format_: What the judge is asked for.
        made_of: Pictures, edits or clips.
        count: Number of candidates.
        held_out: Whether all that is shown comes from the held-out split.
    """
    made = None
    while made is None:
        made = _MAKE[made_of](rng, format_, count, held_out)
    kind, text, context, lead, candidates = made
    return Case(
        format=format_,
        made_of=made_of,
        about="prompt",
        kind=kind,
        turns=(("user", text),),
        context=context,
        lead=lead,
        candidates=tuple(candidates),
    )


def _pictures(rng: random.Random, format_: FormatName, count: int, held_out: bool) -> Made | None:
    kind = rng.choice(("object", "two", "place"))
    wanted = _wanted_things(rng, kind)
    names = {"a": wanted[0].name, "b": wanted[-1].name, "place": wanted[0].place}
    candidates = []
    for grade in sample_grades(rng, format_, count, graded=True):
        scene = _first(partial(_made, rng, kind, wanted, grade), held_out)
        if scene is None:
            return None
        seen = ", ".join(
            f"a {thing.name} at {thing.place}: {_YES[_grade_of(thing, kind, wanted)]}"
            for thing in scene.things
        )
        verdict = f"shows {seen}, which is {in_words(grade)}"
        candidates.append(Candidate(grade=grade, verdict=verdict, shown=scene))
    return kind, rng.choice(PROMPTS[kind]).format(**names), (), "", candidates


def _wanted_things(rng: random.Random, kind: str) -> tuple[Thing, ...]:
    while True:
        things = sample_scene(rng, 2 if kind == "two" else 1).things
        if len({thing.name for thing in things}) == len(things):
            return tuple(rng.sample(things, len(things)))


def _made(rng: random.Random, kind: str, wanted: Sequence[Thing], grade: Grade) -> Scene | None:
    """A picture of the grade for what was wanted; None if the sample has another grade."""
    cells = rng.sample(range(9), len(wanted))
    if kind == "two":
        kept = {"right": 2, "partly": 1, "wrong": 0}[grade]
        names = [(t.colour, t.shape) for t in rng.sample(wanted, kept)]
        names += [(rng.choice(COLOURS), rng.choice(SHAPES)) for _ in range(2 - kept)]
    else:
        thing, keep = wanted[0], rng.randrange(2)
        colour = rng.choice([c for c in COLOURS if c != thing.colour])
        shape = rng.choice([s for s in SHAPES if s != thing.shape])
        first = grade == "right" or (grade == "partly" and keep == 0)
        second = grade == "right" or (grade == "partly" and keep == 1)
        if kind == "object":
            names = [(thing.colour if first else colour, thing.shape if second else shape)]
        else:
            other = rng.choice([(colour, thing.shape), (thing.colour, shape), (colour, shape)])
            names = [(thing.colour, thing.shape) if first else other]
            cells = [thing.cell if second else rng.choice([c for c in range(9) if c != thing.cell])]
    scene = Scene(tuple(Thing(cell, *name) for cell, name in zip(cells, names, strict=True)))
    hits = [_grade_of(thing, kind, wanted) for thing in scene.things]
    if kind == "two" and len({thing.name for thing in scene.things}) == 1:
        return None
    return scene if _all_of(hits) == grade else None


def _grade_of(thing: Thing, kind: str, wanted: Sequence[Thing]) -> Grade:
    """How far a thing that is shown is a wanted one."""
    if kind == "two":
        return "right" if thing.name in {w.name for w in wanted} else "wrong"
    want = wanted[0]
    if kind == "object":
        hits = (thing.colour == want.colour) + (thing.shape == want.shape)
    else:
        hits = (thing.name == want.name) + (thing.cell == want.cell)
    grades: tuple[Grade, ...] = ("wrong", "partly", "right")
    return grades[hits]


def _all_of(grades: Sequence[Grade]) -> Grade:
    return grades[0] if len(set(grades)) == 1 else "partly"


def _edits(rng: random.Random, format_: FormatName, count: int, held_out: bool) -> Made | None:
    kind = rng.choice(("recolour", "reshape", "remove"))
    source = sample_scene(rng, 2 if kind == "remove" else rng.randint(1, 2))
    names = {thing.name for thing in source.things}
    if source.held_out != held_out or len(names) < len(source.things):
        return None
    target = rng.choice(source.things)
    others = [thing for thing in source.things if thing is not target]
    colour = rng.choice([c for c in COLOURS if c != target.colour])
    shape = rng.choice([s for s in SHAPES if s != target.shape])
    result = {
        "recolour": replace(target, colour=colour),
        "reshape": replace(target, shape=shape),
        "remove": None,
    }[kind]
    wanted = {target.cell: result} | {thing.cell: thing for thing in others}
    text = rng.choice(INSTRUCTIONS[kind]).format(a=target.name, colour=colour, shape=shape)
    lead = f"The source shows {source.describe()}. It should show {_by_place(wanted)}."
    candidates = []
    for grade in sample_grades(rng, format_, count, graded=bool(others)):
        edited = _first(partial(_edited, rng, kind, target, wanted, grade), held_out)
        if edited is None:
            return None
        found = {thing.cell: thing for thing in edited.things}
        seen = _by_place({c: found.get(c) for c in wanted}, wanted)
        verdict = f"shows {seen}, which is {in_words(grade)}"
        candidates.append(Candidate(grade=grade, verdict=verdict, shown=edited))
    return kind, text, (source,), lead, candidates


def _edited(
    rng: random.Random, kind: str, target: Thing, wanted: dict[int, Thing | None], grade: Grade
) -> Scene | None:
    """An edit of the grade; None if the sample has another grade.

    Partly right is an edit that does what was asked and changes something else as well.
    """
    found = dict(wanted)
    if grade == "wrong":
        changed = _altered(rng, target)
        # Half of the wrong edits leave the target as it was.
        found[target.cell] = target if rng.random() < 0.5 or kind == "remove" else changed
    others = [cell for cell in wanted if cell != target.cell]
    if others and (grade == "partly" or (grade == "wrong" and rng.random() < 0.4)):
        other = wanted[others[0]]
        assert other is not None
        found[others[0]] = _altered(rng, other)
    if grade == "wrong" and found[target.cell] == wanted[target.cell]:
        return None
    return Scene(tuple(thing for thing in found.values() if thing is not None))


def _altered(rng: random.Random, thing: Thing) -> Thing:
    if rng.random() < 0.5:
        return replace(thing, colour=rng.choice([c for c in COLOURS if c != thing.colour]))
    return replace(thing, shape=rng.choice([s for s in SHAPES if s != thing.shape]))


def _by_place(
    things: dict[int, Thing | None], wanted: dict[int, Thing | None] | None = None
) -> str:
    """The thing at each place, in the order of the keys; with ``wanted``, also if it is right."""
    parts = []
    for cell, thing in things.items():
        place = Thing(cell, "", "").place
        name = "nothing" if thing is None else f"a {thing.name}"
        mark = "" if wanted is None else ": yes" if wanted[cell] == thing else ": no"
        parts.append(f"at {place} {name}{mark}")
    return ", ".join(parts)


def _clips(rng: random.Random, format_: FormatName, count: int, held_out: bool) -> Made | None:
    wanted = sample_motion(rng, still=0)
    thing, way = wanted.mover, wanted.direction
    candidates = []
    for grade in sample_grades(rng, format_, count, graded=True):
        motion = _first(partial(_filmed, rng, wanted, grade), held_out)
        if motion is None:
            return None
        verdict = (
            f"shows {motion.describe()}. The {motion.mover.name} moves {motion.direction}, "
            f"which is {in_words(grade)}"
        )
        candidates.append(Candidate(grade=grade, verdict=verdict, shown=motion))
    text = rng.choice(PROMPTS["motion"]).format(a=thing.name, way=way)
    return "motion", text, (), "", candidates


def _filmed(rng: random.Random, wanted: Motion, grade: Grade) -> Motion:
    """A clip of the grade: the wanted thing, its direction, both or neither."""
    thing, keep = wanted.mover, rng.randrange(2)
    name, way = (thing.colour, thing.shape), wanted.direction
    if grade == "wrong" or (grade == "partly" and keep == 0):
        way = rng.choice([w for w in DIRECTIONS if w != way])
    if grade == "wrong" or (grade == "partly" and keep == 1):
        altered = _altered(rng, thing)
        name = (altered.colour, altered.shape)
    return sample_motion(rng, still=int(rng.random() < 0.3), name=name, way=way)


def _first(sample: Callable[[], Sampled | None], held_out: bool) -> Sampled | None:
    """The first sample of the wanted split; None after ``_TRIES`` others."""
    for _ in range(_TRIES):
        shown = sample()
        if shown is not None and shown.held_out == held_out:
            return shown
    return None


_MAKE: Final[dict[CandidateKind, Callable[[random.Random, FormatName, int, bool], Made | None]]] = {
    "image": _pictures,
    "edit": _edits,
    "video": _clips,
}
