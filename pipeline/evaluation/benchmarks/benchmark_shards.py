"""Loads a benchmark, from the hub or from local files, as shards of gold pairs."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.evaluation.benchmarks.benchmark import Benchmark, BenchmarkPart
from pipeline.evaluation.benchmarks.benchmark_files import Request, find_sources
from pipeline.ingest.ingest import IngestConfig, IngestReport, check_report, ingest
from pipeline.ingest.source_files import OpenSource, SourceConfig, open_source
from pipeline.pairs.column_forms import as_expressions
from pipeline.pairs.contents import KINDS, contents_of, media_of
from pipeline.pairs.mapped_rows import to_pairs
from pipeline.pairs.mapping_config import MappingConfig
from pipeline.pairs.pair_mapping import PairMapping
from pipeline.pairs.shard_writer import ShardConfig
from pipeline.runtime.errors import InputError
from pipeline.store.object_store import Store

# Where pictures and videos are looked for without --media, relative to the data file's folder.
_MEDIA_FOLDERS = (".", "image", "images", "videos", "..", "../image", "../images", "../videos")
_PROBED = 8  # rows whose media are looked for
# Small shards: a run without --limit finds the labels of one with it, but for the last shard's.
_SHARDS = ShardConfig(group_rows=64, file_bytes=16 * 2**20)


@dataclass(frozen=True)
class Loaded:
    """A benchmark as shards of pairs v2.

    Attributes:
        uri: the folder of the shards.
        media_root: where media are that the shards only name; None if they hold all of them.
        reports: what was read, by part.
        sources: what it was read from, by part.
    """

    uri: str
    media_root: str | None
    reports: dict[str, IngestReport]
    sources: dict[str, str]

    def as_report(self) -> list[dict[str, Any]]:
        """What was read, part by part, as an evaluation's report states it."""
        return [
            {
                "part": part,
                "source": self.sources[part],
                "rows": report.rows,
                "bad_rows": report.bad_rows,
                "problems": dict(report.problems),
            }
            for part, report in self.reports.items()
        ]


@dataclass(frozen=True)
class PreparedSource(OpenSource):
    """A part's source whose tables are prepared for the mapping."""

    benchmark: Benchmark
    part: BenchmarkPart

    def tables(self) -> Iterator[pa.Table]:
        """The rows in order; raises InputError as the source does."""
        for table in super().tables():
            yield self.prepared(table)

    def prepared(self, table: pa.Table) -> pa.Table:
        """A table with the column names of the newest release, and what the mapping needs."""
        old = self.benchmark.renames
        names = [
            old.get(n, n) if old.get(n) not in table.column_names else n for n in table.column_names
        ]
        return self.benchmark.prepare(table.rename_columns(names), self.part)


def load_benchmark(benchmark: Benchmark, request: Request, output: str) -> Loaded:
    """Reads a benchmark and writes its shards; the same data gives the same shards again.

    Raises:
        ConfigError: the data cannot be found, or is in files of several kinds.
        InputError: columns are missing or of a type that does not fit; media are not found.
        QuarantineError: too many rows cannot be judged, for example for unknown gold values.
        StorageError: the shards cannot be written.
    """
    reports: dict[str, IngestReport] = {}
    sources: dict[str, str] = {}
    root = None
    for part, config in find_sources(benchmark, request):
        source = _open(benchmark, part, config)
        mapping = _mapping(benchmark, part, source)
        root = _media_root(benchmark, config, mapping.mapping(), source, request.media)
        how = IngestConfig(
            source=config,
            output=output,
            map=mapping.map,
            name=part.name,
            # Ids of public sets repeat, and a repeated id is a bad row.
            row_ids=part.name,
            limit=request.limit,
            media_root=root,
            inline_media=benchmark.inline and root is not None,
            shards=_SHARDS,
            overwrite=True,
        )
        reports[part.name] = ingest(how, source=source)
        check_report(how, reports[part.name])
        sources[part.name] = ", ".join(config.named()) or source.name
    return Loaded(output, None if benchmark.inline else root, reports, sources)


def _open(benchmark: Benchmark, part: BenchmarkPart, config: SourceConfig) -> PreparedSource:
    opened = open_source(config)
    files = config.data_files
    name = (
        f"{benchmark.name} ({', '.join(files)})" if files else f"{benchmark.name} ({opened.name})"
    )
    there = {benchmark.renames.get(column, column) for column in opened.schema.names}
    if missing := [column for column in benchmark.required if column not in there]:
        raise InputError(
            f"{name}: columns are missing: {', '.join(missing)}; found "
            f"{', '.join(opened.schema.names)}; expected {', '.join(benchmark.required)}: is this "
            "the benchmark, and its newest revision? rename the columns, or map them with "
            "pairmill ingest and evaluate with --input"
        )
    source = PreparedSource(name, opened.schema, opened.read, benchmark, part, absent=opened.absent)
    return replace(source, schema=source.prepared(opened.schema.empty_table()).schema)


def _mapping(benchmark: Benchmark, part: BenchmarkPart, source: OpenSource) -> MappingConfig:
    columns: dict[str, Any] = benchmark.columns(frozenset(source.schema.names), part)
    return MappingConfig(map=as_expressions(columns))


def _media_root(
    benchmark: Benchmark,
    config: SourceConfig,
    mapping: PairMapping,
    source: PreparedSource,
    given: str | None,
) -> str | None:
    """The folder that media paths start at; None where all media are in the data.

    Raises:
        InputError: it is not given, and the first rows' media are in none of the usual places.
    """
    folder = config.folder()
    rows = next(source.tables(), source.schema.empty_table())
    if given is not None or mapping.check(rows.schema):  # `ingest` reports what does not fit
        return given
    paths = _media_paths(to_pairs(mapping, rows.slice(0, _PROBED)))
    if not paths:
        return None
    places = [] if folder is None else [_beside(folder, name) for name in _MEDIA_FOLDERS]
    found = {place: _count(place, paths) for place in places if _is_folder(place)}
    if any(found.values()):
        return max(found, key=lambda place: found[place])
    looked = f"not in {', '.join(places)}" if places else "which are not part of the hub set"
    raise InputError(
        f"{source.name}: the data names media files such as {paths[0]!r}, {looked}: say with "
        "--media in which folder the paths start"
    )


def _media_paths(pairs: pa.Table) -> list[str]:
    """Paths of media that have no bytes; relative ones only."""
    parts = [p for row in pairs.to_pylist() for content in contents_of(row) for p in content]
    media = [medium for kind in KINDS for medium in media_of(parts, kind) if medium]
    paths = [medium["path"] for medium in media if medium["bytes"] is None]
    return [path for path in paths if path and not re.match(r"/|\w+://", path)]


def _beside(folder: str, relative: str) -> str:
    """A folder beside another one, in any store; never outside of its bucket."""
    scheme, separator, path = folder.rpartition("://")
    bucket, _, key = path.partition("/") if separator else ("", "", path.lstrip("/"))
    inside = posixpath.normpath(f"/{key}/{relative}")
    return f"{scheme}{separator}{bucket}{inside}"


def _is_folder(place: str) -> bool:
    return "://" in place or (place != "/" and Path(place).is_dir())


def _count(place: str, paths: list[str]) -> int:
    return sum(Store(place).size(path) is not None for path in paths)
