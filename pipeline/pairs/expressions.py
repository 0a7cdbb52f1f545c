"""JMESPath expressions over a row: compiled once a process, and which columns each one reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import jmespath
import pyarrow as pa
import pyarrow.types as pt
from jmespath.exceptions import JMESPathError
from jmespath.visitor import TreeInterpreter

from pipeline.pairs.conversations import Unfit
from pipeline.pairs.mapping_functions import FUNCTIONS, arity_problem
from pipeline.runtime.suggestion import did_you_mean

# One for all rows: it remembers its method for each kind of node, which a new one looks up anew.
_INTERPRETER = TreeInterpreter(jmespath.Options(custom_functions=FUNCTIONS))


@dataclass(frozen=True)
class Expression:
    """A JMESPath expression.

    Attributes:
        text: as it was written.
    """

    text: str

    def __call__(self, row: Mapping[str, Any]) -> Any:
        """The expression's value for a row.

        Raises:
            Unfit: it cannot be evaluated over the row's values.
        """
        compiled = _compiled(self.text)
        if compiled.parsed["type"] == "field":  # a mere name, as most are, needs no interpreter
            return row.get(compiled.parsed["value"])
        try:
            return evaluated(compiled.parsed, row)
        except (JMESPathError, TypeError) as error:  # contains('x', `1`) is a TypeError there
            raise Unfit(str(error).strip().splitlines()[0]) from error

    @property
    def tree(self) -> Mapping[str, Any]:
        """Its nodes, as JMESPath parses them: each has a type, children and mostly a value."""
        parsed: Mapping[str, Any] = _compiled(self.text).parsed
        return parsed

    def problems(self) -> list[str]:
        """Why it can be evaluated over no row at all; [] if nothing stands against it."""
        try:
            return list(_call_problems(_compiled(self.text).parsed))
        except JMESPathError as error:
            return [f"{self.text!r} is no JMESPath expression: {' '.join(str(error).split())}"]

    def reads(self, schema: pa.Schema) -> Reads:
        """What it reads of a table."""
        walk = _Walk()
        whole = _At((), pa.struct(list(schema)))
        walk.consume(walk.visit(_compiled(self.text).parsed, whole))
        return Reads(tuple(dict.fromkeys(walk.used)), tuple(dict.fromkeys(walk.missing)))


@dataclass(frozen=True)
class Reads:
    """What an expression reads of a table.

    Attributes:
        paths: columns, or fields of columns that are structs; ``()`` stands for all columns.
        missing: what it names and the table lacks, each said with what is there.
    """

    paths: tuple[tuple[str, ...], ...]
    missing: tuple[str, ...]


def evaluated(node: Mapping[str, Any], row: Mapping[str, Any]) -> Any:
    """The value of a node of an expression's tree for a row; raises what JMESPath raises."""
    return _INTERPRETER.visit(node, row)


@cache
def _compiled(text: str) -> Any:
    return jmespath.compile(text)


def _call_problems(node: Mapping[str, Any]) -> Iterator[str]:
    called = node["type"] == "function_expression"
    if called and (problem := arity_problem(node["value"], len(node["children"]))):
        yield problem
    for child in node["children"]:
        yield from _call_problems(child)


@dataclass(frozen=True)
class _At:
    """A place in a row: its path, while only structs are on the way, and its type, while known."""

    path: tuple[str, ...] | None = None
    kind: pa.DataType | None = None

    @property
    def item(self) -> _At:
        """An item of the list that is there."""
        return _At(None, self.kind.value_type if self.kind and _is_list(self.kind) else None)


_NOWHERE = _At()


@dataclass
class _Walk:
    """A walk over an expression's tree, beside the types of a table."""

    used: list[tuple[str, ...]] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    def consume(self, at: _At) -> _At:
        if at.path is not None:
            self.used.append(at.path)
        return at

    def visit(self, node: Mapping[str, Any], at: _At) -> _At:
        """Where a node leads from ``at``."""
        children = node["children"]
        match node["type"]:
            case "field":
                return self._field(node["value"], at)
            case "subexpression" | "pipe":
                for child in children:
                    at = self.visit(child, at)
                return at
            case "current" | "identity":
                return at
            case (
                "index_expression"
                | "flatten"
                | "projection"
                | "filter_projection"
                | "value_projection"
            ):
                return self._within(node["type"], children, at)
            case "index" | "slice":
                return at.item if node["type"] == "index" else at
            case "or_expression":
                return self._either(children, at)
            case "expref":
                self.visit(children[0], _NOWHERE)
                return _NOWHERE
        for child in children:
            self.consume(self.visit(child, at))
        return _NOWHERE

    def _within(self, kind: str, children: list[Any], at: _At) -> _At:
        """Items of a list: what is on the left is read whole, what follows concerns its items."""
        left = self.consume(self.visit(children[0], at))
        if kind == "index_expression":
            return self.visit(children[1], _At(None, self._listed(left).kind))
        if kind == "flatten":
            inner = left.item.kind
            return _At(None, inner if _is_list(inner) else left.kind)
        item = _NOWHERE if kind == "value_projection" else self._listed(left).item
        for child in children[1:]:
            found = self.visit(child, item)
        return _NOWHERE if found.kind is None else _At(None, pa.list_(found.kind))

    def _either(self, children: list[Any], at: _At) -> _At:
        """One of two alternatives may be missing."""
        walks = [_Walk() for _ in children]
        for walk, child in zip(walks, children, strict=True):
            walk.consume(walk.visit(child, at))
            self.used += walk.used
        if all(walk.missing for walk in walks):
            self.missing += [each for walk in walks for each in walk.missing]
        return _NOWHERE

    def _field(self, name: str, at: _At) -> _At:
        kind = at.kind
        if kind is None or pt.is_map(kind):
            return _NOWHERE
        if not pt.is_struct(kind):
            where = ".".join(at.path) if at.path else "an item"
            self.missing.append(f"{where}: got {kind}, expected a field {name!r}")
            return _NOWHERE
        index = kind.get_field_index(name)
        if index >= 0:
            path = None if at.path is None else (*at.path, name)
            return _At(path, _plain(kind.field(index).type))
        names = [each.name for each in kind]
        what = f"column {name!r}" if at.path == () else f"field {name!r}"
        if names.count(name) > 1:
            self.missing.append(f"{what} is there {names.count(name)} times")
        else:
            there = ", ".join(names) or "none"
            self.missing.append(f"{what} is missing; there are: {there}{did_you_mean(name, names)}")
        return _NOWHERE

    def _listed(self, at: _At) -> _At:
        if at.kind is not None and not _is_list(at.kind) and not pt.is_null(at.kind):
            where = ".".join(at.path) if at.path else "a value"
            self.missing.append(f"{where}: got {at.kind}, expected a list")
        return at


def _is_list(kind: pa.DataType | None) -> bool:
    return (
        kind is not None and pt.is_nested(kind) and not pt.is_struct(kind) and not pt.is_map(kind)
    )


def _plain(kind: pa.DataType) -> pa.DataType | None:
    """A type as expressions see it; None where only values tell, or where it is null throughout."""
    if isinstance(kind, pa.BaseExtensionType):
        return None
    if pt.is_dictionary(kind):
        return kind.value_type
    return None if pt.is_null(kind) else kind
