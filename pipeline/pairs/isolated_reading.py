"""Opens and reads shards in processes that may die: Arrow ends a process on some damaged files.

A shard that ends its reader is read again; one that does so again is corrupt: a footer is, as any
other corrupt one, the shard's fault, and a page costs the rest of its row group. The same goes for
what is not read in time. Of that, a footer is not tried again; a row group is, row by row, and then
its ids are read: until three reads of the shard were too slow.
"""

from __future__ import annotations

import bisect
import functools
import itertools
import pickle
from collections.abc import Callable, Collection, Iterator
from typing import Any, Protocol, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.pairs.batch_rows import rows_at_a_time
from pipeline.pairs.joined_tables import joined
from pipeline.pairs.pair_mapping import PairMapping
from pipeline.pairs.row_groups import BUFFER, GroupReader, undecodable
from pipeline.pairs.shard_columns import ShardColumns, narrow_batches
from pipeline.pairs.shard_sample import sample_problem
from pipeline.pairs.shards import ShardOutline, list_shards, open_shard, read_outline
from pipeline.runtime.disposable import Disposables, ProcessDiedError, TimeLimitError
from pipeline.runtime.faults import UNREADABLE_FILE, first_line
from pipeline.store.object_store import Entry, Store
from schemas.pairs import PAIRS_V2

_SLOW_READS = 3  # of one shard that take too long: what is left of it is not read
_NARROW_ROWS = 1_024  # without media
_FETCHED_BYTES = 64 * 2**20  # of a row group that is fetched as it is
_TOO_DEEP = "its columns are nested too deeply"
_DIED = (ProcessDiedError, MemoryError)  # the latter of a process that may have no more memory
Result = TypeVar("Result")


class Groups(Protocol):
    """Row groups of one shard, as :class:`pipeline.pairs.row_groups.GroupReader` has them."""

    @property
    def count(self) -> int:
        """Number of row groups."""

    def rows(self, group: int) -> int:
        """Number of rows of a group."""

    def read(self, group: int) -> Iterator[pa.Table]:
        """The group's pairs with their defects."""

    def read_ids(self, group: int) -> list[str | None]:
        """The group's pair ids; null where they cannot be decoded."""


def outline_of(store: Store, entry: Entry, seconds: float) -> ShardOutline:
    """What a shard's footer says; raises as :func:`pipeline.pairs.shards.read_outline` does."""
    return _surviving(store, seconds, read_outline, store, entry)


def readable_shards(
    store: Store, prefix: str, seconds: float, note: Callable[[str], None] = lambda text: None
) -> Iterator[Entry]:
    """The shards of an input, but for those whose footer cannot be read: these are noted.

    Args:
        store: the input root.
        prefix: of the shards.
        seconds: how long a footer may take.
        note: receives a sentence about each that is left out.

    Raises:
        InputError: the input has no shard.
        StorageError: the store fails.
    """
    for entry in list_shards(store, prefix):
        try:
            outline_of(store, entry, seconds)
        except UNREADABLE_FILE as error:
            note(f"{store.shown(entry.key)}: left out: corrupt footer: {first_line(error)}")
        else:
            yield entry


def misfit_of(store: Store, entry: Entry, mapping: PairMapping, seconds: float) -> str | None:
    """As :func:`pipeline.pairs.shard_sample.sample_problem`; None where rows end their reader."""
    try:
        return _surviving(store, seconds, sample_problem, store, entry, mapping)
    except pa.ArrowInvalid:
        return None  # what cannot be decoded is quarantined row by row when it is read


def open_groups(store: Store, key: str, size: int, mapping: PairMapping, seconds: float) -> Groups:
    """Opens the shard ``key`` of ``size`` bytes.

    Args:
        store: the input root.
        key: of the shard.
        size: its bytes.
        mapping: what to read.
        seconds: how long its footer, and then each batch of rows, may take.

    Raises:
        StorageError: the store fails, or this is not the file that was planned.
    """
    processes = store.host.disposables(__name__)
    if processes is None:
        return GroupReader(store, key, size, mapping)
    return IsolatedGroups(processes, store, key, size, mapping, seconds)


