"""Finds the data of a benchmark: on the hub, or in files of a folder or of an object store."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from pipeline.evaluation.benchmarks.benchmark import Benchmark, BenchmarkPart
from pipeline.ingest.source_files import SUFFIXES, SourceConfig, is_hub_id, kind_of
from pipeline.pairs.input_files import list_files, open_files
from pipeline.runtime.errors import ConfigError, InputError
from pipeline.store.object_store import Store

_SHARD = re.compile(r"(?P<name>.*?)-?(?P<number>\d+)-of-(?P<count>\d+)")
_KINDS = "Parquet, JSON, JSON lines, CSV or TSV (the text ones also .gz or .zst)"
_SHOWN = 8  # names of files in a message


@dataclass(frozen=True)
class Request:
    """Which data of a benchmark to read.

    Attributes:
        data: a hub id, or a file, a folder or a glob in any store; None for the benchmark's own
            hub id.
        split: in place of the benchmark's own splits.
        revision: of the hub set.
        media: folder that relative media paths start at; by default searched for beside the data.
        limit: most rows of each part.
    """

    data: str | None = None
    split: str | None = None
    revision: str | None = None
    media: str | None = None
    limit: int | None = None


@dataclass(frozen=True)
class DataFiles:
    """The data files that a path stands for.

    Attributes:
        given: the path.
        store: their root.
        keys: their names under it, sorted.
        meant: whether the path names files (one, or those of a glob), and no folder.
    """

    given: str
    store: Store
    keys: tuple[str, ...]
    meant: bool


def find_sources(
    benchmark: Benchmark, request: Request
) -> list[tuple[BenchmarkPart, SourceConfig]]:
    """The requested parts that are found, and the source of each.

    Raises:
        ConfigError: none are found, or it is not clear which files are meant.
    """
    data = request.data or benchmark.hub_id
    if data is None:
        raise ConfigError(f"{benchmark.name} is not on the hub: give its path with --data")
    parts = _parts(benchmark, request.split)
    if is_hub_id(data):
        revision = request.revision
        return [
            (p, SourceConfig(path=data, name=p.config, revision=revision, split=p.split))
            for p in parts
        ]
    if request.revision is not None:
        raise ConfigError(f"--revision is of a hub set; {data} is a path")
    files = data_files(data)
    found = [(part, _files_of(part, files, benchmark, request.split)) for part in parts]
    if not any(keys for _, keys in found):
        splits = ", ".join(part.split for part in parts)
        raise ConfigError(
            f"{data}: no file or folder is named after one of {splits}, got {_listed(files.keys)}: "
            "say with --split which split it is"
        )
    return [(part, _source(part, files, keys)) for part, keys in found if keys]


def data_files(data: str) -> DataFiles:
    """The data files that a path stands for: a file, those of a folder, or those of a glob.

    Raises:
        ConfigError: there are none.
    """
    local = "://" not in data
    if local and Path(data).is_file() and kind_of(data) is None:
        raise ConfigError(f"{data}: expected {_KINDS}; rename the file if it is one")
    store, prefix = open_files(str(Path(data).absolute()) if local else data, SUFFIXES)
    try:
        keys = [entry.key for entry in list_files(store, prefix, SUFFIXES)]
    except InputError as error:
        known = "" if local and Path(data).exists() else "no such file or folder, and no hub id; "
        raise ConfigError(
            f"{data}: {known}expected a hub id such as 'owner/name', or a file, folder or glob of "
            f"{_KINDS}; hidden files are not read"
        ) from error
    return DataFiles(data, store, tuple(keys), meant=prefix != "")


def _parts(benchmark: Benchmark, split: str | None) -> tuple[BenchmarkPart, ...]:
    """The benchmark's parts; of a split that is asked for, only that one, by its name first."""
    if split is None:
        return benchmark.parts
    split = benchmark.split_names.get(split, split)
    one, first = len(benchmark.parts) == 1, benchmark.parts[0]
    own = next((part for part in benchmark.parts if part.split == split), None)
    name = first.name if one else f"{benchmark.name}-{split}"
    part = own or replace(first, name=name, split=split)
    others = tuple(hint for hint in part.hints if one and hint not in (first.split, split.lower()))
    return (replace(part, hints=(split.lower(), *others)),)


