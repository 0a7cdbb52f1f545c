"""Stored JSON records: frozen dataclasses that pydantic writes, and reads back strictly."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import fields
from typing import Any, ClassVar, Self

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic_core import from_json

from schemas.contract import ContractError
from schemas.validation_faults import fault_text

_SHOWN = 20  # faults in one message
# Building one takes a millisecond, and leases and manifests are read again and again.
_adapter: Callable[[Any], TypeAdapter[Any]] = functools.cache(TypeAdapter)


class Record:
    """Base of a stored record, which is a frozen dataclass.

    JSON has exactly the dataclass's fields, each of its type: a boolean or a text is no number,
    numbers are finite, arrays become tuples. A field with a default may be missing, except for
    ``version``, which a record that has one must name.

    Attributes:
        remedy: what a reader can do about an object that is no such record.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(
        strict=True, extra="forbid", allow_inf_nan=False
    )
    remedy: ClassVar[str] = "use the version of this software that wrote it, or restore the object"

    def problems(self) -> list[str]:
        """What contradicts what, among fields that each have the right type."""
        return []

    def to_json(self) -> bytes:
        """The record as it is stored.

        Raises:
            ContractError: it could not be read back as it is.
        """
        data = _adapter(type(self)).dump_json(self, indent=1, warnings="none")
        stored, faults = self._read(data)
        if not faults and stored != self:
            names = [each.name for each in fields(self)]  # type: ignore[arg-type]
            changed = [name for name in names if getattr(stored, name) != getattr(self, name)]
            faults = [f"{name}: JSON cannot hold its value" for name in changed]
        if faults:
            raise ContractError(_refusal(f"a {type(self).__name__} that is to be stored", faults))
        return data

    @classmethod
    def parse(cls, data: bytes, where: str) -> Self:
        """Reads a stored record.

        Args:
            data: the object.
            where: its URI, for messages.

        Raises:
            ContractError: it is none, is of another version, or contradicts itself.
        """
        record, faults = cls._read(data)
        if record is None or faults:
            raise ContractError(
                _refusal(f"{where}: not a valid {cls.__name__}", faults, cls.remedy)
            )
        return record

    @classmethod
    def _read(cls, data: bytes) -> tuple[Self | None, list[str]]:
        """The record and what is wrong with it, or what it fails by."""
        try:
            stored = from_json(data)
        except ValueError as error:
            return None, [f"not JSON ({error})"]
        expected = getattr(cls, "version", None)
        if isinstance(stored, dict) and stored.get("version") != expected:
            return None, [f"version: got {stored.get('version')!r}, expected {expected!r}"]
        try:
            record = _adapter(cls).validate_json(data)
        except ValidationError as error:
            return None, [*map(fault_text, error.errors())]
        return record, record.problems()


def _refusal(what: str, faults: list[str], remedy: str = "") -> str:
    if len(faults) == 1:
        return f"{what}: {faults[0]}" + (f"; {remedy}" if remedy else "")
    more = [f"and {len(faults) - _SHOWN} more"] if len(faults) > _SHOWN else []
    return "\n  ".join([f"{what}:", *faults[:_SHOWN], *more]) + (f"\n{remedy}" if remedy else "")
