"""Reads JSON, JSON lines, CSV and TSV as Arrow tables whose text is as it was written."""

from __future__ import annotations

import io
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, cast

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.types as pt

from pipeline.runtime.errors import InputError
from pipeline.store.source_file import SourceFile

CODECS = {".gz": "gzip", ".zst": "zstd"}
_BATCH_ROWS = 64  # at most, in one table
_BATCH_BYTES = 64 * 2**20  # about the most bytes of text in one table; one row is the least
_BUFFER = 4 * 2**20
_CSV_BLOCK = 32 * 2**20  # the longest row of a CSV file
_BOM = b"\xef\xbb\xbf"
_JSON = pa.json_(pa.string())
Row = dict[str, Any]


def decompressed(file: SourceFile, name: str) -> pa.NativeFile:
    """A file's content, unpacked where its name ends in one of `CODECS`."""
    stream = pa.PythonFile(file, mode="r")
    codec = next((c for end, c in CODECS.items() if name.lower().endswith(end)), None)
    return stream if codec is None else pa.CompressedInputStream(stream, codec)


def csv_tables(open_file: Callable[[], pa.NativeFile], delimiter: str) -> Iterator[pa.Table]:
    """A file's rows; every value is text, and only an empty field without quotes is null.

    Raises:
        pa.ArrowInvalid: a row has too many or too few fields, or is longer than 32 MiB; the text
            is not UTF-8.
    """
    form = {
        "read_options": pa_csv.ReadOptions(block_size=_CSV_BLOCK, use_threads=False),
        "parse_options": pa_csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
    }
    names = pa_csv.open_csv(open_file(), **form).schema.names
    as_written = pa_csv.ConvertOptions(
        column_types=dict.fromkeys(names, pa.string()),
        null_values=[""],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
    )
    for block in pa_csv.open_csv(open_file(), convert_options=as_written, **form):
        table = pa.Table.from_batches([block])
        for start in range(0, max(1, table.num_rows), _BATCH_ROWS):
            yield table.slice(start, _BATCH_ROWS)


def json_tables(file: pa.NativeFile, name: str, keyed: bool = False) -> Iterator[pa.Table]:
    """The objects of a JSON array, or one of each line; tables have the columns of their rows.

    A column with values of several kinds in one place (a number here, text there, an object in
    another row) is of Arrow's type for JSON, which keeps each value as it is.

    Args:
        file: its content.
        name: for messages.
        keyed: whether it is one object whose values are the rows, by their ids.

    Raises:
        InputError: it is no JSON, or holds something besides objects.
    """
    rows, size = list[dict[str, Any]](), 0
    opened = io.BufferedReader(cast(Any, file), _BUFFER)
    for row, length in _keyed(opened, name) if keyed else _objects(opened, name):
        if rows and (len(rows) == _BATCH_ROWS or size + length > _BATCH_BYTES):
            yield _table(rows)
            rows, size = [], 0
        rows.append(row)
        size += length
    if rows:
        yield _table(rows)


def _objects(file: io.BufferedReader, name: str) -> Iterator[tuple[Row, int]]:
    """Each object, and its size in bytes of JSON."""
    lines = (line for line in enumerate(file, 1))
    number, first = next(
        ((n, text) for n, text in lines if text.strip(b" \t\r\n" + _BOM)), (0, b"")
    )
    first = first.removeprefix(_BOM)
    if first.lstrip().startswith(b"["):
        text = first + file.read()
        values = _parsed(text, f"{name}: line {number} and after")
        for place, value in enumerate(values):
            yield _object(value, f"{name}: item {place}"), len(text) // len(values)
        return
    for n, line in itertools.chain([(number, first)], lines):
        if line.strip():
            where = f"{name}: line {n}"
            yield _object(_parsed(line, where), where), len(line)


def _keyed(file: io.BufferedReader, name: str) -> Iterator[tuple[Row, int]]:
    """The values of one object, each with its key; and their sizes in bytes of JSON."""
    text = file.read().removeprefix(_BOM)
    rows = _object(_parsed(text, name), name)
    for key, value in rows.items():
        yield {"key": key} | _object(value, f"{name}: {key!r}"), len(text) // len(rows)


def _parsed(text: bytes, where: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:  # text that is not UTF-8, too
        raise InputError(
            f"{where}: no JSON ({error}); expected one object on each line, or one array of objects"
        ) from error


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
