"""The exports of an output. Which of their files are ours, their own records say."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pipeline.export.export_leftovers import receipt_paths
from pipeline.export.export_media import MEDIA_FOLDER
from pipeline.export.export_parts import RECEIPT
from pipeline.export.export_record import NAME, ExportRecord
from pipeline.export.export_run import EXPORTS
from pipeline.export.format_registry import TRAINER_FORMATS
from pipeline.retention.stored import SNAPSHOT, Stored, grouped, time_of
from pipeline.retention.things import Thing
from pipeline.runtime.errors import InputError
from pipeline.store.object_store import Entry

_MEDIA = re.compile(rf"{MEDIA_FOLDER}/[0-9a-f]{{2}}/[0-9a-f]{{64}}\.\w+")  # named by content
_RECEIPT = re.compile(RECEIPT)
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
    named = {*record.beside, *(str(file["path"]) for file in record.files)}
    manifest = stored.manifests.get(snapshot)
    made = record.snapshot_created_at or (manifest.created_at if manifest else "")
    needed = stored.needed_snapshots.get(snapshot, "")
    return Thing(
        name,
        first=(paths[NAME],),
        then=tuple(_ours(paths, named)),
        born=time_of(made),
        group=snapshot,
        needed=needed and f"its snapshot {needed}",
    )


def _unfinished(stored: Stored, name: str, paths: dict[str, Entry]) -> Thing:
    """An export that was ended can be finished as long as its snapshot is there."""
    if name.partition("/")[0] in stored.staying:
        return Thing(name, (), needed="the same export goes on with it")
    named: set[str] = set()
    for path, entry in paths.items():
        if _RECEIPT.fullmatch(path):
            named.update(receipt_paths(stored.output.read(entry.key)))
    why = "was never finished, and its snapshot is gone"
    return Thing(name, (), tuple(_ours(paths, named)), useless=why)


def _ours(paths: dict[str, Entry], named: set[str]) -> Iterator[Entry]:
    """The files that a record names, media named by content, and the receipts of parts."""
    for path, entry in paths.items():
        if path in named or _MEDIA.fullmatch(path) or _RECEIPT.fullmatch(path):
            yield entry
