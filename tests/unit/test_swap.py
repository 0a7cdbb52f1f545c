"""Compare-and-swap of a local object, and objects written piece by piece."""

from __future__ import annotations

import fcntl
import hashlib
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipeline.runtime.errors import StorageError
from pipeline.store.object_store import Store, Version

_HOLDER = """
import fcntl, sys, time
lock = open(sys.argv[1], "ab")
fcntl.flock(lock, fcntl.LOCK_EX)
print("held", flush=True)
time.sleep(600)
"""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "root"))


def test_a_swap_needs_the_version_that_is_there(store: Store) -> None:
    assert store.read_version("a/one") is None
    first = store.swap("a/one", b"1", None)
    assert first is not None
    assert store.read_version("a/one") == first
    assert store.swap("a/one", b"late", None) is None
    second = store.swap("a/one", b"2", first)
    assert second is not None
    assert store.swap("a/one", b"late", first) is None
    assert store.swap("a/none", b"late", first) is None
    assert store.read("a/one") == b"2"
    assert [entry.key for entry in store.list()] == ["a/one"]  # no lock, nothing unfinished


def test_of_many_that_swap_one_version_one_wins(store: Store) -> None:
    version: Version | None = None
    for attempt in range(10):
        bodies = [f"{attempt} {writer}".encode() * 1_000 for writer in range(16)]

        def swap(body: bytes, expected: Version | None = version) -> Version | None:
            return store.swap("latest", body, expected)

        with ThreadPoolExecutor(16) as threads:
            won = [new for new in threads.map(swap, bodies) if new is not None]
        (version,) = won
        assert store.read_version("latest") == version


def test_the_lock_of_a_killed_process_is_free(store: Store) -> None:
    version = store.swap("latest", b"1", None)
    lock = Path(store.uri) / ".latest.lock"
    command = [sys.executable, "-c", _HOLDER, str(lock)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with lock.open("ab") as file, pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        holder.kill()
    assert holder.returncode == -signal.SIGKILL
    assert store.swap("latest", b"2", version) is not None


def test_an_upload_is_seen_when_it_is_whole(store: Store) -> None:
    store.put("file", b"before")
    upload = store.upload("file", hashed=True)
    for piece in (b"abc", b"", b"defg"):
        assert upload.write(piece) == len(piece)
        assert store.read("file") == b"before"
    assert [entry.key for entry in store.list()] == ["file"]
    upload.commit()
    assert store.read("file") == b"abcdefg"
    assert (upload.tell(), upload.sha256) == (7, hashlib.sha256(b"abcdefg").hexdigest())


def test_an_upload_that_is_given_up_leaves_nothing(store: Store) -> None:
    upload = store.upload("folder/file")
    upload.write(b"abc")
    upload.abort()
    assert list(Path(store.uri).rglob("*")) == [Path(store.uri) / "folder"]


def test_an_upload_where_nothing_can_be_written(store: Store) -> None:
    store.put("file", b"x")
    with pytest.raises(StorageError, match=r"file/below: a part of the path is a file"):
        store.upload("file/below")


def test_delete(store: Store) -> None:
    store.put("a", b"1")
    store.delete("a")
    store.delete("a")
    assert list(store.list()) == []
