"""Small tables joined to larger ones: to map and check one row costs as much as a hundred.

Readers take few rows at a time where they must assume that each is large.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pyarrow as pa

JOINED_BYTES = 32 * 2**20  # by default; for larger blocks glibc takes new memory each time


def joined(tables: Iterable[pa.Table], most_bytes: int = JOINED_BYTES) -> Iterator[pa.Table]:
    """The same rows in tables of at most so many bytes, where tables in a row have one schema.

    A larger one stays as it is: what is joined is copied. Where the tables end with an error, the
    rows before it are yielded first.
    """
    held: list[pa.Table] = []
    size = 0
    try:
        for table in tables:
            more = table.nbytes
            if held and (size + more > most_bytes or table.schema != held[0].schema):
                yield _one(held)
                held, size = [], 0
            held.append(table)
            size += more
    except Exception:
        if held:
            yield _one(held)
        raise
    if held:
        yield _one(held)


def _one(tables: list[pa.Table]) -> pa.Table:
    return tables[0] if len(tables) == 1 else pa.concat_tables(tables).combine_chunks()
