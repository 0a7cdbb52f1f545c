"""The settings under ``judge.rubric``: what a judge is asked to score, and how much each counts."""

from __future__ import annotations

import json
import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from pipeline.judging.reply_grammar import OVERALL, normal
from pipeline.runtime.config_file import Frozen
from pipeline.runtime.digest import digest

_NAME = re.compile(r"[^{}\[\].\x00-\x1f]{1,80}")


def _name(stated: str) -> str:
    if not _NAME.fullmatch(stated) or stated != stated.strip():
        raise ValueError(
            f"got {stated!r}, expected 1 to 80 characters without braces, brackets, dots, line "
            "breaks, and spaces around them"
        )
    return stated


def _levels(stated: object) -> object:
    """YAML reads ``{1: bad}`` with a number as its key."""
    numbers = isinstance(stated, dict) and all(type(key) in (int, float, str) for key in stated)
    return {f"{key}": text for key, text in stated.items()} if numbers else stated  # type: ignore[attr-defined]


class CriterionConfig(Frozen):
    """One criterion."""

    name: Annotated[str, AfterValidator(_name)]
    """Its name, as the judge writes it, of at most 80 characters; without braces, brackets, dots
    and line breaks.
    """
    text: str
    """What the judge is to look at."""
    levels: Annotated[dict[str, str], BeforeValidator(_levels)] = Field(default_factory=dict)
    """What scores mean, by score."""
    weight: float = Field(default=1.0, gt=0)
    """How much its scores count beside the others'. Weights are policy: they change no vote."""


class RubricConfig(Frozen):
    """The criteria that every candidate is scored by."""

    criteria: tuple[CriterionConfig, ...] = ()
    """The criteria, in the order asked; of rows without a rubric of their own, if `metadata` says
    where rows have one.
    """
    overall: Literal["weighted", "asked"] = "weighted"
    """What decides: the ``weighted`` mean of the criteria's scores, or a score for all together
    that the judge is ``asked`` for beside them.
    """

    metadata: str | None = Field(default=None, min_length=1)
    """The key in a pair's `metadata` under which rows have rubrics of their own: JSON such as
    `{"criteria": [{"name": "Tone", "text": "is kind"}], "overall": "asked"}`, or the list alone. A
    row without one is asked by `criteria`, and quarantined where there are none.
    """

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        if not self.criteria and self.metadata is None:
            raise ValueError("criteria: expected at least one, or `metadata` for those of rows")
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
        if self.metadata is None:
            del asked["metadata"]
        return digest(json.dumps(asked, sort_keys=True))
