"""A file system of a few hundred kilobytes, which a test fills and makes room on."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_PAGE = 4_096


class SmallDisk:
    """One that is mounted.

    Attributes:
        root: its top folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._filler = root / ".filler"

    def leave(self, pages: int) -> None:
        """Fills it but for so many pages of 4 KiB: each file takes whole ones."""
        self.make_room()
        found = os.statvfs(self.root)
        taken = found.f_bavail * found.f_frsize - pages * _PAGE
        with self._filler.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, taken)

    def make_room(self) -> None:
        """Takes away what fills it."""
        self._filler.unlink(missing_ok=True)

    def unfinished(self) -> list[Path]:
        """Files whose writing was begun and not ended."""
        return sorted(self.root.rglob(".*.tmp"))


@contextmanager
def small_disk(folder: Path, kilobytes: int) -> Iterator[SmallDisk]:
    """Mounts a file system in memory; the test is skipped where that is not allowed."""
    folder.mkdir()
    size = f"size={kilobytes}k"
    mount = ["mount", "-t", "tmpfs", "-o", size, "pairmill-test", str(folder)]
    try:
        done = subprocess.run(mount, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("there is no mount(8) to make a small file system with")
    if done.returncode:
        pytest.skip(f"a small file system needs the right to mount: {done.stderr.strip()}")
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
