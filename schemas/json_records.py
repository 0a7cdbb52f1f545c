"""Reads dataclasses back from JSON, strictly: every field there and of its type, none besides."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, TypeVar

from schemas.contract import ContractError

Made = TypeVar("Made")
Check = Callable[[object], bool]


def record(
    kind: type[Made],
    stored: object,
    where: str,
    checks: Mapping[str, Check],
    nested: Mapping[str, type],
) -> Made:
    """One dataclass of JSON; its lists become tuples.

    Args:
        kind: the dataclass.
        stored: what JSON holds.
        where: its URI, for messages.
        checks: what a value must be, by the field's type as it is written.
        nested: which dataclass, or list of or mapping to which, a type is.

    Raises:
        ContractError: a field is missing, unknown, or of another type.
    """
    types = {field.name: str(field.type) for field in fields(kind)}  # type: ignore[arg-type]
    if not isinstance(stored, dict) or stored.keys() != types.keys():
        got = sorted(stored) if isinstance(stored, dict) else type(stored).__name__
        raise ContractError(f"{where}: {kind.__name__} has {got}, expected {sorted(types)}")
    values: dict[str, Any] = {}
    for name, type_name in types.items():
        value = stored[name]
        if not checks[type_name](value):
            raise ContractError(f"{where}: {kind.__name__}.{name} is {value!r}, not {type_name}")
        inner = nested.get(type_name)
        if inner is not None and value is not None:
            if isinstance(value, list):
                value = [record(inner, item, where, checks, nested) for item in value]
            elif type_name.startswith("Mapping"):
                items = value.items()
                value = {key: record(inner, v, where, checks, nested) for key, v in items}
            else:
                value = record(inner, value, where, checks, nested)
        values[name] = _frozen(value)
    return kind(**values)


def is_a(*kinds: type) -> Check:
    """Whether a value is of one of these types; a truth value is no number."""
    return lambda value: isinstance(value, kinds) and isinstance(value, bool) <= (bool in kinds)


def is_number(value: object) -> bool:
    """Whether a value is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def list_of(inner: Check) -> Check:
    """Whether a value is a list of such values."""
    return lambda value: isinstance(value, list) and all(map(inner, value))


def object_of(inner: Check) -> Check:
    """Whether a value is an object of such values."""
    return lambda value: isinstance(value, dict) and all(map(inner, value.values()))


def or_null(inner: Check) -> Check:
    """Whether a value is null or such a value."""
    return lambda value: value is None or inner(value)


def _frozen(value: object) -> object:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value
