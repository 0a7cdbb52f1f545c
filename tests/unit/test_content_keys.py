"""A file is hashed once while it is the same; one that may have changed unseen is hashed again."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
from pathlib import Path

import pytest

from pipeline.store.content_keys import FOLDER, ContentKeys
from pipeline.store.object_store import Entry, Store


class Counted(Store):
    """Counts the files that it hashes."""

    hashed = 0

    def content_key(self, entry: Entry) -> str:
        self.hashed += 1
        return super().content_key(entry)


@pytest.fixture
def stores(tmp_path: Path) -> tuple[Counted, Store]:
    return Counted(str(tmp_path / "in")), Store(str(tmp_path / "out"))


def write(source: Store, name: str, data: bytes, age_s: float = 10) -> None:
    """Writes a file that was changed a while ago."""
    source.put(name, data)
    path = Path(source.path(name))
    then = path.stat().st_mtime_ns - round(age_s * 1e9)
    os.utime(path, ns=(then, then))


def key_of(source: Store, output: Store, name: str) -> str:
    """Of a file, by a process of its own; what it finds out is kept."""
    keys = ContentKeys(source, output)
    (entry,) = source.list(name)
    found = keys.of(entry)
    keys.save()
    return found


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_a_file_is_hashed_once(stores: tuple[Counted, Store]) -> None:
    source, output = stores
    for number in range(40):
        write(source, f"{number}.parquet", b"%d" % number)
    for _ in range(3):
        keys = ContentKeys(source, output)
        found = {entry.key: keys.of(entry) for entry in source.list()}
        keys.save()
        assert found == {f"{n}.parquet": sha256(b"%d" % n) for n in range(40)}
        assert source.hashed == 40
    copied: ContentKeys = pickle.loads(pickle.dumps(keys))
    assert copied.of(next(iter(source.list()))) == sha256(b"0")


def test_equal_size_and_time_of_another_file_are_not_enough(
    stores: tuple[Counted, Store], tmp_path: Path
) -> None:
    source, output = stores
    write(source, "a.parquet", b"one")
    path = Path(source.path("a.parquet"))
    times = path.stat()
    assert key_of(source, output, "a.parquet") == sha256(b"one")
    other = tmp_path / "other"
    other.write_bytes(b"two")
    os.utime(other, ns=(times.st_atime_ns, times.st_mtime_ns))
    other.replace(path)
    assert key_of(source, output, "a.parquet") == sha256(b"two")


def test_a_young_file_is_hashed_each_time(stores: tuple[Counted, Store]) -> None:
    source, output = stores
    source.put("a.parquet", b"one")
    (entry,) = source.list()
    assert entry.young
    for hashed in (1, 2):
        assert key_of(source, output, "a.parquet") == sha256(b"one")
        assert source.hashed == hashed
    assert list(output.list()) == []


def test_what_changed_since_it_was_listed_is_not_kept(stores: tuple[Counted, Store]) -> None:
    source, output = stores
    write(source, "a.parquet", b"one")
    (entry,) = source.list()
    write(source, "a.parquet", b"two", age_s=5)
    keys = ContentKeys(source, output)
    assert keys.of(entry) == sha256(b"two")
    keys.save()
    assert list(output.list()) == []


@pytest.mark.parametrize("stored", [b"", b"{", b"[]", b'{"version": "content/v2"}', b"null"])
def test_a_damaged_cache_is_no_cache(stores: tuple[Counted, Store], stored: bytes) -> None:
    source, output = stores
    write(source, "a.parquet", b"one")
    key_of(source, output, "a.parquet")
    (kept,) = output.list(FOLDER)
    output.put(kept.key, stored)
    assert key_of(source, output, "a.parquet") == sha256(b"one")
    assert source.hashed == 2
    assert json.loads(output.read(kept.key))["version"] == "content/v1"


def test_files_that_are_gone_are_forgotten(stores: tuple[Counted, Store]) -> None:
    source, output = stores
    names = [f"{number}.parquet" for number in range(64)]
    for name in names:
        write(source, name, name.encode())
        key_of(source, output, name)
    for name in names[:32]:
        source.delete(name)
    for name in names[32:]:
        write(source, name, b"new")
        key_of(source, output, name)
    kept = [set(json.loads(output.read(entry.key))["files"]) for entry in output.list(FOLDER)]
    assert set(names[32:]) <= set.union(*kept)
    written_again = [files for files in kept if files & set(names[32:])]
    assert set.union(*written_again) == set(names[32:])
