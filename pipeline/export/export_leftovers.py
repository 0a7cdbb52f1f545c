"""Removes what an earlier run of an export left among its rows, and nothing that is not ours.

Trainers that read every file of a folder would take it for rows: files of parts that the export no
longer has, as ``begun_files`` names them, and on a local disk unfinished ones with hidden names.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection
from pathlib import Path

from pipeline.export.begun_files import named_paths
from pipeline.export.export_parts import receipts_folder
from pipeline.runtime.clock import utc_now
from pipeline.store import local_files
from pipeline.store.object_store import Store
from pipeline.store.removal import remove_objects

_ROW_FILE = re.compile(r"(?:\w+-)?\d{5}\.(?:parquet|jsonl)")


def remove_leftovers(
    output: Store, folder: str, wanted: Collection[str], note: Callable[[str], None]
) -> None:
    """Leaves the files of an export as the only ones among its rows, as far as others are ours.

    Args:
        output: the output root.
        folder: the export's.
        wanted: paths of its files.
        note: receives which files of others are there, which the trainer will read too.

    Raises:
        StorageError: the store fails.
    """
    places = {path.rpartition("/")[0] for path in wanted}
    listed = [entry.key.removeprefix(f"{folder}/") for entry in output.list(folder)]
    beside = [path for path in listed if path.rpartition("/")[0] in places and path not in wanted]
    ours = _named(output, folder).intersection(beside)
    remove_objects(output, (f"{folder}/{path}" for path in sorted(ours)), lambda: None)
    if output.local:
        for place in sorted(places):
            within = Path(output.path(f"{folder}/{place}"))
            while local_files.remove_dead(within, _ROW_FILE, utc_now().timestamp()):
                time.sleep(1)  # until those still written to are finished
    if others := [path for path in beside if path not in ours]:
        note(
            f"{output.path(folder)}: {len(others)} files among the rows are not of this export, "
            f"such as {others[0]}; the trainer reads every file there: move them away"
        )


def _named(output: Store, folder: str) -> set[str]:
    """The paths of all files that parts of this folder have had."""
    named: set[str] = set()
    for entry in output.list(receipts_folder(folder)):
        named.update(named_paths(output.read(entry.key)))
    return named
