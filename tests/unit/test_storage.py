"""The local object store: atomic creation, listings, errors that say what and where."""

from __future__ import annotations

import errno
import io
import os
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.runtime.errors import StorageError
from pipeline.store import object_store, source_file
from pipeline.store.object_store import Store

DATA = bytes(range(256)) * 5


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path))


def keys(store: Store, prefix: str = "") -> list[str]:
    return [entry.key for entry in store.list(prefix)]


def test_of_many_creators_one_wins_and_its_data_is_whole(store: Store) -> None:
    contents = [bytes([n]) * 200_000 for n in range(16)]
    for attempt in range(10):
        key = f"deep/folder/{attempt}"
        with ThreadPoolExecutor(16) as pool:
            won = list(pool.map(lambda data, key=key: store.create(key, data), contents))
        assert won.count(True) == 1
        assert store.read(key) == contents[won.index(True)]
    assert keys(store) == [f"deep/folder/{attempt}" for attempt in range(10)]
    assert not list(Path(store.uri).rglob("*.tmp"))


def test_put_replaces_and_create_does_not(store: Store) -> None:
    assert store.create("a", b"1")
    assert not store.create("a", b"2")
    assert store.read("a") == b"1"
    store.put("a", b"3")
    assert store.read("a") == b"3"


def test_list_is_sorted_relative_and_below_the_prefix(store: Store, tmp_path: Path) -> None:
    for key in ("b/2", "b/1", "a", "b/c/0", "bb/1", ".hidden"):
        store.put(key, key.encode())
    assert keys(store) == [".hidden", "a", "b/1", "b/2", "b/c/0", "bb/1"]
    assert keys(store, "b") == ["b/1", "b/2", "b/c/0"]
    assert keys(store, "b/1") == ["b/1"]
    assert keys(store, "nowhere") == []
    assert keys(Store(f"{tmp_path}/nowhere")) == []
    assert [entry.size for entry in store.list("b")] == [3, 3, 5]
    assert [entry.key for entry in store.list("", "b")] == ["b/1", "b/2", "b/c/0", "bb/1"]
    assert [entry.key for entry in store.list("b", "c")] == ["b/c/0"]


def test_list_shows_linked_files_but_no_unfinished_writes(store: Store, tmp_path: Path) -> None:
    store.put("data/blob", b"12345")
    (tmp_path / "data" / ".part.parquet.0123456789ab.tmp").write_bytes(b"half")
    (tmp_path / "data" / "dangling").symlink_to(tmp_path / "gone")
    (tmp_path / "snapshot").mkdir()
    (tmp_path / "snapshot" / "shard.parquet").symlink_to(tmp_path / "data" / "blob")
    assert [(entry.key, entry.size) for entry in store.list()] == [
        ("data/blob", 5),
        ("snapshot/shard.parquet", 5),
    ]


def test_list_follows_linked_folders_but_none_that_leads_back(tmp_path: Path) -> None:
    (tmp_path / "real" / "deep").mkdir(parents=True)
    (tmp_path / "real" / "deep" / "shard").write_bytes(b"123")
    root = tmp_path / "in"
    root.mkdir()
    (root / "one").symlink_to(tmp_path / "real")
    (root / "two").symlink_to("one")
    (tmp_path / "real" / "up").symlink_to(root)
    (tmp_path / "real" / "deep" / "above").symlink_to(tmp_path)
    (root / "self").symlink_to("self")
    assert keys(Store(str(root))) == ["one/deep/shard", "two/deep/shard"]
    assert keys(Store(str(root)), "two") == ["two/deep/shard"]
    (tmp_path / "alias").symlink_to(root)
    assert keys(Store(f"{tmp_path}/alias")) == ["one/deep/shard", "two/deep/shard"]


def test_size_and_ranges(store: Store) -> None:
    store.put("data", DATA)
    assert store.size("data") == len(DATA)
    assert store.size("nothing") is None
    assert store.read_range("data", 250, 260) == DATA[250:260]


def test_ranges_are_read_into_memory(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_store, "_PIECE_BYTES", 7)
    store.put("data", DATA)
    memory = bytearray(20)
    assert store.read_into("data", 250, memoryview(memory)[:10]) == 10
    assert memory == DATA[250:260] + bytes(10)
    assert store.read_into("data", len(DATA) - 5, memoryview(memory)) == 5  # there are no more
    assert memory[:10] == DATA[-5:] + DATA[255:260]


def test_content_key_is_of_the_content(store: Store) -> None:
    for key, data in (("a", b"1"), ("b", b"1"), ("c", b"2")):
        store.put(key, data)
    a, b, c = (store.content_key(entry) for entry in store.list())
    assert a == b != c


