"""Versioned Arrow contracts, and checks of schemas and rows against them."""

from __future__ import annotations

import pyarrow as pa

VERSION_KEY = b"pairmill_schema"


class ContractError(ValueError):
    """A table or record breaks its contract; the message shows what was got and expected."""


def versioned(name: str, schema: pa.Schema) -> pa.Schema:
    """Stamps ``schema`` with the contract's name, such as ``"pairs/v1"``."""
    return schema.with_metadata({VERSION_KEY: name.encode()})


def differences(got: pa.Schema, expected: pa.Schema) -> list[str]:
    """Where two schemas differ in names or types, one line for each column.

    Order, nullability and metadata are not compared: a reader does not depend on them.
    """
    lines = []
    for field in expected:
        index = got.get_field_index(field.name)
        if index < 0:
            lines.append(f"column {field.name!r} is missing (expected {field.type})")
        elif got.field(index).type != field.type:
            lines.append(f"column {field.name!r} is {got.field(index).type}, expected {field.type}")
    unknown = [name for name in got.names if expected.get_field_index(name) < 0]
    lines.extend(f"column {name!r} is not part of the contract" for name in unknown)
    return lines


def version_problems(got: pa.Schema, expected: pa.Schema) -> list[str]:
    """Why a stored schema is not that version of a contract; empty where it is."""
    stamp, version = (
        (schema.metadata or {}).get(VERSION_KEY, b"no contract").decode()
        for schema in (got, expected)
    )
    other = [f"its contract is {stamp}, expected {version}"] if stamp != version else []
    return other + differences(got, expected)


def table_of(rows: list[dict[str, object]], schema: pa.Schema) -> pa.Table:
    """Builds a table of exactly ``schema`` from rows; never widens or drops a column.

    Raises:
        ContractError: a row has an unknown or missing column, or a value of another type.
    """
    names = set(schema.names)
    for index, row in enumerate(rows):
        if row.keys() != names:
            missing, unknown = sorted(names - row.keys()), sorted(row.keys() - names)
            raise ContractError(f"row {index}: missing columns {missing}, unknown {unknown}")
    try:
        return pa.Table.from_pylist(rows, schema=schema)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise ContractError(f"rows do not fit {schema.metadata}: {error}") from error
