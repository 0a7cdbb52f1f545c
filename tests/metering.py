"""Counts the bytes that pass between this process and its stores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pipeline.store.host import Host
from pipeline.store.object_store import Store
from pipeline.store.uploads import Upload


@dataclass
class Meter:
    """Bytes that pass between this process and its stores.

    Attributes:
        read, written: by URI.
    """

    read: Counter[str] = field(default_factory=Counter)
    written: Counter[str] = field(default_factory=Counter)

    def watch(self, patch: pytest.MonkeyPatch) -> None:
        """Counts from now on."""

        def counting(name: str, counts: Counter[str], size: Callable[..., int]) -> None:
            real = getattr(Store, name)

            def counted(store: Store, key: Any, *rest: Any) -> Any:
                found = real(store, key, *rest)
                counts[store.path(getattr(key, "key", key))] += size(found, key, *rest)
                return found

            patch.setattr(Store, name, counted)

        counting("read", self.read, lambda found, *_: len(found))
        counting("read_range", self.read, lambda found, *_: len(found))
        counting("read_version", self.read, lambda found, *_: len(found.data) if found else 0)
        counting("content_key", self.read, lambda _, entry: entry.size)
        for name in ("put", "create", "swap"):
            counting(name, self.written, lambda _, key, data, *__: len(data))
        write = Upload.write

        def uploaded(file: Upload, data: Any) -> int:
            count = write(file, data)
            self.written[file.name] += count
            return count

        patch.setattr(Upload, "write", uploaded)
        # What would be read in another process is read in this one.
        patch.setattr(Host, "disposables", lambda host, module: None)

    def taken(self) -> tuple[Counter[str], Counter[str]]:
        """What has passed since the last call."""
        found = Counter(self.read), Counter(self.written)
        self.read.clear()
        self.written.clear()
        return found


def below(counts: Counter[str], folder: Path) -> Counter[str]:
    """Those of a folder, by the path below it."""
    start = f"{folder}/"
    return Counter({u.removeprefix(start): n for u, n in counts.items() if u.startswith(start)})
