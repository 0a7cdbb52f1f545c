"""Footers of Parquet files as values that tests change: Thrift's compact protocol, both ways."""

from __future__ import annotations

import struct
from typing import Any

_TRUE, _FALSE, _BYTE, _I64, _DOUBLE, _BINARY, _LIST, _STRUCT = 1, 2, 3, 6, 7, 8, 9, 12
Fields = dict[int, list[Any]]
"""Fields of a struct by their numbers: each of a type and a value."""


def footer_of(data: bytes) -> Fields:
    """The footer of a file."""
    size = struct.unpack("<I", data[-8:-4])[0]
    return _Reader(data[-8 - size : -8]).fields()


def with_footer(data: bytes, footer: Fields) -> bytes:
    """The file with another footer."""
    size = struct.unpack("<I", data[-8:-4])[0]
    made = _fields(footer)
    return data[: -8 - size] + made + struct.pack("<I", len(made)) + b"PAR1"


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def fields(self) -> Fields:
        found: Fields = {}
        number = 0
        while head := self._taken(1)[0]:
            number = number + (head >> 4) if head >> 4 else self._signed()
            found[number] = [head & 15, self._value(head & 15)]
        return found

    def _value(self, kind: int) -> Any:
        if kind in (_TRUE, _FALSE):
            return kind == _TRUE
        if kind == _BYTE:
            return self._taken(1)[0]
        if kind == _DOUBLE:
            return self._taken(8)
        if kind == _BINARY:
            return self._taken(self._unsigned())
        if kind == _STRUCT:
            return self.fields()
        return self._items() if kind == _LIST else self._signed()

    def _items(self) -> list[Any]:
        """The type of a list's items, and the items."""
        head = self._taken(1)[0]
        count = self._unsigned() if head >> 4 == 15 else head >> 4
        kind = head & 15
        one_byte = kind in (_TRUE, _FALSE)
        return [kind, [self._value(_BYTE if one_byte else kind) for _ in range(count)]]

    def _taken(self, size: int) -> bytes:
        self._at += size
        return self._data[self._at - size : self._at]

    def _unsigned(self) -> int:
        number = shift = 0
        while (byte := self._taken(1)[0]) & 128:
            number |= (byte & 127) << shift
            shift += 7
        return number | byte << shift

    def _signed(self) -> int:
        number = self._unsigned()
        return (number >> 1) ^ -(number & 1)


def _fields(fields: Fields) -> bytes:
    made, before = b"", 0
    for number, (kind, value) in sorted(fields.items()):
        kind = (_TRUE if value else _FALSE) if kind in (_TRUE, _FALSE) else kind
        step = number - before
        made += bytes([step << 4 | kind]) if 0 < step < 16 else bytes([kind]) + _signed(number)
        made += b"" if kind in (_TRUE, _FALSE) else _value(kind, value)
        before = number
    return made + b"\0"


def _value(kind: int, value: Any) -> bytes:
    if kind in (_TRUE, _FALSE, _BYTE):
        return bytes([value])
    if kind == _DOUBLE:
        return bytes(value)
    if kind == _BINARY:
        return _unsigned(len(value)) + bytes(value)
    if kind == _STRUCT:
        return _fields(value)
    if kind != _LIST:
        return _signed(value)
    item, items = value
    count = len(items)
    head = bytes([count << 4 | item]) if count < 15 else bytes([240 | item]) + _unsigned(count)
    return head + b"".join(_value(item, each) for each in items)


def _unsigned(number: int) -> bytes:
    made = b""
    while number > 127:
        made += bytes([number & 127 | 128])
        number >>= 7
    return made + bytes([number])


def _signed(number: int) -> bytes:
    return _unsigned(number << 1 if number >= 0 else (-number << 1) - 1)
