"""Hashes of local files: computed once, kept, and never believed of a file that changed."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.store import file_hashes
from pipeline.store.disk_cache import DiskCache, user_cache
from pipeline.store.file_hashes import FileHashes

OLD_NS = 1_700_000_000_000_000_000


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that may be kept although it is new."""
    monkeypatch.setattr(file_hashes, "_SETTLED_NS", -(10**18))
    path = tmp_path / "weights.safetensors"
    path.write_bytes(b"weights")
    return path


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that are read to be hashed."""
    found: list[str] = []
    whole = hashlib.file_digest

    def watched(file: object, name: str) -> object:
        found.append(Path(file.name).name)  # type: ignore[attr-defined]  # an open file
        return whole(file, name)  # type: ignore[arg-type]  # the same

    monkeypatch.setattr(hashlib, "file_digest", watched)
    return found


def hashed(path: Path, cache: Path | None) -> str:
    return FileHashes(DiskCache(cache)).of([path])[path.name]


def test_a_file_is_read_once(file: Path, cache: Path, read: list[str]) -> None:
    for _ in range(3):
        assert hashed(file, cache) == sha256(b"weights")
    assert read == [file.name]


def _rewrite(file: Path) -> None:
    """Other content of the same length at the same time, as cp --preserve writes it in place."""
    before = file.stat()
    file.write_bytes(b"WEIGHTS")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def _replace(file: Path) -> None:
    other = file.with_name("other")
    other.write_bytes(b"WEIGHTS")
    shutil.copystat(file, other)
    other.replace(file)


@pytest.mark.parametrize("change", [_rewrite, _replace])
def test_a_changed_file_is_read_again(
    file: Path, cache: Path, read: list[str], change: Callable[[Path], None]
) -> None:
    assert hashed(file, cache) == sha256(b"weights")
    change(file)
    assert hashed(file, cache) == sha256(b"WEIGHTS")
    assert read == [file.name] * 2


def test_a_file_that_has_just_changed_is_not_kept(tmp_path: Path, read: list[str]) -> None:
    path, cache = tmp_path / "new", tmp_path / "cache"
    path.write_bytes(b"new")
    os.utime(path, ns=(OLD_NS, OLD_NS))  # its inode changed just now, whatever it says
    assert hashed(path, cache) == hashed(path, cache) == sha256(b"new")
    assert read == ["new", "new"]


@pytest.mark.parametrize("kept", [b"", b"0" * 63, b"0" * 65, b"\xff" * 64, b"G" * 64, b"0" * 64])
def test_a_damaged_cache_is_ignored(file: Path, cache: Path, read: list[str], kept: bytes) -> None:
    hashed(file, cache)
    (entry,) = cache.iterdir()
    entry.write_bytes(kept)
    expected = "0" * 64 if kept == b"0" * 64 else sha256(b"weights")  # what is whole is believed
    assert hashed(file, cache) == expected
    assert len(read) == (1 if kept == b"0" * 64 else 2)


def test_a_cache_that_cannot_be_written_costs_nothing_but_time(file: Path, cache: Path) -> None:
    cache.write_text("a file where the folder should be")
    assert hashed(file, cache) == hashed(file, None) == sha256(b"weights")


def test_several_files_by_name(file: Path, cache: Path) -> None:
    others = {f"part-{number}": bytes([number]) * 1_000 for number in range(5)}
    for name, data in others.items():
        (file.parent / name).write_bytes(data)
    found = FileHashes(DiskCache(cache)).of([file, *(file.parent / name for name in others)])
    assert found == {file.name: sha256(b"weights")} | {n: sha256(d) for n, d in others.items()}


def test_an_unreadable_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        hashed(tmp_path / "gone", None)


def test_the_users_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    user_cache().put("kept", "a", "b")
    assert user_cache().get("a", "b") == "kept"
    assert user_cache().get("ab") is None
    assert [path.name for path in tmp_path.iterdir()] == ["pairmill"]
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", _no_home)
    user_cache().put("lost", "a")
    assert user_cache().get("a") is None


def _no_home() -> Path:
    raise RuntimeError("Could not determine home directory.")
