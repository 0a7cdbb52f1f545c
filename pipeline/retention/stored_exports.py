"""The exports of an output. Which of their files are ours, their own records say.

An export holds no lease, so that one may go on, and write what it has named, while its folder is
removed. What names files stays until nobody can be writing them: a later removal finds them so.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from pipeline.export.begun_files import NAMING, may_be_written, named_paths
from pipeline.export.export_media import MEDIA_FOLDER
from pipeline.export.export_record import NAME, ExportRecord
from pipeline.export.export_run import EXPORTS
from pipeline.export.formats.format_registry import TRAINER_FORMATS
from pipeline.retention.stored import SNAPSHOT, Stored, grouped, time_of
from pipeline.retention.things import Thing
from pipeline.runtime.errors import InputError
from pipeline.store.object_store import Entry

_MEDIA = re.compile(rf"{MEDIA_FOLDER}/[0-9a-f]{{2}}/[0-9a-f]{{64}}\.\w+")  # named by content
_NAMING = re.compile(NAMING)
_FORMATS = "|".join(map(re.escape, TRAINER_FORMATS))
_PATTERN = rf"({SNAPSHOT}/(?:{_FORMATS})(?:-[0-9a-f]{{8}})?)/(.*)"


def stored_exports(stored: Stored) -> Iterator[Thing]:
    """Every export's folder; without its record, which goes first, an export does not exist."""
    for name, found in grouped(stored.matching(EXPORTS, _PATTERN)).items():
        paths = {match[2]: entry for match, entry in found}
        yield _finished(stored, name, paths) if NAME in paths else _unfinished(stored, name, paths)


def _finished(stored: Stored, name: str, paths: dict[str, Entry]) -> Thing:
    snapshot = name.partition("/")[0]
    try:
        data = stored.output.read(paths[NAME].key)
        record = ExportRecord.parse(data, stored.output.path(paths[NAME].key))
    except InputError as error:
        return Thing(name, (), needed=str(error))
    manifest = stored.manifests.get(snapshot)
    made = record.snapshot_created_at or (manifest.created_at if manifest else "")
    needed = stored.needed_snapshots.get(snapshot, "")
    ours = {NAME, *record.beside, *(str(file["path"]) for file in record.files)}
    known = {path for path in paths if _MEDIA.fullmatch(path) or _NAMING.fullmatch(path)}
    if not paths.keys() <= ours | known:
        ours |= _named(stored, paths)  # what an earlier process left
    return Thing(
        name,
        first=(paths[NAME],),
        then=_then(paths, ours - {NAME}),
        last=_ended(stored, paths),
        born=time_of(made),
        group=snapshot,
        needed=needed and f"its snapshot {needed}",
    )


def _unfinished(stored: Stored, name: str, paths: dict[str, Entry]) -> Thing:
    """An export that was ended can be finished as long as its snapshot is there."""
    then, last = _then(paths, _named(stored, paths)), _ended(stored, paths)
    if name.partition("/")[0] in stored.staying:
        return Thing(name, (), then, last=last, needed="the same export goes on with it")
    why = "was never finished, and its snapshot is gone"
    return Thing(name, (), then, useless=why, last=last)


def _named(stored: Stored, paths: dict[str, Entry]) -> set[str]:
    """The files that some process has begun to write."""
    return {path for entry in _naming(paths) for path in named_paths(stored.output.read(entry.key))}


def _naming(paths: dict[str, Entry]) -> tuple[Entry, ...]:
    return tuple(entry for path, entry in paths.items() if _NAMING.fullmatch(path))


def _ended(stored: Stored, paths: dict[str, Entry]) -> tuple[Entry, ...]:
    """Those of the objects that name files which nobody writes any more."""
    return tuple(e for e in _naming(paths) if not may_be_written(stored.output, e.key))


def _then(paths: dict[str, Entry], ours: set[str]) -> tuple[Entry, ...]:
    """The files that are ours by name, and media, which are named by content."""
    return tuple(e for path, e in paths.items() if path in ours or _MEDIA.fullmatch(path))
