"""Reads CSV and TSV as Arrow tables of text."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv

from pipeline.ingest.text_encoding import not_utf8, refuse_utf16
from pipeline.runtime.errors import InputError
from pipeline.runtime.faults import first_line

_BATCH_ROWS = 64  # at most, in one table
_BLOCK = 32 * 2**20  # the longest row
_HEADER = 2**20  # bytes at the beginning of a file in which columns are counted
_COLUMNS = 10_000  # at most: what Arrow takes grows faster than they do (200,000: minutes)
_SEPARATORS = ";\t|,"  # what stands in place of the right one
_END = "pairmill: the end of the file"


def csv_tables(open_file: Callable[[], pa.NativeFile], delimiter: str) -> Iterator[pa.Table]:
    """A file's rows; every value is text, and only an empty field without quotes is null.

    The first table has no rows, but all columns.

    Raises:
        InputError: a row has too many or too few fields, or is longer than 32 MiB; there are more
            than 10,000 columns; a quote is not closed; the text is not UTF-8.
    """
    form = {
        "read_options": pa_csv.ReadOptions(block_size=_BLOCK, use_threads=False),
        "parse_options": pa_csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
    }
    try:
        header = open_file().read(_HEADER)
        refuse_utf16(header[:2])
        _refuse_too_wide(header, delimiter)
        names = pa_csv.open_csv(open_file(), **form).schema.names
        as_written = pa_csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()),
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        )
        yield pa.schema((name, pa.string()) for name in names).empty_table()
        ended = pa.PythonFile(_Ended(open_file(), delimiter * (len(names) - 1) + _END), mode="r")
        for block in _until_the_end(pa_csv.open_csv(ended, convert_options=as_written, **form)):
            table = pa.Table.from_batches([block])
            for start in range(0, table.num_rows, _BATCH_ROWS):
                yield table.slice(start, _BATCH_ROWS)
    except UnicodeDecodeError as error:  # of the header
        raise InputError(not_utf8(f"in its header: {error}")) from error
    except pa.ArrowInvalid as error:
        raise InputError(_problem(first_line(error))) from error


def _refuse_too_wide(header: bytes, delimiter: str) -> None:
    line = next(filter(None, header.splitlines()), b"")
    if (columns := line.count(delimiter.encode()) + 1) > _COLUMNS:
        raise InputError(
            f"its first line has {columns:,} columns or more, expected at most {_COLUMNS:,}: keep "
            "those that a pair is made of"
        )


def separator_hint(names: Sequence[str]) -> str | None:
    """What is to be said of a file with one column whose name looks like several."""
    (name, *more) = names or [""]
    found = next((mark for mark in _SEPARATORS if mark in name), None)
    if more or found is None:
        return None
    return (
        f"the file has one column, whose name has {found!r} in it: what separates values must be a "
        "comma in .csv and a tab in .tsv; write it so, or rename it"
    )


class _Ended(io.RawIOBase):
    """A file with one more row behind it: Arrow takes an open quote to be closed at the end.

    Then all rows behind it are one value, and that last row is among them.
    """

    def __init__(self, file: pa.NativeFile, row: str) -> None:
        super().__init__()
        self._file, self._rest = file, f"\n{row}\n".encode()

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> Any:
        if data := self._file.read(size if size >= 0 else None):
            return data
        data, self._rest = self._rest[:size], self._rest[size:]
        return data


def _until_the_end(blocks: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Blocks without their last row, which must be the one that stands behind the file."""
    held: pa.RecordBatch | None = None
    for block in blocks:
        if held is not None:
            yield held
        held = block if block.num_rows else held
    row = held.num_rows - 1 if held is not None else 0
    if held is None or held.columns[-1][row].as_py() != _END:
        raise InputError("a quote is never closed: all rows behind it would be one value")
    yield held.slice(0, row)


def _problem(said: str) -> str:
    """What to do about what Arrow says."""
    if "UTF8" in said:
        return not_utf8(said)
    if "straddling" in said:
        return f"a row is longer than {_BLOCK >> 20} MiB: is a quote never closed? ({said})"
    if "cannot infer number of columns" in said:
        return f"no line in its first {_BLOCK >> 20} MiB: is it CSV? ({said})"
    return said
