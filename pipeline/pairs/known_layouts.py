"""The known layouts of preference sets: each a data file of expressions, beside what it needs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pyarrow as pa
import yaml

from pipeline.pairs.pair_mapping import PairMapping
from pipeline.runtime.errors import ConfigError
from pipeline.runtime.suggestion import did_you_mean

_FOLDER = Path(__file__).with_name("layouts")
STORED = "pairs"
AUTO = "auto"


@dataclass(frozen=True)
class Layout:
    """A known layout.

    Attributes:
        name: as ``input.layout`` names it.
        doc: what its sets look like.
        requires: columns that must be there; ``x|y`` is either of two.
        placeholders: kinds of media that ``<image>`` or ``<video>`` in texts always ask for.
        expressions: JMESPath by field of a pair.
    """

    name: str
    doc: str
    requires: tuple[str, ...]
    placeholders: tuple[str, ...]
    expressions: dict[str, str]

    @property
    def mapping(self) -> PairMapping:
        """The mapping of a table in this layout."""
        return PairMapping(
            expressions=tuple(self.expressions.items()),
            stored=self.name == STORED,
            layout=self.name,
            requires=self.requires,
            placeholders=self.placeholders,
        )


def layout_names() -> list[str]:
    """The names of all known layouts."""
    return sorted(file.stem for file in _FOLDER.glob("*.yaml"))


@cache
def known_layout(name: str) -> Layout:
    """Loads a layout.

    Raises:
        ConfigError: there is none of this name.
    """
    names = layout_names()
    if name not in names:
        hint = did_you_mean(name, names)
        raise ConfigError(f"layout {name!r}: expected one of {', '.join(names)}, {AUTO}{hint}")
    data = yaml.safe_load((_FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    placeholders = tuple(data.get("placeholders", ()))
    return Layout(name, data["doc"], tuple(data["requires"]), placeholders, data["map"])


def fitting_layouts(schema: pa.Schema) -> list[Layout]:
    """The layouts whose columns a table has, those first that read most of its columns."""
    fitting = [known_layout(name) for name in layout_names()]
    fitting = [layout for layout in fitting if not layout.mapping.check(schema)]
    return sorted(fitting, key=lambda layout: (-_columns_read(layout, schema), _choices(layout)))


def _columns_read(layout: Layout, schema: pa.Schema) -> int:
    return sum(bool(fields) for fields in layout.mapping.uses(schema).values())


def _choices(layout: Layout) -> int:
    """How many columns of a layout may be one or another: of two that fit, fewer say more."""
    return sum(each.count("|") for each in layout.requires)
