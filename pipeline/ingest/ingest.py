"""Converts a public preference set, or files in any columns, to shards of pairs.

Rows are streamed, media never decoded. Every row of the source becomes one row of the shards, or
the pairs of a ranked one if asked for, in the source's order unless those of a prompt are to lie
side by side; a row that cannot be judged is kept, so that it ends in quarantine with its reason,
and is counted in the report.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Literal

import pyarrow as pa
from pydantic import Field

from pipeline.ingest.csv_tables import separator_hint
from pipeline.ingest.grouped_rows import grouped_by_prompt
from pipeline.ingest.media_paths import MediaPaths
from pipeline.ingest.ranked_pairs import Expansion, as_pairs
from pipeline.ingest.source_files import OpenSource, SourceConfig, open_source
from pipeline.pairs.contract_checks import with_defects_kept
from pipeline.pairs.joined_tables import joined
from pipeline.pairs.known_layouts import AUTO
from pipeline.pairs.layout_proposal import proposal
from pipeline.pairs.mapped_rows import to_pairs
from pipeline.pairs.mapping_config import MappingConfig
from pipeline.pairs.shard_writer import ShardConfig, ShardWriter, existing_shards, refuse_existing
from pipeline.runtime.errors import (
    ConfigError,
    InputError,
    QuarantineError,
    StoppedError,
    StorageError,
)
from pipeline.runtime.stop import Stop
from pipeline.store.object_store import Store

_EXAMPLES = 3  # bad rows shown for each kind of problem


class IngestConfig(MappingConfig):
    """The whole configuration of ``pairmill ingest``."""

    source: SourceConfig
    """What to read (see `SourceConfig`)."""
    output: str = Field(min_length=1)
    """Folder or ``s3://bucket/prefix`` for the shards."""
    name: str | None = Field(default=None, pattern=r"^[\w.-]+$")
    """Shards are called ``<name>-00000.parquet``; by default the source's own name."""
    row_ids: str | None = Field(default=None, min_length=1)
    """Makes ``pair_id`` of this prefix and the row's number in the source
    (``<row_ids>-000000042``), for sources without an id; by default of ``name``, where no layout
    and no map gives ids. Pin the revision with it.
    """
    ranked_pairs: Expansion | None = None
    """Make pairs of each ranked row: `all`, `adjacent` (neighbours by score) or
    `best-against-rest`; by default it stays one row of several candidates.
    """
    group_by: Literal["prompt"] | None = None
    """Put rows of one question and its media side by side, which a judge then reads once for
    several of them; by default rows keep the order of the source. Rows pass through temporary files
    of their size (``TMPDIR``).
    """
    limit: int | None = Field(default=None, ge=1)
    """Read only so many rows, and nothing behind them."""
    media_root: str | None = None
    """Folder that relative media paths start at; by default that of the data files. A row whose
    media are not there counts as one that cannot be judged.
    """
    inline_media: bool = False
    """Read media files into the shards; otherwise their paths are kept, relative to
    ``media_root``, which the label job is then given as ``input.media_roots``.
    """
    shards: ShardConfig = ShardConfig()
    max_bad_fraction: float = Field(default=0.05, ge=0, le=1)
    """More rows that cannot be judged end the job with exit code 4."""
    overwrite: bool = False
    """Replace shards of the same name in the output."""

    def shard_name(self) -> str:
        """The name of the shards."""
        if self.name is not None:
            return self.name
        stem = PurePosixPath(self.source.path).stem.lower()
        return re.sub(r"[^\w-]+", "-", stem).strip("-") or "pairs"


@dataclass
class IngestReport:
    """What an ingest did.

    Attributes:
        rows: rows written: those read, or the pairs of ranked ones.
        shards: keys of the shards, in order.
        bytes: size of all shards.
        problems: rows that cannot be judged, by reason.
        examples: row numbers and ids of some of them, by reason.
        media_problems: media files that were looked for and not read, by cause.
    """

    rows: int = 0
    shards: list[str] = field(default_factory=list)
    bytes: int = 0
    problems: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)
    media_problems: Counter[str] = field(default_factory=Counter)

    @property
    def bad_rows(self) -> int:
        """Rows that cannot be judged."""
        return sum(self.problems.values())

    def note(self, ids: pa.ChunkedArray, defects: list[str | None]) -> None:
        """Counts rows by their ids and defects."""
        for row, reason in enumerate(defects):
            if reason is None:
                continue
            self.problems[reason] += 1
            examples = self.examples.setdefault(reason, [])
            if len(examples) < _EXAMPLES:
                examples.append(f"row {self.rows + row} (id {ids[row].as_py()!r})")
        self.rows += len(defects)


