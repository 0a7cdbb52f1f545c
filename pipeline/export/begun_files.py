"""The files that an export has begun to write, named before they are: so that none is nobody's.

What a killed process leaves is in no receipt and no record: ``_parts/<name>_<time>_….begun.json``
names it, an object of its own for each set of paths, so that no process writes over another one's
names. When an export is removed they stay until their writer has ended (``may_be_written``).
"""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from pipeline.export.export_parts import PartReceipt, receipts_folder
from pipeline.runtime.digest import digest
from pipeline.runtime.errors import InputError, StorageError
from pipeline.runtime.faults import is_refusal
from pipeline.snapshots.manifests import manifest_key
from pipeline.store.object_store import Store
from pipeline.store.removal import remove_objects

BESIDE = "beside"  # in place of a part's number: card, and what else is beside the rows
_WRITING = datetime.timedelta(days=1)  # nobody takes longer for one file
_TIME = "%Y%m%dT%H%M%S"  # in UTC, as in the names of runs
_BEGUN = re.compile(r".*_(\d{8}T\d{6})_[0-9a-f]{16}\.begun\.json")
NAMING = r"_parts/(?:\d{5}|\w+\.begun)\.json"  # what names files, by its path in the folder


def begin(output: Store, folder: str, name: str, paths: Iterable[str]) -> None:
    """Names files before they are written.

    Args:
        output: the output root.
        folder: the export's.
        name: of the part, or ``BESIDE``.
        paths: in the folder.

    Raises:
        StorageError: the store fails.
    """
    named = sorted({*paths})
    now = output.host.now()
    begun = {"at": now.isoformat(), "paths": named}
    key = f"{receipts_folder(folder)}/{name}_{now:{_TIME}}_{digest(*named)[:16]}.begun.json"
    output.put(key, json.dumps(begun).encode())


def remove_if_forgotten(
    output: Store, folder: str, snapshot_id: str, paths: Collection[str]
) -> None:
    """Removes files that were just written if their snapshot was removed meanwhile.

    An export holds no lease. It names a file, writes it, then looks for the snapshot. ``forget``
    removes the snapshots that hold its pairs, and lists exports only then. So what was written
    while the snapshot was there is listed, with what names it; what is written later goes here, or,
    where the process is killed before, with the next ``forget`` or ``clean``: what names it stays.

    Args:
        output: the output root.
        folder: the export's.
        snapshot_id: of the snapshot.
        paths: in the folder.

    Raises:
        InputError: the snapshot is gone, and the files are.
        StorageError: the store fails, or these credentials may not delete; the files are named
            again then, so that the next ``forget`` finds them.
    """
    if output.size(manifest_key(snapshot_id)) is not None:
        return
    try:
        remove_objects(output, (f"{folder}/{path}" for path in sorted(paths)), lambda: None)
    except StorageError as error:
        if is_refusal(error.__cause__):
            raise _left(output, folder, sorted(paths)) from error
        raise
    raise InputError(
        f"{output.path(manifest_key(snapshot_id))}: the snapshot was removed while it was "
        "exported, as forget does; what was written since is removed too: export the live snapshot"
    )


def _left(output: Store, folder: str, paths: Sequence[str]) -> StorageError:
    """Names files once more that may not be removed here: ``forget`` removed what named them."""
    begin(output, folder, "left", paths)
    return StorageError(
        f"{output.path(folder)}: the snapshot was removed while it was exported, as forget does, "
        f"and this role may not remove what was written since: {len(paths)} files, such as "
        f"{paths[0]}; run pairmill forget --apply again, or pairmill clean --apply"
    )


def named_paths(data: bytes) -> Collection[str]:
    """The paths that a stored receipt or a list of begun files names; none of anything else."""
    begun = _begun(data)
    if begun:
        return frozenset(map(str, begun["paths"]))
    try:
        return frozenset(record["path"] for _, _, record in PartReceipt.parse(data).files)
    except (ValueError, TypeError, KeyError):
        return frozenset()


def may_be_written(output: Store, key: str) -> bool:
    """Whether somebody may write, still, what an object names; a receipt names what is written."""
    if match := _BEGUN.fullmatch(key):
        moment = datetime.datetime.fromisoformat(f"{match[1]}+00:00")
    elif key.endswith(".begun.json") and (begun := _begun(output.read(key))):  # of earlier versions
        moment = datetime.datetime.fromisoformat(begun["at"])
    else:
        return False
    return output.host.now() - moment < _WRITING


def _begun(data: bytes) -> dict[str, Any]:
    try:
        stored = json.loads(data)
    except ValueError:
        return {}
    return stored if isinstance(stored, dict) and stored.keys() == {"at", "paths"} else {}