@pytest.mark.parametrize("uri", ["https://host/x", "gs://bucket", "hdfs://x/y", "://x"])
def test_unsupported_scheme(uri: str) -> None:
    with pytest.raises(StorageError, match=r"is not supported; use a path or s3://"):
        Store(uri)


def test_uris_of_one_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    plain = (str(tmp_path), f"{tmp_path}/", f"/{tmp_path}", f"{tmp_path}/a/..//", ".", "a/..")
    uris = [*plain, f"file://{tmp_path}", f"file://{tmp_path}/./"]
    assert {Store(uri).uri for uri in uris} == {str(tmp_path)}
    assert pickle.loads(pickle.dumps(Store("."))).uri == str(tmp_path)


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("", "the path is empty: give a folder"),
        ("file://", "the path is empty"),
        ("file://some/folder", r"^file://some/folder: not an absolute path; give file:///"),
        ("/", "the root of the file system"),
        ("/tmp/..", "the root of the file system"),
        ("s3://", "no bucket is named"),
    ],
)
def test_uris_of_nothing(uri: str, words: str) -> None:
    with pytest.raises(StorageError, match=words):
        Store(uri)


@pytest.mark.parametrize("name", ["a::b", "file::s3", "a[0]*?", "100%20"])
def test_any_name_of_a_folder_is_plain(tmp_path: Path, name: str) -> None:
    store = pickle.loads(pickle.dumps(Store(f"{tmp_path}/{name}")))
    assert store.create(f"x/{name}", b"123")
    assert (tmp_path / name / "x" / name).read_bytes() == b"123"
    assert [(entry.key, entry.size) for entry in store.list()] == [(f"x/{name}", 3)]
    assert store.read_range(f"x/{name}", 1, 3) == b"23"
    assert store.size(f"x/{name}") == 3


def test_errors_name_uri_and_cause(store: Store, tmp_path: Path) -> None:
    store.put("file", b"x")
    with pytest.raises(StorageError, match=rf"^{tmp_path}/no: it does not exist.*FileNotFound"):
        store.read("no")
    with pytest.raises(
        StorageError, match=rf"^{tmp_path}/file/below: a part of the path is a"
    ) as failure:
        store.create("file/below", b"x")
    assert isinstance(failure.value.__cause__, OSError)


def test_a_folder_that_cannot_be_listed_is_an_error(store: Store, tmp_path: Path) -> None:
    deep = tmp_path / ("x" * 300)  # what the file system refuses to look at
    with pytest.raises(StorageError, match="File name too long"):
        keys(Store(str(deep)))


def _data_into(store: Store, key: str, start: int, memory: memoryview) -> int:
    piece = DATA[start : start + len(memory)]
    memory[: len(piece)] = piece
    return len(piece)


@given(st.lists(st.tuples(st.integers(0, len(DATA) + 9), st.integers(-1, 300)), max_size=8))
def test_source_file_reads_like_the_bytes(reads: list[tuple[int, int]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Store, "read_range", lambda self, key, start, stop: DATA[start:stop])
        patch.setattr(Store, "read_into", _data_into)
        patch.setattr(source_file, "_SMALL_BYTES", 100)
        source, expected = Store(".").open("data", len(DATA)), io.BytesIO(DATA)
        for offset, size in reads:
            assert source.seek(offset) == expected.seek(offset)
            assert source.read(size) == expected.read(size)
            assert source.tell() == expected.tell()
            assert source.seek(offset) == expected.seek(offset)
            assert source.read_buffer(abs(size)).to_pybytes() == expected.read(abs(size))
            assert source.tell() == expected.tell()
        assert source.seek(-3, io.SEEK_END) == len(DATA) - 3
        assert source.seek(1, io.SEEK_CUR) == len(DATA) - 2
        assert source.read() == DATA[-2:]
        assert source.take_failure() is None


def test_source_file_remembers_that_the_store_failed(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_file, "_SMALL_BYTES", 100)
    store.put("data", DATA)
    source = store.open("data", len(DATA))
    assert source.read(4) == DATA[:4]
    (tmp_path / "data").unlink()
    for read, size in ((source.read, 4), (source.read_buffer, 200)):
        with pytest.raises(OSError, match="does not exist"):
            read(size)
        assert isinstance(source.take_failure(), StorageError)
        assert source.take_failure() is None


def test_a_full_disk_is_named_and_not_filled_further(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="a: the disk is full, or a quota is used up: make room"):
        store.put("a", DATA)
    upload = store.upload("b")
    upload.write(DATA)
    with pytest.raises(StorageError, match="b: the disk is full"):
        upload.commit()
    upload.abort()
    assert list(tmp_path.iterdir()) == []
