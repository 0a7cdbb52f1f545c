"""Rows of one prompt side by side, of more rows than memory holds: through files, by hashes.

Rows are scattered over temporary files by a hash of their prompt, so that all of a prompt are in
one file; then each file is read, and its prompts follow each other as they first appeared in it. A
file that is too large is scattered again. Rows of a prompt keep their order, and the same rows give
the same result.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa

from pipeline.ingest.joined_tables import joined
from pipeline.pairs.prompts import prompt_key

_FILES = 64  # at each level
_FILE_BYTES = 256 * 2**20  # of a file that is read whole
_HELD_BYTES = 2 * 2**20  # of a file's rows, before they are written to it
_JOINED = 16  # times those: rows that are scattered at once, as each file costs something
_KEY = "prompt key"
_KEY_BYTES = 8


def grouped_by_prompt(
    tables: Iterable[pa.Table], file_bytes: int = _FILE_BYTES, held_bytes: int = _HELD_BYTES
) -> Iterator[pa.Table]:
    """The rows of all tables, those that have question and media in common side by side.

    Args:
        tables: rows of pairs v2.
        file_bytes: most bytes of rows that are put in order in memory.
        held_bytes: of each file, most bytes of rows that wait to be written to it.
    """
    with TemporaryDirectory(prefix="pairmill-ingest-") as folder:
        grouping = _Grouping(file_bytes, held_bytes)
        yield from grouping.grouped((_with_keys(table) for table in tables), Path(folder), 0)


class _Grouping:
    def __init__(self, file_bytes: int, held_bytes: int) -> None:
        self._file_bytes, self._held_bytes = file_bytes, held_bytes
        self._joined_bytes = _JOINED * held_bytes

    def grouped(self, tables: Iterable[pa.Table], folder: Path, level: int) -> Iterator[pa.Table]:
        """Rows by the key's byte of this level, and within a file by the whole key."""
        for path, size in self._scattered(tables, folder, level):
            if size <= self._file_bytes:
                yield _in_order(pa.concat_tables(_rows_of(path)))
            elif level + 1 < _KEY_BYTES:
                inner = path.with_suffix("")
                inner.mkdir()
                yield from self.grouped(_rows_of(path), inner, level + 1)
            else:  # of one prompt
                yield from (table.drop_columns(_KEY) for table in _rows_of(path))
            path.unlink()

    def _scattered(
        self, tables: Iterable[pa.Table], folder: Path, level: int
    ) -> list[tuple[Path, int]]:
        files: dict[int, _File] = {}
        for table in joined(tables, self._joined_bytes):
            places: dict[int, list[int]] = {}
            for row, key in enumerate(table[_KEY].to_pylist()):
                places.setdefault(key[level] % _FILES, []).append(row)
            for number, rows in places.items():
                if number not in files:
                    path = folder / f"{number:02d}.arrow"
                    files[number] = _File(path, table.schema, self._held_bytes)
                files[number].add(table.take(pa.array(rows)))
        for file in files.values():
            file.close()
        return [(files[number].path, files[number].bytes) for number in sorted(files)]


class _File:
    """Rows on disk; small tables are joined before they are written.

    Attributes:
        bytes: of all its rows.
    """

    def __init__(self, path: Path, schema: pa.Schema, held_bytes: int) -> None:
        self.path, self.bytes = path, 0
        self._schema, self._most = schema, held_bytes
        self._held: list[pa.Table] = []
        self._held_bytes = 0

    def add(self, rows: pa.Table) -> None:
        self._held.append(rows)
        self._held_bytes += rows.nbytes
        if self._held_bytes >= self._most:
            self.close()

    def close(self) -> None:
        """Appends a stream of its own, so that few files are open at once."""
        if self._held:
            with self.path.open("ab") as file, pa.ipc.new_stream(file, self._schema) as stream:
                stream.write_table(pa.concat_tables(self._held).combine_chunks())
        self.bytes += self._held_bytes
        self._held, self._held_bytes = [], 0


def _rows_of(path: Path) -> Iterator[pa.Table]:
    with path.open("rb") as file:
        while file.peek(1):
            yield pa.ipc.open_stream(file).read_all()


def _with_keys(table: pa.Table) -> pa.Table:
    keys = pa.array([prompt_key(each.as_py()) for each in table["messages"]], pa.binary())
    return table.append_column(_KEY, keys)


def _in_order(table: pa.Table) -> pa.Table:
    firsts: dict[bytes, int] = {}
    ranks = [firsts.setdefault(key, len(firsts)) for key in table[_KEY].to_pylist()]
    order = sorted(range(len(ranks)), key=ranks.__getitem__)
    return table.drop_columns(_KEY).take(pa.array(order, pa.int64()))
