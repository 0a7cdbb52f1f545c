"""Where the columns of a table hold the fields of a pair, and which columns that reads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.types as pt

from pipeline.pairs.arrow_layouts import is_list
from pipeline.pairs.expressions import Expression
from pipeline.pairs.pair_fields import GROUPS, STORED, Group

# One column of each must be there under the layout `pairs`, if no mapped field takes its place.
_REQUIRED = (
    (("pair_id",), ("pair_id",)),
    (("prompt", "messages"), ("messages",)),
    (("response_a", "candidates"), ("a", "candidates")),
    (("response_b", "candidates"), ("b", "candidates")),
)
# Names under which people keep what a judge must see: said if no field reads them.
_MEANT = frozenset(
    ["prompt", "messages", "conversation", "conversations", "system", "context", "history"]
    + [f"{kind}{end}" for kind in ("image", "picture", "video") for end in ("", "s", "_path")]
)
_Path = tuple[str, ...]


@dataclass(frozen=True)
class PairMapping:
    """Where the columns of a table hold the fields of a pair.

    Attributes:
        expressions: JMESPath by field; None leaves the field empty.
        stored: whether other fields are read from columns of their own names, as pairs v1 and v2
            have them (the layout ``pairs``).
        layout: the name of the layout that the expressions are of, but for those ``stated``.
        stated: fields whose expressions the user gave: all that these name must be there.
        requires: columns that the layout cannot do without.
        placeholders: kinds of media that placeholders in texts always ask for.
        only: the columns of pairs v2 that are wanted, the others being null; None for all.
        media: whether the bytes of media are read.
    """

    expressions: tuple[tuple[str, str | None], ...] = ()
    stored: bool = True
    layout: str = "pairs"
    stated: frozenset[str] = frozenset()
    requires: tuple[str, ...] = ()
    placeholders: tuple[str, ...] = ()
    only: frozenset[str] | None = None
    media: bool = True

    def narrowed(self, only: Collection[str], *, media: bool = False) -> PairMapping:
        """The same mapping, of some columns of pairs v2, without media but for their places."""
        return replace(self, only=frozenset(only), media=media)

    @property
    def groups(self) -> list[Group]:
        """The groups of columns that are wanted."""
        return [group for group in GROUPS if self.only is None or self.only & set(group.columns)]

    def makes_ids(self, schema: pa.Schema) -> bool:
        """Whether nothing in a table gives ids, so that rows are called by their places."""
        text = dict(self.expressions).get("pair_id")
        if self.stored or text is None or "pair_id" in self.stated:
            return not self.stored and text is None
        return not Expression(text).reads(schema).paths  # a layout's sets may have none

    def is_stored(self, group: Group) -> bool:
        """Whether a group's columns are those of their own names."""
        return self.stored and not any(field in group.fields for field, _ in self.expressions)

    def by_expressions(self, group: Group) -> dict[str, str]:
        """The expressions of a group's fields, those of stored ones included."""
        given: dict[str, str | None] = dict(self.expressions)
        if self.stored:
            given = {**{field: STORED.get(field, field) for field in group.fields}, **given}
        return {field: text for field in group.fields if (text := given.get(field)) is not None}

    def is_v2(self, group: Group, schema: pa.Schema) -> bool:
        """Whether a group's columns are those of their own names, and all that is read for it."""
        return self.is_stored(group) and set(group.v1).isdisjoint(schema.names)

    def in_parts(self, schema: pa.Schema) -> bool:
        """Whether a table has all contents in parts, as pairs v2."""
        groups = [group for group in GROUPS if group.v1]
        return all(self.is_v2(each, schema) and not self.is_v1(each, schema) for each in groups)

    def is_v1(self, group: Group, schema: pa.Schema) -> bool:
        """Whether a table holds a group as pairs v1 has it: texts, with their media beside them."""
        there = [schema.field(name).type for name in group.columns if name in schema.names]
        return self.is_stored(group) and bool(group.v1) and not any(map(_of_parts, there))

    def check(self, schema: pa.Schema) -> list[str]:
        """What a table of ``schema`` lacks or has twice, one line each; [] if nothing."""
        there = f"columns there: {', '.join(schema.names) or 'none'}"
        problems = [
            f"layout {self.layout}: column {' or '.join(map(repr, names))} is missing; {there}"
            for names in (each.split("|") for each in self.requires)
            if not set(names) & set(schema.names)
        ]
        for field, text in self.expressions:
            if field in self.stated and text is not None:
                missing = Expression(text).reads(schema).missing
                problems += [f"{field} ({text}): {problem}" for problem in missing]
        mapped = {field for field, text in self.expressions if text is not None}
        for needed in () if self.stored else (["messages"], ["a", "b", "candidates"]):
            if mapped.isdisjoint(needed):
                names = " or ".join(needed)
                problems.append(f"map: no expression gives {names}: there is nothing to judge")
        for columns, fields in _REQUIRED if self.stored else ():
            if mapped.isdisjoint(fields) and not set(columns) & set(schema.names):
                names = " or ".join(map(repr, columns))
                problems.append(f"required column {names} is missing; {there}")
        return problems or self._doubled(schema)

    def _doubled(self, schema: pa.Schema) -> list[str]:
        """Columns that are read, and of whose name there is another one: which is not known."""
        doubles = {name for name, times in Counter(schema.names).items() if times > 1}
        if not doubles:
            return []
        once = pa.schema({field.name: field for field in schema}.values())
        read = {name for _, path in self._reads(once) for name in path[:1] or doubles}
        return [
            f"two columns are called {name!r}: rename or remove one"
            for name in sorted(doubles & read)
        ]

    def uses(self, schema: pa.Schema) -> dict[str, list[str]]:
        """Which fields are read from each top-level column of ``schema``, in its order."""
        uses: dict[str, list[str]] = {name: [] for name in schema.names}
        for field, path in self._reads(schema):
            for name in path[:1] or schema.names:
                if field not in uses[name]:
                    uses[name].append(field)
        return uses

    def needed(self, schema: pa.Schema) -> list[str]:
        """What is read of ``schema``: columns, or fields of them such as ``info.clips``."""
        paths = {path for _, path in self._reads(schema)}
        if () in paths:
            return list(schema.names)
        whole = {p for p in paths if not any(p[:n] in paths for n in range(1, len(p)))}
        return [".".join(p) for name in schema.names for p in sorted(whole) if p[0] == name]

    def unread(self, schema: pa.Schema) -> list[str]:
        """Columns that look as if a judge was meant to see them, and that no field reads."""
        return [n for n, fields in self.uses(schema).items() if not fields and n.lower() in _MEANT]

    def _reads(self, schema: pa.Schema) -> Iterator[tuple[str, _Path]]:
        """Fields, and the paths that each of them reads."""
        for group in self.groups:
            if self.is_v2(group, schema):
                for name in group.columns:
                    if name in schema.names and (self.only is None or name in self.only):
                        yield name, (name,)
                continue
            for field, text in self.by_expressions(group).items():
                for path in Expression(text).reads(schema).paths:
                    yield field, path


def _of_parts(kind: pa.DataType) -> bool:
    """Whether a column's items have contents of parts, as in pairs v2."""
    if not is_list(kind) or not pt.is_struct(kind.value_type):
        return False
    at = kind.value_type.get_field_index("content")
    return at >= 0 and is_list(kind.value_type.field(at).type)
