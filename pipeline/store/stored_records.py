"""Reads stored records; what is no such record is an error that a user can act on."""

from __future__ import annotations

from typing import TypeVar

from pipeline.runtime.errors import InputError
from pipeline.store.object_store import Store
from schemas.contract import ContractError
from schemas.records import Record

Kind = TypeVar("Kind", bound=Record)


def read_record(store: Store, key: str, kind: type[Kind]) -> Kind | None:
    """The record under a key; None if there is no such object.

    Raises:
        InputError: it is no such record.
        StorageError: the store fails.
    """
    if store.size(key) is None:
        return None
    return parse_record(store.read(key), store.path(key), kind)


def parse_record(data: bytes, where: str, kind: type[Kind]) -> Kind:
    """A record of the bytes that were read from ``where``.

    Raises:
        InputError: it is no such record.
    """
    try:
        return kind.parse(data, where)
    except ContractError as error:
        raise InputError(str(error)) from error
