"""What expressions are in plain rows: in those whose texts are neither empty nor turns.

Most rows are plain. Of these it is known beforehand which alternative of an expression holds, so
that nothing has to be evaluated row by row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from jmespath.exceptions import JMESPathError

from pipeline.pairs.arrow_layouts import Mismatch, is_text
from pipeline.pairs.conversations import Unfit
from pipeline.pairs.expressions import Expression, evaluated

_Node = Mapping[str, Any]
_OF_TEXT = {"type": "string", "whole": False}  # what functions answer of a plain text


@dataclass(frozen=True)
class Column:
    """The text that a column has in a row."""

    name: str


class PlainRows:
    """All plain rows of a table at once.

    Attributes:
        columns: names of those that were read, whose texts are to be plain.
    """

    def __init__(self, schema: pa.Schema) -> None:
        """Takes the rows' schema."""
        self.columns: set[str] = set()
        self._schema = schema

    def value(self, text: str) -> Any:
        """What an expression is in all of them: a column, a list of such values, or a constant.

        Raises:
            Mismatch: it is not the same for all of them, or reads what is no text.
        """
        return self._value(Expression(text).tree)

    def _value(self, node: _Node) -> Any:
        children = node["children"]
        match node["type"]:
            case "field":
                return self._field(node["value"])
            case "literal":
                return node["value"]
            case "multi_select_list":
                return [self._value(child) for child in children]
            case "index_expression":
                return _item(self._value(children[0]), children[1])
            case "and_expression" | "or_expression" as kind:
                first = self._value(children[0])
                decides = _holds(first) == (kind == "or_expression")
                return first if decides else self._value(children[1])
            case "comparator":
                return _compared(node, *map(self._value, children))
            case "function_expression":
                return _called(node, *map(self._value, children))
        raise Mismatch(f"{node['type']}: expected what is one column in all rows")

    def _field(self, name: str) -> Column | None:
        """A column of texts; None of one that is not there, as rows have it."""
        times = self._schema.names.count(name)
        if not times:
            return None
        if times > 1 or not is_text(self._schema.field(name).type):
            raise Mismatch(f"column {name!r}: expected texts")
        self.columns.add(name)
        return Column(name)


def _item(items: Any, at: _Node) -> Any:
    if at["type"] != "index" or not isinstance(items, list) or not 0 <= at["value"] < len(items):
        raise Mismatch(f"{at['type']}: expected an item of a list that is there")
    return items[at["value"]]


def _holds(value: Any) -> bool:
    """Whether JMESPath takes a value for true."""
    return value is not None and value is not False and value not in ("", [], {})


def _compared(node: _Node, one: Any, other: Any) -> Any:
    if node["value"] in ("eq", "ne") and (one is None) != (other is None):
        return node["value"] == "ne"  # a plain text is not null
    return _constant(node, one, other)


def _called(node: _Node, *given: Any) -> Any:
    if len(given) == 1 and isinstance(given[0], Column) and node["value"] in _OF_TEXT:
        return _OF_TEXT[node["value"]]
    return _constant(node, *given)


def _constant(node: _Node, *values: Any) -> Any:
    """What a node makes of constants."""
    if any(isinstance(value, Column | list) for value in values):
        raise Mismatch(f"{node['value']}: expected constants")
    children = [{"type": "literal", "value": value, "children": []} for value in values]
    try:
        return evaluated({**node, "children": children}, {})
    except (JMESPathError, TypeError, Unfit) as error:
        raise Mismatch(str(error)) from error
