"""The settings that say where the columns of a table hold the fields of a pair."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pydantic import Field, field_validator

from pipeline.pairs.column_forms import as_expressions
from pipeline.pairs.expressions import Expression
from pipeline.pairs.known_layouts import AUTO, STORED, known_layout
from pipeline.pairs.pair_fields import FIELDS
from pipeline.pairs.pair_mapping import PairMapping
from pipeline.runtime.config_file import Frozen
from pipeline.runtime.errors import ConfigError
from pipeline.runtime.suggestion import did_you_mean


class MappingConfig(Frozen):
    """Where foreign columns hold what a pair is made of."""

    layout: str | None = None
    """The layout of the shards: `pairs`, `trl`, `sharegpt`, `openai`, `llava`, `ranked`,
    `alpaca-eval` or `arena`; `auto` proposes one and ends. By default `pairs`, or with a `map`
    none.
    """
    map: dict[str, str | None] = Field(default_factory=dict)
    """Fields of a pair (`messages`, `a`, `b`, `candidates`, `images`, `videos`, `gold`,
    `gold_scores`, `source`, `metadata`, `pair_id`), each a JMESPath expression over the row, on
    top of the layout's; null leaves a field empty.
    """
    columns: dict[str, Any] = Field(default_factory=dict)
    """The older form of `map`: paths to columns, such as `response_a: response[0]`."""

    @field_validator("layout")
    @classmethod
    def _known(cls, layout: str | None) -> str | None:
        if layout not in (None, AUTO):
            try:
                known_layout(str(layout))
            except ConfigError as error:
                raise ValueError(str(error)) from error
        return layout

    @field_validator("map", mode="before")
    @classmethod
    def _texts(cls, expressions: object) -> object:
        if isinstance(expressions, dict):
            for field, text in expressions.items():
                if text is not None and not isinstance(text, str):
                    raise ValueError(f"{field}: got {text!r}, expected an expression in quotes")
        return expressions

    @field_validator("map")
    @classmethod
    def _evaluable(cls, expressions: dict[str, str | None]) -> dict[str, str | None]:
        for field, text in expressions.items():
            if field not in FIELDS:
                hint = did_you_mean(field, FIELDS) or f"; expected one of {', '.join(FIELDS)}"
                raise ValueError(f"{field}: there is no such field{hint}")
            for problem in Expression(text).problems() if text is not None else ():
                raise ValueError(f"{field}: {problem}")
        return expressions

    @field_validator("columns")
    @classmethod
    def _translatable(cls, columns: dict[str, Any]) -> dict[str, Any]:
        cls._evaluable(as_expressions(columns))
        return columns

    def translated(self) -> str | None:
        """What ``columns`` is as a ``map``, for a note; None if it is not used."""
        if not self.columns:
            return None
        expressions = as_expressions(self.columns)
        return "; ".join(f"{field}: {text or 'null'}" for field, text in expressions.items())

    def mapping_json(self) -> str:
        """The settings of the mapping alone, as far as they are not the default."""
        return self.model_dump_json(include=set(MappingConfig.model_fields), exclude_defaults=True)

    def mapping(self) -> PairMapping:
        """The mapping that these settings make.

        Raises:
            ConfigError: the layout is to be proposed, and not used.
        """
        if self.layout == AUTO:
            raise ConfigError("input.layout auto only proposes a layout: name one to use it")
        stored = self.layout is None and not self.map
        layout = known_layout(STORED if stored else self.layout) if stored or self.layout else None
        base = layout.mapping if layout else PairMapping(stored=False, layout="none")
        given = as_expressions(self.columns) | self.map
        expressions = tuple((dict(base.expressions) | given).items())
        return replace(base, expressions=expressions, stated=frozenset(given))