def ingest(
    config: IngestConfig,
    on_shard: Callable[[str, int], None] = lambda key, size: None,
    source: OpenSource | None = None,
    stop: Stop | None = None,
) -> IngestReport:
    """Reads the source and writes its shards.

    Args:
        config: the job's configuration.
        on_shard: called with each shard's key and size in bytes once it is written.
        source: read in place of ``config.source``, which then only gives the name.
        stop: asks to end, which it does between two tables of rows.

    Raises:
        ConfigError: the output has shards of this name; the source is of no kind that can be read.
        InputError: the source cannot be opened or read, or its columns do not fit.
        StorageError: the output cannot be written, or holds shards of a longer, earlier ingest.
        StoppedError: a stop was asked for; the shards written by then stay.
    """
    store, name = Store(config.output), config.shard_name()
    if not config.overwrite:
        refuse_existing(store, name)
    source = source or open_source(config.source)
    if config.layout == AUTO:
        raise ConfigError(proposal(next(source.tables(), source.schema.empty_table()), source.name))
    if problems := column_problems(config, source):
        lines = "\n  ".join(problems)
        raise InputError(f"{source.name}: the columns do not fit:\n  {lines}")
    root = config.media_root or config.source.folder()
    media = MediaPaths(root, config.inline_media)
    report = IngestReport(media_problems=media.problems)

    def count(key: str, size: int) -> None:
        report.shards.append(key)
        report.bytes += size
        on_shard(key, size)

    def check_stop() -> None:
        if stop is not None and stop.asked:
            raise StoppedError(
                f"stopped by SIGTERM: {len(report.shards)} shards are written; to start over, "
                "add --overwrite true"
            )

    def placed_rows() -> Generator[pa.Table, None, None]:
        for pairs in _pairs(config, source):
            check_stop()
            placed = media.apply(with_defects_kept(pairs))
            report.note(pairs["pair_id"], media.with_missing(placed, pairs["defect"]))
            yield placed

    rows = placed_rows() if config.group_by is None else grouped_by_prompt(placed_rows())
    # However this ends, temporary files of the rows and of a shard that is not whole go.
    with ShardWriter(store, name, config.shards, count) as writer, closing(rows):
        for table in rows:
            check_stop()
            writer.add(table)
    if not report.rows:
        raise InputError(f"{source.name}: no rows")
    _refuse_leftovers(store, name, report.shards)
    return report


def column_problems(config: IngestConfig, source: OpenSource) -> list[str]:
    """Why the source's columns do not fit pairs v2; [] if they do.

    Raises:
        ConfigError: ids are to be made, and the source has some.
    """
    schema, mapping = source.schema, config.mapping()
    if config.row_ids is not None:
        if mapping.narrowed(["pair_id"]).needed(schema):
            raise ConfigError(
                f"row_ids={config.row_ids!r}: the source already has a pair_id; leave row_ids out"
            )
        schema = schema.append(pa.field("pair_id", pa.string()))
    uses = mapping.uses(schema)
    lacking = [
        f"column {name!r}, read as {', '.join(uses[name])}, is not in {', '.join(paths[:3])}"
        + (f" and {len(paths) - 3} more" if paths[3:] else "")
        + ", but is in other files: its values would be lost; ingest these files by themselves"
        for name, paths in source.absent.items()
        if uses.get(name)
    ]
    problems = [*mapping.check(schema), *lacking]
    hint = separator_hint(source.schema.names) if problems else None
    return [*problems, hint] if hint else problems


def describe_columns(config: IngestConfig, schema: pa.Schema) -> list[str]:
    """One line for each column of the source: its type, and which fields of a pair it becomes."""
    uses = config.mapping().uses(schema)
    return [
        f"{column.name}: {column.type} -> {', '.join(uses[column.name]) or '(not read)'}"
        for column in schema
    ]


def check_report(config: IngestConfig, report: IngestReport) -> None:
    """Checks the report against what the configuration allows.

    Raises:
        QuarantineError: too many rows cannot be judged.
    """
    if report.bad_rows > config.max_bad_fraction * report.rows:
        worst, count = report.problems.most_common(1)[0]
        raise QuarantineError(
            f"{report.bad_rows} of {report.rows} rows cannot be judged, more than "
            f"max_bad_fraction {config.max_bad_fraction:g} allows; most often ({count}): {worst}, "
            f"such as {', '.join(report.examples[worst])}; check layout and map"
        )


def _pairs(config: IngestConfig, source: OpenSource) -> Iterator[pa.Table]:
    """The source's rows as pairs, numbered if that is asked for, up to the limit."""
    start, mapping = 0, config.mapping()
    prefix = config.shard_name() if mapping.makes_ids(source.schema) else None
    prefix = prefix if config.row_ids is None else config.row_ids
    for table in joined(_first_rows(source.tables(), config.limit)):
        rows = range(start, start + table.num_rows)
        ids = None if prefix is None else [f"{prefix}-{row:09d}" for row in rows]
        pairs = to_pairs(mapping, table, ids)
        yield pairs if config.ranked_pairs is None else as_pairs(pairs, config.ranked_pairs)
        start += table.num_rows


def _first_rows(tables: Iterable[pa.Table], limit: int | None) -> Iterator[pa.Table]:
    """The tables that have rows, up to the limit; none behind it is asked for."""
    left = sys.maxsize if limit is None else limit
    for table in tables:
        if table.num_rows:
            yield table.slice(0, left)
        left -= table.num_rows
        if left <= 0:
            return


def _refuse_leftovers(store: Store, name: str, written: list[str]) -> None:
    if left := sorted(set(existing_shards(store, name)) - set(written)):
        raise StorageError(
            f"{store.uri}: {len(left)} shards of an earlier, longer ingest would be labelled "
            f"too; remove them: {', '.join(left)}"
        )
