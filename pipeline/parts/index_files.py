"""The files of a label index: entries sorted by pair, a list of the parts they come from, a state.

Everything is immutable. The highest numbered state under ``index/judge=<judge>/`` is the index.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.parts.part_keys import judge_folder
from pipeline.runtime.errors import InputError, StorageError
from pipeline.runtime.faults import UNREADABLE_FILE, first_line
from pipeline.store.object_store import Store
from schemas.records import Record

GROUP_ROWS = 8_192  # what one look-up of one pair reads of a file

# One entry is one row of one part. `high` and `low` are the first 16 bytes of the pair's hash;
# `part` is a number of the list of parts; `offset` is the row's position in that part.
ENTRIES = pa.schema(
    [
        ("high", pa.uint64()),
        ("low", pa.uint64()),
        ("revision", pa.int32()),
        ("epoch", pa.int64()),
        ("part", pa.int64()),
        ("offset", pa.int32()),
    ]
)
PARTS = pa.schema([("key", pa.string()), ("asking", pa.string())])


@dataclass(frozen=True)
class IndexFile:
    """One file.

    Attributes:
        key: under the output root; ends in a digest of the content.
        first, last: the least and the greatest ``high`` of its entries; 0 of a list of parts.
    """

    key: str
    rows: int
    bytes: int
    first: int = 0
    last: int = 0


@dataclass(frozen=True)
class IndexState(Record):
    """One state of an index.

    Attributes:
        judge_id: whose votes it finds.
        runs: files of entries; those of a run are ascending and have each pair once, and a later
            run's parts are later ones.
        parts: the list of parts, in as many files as needed; parts are numbered across them.
        askings: how many of the parts say what about until when their judge was asked.
    """

    remedy = "remove it: the index is made again from the parts"

    version: Literal["index/v1"] = field(default="index/v1", kw_only=True)
    judge_id: str
    runs: tuple[tuple[IndexFile, ...], ...] = ()
    parts: tuple[IndexFile, ...] = ()
    askings: Mapping[str, int] = field(default_factory=dict)

    @property
    def files(self) -> list[IndexFile]:
        """All files that it names."""
        return [*(file for run in self.runs for file in run), *self.parts]


def index_folder(judge_id: str) -> str:
    """The folder of a judge's index."""
    return f"index/{judge_folder(judge_id)}"


def state_key(judge_id: str, number: int) -> str:
    """Where a state is."""
    return f"{index_folder(judge_id)}/{number:09d}.json"


def hash_words(pair_hash: str) -> tuple[int, int]:
    """``high`` and ``low`` of a pair's hash, which is 32 or more hex digits."""
    return int(pair_hash[:16], 16), int(pair_hash[16:32], 16)


def write_file(store: Store, judge_id: str, table: pa.Table) -> IndexFile:
    """Writes entries, or a list of parts, unless a file of the same content is there.

    Raises:
        StorageError: the store refuses.
    """
    buffer = pa.BufferOutputStream()
    options = {"compression": "zstd", "write_page_checksum": True}
    pq.write_table(table, buffer, row_group_size=GROUP_ROWS, **options)
    data = bytes(buffer.getvalue())
    key = f"{index_folder(judge_id)}/files/{hashlib.sha256(data).hexdigest()[:32]}.parquet"
    if not store.create(key, data) and store.read(key) != data:
        store.put(key, data)  # what is there is damaged
    ends = (0, 0)
    if table.schema.names == ENTRIES.names:
        ends = (table["high"][0].as_py(), table["high"][-1].as_py())
    return IndexFile(key, table.num_rows, len(data), *ends)


def open_file(store: Store, file: IndexFile) -> pq.ParquetFile:
    """Opens a file; raises as :func:`pipeline.pairs.shards.open_shard` does."""
    source = pa.PythonFile(store.open(file.key, file.bytes), mode="r")
    return pq.ParquetFile(source, page_checksum_verification=True, pre_buffer=False)


@contextmanager
def reading(store: Store, file: IndexFile) -> Iterator[None]:
    """Turns Arrow's errors about a file of the index into InputError, or the store's own."""
    try:
        yield
    except UNREADABLE_FILE as error:
        if isinstance(error.__cause__, StorageError):  # what Arrow read has failed to come
            raise error.__cause__ from error
        raise InputError(
            f"{store.path(file.key)}: a damaged file of the label index ({first_line(error)}); "
            "remove it, and run again: the index is made again from the parts"
        ) from error


def read_file(store: Store, file: IndexFile) -> pa.Table:
    """The whole of a file.

    Raises:
        InputError: it is damaged.
        StorageError: the store fails.
    """
    with reading(store, file):
        return open_file(store, file).read(use_threads=False)


def groups_between(file: pq.ParquetFile, first: int, last: int) -> list[int]:
    """The row groups that may hold entries with ``high`` in ``[first, last]``."""
    chosen = []
    for number in range(file.num_row_groups):
        ends = file.metadata.row_group(number).column(0).statistics
        if ends.min <= last and ends.max >= first:
            chosen.append(number)
    return chosen


def newest(tables: Sequence[pa.Table]) -> pa.Table:
    """The newest entry of each pair, ascending by pair.

    Of entries of one pair the one of the highest revision is the newest, then of the highest epoch,
    then of the later part; no clock has a say.
    """
    table = pa.concat_tables(tables)
    columns: dict[str, npt.NDArray[np.generic]] = {
        name: table[name].to_numpy() for name in ENTRIES.names
    }
    order = np.lexsort([columns[name] for name in ("part", "epoch", "revision", "low", "high")])
    high, low = columns["high"][order], columns["low"][order]
    last_of_pair = np.ones(len(order), dtype=bool)
    last_of_pair[:-1] = (high[1:] != high[:-1]) | (low[1:] != low[:-1])
    return table.take(pa.array(order[last_of_pair]))
