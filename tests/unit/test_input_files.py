"""Which files a URI stands for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.pairs.input_files import list_files, open_files
from pipeline.runtime.errors import InputError, StorageError


def made(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    return folder


def found(uri: object) -> list[str]:
    """Full paths of what a URI stands for."""
    store, prefix = open_files(str(uri))
    return [store.path(entry.key) for entry in list_files(store, prefix)]


def test_a_folder_is_read_by_endings_in_any_case_and_names_are_no_patterns(tmp_path: Path) -> None:
    names = ["a.parquet", "a[1].parquet", "a1.parquet", "B.PARQUET", "p?.parquet", "x/q.Pq"]
    made(tmp_path, *names, "a.csv", "_a.parquet", ".b.parquet", "_temporary/0/c.parquet")
    assert found(tmp_path) == sorted(str(tmp_path / name) for name in names)


@pytest.mark.parametrize("name", ["a[1].parquet", "p?.parquet", "*.parquet", "a::b.parquet"])
def test_a_name_that_is_there_is_itself(tmp_path: Path, name: str) -> None:
    made(tmp_path, name, "a1.parquet", "pq.parquet")
    assert found(tmp_path / name) == [str(tmp_path / name)]


def test_a_folder_with_a_wildcard_in_its_name_is_itself(tmp_path: Path) -> None:
    made(tmp_path, "run[1]/a.parquet", "run1/a.parquet")
    store, prefix = open_files(str(tmp_path / "run[1]"))
    assert (store.uri, prefix) == (str(tmp_path / "run[1]"), "")
    assert found(tmp_path / "run[1]/a.parquet") == [str(tmp_path / "run[1]/a.parquet")]


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("a?.parquet", ["a1.parquet", "a2.parquet"]),
        ("a[13].parquet", ["a1.parquet"]),
        ("*.parquet", ["a1.parquet", "a2.parquet", "b.parquet"]),
        ("*/a1.parquet", ["x/a1.parquet"]),
        ("**/a1.parquet", ["a1.parquet", "x/a1.parquet", "x/y/a1.parquet"]),
        ("x/*", ["x/a1.parquet"]),
    ],
)
def test_globs(tmp_path: Path, pattern: str, names: list[str]) -> None:
    made(tmp_path, "a1.parquet", "a2.parquet", "b.parquet", "x/a1.parquet", "x/y/a1.parquet")
    made(tmp_path, "_a1.parquet", "x/_temporary/a1.parquet", "x/a.csv")
    assert found(tmp_path / pattern) == [str(tmp_path / name) for name in names]


def test_a_hidden_file_is_read_where_it_is_named(tmp_path: Path) -> None:
    made(tmp_path, "_only.parquet")
    assert found(tmp_path / "_only.parquet") == [str(tmp_path / "_only.parquet")]
    with pytest.raises(InputError, match="hidden files are not read"):
        found(tmp_path)


def test_a_dangling_link_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    made(tmp_path, "a.parquet")
    (tmp_path / "b.parquet").symlink_to(tmp_path / "gone")
    assert found(tmp_path) == [str(tmp_path / "a.parquet")]
    assert f"{tmp_path / 'b.parquet'}: a link that leads to no file" in caplog.text


@pytest.mark.timeout(20)  # of a device, reading would never end
def test_what_is_no_file_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    made(tmp_path, "a.parquet")
    os.mkfifo(tmp_path / "pipe.parquet")
    (tmp_path / "zero.parquet").symlink_to("/dev/zero")
    assert found(tmp_path) == [str(tmp_path / "a.parquet")]
    for name in ("pipe.parquet", "zero.parquet"):
        assert f"{tmp_path / name}: a device, pipe or socket; it is left out" in caplog.text
        with pytest.raises(StorageError, match=f"{name}: .*pipe or socket, expected a file"):
            found(tmp_path / name)


def test_links_that_lead_in_a_circle_lead_to_no_file(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").symlink_to(tmp_path / "a.parquet")
    store, name = open_files(str(tmp_path / "a.parquet"))
    assert store.real_path(name) == str(tmp_path / "a.parquet")
    with pytest.raises(StorageError, match="Too many levels of symbolic links"):
        list_files(store, name)


@given(stem=st.text("ab[]*?!:-", min_size=1, max_size=6).filter(lambda stem: stem[0] != "."))
def test_any_name_stands_for_itself(tmp_path_factory: pytest.TempPathFactory, stem: str) -> None:
    folder = made(tmp_path_factory.mktemp("in"), f"{stem}.parquet", "a.parquet", "ab.parquet")
    assert found(folder / f"{stem}.parquet") == [str(folder / f"{stem}.parquet")]
