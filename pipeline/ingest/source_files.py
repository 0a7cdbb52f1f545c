"""Opens a hub set, or the files that a user names, as a stream of Arrow tables.

Media stay encoded. Sets of the hub and picture folders are read by `datasets`; files are read here,
since `datasets` takes names for patterns, and numbers, dates and nulls for what text looks like.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar, cast

import pyarrow as pa
from pydantic import Field

from pipeline.ingest.text_files import CODECS, text_schemas, text_tables
from pipeline.pairs.input_config import READ_SECONDS
from pipeline.pairs.input_files import PARQUET, list_files, open_files
from pipeline.pairs.isolated_reading import file_tables, isolated, outline_of
from pipeline.pairs.shard_columns import ShardColumns
from pipeline.runtime.config_file import Frozen
from pipeline.runtime.errors import ConfigError, InputError
from pipeline.store.object_store import Entry, Store


def _packed(*suffixes: str) -> tuple[str, ...]:
    """File name endings, and those of the same files compressed."""
    return tuple(suffix + end for suffix in suffixes for end in ("", *CODECS))


KINDS = {
    "parquet": PARQUET,
    "json": _packed(".jsonl", ".json", ".ndjson"),
    "csv": _packed(".csv", ".tsv"),
}
BUILDERS = (*KINDS, "imagefolder")
SUFFIXES = tuple(suffix for suffixes in KINDS.values() for suffix in suffixes)
BATCH_ROWS = 64  # rows of a hub set in memory at a time, besides the row group they come from
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
Item = TypeVar("Item")
_ERRORS = (OSError, ValueError, pa.ArrowException)


class SourceConfig(Frozen):
    """The arguments of `datasets.load_dataset`."""

    path: str = Field(min_length=1)
    """A hub id; one of `BUILDERS` together with ``data_files`` or ``data_dir``; or a file, a
    glob or a folder of Parquet, JSON lines or CSV files.
    """
    name: str | None = None
    """The hub set's configuration."""
    revision: str | None = None
    """The hub commit; pin it, or a new commit changes which rows the row numbers mean."""
    split: str = "train"
    """Which split of it."""
    data_files: str | tuple[str, ...] | None = None
    """Files of a builder or of the hub set, as ``datasets`` takes them."""
    data_dir: str | None = None
    """A folder of them."""
    keyed: bool = False
    """Whether a JSON file is one object whose values are the rows, by their ids, which become the
    column ``key``.
    """

    def folder(self) -> str | None:
        """Where relative media paths of files start; None for a hub set."""
        named = self.named()
        return open_files(named[0], SUFFIXES)[0].uri if named and not is_hub_id(self.path) else None

    def named(self) -> tuple[str, ...]:
        """The URIs of files, folders and globs; none for a hub set."""
        if isinstance(self.data_files, str):
            return (self.data_files,)
        if self.data_files is not None or self.data_dir is not None:
            return self.data_files or (cast(str, self.data_dir),)
        return () if self.path in BUILDERS or is_hub_id(self.path) else (self.path,)


@dataclass(frozen=True)
class OpenSource:
    """An open source: its name for messages, its schema, its rows.

    Attributes:
        name: for messages.
        schema: the columns of all its files.
        read: begins to read: tables of some rows, in order.
        absent: files that lack a column which others have, by column.
    """

    name: str
    schema: pa.Schema
    read: Callable[[], Iterator[pa.Table]]
    absent: Mapping[str, list[str]] = field(default_factory=dict, kw_only=True)

    def tables(self) -> Iterator[pa.Table]:
        """The rows in order, some at a time; no table is without rows.

        Raises:
            InputError: reading fails; says after how many rows.
            StorageError: the store fails.
        """
        rows = 0
        batches = self.read()
        while True:
            try:
                table = next(batches, None)
            except (*_ERRORS, InputError) as error:
                said = str(error).removeprefix(f"{self.name}: ")
                raise InputError(f"{self.name}: cannot be read after row {rows}: {said}") from error
            if table is None:
                return
            rows += table.num_rows
            if table.num_rows:  # the first one of CSV is there for its columns
                yield table


def open_source(config: SourceConfig) -> OpenSource:
    """Finds the source and reads its schema.

    Raises:
        ConfigError: the path is of no kind that can be read.
        InputError: it cannot be opened, or has no such split or revision.
        StorageError: a store fails.
    """
    if is_hub_id(config.path) or config.path == "imagefolder":
        return _open_set(config)
    kind, files = _files(config)
    opened: dict[str, ShardColumns] = {}
    for store, entry in files:
        try:
            stored = _schema(kind, store, entry, config.keyed)
            _refuse_doubles(stored.names, store.shown(entry.key))
            opened[store.path(entry.key)] = ShardColumns(entry.key, stored)
        except (*_ERRORS, InputError) as error:
            where = "" if isinstance(error, InputError) else f"{store.shown(entry.key)}: "
            said = f"{where}{error}".removeprefix(f"{config.path}: ")
            raise InputError(f"{config.path}: cannot be opened: {said}") from error
    schemas = {path: columns.schema for path, columns in opened.items()}
    columns = {column.name: column for s in reversed(schemas.values()) for column in s}
    order = dict.fromkeys(name for schema in schemas.values() for name in schema.names)
    absent = {name: [path for path, s in schemas.items() if name not in s.names] for name in order}

    schema = pa.schema([columns[name] for name in order])

    def read() -> Iterator[pa.Table]:
        for store, entry in files:
            for table in _tables(kind, store, entry, config.keyed):
                yield _completed(opened[store.path(entry.key)].whole(table), schema)

    return OpenSource(config.path, schema, read, absent={n: p for n, p in absent.items() if p})


