"""The forms in which a column mapping says where a foreign table holds something."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

Gold = Literal["a", "b", "tie"]


class Spec(BaseModel):
    """Base of every form: immutable, unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    def paths(self) -> list[str]:
        """The foreign columns or paths that are read; none for a constant."""
        return []


class Column(Spec):
    """Read from ``column``: a column name, or a path such as ``answers[0].text``."""

    column: str = Field(min_length=1)

    def paths(self) -> list[str]:
        return [self.column]


class Const(Spec):
    """The same text in every row; ``{const: null}`` leaves the column empty."""

    const: str | None


def _as_column(spec: object) -> object:
    return {"column": spec} if isinstance(spec, str) else spec


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _as_listed(spec: object) -> object:
    return {"listed": spec} if isinstance(spec, list) else _as_column(spec)


def _coded(values: object) -> object:
    """Codes as the text that the column's values are cast to: YAML has ints and booleans too."""
    if not isinstance(values, Mapping):
        return values
    return {
        str(code).lower() if isinstance(code, bool) else str(code): gold
        for code, gold in values.items()
    }


# A plain string is short for {column: …}.
ColumnOnly = Annotated[Column, BeforeValidator(_as_column)]
Source = Annotated[Column | Const, BeforeValidator(_as_column)]


class Coded(Column):
    """Gold under another coding: ``values`` says what each stored value means.

    Strings, integers and booleans can be coded; ``null`` means that no human has judged. A value
    that is not listed makes its row a bad row.
    """

    values: Annotated[dict[str, Gold | None], BeforeValidator(_coded)]


class Ranking(Spec):
    """Gold from a list of two ranks, the lower the better; equal ranks are a tie."""

    ranking: str = Field(min_length=1)

    def paths(self) -> list[str]:
        return [self.ranking]


class GoldConst(Spec):
    """The same gold in every row, for sets that always put the preferred response first."""

    const: Gold | None


GoldSource = Annotated[Coded | Ranking | Column | GoldConst, BeforeValidator(_as_column)]


class Response(Spec):
    """Where the parts of a candidate are; a part that is not named is null."""

    text: Source | None = None
    images: ColumnOnly | None = None
    videos: ColumnOnly | None = None
    model: Source | None = None

    @model_validator(mode="after")
    def _some_content(self) -> Self:
        if self.text is None and self.images is None and self.videos is None:
            raise ValueError("a response needs a text, images or videos")
        return self

    def paths(self) -> list[str]:
        parts = (self.text, self.images, self.videos, self.model)
        return [path for part in parts if part is not None for path in part.paths()]


def _as_response(spec: object) -> object:
    is_text = isinstance(spec, str | Column | Const) or (
        isinstance(spec, Mapping) and bool(spec.keys() & {"column", "const"})
    )
    return {"text": spec} if is_text else spec


# A plain source is short for {text: …}.
ResponseSource = Annotated[Response, BeforeValidator(_as_response)]


class Each(Response):
    """A list of candidates: the parts of each, by paths within the items of the list ``each``."""

    each: str = Field(min_length=1)

    def paths(self) -> list[str]:
        return [self.each]


class Listed(Spec):
    """A list of candidates, each from sources of its own."""

    listed: list[ResponseSource] = Field(min_length=1)

    def paths(self) -> list[str]:
        return [path for source in self.listed for path in source.paths()]


class EachScore(Spec):
    """A score for each candidate: the number at ``score`` within the items of ``each``.

    Several paths are averaged. Numbers may be stored as text; other text is no score.
    """

    each: str = Field(min_length=1)
    score: Annotated[list[str], BeforeValidator(_as_list)] = Field(min_length=1)

    def paths(self) -> list[str]:
        return [self.each]


class ListedScores(Spec):
    """A score for each candidate, each from a column of its own."""

    listed: list[ColumnOnly] = Field(min_length=1)

    def paths(self) -> list[str]:
        return [path for source in self.listed for path in source.paths()]


# A plain list is short for {listed: …}.
CandidatesSource = Annotated[Each | Listed | Column, BeforeValidator(_as_listed)]
ScoresSource = Annotated[EachScore | ListedScores | Column, BeforeValidator(_as_listed)]


class Fields(Spec):
    """Metadata put together from several sources, each under a key."""

    fields: dict[str, Source] = Field(min_length=1)

    def paths(self) -> list[str]:
        return [path for source in self.fields.values() for path in source.paths()]


MetadataSource = Annotated[Fields | Column, BeforeValidator(_as_column)]
