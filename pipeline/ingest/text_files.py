"""Reads JSON, JSON lines, CSV and TSV as Arrow tables whose text is as it was written.

``text_tables`` and ``text_schemas`` run where dying is allowed (see
:func:`pipeline.pairs.isolated_reading.isolated`): a few bytes may stand for more than memory holds.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, cast

import pyarrow as pa
import pyarrow.types as pt

from pipeline.ingest.csv_tables import csv_tables
from pipeline.ingest.json_array import MOST_JSON, array_items
from pipeline.ingest.text_encoding import refuse_utf16
from pipeline.media.signatures import LFS_POINTER
from pipeline.runtime.errors import InputError
from pipeline.store.object_store import Entry, Store
from pipeline.store.source_file import SourceFile

CODECS = {".gz": "gzip", ".zst": "zstd"}
_BATCH_ROWS = 64  # at most, in one table
_BATCH_BYTES = 64 * 2**20  # about the most bytes of text in one table; one row is the least
_BUFFER = 4 * 2**20
_BLANK = b" \t\r\n"
_BOM = b"\xef\xbb\xbf"
_JSON = pa.json_(pa.string())
_EXPECTED = "expected one object on each line, or one array of objects"
_ERRORS = (OSError, ValueError, pa.ArrowException)
Row = dict[str, Any]


def text_tables(store: Store, entry: Entry, kind: str, keyed: bool) -> Iterator[pa.Table]:
    """The rows of a stored file of JSON or CSV.

    Args:
        store: where it is.
        entry: the file; its name says how it is packed, and of CSV what separates values.
        kind: "json" or "csv".
        keyed: as of :func:`json_tables`.

    Raises:
        InputError: it is damaged, or of another kind; says how.
        StorageError: the store fails.
    """
    name, opened = (entry.key or store.uri).lower(), list[SourceFile]()

    def content() -> pa.NativeFile:
        opened.append(store.open(entry.key, entry.size))
        return _unpacked(opened[-1], name)

    try:
        if store.open(entry.key, entry.size).read(len(LFS_POINTER)) == LFS_POINTER:
            raise InputError("a Git LFS pointer: run git lfs pull where the files come from")
        if kind == "json":
            yield from json_tables(content(), keyed)
        else:
            is_tsv = name.removesuffix(_codec_of(name)).endswith(".tsv")
            yield from csv_tables(content, "\t" if is_tsv else ",")
    except _ERRORS as error:
        failure = next(filter(None, [file.take_failure() for file in opened]), None)
        raise failure or InputError(str(error)) from error
    except RecursionError as error:
        raise InputError(f"a value is nested too deeply ({error})") from error


def text_schemas(store: Store, entry: Entry, kind: str, keyed: bool) -> Iterator[pa.Schema]:
    """The columns of each of those tables."""
    for table in text_tables(store, entry, kind, keyed):
        yield table.schema


def _codec_of(name: str) -> str:
    return next((end for end in CODECS if name.endswith(end)), "")


def _unpacked(file: SourceFile, name: str) -> pa.NativeFile:
    """A file's content, unpacked where its name ends in one of `CODECS`."""
    stream, end = pa.PythonFile(file, mode="r"), _codec_of(name)
    return pa.CompressedInputStream(stream, CODECS[end]) if end else stream


def json_tables(file: pa.NativeFile, keyed: bool = False) -> Iterator[pa.Table]:
    """The objects of a JSON array, or one of each line; tables have the columns of their rows.

    A column with values of several kinds in one place (a number here, text there, an object in
    another row) is of Arrow's type for JSON, which keeps each value as it is.

    Args:
        file: its content.
        keyed: whether it is one object whose values are the rows, by their ids.

    Raises:
        InputError: it is no JSON, or holds something besides objects.
    """
    rows, size = list[dict[str, Any]](), 0
    opened = io.BufferedReader(cast(Any, file), _BUFFER)
    for row, length in _keyed(opened) if keyed else _objects(opened):
        if rows and (len(rows) == _BATCH_ROWS or size + length > _BATCH_BYTES):
            yield _table(rows)
            rows, size = [], 0
        rows.append(row)
        size += length
    if rows:
        yield _table(rows)


def _objects(file: io.BufferedReader) -> Iterator[tuple[Row, int]]:
    """Each object, and its size in bytes of JSON."""
    refuse_utf16(file.peek())
    number = _skip_blank(file)
    if file.peek()[:1] == b"[":
        file.read(1)
        for place, (value, length) in enumerate(array_items(file)):
            yield _object(value, f"item {place}"), length
        return
    while line := file.readline(MOST_JSON + 1):
        where = f"line {number}"
        if len(line) > MOST_JSON:
            raise InputError(f"{where}: longer than {MOST_JSON >> 30} GiB; {_EXPECTED}")
        if line.strip():
            yield _object(_parsed(line, where), where), len(line)
        number += 1


def _skip_blank(file: io.BufferedReader) -> int:
    """Reads up to the first character that means something; returns the number of its line."""
    number = 1
    while ahead := file.peek():
        rest = ahead.lstrip(_BLANK + _BOM)
        number += file.read(len(ahead) - len(rest)).count(b"\n")
        if rest:
            break
    return number


def _keyed(file: io.BufferedReader) -> Iterator[tuple[Row, int]]:
    """The values of one object, each with its key; and their sizes in bytes of JSON."""
    text = file.read().removeprefix(_BOM)
    rows = _object(_parsed(text, "the file"), "the file")
    for key, value in rows.items():
        yield {"key": key} | _object(value, repr(key)), len(text) // len(rows)


def _parsed(text: bytes, where: str) -> Any:
    try:
        return json.loads(text)
    except RecursionError as error:
        raise InputError(f"{where}: nested too deeply ({error})") from error
    except ValueError as error:  # text that is not UTF-8, too
        raise InputError(f"{where}: no JSON ({error}); {_EXPECTED}") from error


def _object(value: Any, where: str) -> Row:
    if not isinstance(value, dict):
        raise InputError(f"{where}: expected a JSON object, got {type(value).__name__}")
    return value


def _table(rows: Sequence[Row]) -> pa.Table:
    names = dict.fromkeys(name for row in rows for name in row)
    return pa.table({name: _array([row.get(name) for row in rows]) for name in names})


def _array(values: list[Any]) -> pa.Array:
    """A column of values; of Arrow's type for JSON where they have no other type in common."""
    try:
        made = pa.array(values)
    except (pa.ArrowException, OverflowError, UnicodeEncodeError):  # several kinds, long numbers
        return _as_json(values)
    return _as_json(values) if _rewritten(made.type, values) else made


def _as_json(values: Sequence[Any]) -> pa.Array:
    texts = [None if value is None else json.dumps(value) for value in values]
    return pa.ExtensionArray.from_storage(_JSON, pa.array(texts, pa.string()))


def _rewritten(kind: pa.DataType, values: Iterable[Any]) -> bool:
    """Whether values are other numbers as ``kind``: an id 1 among fractions would become 1.0."""
    there = [value for value in values if value is not None]
    if pt.is_struct(kind):
        return any(_rewritten(each.type, (v.get(each.name) for v in there)) for each in kind)
    if pt.is_list(kind):
        return _rewritten(kind.value_type, (item for value in there for item in value))
    return bool(pt.is_floating(kind)) and any(isinstance(value, int) for value in there)