def is_hub_id(path: str) -> bool:
    """Whether a path is the id of a hub set, and no local file."""
    is_file = Path(path).exists() or path.lower().endswith(SUFFIXES)
    return _HUB_ID.fullmatch(path) is not None and not is_file


def _open_set(config: SourceConfig) -> OpenSource:
    """A set of the hub or a picture folder, as `datasets` streams it."""
    import datasets  # seconds, and most sources are files
    from datasets.exceptions import DatasetsError

    name = f"{config.path}, split {config.split}"
    given = config.model_dump(exclude={"path", "split", "keyed"}, exclude_none=True)
    if isinstance(config.data_files, tuple):
        given["data_files"] = list(config.data_files)
    try:
        dataset = datasets.load_dataset(config.path, split=config.split, streaming=True, **given)
        # Pictures pass through as the bytes they are stored as: no decoding, no second loss.
        # Where the columns are not known beforehand (CSV, a JSON array), no picture is among them.
        if dataset.features is not None:
            dataset = dataset.decode(False)
        first = next(dataset.with_format("arrow").iter(batch_size=1), None)
    except (*_ERRORS, DatasetsError) as error:
        raise InputError(f"{name}: cannot be opened: {error}") from error
    if first is None and dataset.features is None:
        raise InputError(f"{name}: no rows")
    schema = dataset.features.arrow_schema if first is None else first.schema

    def read() -> Iterator[pa.Table]:
        try:
            yield from dataset.with_format("arrow").iter(BATCH_ROWS)
        except DatasetsError as error:
            raise InputError(str(error)) from error

    return OpenSource(name, schema, read)


def _refuse_doubles(names: Sequence[str], where: str) -> None:
    """Whoever reads one of two columns may read the wrong one; one without a name is not read."""
    double = next((name for name, times in Counter(names).items() if name and times > 1), None)
    if double is not None:
        raise InputError(f"{where}: two columns are called {double!r}: rename or remove one")


def _completed(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """A table with empty columns for those that it lacks."""
    there = set(table.column_names)
    lacking = [column for column in schema if column.name not in there]
    empty = [pa.nulls(table.num_rows, column.type) for column in lacking]
    return pa.table([*table.columns, *empty], pa.schema([*table.schema, *lacking]))


def _files(config: SourceConfig) -> tuple[str, list[tuple[Store, Entry]]]:
    """The kind of the named files, and the files, in the order of their names."""
    named, forced = config.named(), config.path if config.path in KINDS else None
    if not named:
        raise ConfigError(f"source {config.path!r}: give its files as data_files or data_dir")
    # A file that is named with its kind may have any ending.
    suffixes = SUFFIXES if forced is None else ("",) if config.data_files else KINDS[forced]
    files = []
    for uri in named:
        store, prefix = open_files(uri, suffixes)
        try:
            files += [(store, entry) for entry in list_files(store, prefix, suffixes)]
        except InputError as error:
            raise ConfigError(
                f"source {uri!r}: expected a hub id such as 'openbmb/RLAIF-V-Dataset', one of "
                f"{', '.join(BUILDERS)}, or a file, folder or glob; got no such files ({error})"
            ) from error
    kinds = {kind_of(entry.key or store.uri) for store, entry in files}
    if forced is None and len(kinds) != 1:
        got = ", ".join(sorted(map(str, kinds)))
        raise ConfigError(f"source {config.path!r}: expected files of one kind; got {got}")
    return forced or kinds.pop() or "", files


def kind_of(name: str) -> str | None:
    """What a file's name says it holds: one of `KINDS`."""
    return next((kind for kind, ends in KINDS.items() if name.lower().endswith(ends)), None)


def _schema(kind: str, store: Store, entry: Entry, keyed: bool) -> pa.Schema:
    """A file's columns. Those of JSON are known only when all of it is read."""
    if kind == "parquet":
        return outline_of(store, entry, READ_SECONDS).schema
    if kind == "csv":
        with closing(_tables(kind, store, entry)) as tables:
            return next(tables).schema
    columns: dict[str, pa.Field] = {}
    schemas = isolated(store, READ_SECONDS, text_schemas, store, entry, kind, keyed)
    for column in itertools.chain.from_iterable(_named(schemas, store, entry)):
        before = columns.get(column.name, column)
        if before.equals(column):
            columns[column.name] = before
            continue
        try:
            (columns[column.name],) = pa.unify_schemas(
                [pa.schema([before]), pa.schema([column])], promote_options="permissive"
            )
        except pa.ArrowException:  # of several kinds, each of which is read row by row
            columns[column.name] = before
    return pa.schema(columns.values())


def _tables(
    kind: str, store: Store, entry: Entry, keyed: bool = False
) -> Generator[pa.Table, None, None]:
    """A file's rows; raises StorageError where it is the store that fails."""
    if kind == "parquet":
        read = file_tables(store, entry, READ_SECONDS)
    else:
        read = isolated(store, READ_SECONDS, text_tables, store, entry, kind, keyed)
    yield from _named(read, store, entry)


def _named(items: Iterator[Item], store: Store, entry: Entry) -> Iterator[Item]:
    """What is read of a file, which is named where that fails."""
    try:
        yield from items
    except (*_ERRORS, InputError) as error:
        raise InputError(f"{store.shown(entry.key)}: {error}") from error
