"""Finds the data of a benchmark: on the hub, or in local files."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.evaluation.benchmarks.benchmark import Benchmark, BenchmarkPart
from pipeline.ingest.source_files import SUFFIXES, SourceConfig, is_hub_id, kind_of
from pipeline.pairs.input_files import list_files, open_files
from pipeline.runtime.errors import ConfigError, InputError


@dataclass(frozen=True)
class Request:
    """Which data of a benchmark to read.

    Attributes:
        data: a hub id, or a local file or folder; None for the benchmark's own hub id.
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


def find_sources(
    benchmark: Benchmark, request: Request
) -> list[tuple[BenchmarkPart, SourceConfig]]:
    """The requested parts that are found, and the source of each.

    Raises:
        ConfigError: none are found, or the files of two parts cannot be distinguished.
    """
    data = request.data or benchmark.hub_id
    if data is None:
        raise ConfigError(f"{benchmark.name} is not on the hub: give its path with --data")
    parts, split = benchmark.parts, request.split
    if split is not None:
        one = len(parts) == 1
        name = parts[0].name if one else f"{benchmark.name}-{split}"
        hints = tuple(hint for hint in parts[0].hints if one and hint != parts[0].split)
        parts = (replace(parts[0], name=name, split=split, hints=(*hints, split)),)
    if not Path(data).exists() and is_hub_id(data):
        revision = request.revision
        return [
            (p, SourceConfig(path=data, name=p.config, revision=revision, split=p.split))
            for p in parts
        ]
    if request.revision is not None:
        raise ConfigError(f"--revision is of a hub set; {data} is a local path")
    several = len(parts) > 1
    found = [(part, local_files(data, part.hints, several)) for part in parts]
    if not any(files for _, files in found):
        splits = ", ".join(part.split for part in parts)
        raise ConfigError(f"{data}: no file or folder is named after one of {splits}: say --split")
    return [
        (
            part,
            SourceConfig(
                path=kind_of(files[0].name) or "",
                data_files=tuple(map(str, files)),
                split=part.split,
            ),
        )
        for part, files in found
        if files
    ]


def local_files(data: str, hints: tuple[str, ...], strict: bool = False) -> list[Path]:
    """The data files that a path stands for.

    Args:
        data: a file, or a folder that is searched with all folders below it.
        hints: each narrows the files to those that it names (a folder, a file, the beginning of
            a file's name up to a dash), or else to those whose path contains it; a hint that
            fits no file is ignored.
        strict: a hint that fits no file excludes all of them.

    Raises:
        ConfigError: none are found, or they are of several kinds.
    """
    path = Path(data).absolute()
    if path.is_file() and kind_of(path.name):
        return [path] if not strict else []
    if not path.is_dir():
        raise ConfigError(
            f"{data}: no such file or folder, and no hub id such as 'owner/name'; expected one of "
            f"these, a file being one of {', '.join(SUFFIXES)}"
        )
    store, prefix = open_files(str(path), SUFFIXES)
    try:
        found = [Path(store.path(entry.key)) for entry in list_files(store, prefix, SUFFIXES)]
    except InputError:
        found = []
    for hint in hints:
        named = [file for file in found if hint in _names(file.relative_to(path))]
        inside = [file for file in found if hint in str(file.relative_to(path)).lower()]
        found = named or inside or ([] if strict else found)
    if strict and not found:
        return []
    kinds = {kind_of(file.name) for file in found}
    if len(kinds) != 1:
        got = ", ".join(str(file.relative_to(path)) for file in found[:6]) or "none"
        raise ConfigError(
            f"{data}: expected data files of one kind ({', '.join(SUFFIXES)}), got {got}; name "
            "the file with --data"
        )
    return found


def _names(file: Path) -> set[str]:
    stem = file.stem.lower()
    return {*(part.lower() for part in file.parent.parts), stem, stem.split("-")[0]}
