"""The tasks that the tiny judge is trained and evaluated on, and their shares in training."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final

from pipeline.judging.judge_config import CandidateKind
from pipeline.lab.tiny_judge.asked_formats import FormatName
from pipeline.lab.tiny_judge.judging_cases import Case, Context, sample_count
from pipeline.lab.tiny_judge.media_cases import media_case
from pipeline.lab.tiny_judge.text_cases import text_case


@dataclass(frozen=True)
class Task:
    """A judging format over one kind of candidates and context."""

    format: FormatName
    made_of: CandidateKind
    about: Context

    @property
    def name(self) -> str:
        """Such as ``pairwise_scores/text/picture``."""
        return f"{self.format}/{self.made_of}/{self.about}"

    def sample(self, rng: random.Random, held_out: bool = False, count: int | None = None) -> Case:
        """Sample a case of this task.

        Args:
            rng: Source of every choice.
            held_out: Whether what is shown comes from the held-out split.
            count: Number of candidates; sampled from those that the format takes if None.
        """
        count = count or sample_count(rng, self.format, self.made_of)
        if self.made_of == "text":
            return text_case(rng, self.format, self.about, count, held_out)
        return media_case(rng, self.format, self.made_of, count, held_out)


_FORMATS: Final[dict[FormatName, dict[CandidateKind, float]]] = {
    "pairwise_scores": {"text": 0.34, "image": 0.09, "edit": 0.08, "video": 0.07},
    "pairwise_options": {"text": 0.09, "image": 0.035, "edit": 0.025, "video": 0.02},
    "single_score": {"text": 0.06, "image": 0.03, "edit": 0.015, "video": 0.015},
    "batch_ranking": {"text": 0.11, "image": 0.03, "edit": 0.02, "video": 0.02},
}
_CONTEXTS: Final[dict[Context, float]] = {
    "picture": 0.36,
    "pictures": 0.18,
    "words": 0.12,
    "turns": 0.12,
    "clip": 0.22,
}
_PROMPT: Final[dict[Context, float]] = {"prompt": 1.0}

WEIGHTS_OF_TASKS: Final[dict[Task, float]] = {
    Task(format_, made_of, about): weight * share
    for format_, kinds in _FORMATS.items()
    for made_of, weight in kinds.items()
    for about, share in (_CONTEXTS if made_of == "text" else _PROMPT).items()
}
"""How often training samples each task."""

REWARD_CONTEXTS: Final[dict[Context, float]] = {
    "picture": 0.46,
    "pictures": 0.14,
    "words": 0.12,
    "turns": 0.13,
    "clip": 0.15,
}
"""What the tiny reward judge is trained on questions about, and how often."""

TASKS: Final = tuple(WEIGHTS_OF_TASKS)


def named(name: str) -> list[Task]:
    """Tasks by name: ``pairwise_scores/text`` for every context, or with one at the end.

    Raises:
        ValueError: No task has this name.
    """
    found = [task for task in TASKS if task.name == name or task.name.startswith(f"{name}/")]
    if not found:
        known = ", ".join(task.name for task in TASKS)
        raise ValueError(f"unknown task {name!r}; expected one of {known}")
    return found
