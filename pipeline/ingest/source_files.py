"""Opens what `datasets.load_dataset` reads, as a stream of Arrow tables with encoded media."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
from datasets.exceptions import DatasetsError
from pydantic import Field

from pipeline.runtime.config_file import Frozen
from pipeline.runtime.errors import ConfigError, InputError

BUILDERS = ("parquet", "json", "csv", "imagefolder")
BATCH_ROWS = 64  # rows in memory at a time, besides the row group they come from
_SUFFIXES = {".parquet": "parquet", ".jsonl": "json", ".json": "json", ".csv": "csv"}
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_ERRORS = (OSError, ValueError, pa.ArrowException, DatasetsError)


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

    def folder(self) -> str | None:
        """Where relative media paths of local files start; None for a hub set."""
        files = self.data_files
        if self.data_dir is not None:
            return self.data_dir
        if files is not None:
            return _folder_of(files if isinstance(files, str) else files[0])
        return None if self.path in BUILDERS or is_hub_id(self.path) else _folder_of(self.path)


@dataclass(frozen=True)
class OpenSource:
    """An open source: its name for messages, its schema, its rows.

    Attributes:
        dataset: a streaming `datasets.IterableDataset` that leaves media encoded.
    """

    name: str
    schema: pa.Schema
    dataset: Any

    def tables(self) -> Iterator[pa.Table]:
        """The rows in order, `BATCH_ROWS` at a time.

        Raises:
            InputError: reading fails; says after how many rows.
        """
        rows = 0
        batches = self.dataset.with_format("arrow").iter(batch_size=BATCH_ROWS)
        while True:
            try:
                table = next(batches, None)
            except _ERRORS as error:
                raise InputError(
                    f"{self.name}: cannot be read after row {rows}: {error}"
                ) from error
            if table is None:
                return
            rows += table.num_rows
            yield table


def open_source(config: SourceConfig) -> OpenSource:
    """Finds the source and reads its schema, and no more rows than that takes.

    Raises:
        ConfigError: the path is of no kind that can be read.
        InputError: it cannot be opened, or has no such split or revision.
    """
    builder, arguments = _arguments(config)
    name = f"{config.path}, split {config.split}"
    try:
        dataset = datasets.load_dataset(builder, split=config.split, streaming=True, **arguments)
        # Pictures pass through as the bytes they are stored as: no decoding, no second loss.
        # Where the columns are not known beforehand (CSV, a JSON array), no picture is among them.
        if dataset.features is not None:
            dataset = dataset.decode(False)
        first = next(dataset.with_format("arrow").iter(batch_size=1), None)
    except _ERRORS as error:
        raise InputError(f"{name}: cannot be opened: {error}") from error
    if first is not None:
        return OpenSource(name, first.schema, dataset)
    if dataset.features is None:
        raise InputError(f"{name}: no rows")
    return OpenSource(name, dataset.features.arrow_schema, dataset)


def _arguments(config: SourceConfig) -> tuple[str, dict[str, Any]]:
    """The builder or hub id, and the arguments, for `load_dataset`."""
    if is_hub_id(config.path):
        given = config.model_dump(exclude={"path", "split"}, exclude_none=True)
        if isinstance(config.data_files, tuple):
            given["data_files"] = list(config.data_files)
        return config.path, given
    if config.path not in BUILDERS:
        files = _files(config.path)
        return _local(_SUFFIXES[Path(files[0]).suffix], config.split, files)
    if config.data_files is not None:
        named = config.data_files
        return _local(config.path, config.split, [named] if isinstance(named, str) else list(named))
    if config.data_dir is None:
        raise ConfigError(f"source {config.path!r}: give its files as data_files or data_dir")
    return config.path, {"data_dir": config.data_dir}


def _local(builder: str, split: str, files: list[str]) -> tuple[str, dict[str, Any]]:
    """Local files are the split, whatever the configuration calls it."""
    arguments: dict[str, Any] = {"data_files": {split: files}}
    if builder == "parquet":
        # Its default is the first row group's size: unbounded, and an error for a file of no rows.
        arguments["batch_size"] = BATCH_ROWS
    return builder, arguments


def is_hub_id(path: str) -> bool:
    """Whether a path is the id of a hub set, and no local file."""
    is_file = Path(path).exists() or Path(path).suffix in _SUFFIXES
    return _HUB_ID.fullmatch(path) is not None and not is_file


def _files(path: str) -> list[str]:
    """The data files that a file, glob or folder stands for, all of one kind."""
    files = [path]
    if Path(path).is_dir():
        found = (f for f in sorted(Path(path).rglob("*")) if f.suffix in _SUFFIXES and f.is_file())
        files = [str(file) for file in found]
    kinds = {_SUFFIXES.get(Path(file).suffix) for file in files}
    if len(kinds) != 1 or None in kinds:
        got = ", ".join(sorted(map(str, kinds))) if files else "no such files"
        raise ConfigError(
            f"source {path!r}: expected a hub id such as 'openbmb/RLAIF-V-Dataset', one of "
            f"{', '.join(BUILDERS)}, or files of one kind ({', '.join(_SUFFIXES)}); got {got}"
        )
    return files


def _folder_of(path: str) -> str:
    """The longest folder of a path that has no wildcard."""
    if "://" not in path and Path(path).is_dir():
        return path
    fixed = re.split(r"[*?\[]", path)[0]
    folder = fixed.rpartition("/")[0]
    return folder or ("/" if fixed.startswith("/") else ".")