def rows_at(
    store: Store, entry: Entry, rows: Collection[int], mapping: PairMapping, seconds: float
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Some rows of a shard by their numbers; row groups without any are not read.

    A batch of rows that takes more than ``seconds`` is of rows without any field but their id.
    """
    groups = open_groups(store, entry.key, entry.size, mapping, seconds)
    wanted, start = sorted(rows), 0
    for group in range(groups.count):
        stop = start + groups.rows(group)
        if bisect.bisect_left(wanted, start) < bisect.bisect_left(wanted, stop):
            at = start
            for table in groups.read(group):
                for number in range(at, at + table.num_rows):
                    if number in rows:
                        row = table.slice(number - at, 1).select(PAIRS_V2.names)
                        yield number, row.to_pylist()[0]
                at += table.num_rows
        start = stop


def first_rows(store: Store, entry: Entry, count: int, seconds: float) -> pa.Table:
    """A shard's first rows, as they are."""
    return _surviving(store, seconds, _first_rows, store, entry, count)


def narrow_rows(
    store: Store, entry: Entry, mapping: PairMapping, seconds: float, group: int | None = None
) -> tuple[int, list[pa.Table]]:
    """Rows of a shard as pairs without media, and the number of the first.

    Args:
        store: the input root.
        entry: the shard.
        mapping: narrowed to the columns that are wanted; nothing is read where none is there.
        seconds: how long each batch of rows may take.
        group: of one row group alone, counted around the shard's groups; or of all of them.

    Raises:
        pa.ArrowException: it is corrupt.
        StorageError: the store fails.
    """
    found = list(isolated(store, seconds, _narrow_rows, store, entry, mapping, group))
    return (found[0][0] if found else 0), [table for _, table in found]


def file_tables(store: Store, entry: Entry, seconds: float) -> Iterator[pa.Table]:
    """All rows of a Parquet file, as they are; each batch may take so many seconds.

    Raises:
        pa.ArrowException: it is corrupt; rows before are yielded first.
        StorageError: the store fails.
    """
    return isolated(store, seconds, _file_tables, store, entry)


class IsolatedGroups:
    """Row groups of one shard, read in processes that may die."""

    def __init__(
        self,
        processes: Disposables,
        store: Store,
        key: str,
        size: int,
        mapping: PairMapping,
        seconds: float,
    ) -> None:
        """Opens a shard; arguments and errors as of :func:`open_groups`."""
        self._processes, self._seconds, self._slow = processes, seconds, 0
        self._where = pickle.dumps((store, key, size, mapping))
        self._rows: list[int] = _tried(processes, seconds, _rows_of, self._where)

    @property
    def count(self) -> int:
        """Number of row groups."""
        return len(self._rows)

    def rows(self, group: int) -> int:
        """Number of rows of a group."""
        return self._rows[group]

    def read(self, group: int) -> Iterator[pa.Table]:
        """The group's pairs; all rows behind one that ends its reader have that as their defect."""
        done, why = 0, f"not read: {_SLOW_READS} reads of this shard have taken too long"
        for singly in (False, True):
            if self._slow == _SLOW_READS:
                break
            task = (self._where, group, done, singly)
            try:
                for pairs in self._processes.stream(_read, *task, seconds=self._seconds):
                    yield pairs
                    done += pairs.num_rows
            except _DIED as died:
                why = f"corrupt data page: whatever reads it dies ({died})"
            except TimeLimitError as late:
                why = f"corrupt data page: it takes too long to read: {late} (input.read_seconds)"
                self._slow += 1
            else:
                return
        yield undecodable(self.read_ids(group)[done:], why)

    def read_ids(self, group: int) -> list[str | None]:
        """The group's pair ids; null where they cannot be decoded."""
        unknown: list[str | None] = [None] * self._rows[group]
        if self._slow == _SLOW_READS:
            return unknown
        try:
            return _tried(self._processes, self._seconds, _read_ids, self._where, group)
        except _TooSlow:
            self._slow += 1
        except pa.ArrowInvalid:
            pass
        return unknown


class _TooSlow(pa.ArrowInvalid):  # type: ignore[misc]  # pyarrow has no types
    """What a shard is that takes too long to open."""


def _surviving(
    store: Store, seconds: float, function: Callable[..., Result], *arguments: object
) -> Result:
    processes = store.host.disposables(__name__)
    if processes is None:
        return function(*arguments)
    return _tried(processes, seconds, function, *arguments)


def _tried(
    processes: Disposables, seconds: float, function: Callable[..., Result], *arguments: object
) -> Result:
    """What a function returns; one whose process dies each time is of corrupt bytes.

    Raises:
        pa.ArrowInvalid: it dies, or is not done in time.
    """
    try:
        return processes.call(function, *arguments, seconds=seconds)
    except _DIED as died:
        raise pa.ArrowInvalid(_why("opens", died)) from died
    except TimeLimitError as late:
        raise _TooSlow(f"it takes too long to open: {late} (input.read_seconds)") from late
    except RecursionError as deep:  # a schema that nobody can pass on
        raise pa.ArrowInvalid(_TOO_DEEP) from deep


def isolated(
    store: Store, seconds: float, function: Callable[..., Iterator[Result]], *arguments: object
) -> Iterator[Result]:
    """What a generator function yields, run where dying is allowed, and again where it dies.

    Args:
        store: what it reads; its host has the processes.
        seconds: how long each item may take.
        function: at the top of a module.
        arguments: pickled.

    Raises:
        pa.ArrowInvalid: it dies again, or an item is not done in time.
        Exception: whatever the function raises.
    """
    processes = store.host.disposables(__name__)
    if processes is None:
        yield from function(*arguments)
        return
    done, died = 0, None
    for _ in range(2):
        items = processes.stream(function, *arguments, seconds=seconds)
        try:
            for item in itertools.islice(items, done, None):
                yield item
                done += 1
        except _DIED as error:
            died = error
        except TimeLimitError as late:
            raise pa.ArrowInvalid(f"it takes too long to read: {late}") from late
        except RecursionError as deep:
            raise pa.ArrowInvalid(_TOO_DEEP) from deep
        else:
            return
    raise pa.ArrowInvalid(_why("reads", died)) from died


def _why(does: str, died: BaseException | None) -> str:
    if isinstance(died, MemoryError):
        return f"whatever {does} it needs more memory than it may have ({first_line(died)})"
    return f"whatever {does} it dies ({died})"


# What follows runs in those processes.


@functools.lru_cache(maxsize=1)
def _opened(where: bytes) -> GroupReader:
    """The shard that was read last stays open: its footer is read once for all of its groups."""
    return GroupReader(*pickle.loads(where))


def _rows_of(where: bytes) -> list[int]:
    _opened.cache_clear()  # a file may be another by now
    reader = _opened(where)
    return [reader.rows(group) for group in range(reader.count)]


def _read(where: bytes, group: int, skip: int, singly: bool) -> Iterator[pa.Table]:
    for pairs in _opened(where).read(group, singly=singly):
        if skip < pairs.num_rows:
            yield pairs.slice(skip)
        skip = max(0, skip - pairs.num_rows)


def _first_rows(store: Store, entry: Entry, count: int) -> pa.Table:
    file = open_shard(store, entry)
    columns = ShardColumns(entry.key, file.schema_arrow)
    batch = next(file.iter_batches(count, use_threads=False), None)
    rows = [] if batch is None else [columns.whole(batch)]
    return pa.Table.from_batches(rows, columns.schema)


def _narrow_rows(
    store: Store, entry: Entry, mapping: PairMapping, group: int | None
) -> Iterator[tuple[int, pa.Table]]:
    """Batches of rows, each with the number of the first row of all."""
    source = store.open(entry.key, entry.size)
    with source.reading():
        file = pq.ParquetFile(pa.PythonFile(source, mode="r"), page_checksum_verification=True)
        if not mapping.needed(ShardColumns(entry.key, file.schema_arrow).schema):
            return
        groups = list(range(file.num_row_groups))
        groups = groups if group is None else [group % len(groups)]
        start = sum(file.metadata.row_group(each).num_rows for each in range(groups[0]))
        for pairs in narrow_batches(file, entry.key, mapping, groups, _NARROW_ROWS):
            yield start, pairs


def _file_tables(store: Store, entry: Entry) -> Iterator[pa.Table]:
    source = store.open(entry.key, entry.size)
    with source.reading():
        file = _by_groups(pa.PythonFile(source, mode="r"))
        for group in range(file.num_row_groups):
            rows = rows_at_a_time(file.metadata.row_group(group))
            batches = file.iter_batches(rows, row_groups=[group], use_threads=False)
            # A message costs as much as 100 kB of it, and rows may have to be decoded one by one.
            yield from joined(pa.Table.from_batches([each]) for each in batches)


def _by_groups(source: pa.NativeFile) -> pq.ParquetFile:
    """A file whose row groups are fetched as they are where they are small: buffers cost a copy."""
    footer = pq.read_metadata(source)
    groups = [footer.row_group(number) for number in range(footer.num_row_groups)]
    sizes = [
        sum(group.column(number).total_compressed_size for number in range(group.num_columns))
        for group in groups
    ]
    buffer = BUFFER if max(sizes, default=0) > _FETCHED_BYTES else 0
    return pq.ParquetFile(source, metadata=footer, buffer_size=buffer, pre_buffer=False)


def _read_ids(where: bytes, group: int) -> list[str | None]:
    return _opened(where).read_ids(group)
