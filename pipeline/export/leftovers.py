"""What killed runs have left beside the files of an export, for trainers that take whole folders.

A file that is being written stands beside its place under a hidden name. Of a process that was
killed it stays there, and a trainer that reads every file of a folder would take it for one.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from pathlib import Path

_DEAD_S = 60  # whoever still writes a file has done so within that time


def sweep(folder: Path, wanted: Collection[str]) -> None:
    """Removes unfinished files from the folders of an export; waits for those that may be finished.

    Args:
        folder: the export's, on this machine.
        wanted: paths of its files.
    """
    for place in sorted({(folder / path).parent for path in wanted}):
        known = {folder / path for path in wanted}
        while left := [path for path in place.iterdir() if path not in known]:
            for path in left:
                try:
                    age = time.time() - path.stat().st_mtime
                except FileNotFoundError:  # finished meanwhile, or removed by another run
                    continue
                if age > _DEAD_S:
                    path.unlink(missing_ok=True)
            if any(path.exists() for path in left):
                time.sleep(1)
