"""A local folder as an object store: atomic writes, and listings that follow links."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import logging
import os
import re
import secrets
import stat
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

logger = logging.getLogger(__name__)

_TICK_S = 2.0  # of the coarsest file systems
_DEAD_S = 60  # an unfinished file that nobody wrote to for so long is nobody's
# Files that are no objects: writes that are not committed yet, and the locks of swapped objects.
_HIDDEN = re.compile(r"\..*\.(?:[0-9a-f]{12}\.tmp|lock)")
_UNFINISHED = re.compile(r"\.(.*)\.[0-9a-f]{12}\.tmp")


def find(base: str, start: str, now: float) -> dict[str, dict[str, Any]]:
    """As ``find`` of fsspec, but follows links and raises every error.

    Devices, pipes and sockets hold no object, and whoever reads one may wait for ever: they are
    left out, as links are that lead to no file.

    Args:
        base: a folder, or one file.
        start: the prefix of names of files and folders directly in ``base``.
        now: the time of day, seconds since 1970.
    """

    def stop(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            raise error

    if (top := Path(base)).exists() and not top.is_dir():
        if not top.is_file():
            raise OSError("a device, pipe or socket, expected a file or a folder")
        return {base: _info(top.stat(), now)}
    paths: list[Path] = []
    for folder, folders, names in os.walk(base, onerror=stop, followlinks=True):
        if folder == base and start:
            folders[:] = [name for name in folders if name.startswith(start)]
            names = [name for name in names if name.startswith(start)]
        folders[:] = [name for name in folders if not _leads_back(Path(folder, name), base)]
        paths += [Path(folder, name) for name in names if not _HIDDEN.fullmatch(name)]
    found = {}
    for path in paths:
        try:
            status = path.stat()
        except OSError as error:  # removed meanwhile, a dangling link, or one to itself
            if error.errno not in (errno.ENOENT, errno.ELOOP):
                raise
            if path.is_symlink():
                logger.warning("%s: a link that leads to no file; it is left out", path)
        else:
            if stat.S_ISREG(status.st_mode):
                found[str(path)] = _info(status, now)
            else:
                logger.warning("%s: a device, pipe or socket; it is left out", path)
    return found


def stat_of(path: Path) -> tuple[int, int, int, int]:
    """What changes once a file is written again: size, times of the last changes, and inode."""
    return _numbers(path.stat())


def _numbers(found: os.stat_result) -> tuple[int, int, int, int]:
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino


def _info(status: os.stat_result, now: float) -> dict[str, Any]:
    size, *changes = _numbers(status)
    # Two changes within one tick of the file system's clock leave the same times (as git has it).
    young = changes[0] > (now - _TICK_S) * 1e9
    return {"type": "file", "size": size, "stat": tuple(changes), "young": young}


def _leads_back(path: Path, base: str) -> bool:
    """Whether a folder is a link to one of the folders on its own path."""
    if not path.is_symlink():
        return False
    target, top = path.resolve(), Path(base)
    parents = [folder for folder in path.parents if folder.is_relative_to(top)]
    return any(folder.resolve().is_relative_to(target) for folder in parents)


def create(path: Path, data: bytes) -> bool:
    """Writes a file unless it exists; True if this call created it."""
    temporary = _write_temporary(path, data)
    try:
        os.link(temporary, path)  # atomic, and fails where the name is taken
    except FileExistsError:
        return False
    finally:
        temporary.unlink()
    return True


def read_into(path: Path, start: int, memory: memoryview) -> int:
    """Fills memory with a file's bytes from ``start`` on; returns how many there were."""
    done = 0
    with path.open("rb", buffering=0) as file:
        file.seek(start)
        while read := file.readinto(memory[done:]):  # one call reads 2 GiB at most
            done += read
    return done


def replace(path: Path, data: bytes) -> None:
    """Writes a file atomically, replacing what is there."""
    _write_temporary(path, data).replace(path)


def version(data: bytes) -> str:
    """The version of a file with this content: its SHA-256."""
    return hashlib.sha256(data).hexdigest()


def swap(path: Path, data: bytes, expected: str | None) -> str | None:
    """Writes a file if its version is the expected one (None: if it does not exist).

    The kernel locks an open file, and releases the lock when the process ends, however it ends.
    The file system must support ``flock``, as local ones and NFS do.

    Returns:
        The new version; None if another was there, and nothing was written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with (path.parent / f".{path.name}.lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = version(path.read_bytes()) if path.exists() else None
        if found != expected:
            return None
        replace(path, data)
    return version(data)


def temporary(path: Path) -> tuple[Path, IO[bytes]]:
    """Opens a new file beside ``path``, hidden from listings, to be written and renamed to it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    hidden = path.parent / f".{path.name}.{secrets.token_hex(6)}.tmp"
    return hidden, hidden.open("xb")


def unfinished(folder: Path) -> dict[Path, str]:
    """The files in a folder that are written and not committed yet, and what each is to become.

    Their writers may be gone.
    """
    matches = {path: _UNFINISHED.fullmatch(path.name) for path in folder.iterdir()}
    return {path: match[1] for path, match in matches.items() if match}


def remove_dead(folder: Path, ours: re.Pattern[str], now: float) -> list[Path]:
    """Removes unfinished files that nobody writes any more: their process was killed.

    Args:
        folder: where they lie; there may be none.
        ours: matches the names of what they were to become.
        now: the time of day, seconds since 1970.

    Returns:
        Those that may be written still.
    """
    alive = []
    for path, becomes in unfinished(folder).items() if folder.is_dir() else ():
        with suppress(FileNotFoundError):  # finished meanwhile, or removed by another process
            if ours.fullmatch(becomes) and now - path.stat().st_mtime > _DEAD_S:
                path.unlink()
            elif ours.fullmatch(becomes):
                alive.append(path)
    return alive


def _write_temporary(path: Path, data: bytes) -> Path:
    hidden, file = temporary(path)
    try:
        with file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError:  # such as on a full disk, where the temporary file must not stay
        hidden.unlink(missing_ok=True)
        raise
    return hidden
