"""Files on a local disk that a killed process was writing: hidden, and in no listing of objects.

In a bucket such bytes are the pieces of an unfinished upload, which a lifecycle rule removes.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from pipeline.retention.stored import Stored
from pipeline.retention.things import Thing
from pipeline.store import local_files
from pipeline.store.object_store import Entry

_DEAD = datetime.timedelta(hours=1)


def stored_unfinished(stored: Stored) -> Iterator[Thing]:
    """Every such file; nobody is writing one that nobody has written to for an hour."""
    if not stored.output.local:
        return
    root = Path(stored.output.uri)
    for folder, _, _ in os.walk(root):
        for path in local_files.unfinished(Path(folder)):
            with suppress(FileNotFoundError):  # finished meanwhile
                stat = path.stat()
                key = str(path.relative_to(root))
                changed = datetime.datetime.fromtimestamp(stat.st_mtime, datetime.UTC)
                needed = "it may be written still" if stored.now - changed < _DEAD else ""
                entry = Entry(key, stat.st_size, None)
                yield Thing(key, (entry,), needed=needed, useless="its writer was ended")