def _files_of(
    part: BenchmarkPart, files: DataFiles, benchmark: Benchmark, split: str | None
) -> list[str]:
    """Those of the files that hold a part; none where its name is in none of theirs.

    Raises:
        ConfigError: more than one table may be meant, or files of one are missing.
    """
    several = len(benchmark.parts) > 1
    if files.meant and (split is not None or not several):
        if not several and split is not None:
            raise ConfigError(f"--split chooses among a folder's files; {files.given} names files")
        return _of_one_kind(files.keys, files)
    keys = list(files.keys)
    for hint in part.hints:
        fitting = named_after(hint, keys)
        if not fitting and split is not None and hint == part.split.lower():
            raise ConfigError(
                f"{files.given}: nothing is named after the split {split!r}, got {_listed(keys)}"
            )
        if not fitting and several:
            return []
        keys = fitting or keys
    if len(_tables(keys)) > 1:
        keys = [key for key in keys if part.split.lower() in _names(key)] or keys
    return _of_one_kind(keys, files) if files.meant else _one_table(keys, files)


def named_after(hint: str, keys: Sequence[str]) -> list[str]:
    """The files that a word names, or else those whose path contains it.

    A file is named by its folders, by its name without ending, and by what that begins with, up
    to a dash.
    """
    named = [key for key in keys if hint in _names(key)]
    return named or [key for key in keys if hint in key.lower()]


def _names(key: str) -> set[str]:
    path = PurePosixPath(key.lower())
    stem = _stem(path.name)
    return {*path.parent.parts, stem, stem.split("-")[0]}


def _stem(name: str) -> str:
    """A file's name without what says its kind."""
    return name[: -max(len(end) for end in SUFFIXES if name.lower().endswith(end))]


def _tables(keys: Iterable[str]) -> dict[tuple[str, ...], dict[str, int | None]]:
    """Files by the table that they are of, each with its number among those of its table.

    Files are of one table if they lie in one folder and are called ``x-00000-of-00002``,
    ``x-00001-of-00002`` or just by numbers.
    """
    found: dict[tuple[str, ...], dict[str, int | None]] = {}
    for key in keys:
        path = PurePosixPath(key)
        stem = _stem(path.name)
        folder, kind = str(path.parent), path.name[len(stem) :].lower()
        name, count, number = stem, "", None
        if shard := _SHARD.fullmatch(stem):
            name, count, number = shard["name"], shard["count"], int(shard["number"])
        elif stem.isdecimal():
            name = ""
        found.setdefault((folder, name, count, kind), {})[key] = number
    return found


def _one_table(keys: Sequence[str], files: DataFiles) -> list[str]:
    """The files, which are of one table.

    Raises:
        ConfigError: of several, so that pairs could count twice; or some of the table's are gone.
    """
    tables = _tables(keys)
    if len(tables) > 1:
        first = [next(iter(table)) for table in tables.values()]
        raise ConfigError(
            f"{files.given}: {len(tables)} tables fit, and read together they may count pairs "
            f"twice: {_listed(first)}; name one with --data or its split with --split, or those "
            "that belong together by a glob such as --data 'folder/*.json'"
        )
    for (_, name, count, _), table in tables.items():
        if count and (gone := sorted({*range(int(count))} - {*table.values()})):
            raise ConfigError(
                f"{files.given}: {name} is of {int(count)} files, of which "
                f"{', '.join(map(str, gone[:_SHOWN]))} are not there; fetch them, or name those "
                "to read with --data"
            )
    return list(keys)


def _of_one_kind(keys: Sequence[str], files: DataFiles) -> list[str]:
    kinds = {kind_of(key) for key in keys}
    if len(kinds) > 1:
        raise ConfigError(
            f"{files.given}: expected files of one kind, got {_listed(keys)}; name those to read"
        )
    return list(keys)


def _source(part: BenchmarkPart, files: DataFiles, keys: Sequence[str]) -> SourceConfig:
    named = tuple(files.store.path(key) for key in keys)
    return SourceConfig(path=kind_of(keys[0]) or "", data_files=named, split=part.split)


def _listed(keys: Sequence[str]) -> str:
    more = f" and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else ""
    return ", ".join(keys[:_SHOWN]) + more
