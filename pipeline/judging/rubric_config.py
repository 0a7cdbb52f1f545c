"""The settings under ``judge.rubric``: what a judge is asked to score, and how much each counts."""

from __future__ import annotations

import json
from typing import Literal, Self

from pydantic import Field, model_validator

from pipeline.judging.reply_grammar import OVERALL, normal
from pipeline.runtime.config_file import Frozen
from pipeline.runtime.digest import digest


class CriterionConfig(Frozen):
    """One criterion."""

    name: str = Field(pattern=r"^[^{}\[\]\n.]{1,80}$")
    """Its name, as the judge writes it; without braces, brackets and dots."""
    text: str
    """What the judge is to look at."""
    levels: dict[str, str] = Field(default_factory=dict)
    """What scores mean, by score."""
    weight: float = Field(default=1.0, gt=0)
    """How much its scores count beside the others'. Weights are policy: they change no vote."""


class RubricConfig(Frozen):
    """The criteria that every candidate is scored by."""

    criteria: tuple[CriterionConfig, ...] = Field(min_length=1)
    """The criteria, in the order asked."""
    overall: Literal["weighted", "asked"] = "weighted"
    """What decides: the ``weighted`` mean of the criteria's scores, or a score for all together
    that the judge is ``asked`` for beside them.
    """

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        names = [normal(each.name, loose=True) for each in self.criteria]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"criteria: equal names {twice}; rename one")
        if normal(OVERALL, loose=True) in names:
            raise ValueError(f"criteria: {OVERALL!r} is the name of the score for all together")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """What the judge gives scores for."""
        names = tuple(each.name for each in self.criteria)
        return (*names, OVERALL) if self.overall == "asked" else names

    @property
    def weights(self) -> dict[str, float]:
        """How much each criterion counts; empty where a score for all together decides."""
        if self.overall == "asked":
            return {}
        return {each.name: each.weight for each in self.criteria}

    @property
    def text(self) -> str:
        """The criteria as a prompt shows them."""
        lines = []
        for each in self.criteria:
            lines.append(f"* {each.name}: {each.text}")
            lines += [f"    {level}: {meaning}" for level, meaning in each.levels.items()]
        if self.overall == "asked":
            lines.append(f"* {OVERALL}: all of these together")
        return "\n".join(lines)

    @property
    def identity(self) -> str:
        """Digest of everything that can change a vote: all but the weights."""
        asked = self.model_dump(mode="json", exclude={"criteria": {"__all__": {"weight"}}})
        return digest(json.dumps(asked, sort_keys=True))
