"""What expressions are in plain rows: their texts are neither empty nor turns, their media there.

Most rows are plain. Of these it is known beforehand which alternative of an expression holds, so
that nothing has to be evaluated row by row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.types as pt
from jmespath.exceptions import JMESPathError

from pipeline.pairs.arrow_layouts import Mismatch, is_text
from pipeline.pairs.conversations import Unfit
from pipeline.pairs.expressions import Expression, evaluated

_Node = Mapping[str, Any]
_OF_TEXT = {"type": "string", "whole": False}  # what functions answer of a plain text


@dataclass(frozen=True)
class Column:
    """The text, or the picture or clip, that a column has in a row."""

    name: str
    is_text: bool = True


class PlainRows:
    """All plain rows of a table at once.

    Attributes:
        columns: those that were read, whose values are to be plain.
    """

    def __init__(self, schema: pa.Schema) -> None:
        """Takes the rows' schema."""
        self.columns: set[Column] = set()
        self._schema = schema

    def value(self, text: str) -> Any:
        """What an expression is in all of them: a column, a list of such values, or a constant.

        Raises:
            Mismatch: it is not the same for all of them, or reads what is neither text nor media.
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
        """A column; None of one that is not there, as rows have it."""
        if name not in self._schema.names:
            return None
        at = self._schema.get_field_index(name)  # -1 of several
        column = Column(name, at >= 0 and is_text(self._schema.field(at).type))
        if at < 0 or not (column.is_text or _is_media(self._schema.field(at).type)):
            raise Mismatch(f"column {name!r}: expected one of texts, or of bytes and path")
        self.columns.add(column)
        return column


def _is_media(kind: pa.DataType) -> bool:
    """Whether values are media in the form of pairs."""
    names = [field.name for field in kind] if pt.is_struct(kind) else []
    return sorted(names) == ["bytes", "path"]


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
    match given:
        case [Column(is_text=True)] if node["value"] in _OF_TEXT:
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
