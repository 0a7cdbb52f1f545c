"""Rows of one prompt side by side, of more rows than memory holds: through files, by hashes.

Rows are scattered over temporary files by a hash of their prompt, so that all of a prompt are in
one file; then each file is read, and its prompts follow each other as they first appeared in it. A
file that is too large is scattered again, and removed once it is, unless it is of one prompt. Rows
of a prompt keep their order, and the same rows give the same result.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.pairs.joined_tables import joined
from pipeline.pairs.prompts import prompt_key

_FILES = 64  # at each level
_FILE_BYTES = 256 * 2**20  # of a file that is read whole
_HELD_BYTES = 2 * 2**20  # of a file's rows, before they are written to it
_JOINED = 16  # times those: rows that are scattered at once, as each file costs something
_KEY = "prompt key"
_KEY_BYTES = 8


def grouped_by_prompt(
    tables: Iterable[pa.Table], file_bytes: int = _FILE_BYTES, held_bytes: int = _HELD_BYTES
) -> Generator[pa.Table, None, None]:
    """The rows of all tables, those that have question and media in common side by side.

    Args:
        tables: rows of pairs v2.
        file_bytes: most bytes of rows that are put in order in memory.
        held_bytes: of each file, most bytes of rows that wait to be written to it.
    """
    with TemporaryDirectory(prefix="pairmill-ingest-") as folder:
        grouping = _Grouping(file_bytes, held_bytes)
        keyed = (_with_keys(table) for table in tables)
        yield from grouping.in_order(grouping.scattered(keyed, Path(folder), 0), 0)


class _Grouping:
    def __init__(self, file_bytes: int, held_bytes: int) -> None:
        self._file_bytes, self._held_bytes = file_bytes, held_bytes
        self._joined_bytes = _JOINED * held_bytes

    def in_order(self, files: Iterable[_File], level: int) -> Iterator[pa.Table]:
        """The rows of files of a level, which it removes, in each by the whole key."""
        for file in files:
            if file.bytes <= self._file_bytes:
                yield _in_order(pa.concat_tables(_rows_of(file.path)))
                file.path.unlink()
            elif file.of_one_prompt or level + 1 == _KEY_BYTES:
                yield from (table.drop_columns(_KEY) for table in _rows_of(file.path))
                file.path.unlink()
            else:
                inner = file.path.with_suffix("")
                inner.mkdir()
                smaller = self.scattered(_rows_of(file.path), inner, level + 1)
                file.path.unlink()
                yield from self.in_order(smaller, level + 1)

    def scattered(self, tables: Iterable[pa.Table], folder: Path, level: int) -> list[_File]:
        """Files in the folder, by the key's byte of this level; together they have all rows."""
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
        return [files[number] for number in sorted(files)]


class _File:
    """Rows on disk; small tables are joined before they are written.

    Attributes:
        bytes: of all its rows.
        of_one_prompt: whether all of them have one key.
    """

    def __init__(self, path: Path, schema: pa.Schema, held_bytes: int) -> None:
        self.path, self.bytes, self.of_one_prompt = path, 0, True
        self._key: bytes | None = None  # of the first row
        self._schema, self._most = schema, held_bytes
        self._held: list[pa.Table] = []
        self._held_bytes = 0

    def add(self, rows: pa.Table) -> None:
        """Takes rows, at least one."""
        self._key = self._key or rows[_KEY][0].as_py()
        self.of_one_prompt &= pc.all(pc.equal(rows[_KEY], self._key)).as_py()
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
