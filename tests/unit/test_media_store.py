"""Media references: bytes as they are, paths only below the allowed roots."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.media.media_store import MediaStore
from pipeline.runtime.errors import RowRejected, StorageError
from pipeline.store.object_store import Store
from schemas.labels import Reason


@pytest.fixture
def media(tmp_path: Path) -> MediaStore:
    for name in ("first/a/pic", "second/b/pic", "outside/pic", "first-not/pic"):
        path = tmp_path / name
        path.parent.mkdir(parents=True)
        path.write_bytes(name.encode())
    (tmp_path / "first" / "inner").symlink_to(tmp_path / "first" / "a")
    (tmp_path / "first" / "leak").symlink_to(tmp_path / "outside" / "pic")
    (tmp_path / "first" / "loop").symlink_to(tmp_path / "first" / "loop")
    roots = (str(tmp_path / "first"), str(tmp_path / "second"), "s3://bucket/media")
    return MediaStore(roots, max_bytes=20)


def fetch(media: MediaStore, path: str | None, data: bytes | None = None) -> bytes:
    return media.fetch({"bytes": data, "path": path})


@pytest.mark.parametrize(
    ("path", "data"),
    [
        ("a/pic", b"first/a/pic"),
        ("a/../a/./pic", b"first/a/pic"),
        ("inner/pic", b"first/a/pic"),  # a link that stays inside
        ("{root}/first/a/pic", b"first/a/pic"),
        ("{root}/second/b/pic", b"second/b/pic"),
        ("file://{root}/second/b/pic", b"second/b/pic"),
        ("../second/b/pic", b"second/b/pic"),
    ],
)
def test_found(media: MediaStore, tmp_path: Path, path: str, data: bytes) -> None:
    assert fetch(media, path.format(root=tmp_path)) == data


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        (None, Reason.MEDIA_MISSING),
        ("", Reason.MEDIA_MISSING),
        ("a/nothing", Reason.MEDIA_MISSING),
        ("b/pic", Reason.MEDIA_MISSING),  # relative paths are of the first root alone
        ("a", Reason.MEDIA_MISSING),  # a folder
        ("a/pic/below", Reason.MEDIA_MISSING),
        ("a/" + "x" * 5_000, Reason.MEDIA_MISSING),
        ("data:image/png;base64," + "A" * 5_000, Reason.MEDIA_MISSING),
        ("a/pi\0c", Reason.MEDIA_MISSING),
        ("loop", Reason.MEDIA_MISSING),
        ("../outside/pic", Reason.MEDIA_FORBIDDEN),
        ("a/../../outside/pic", Reason.MEDIA_FORBIDDEN),
        ("{root}/outside/pic", Reason.MEDIA_FORBIDDEN),
        ("{root}/first/../outside/pic", Reason.MEDIA_FORBIDDEN),
        ("file://{root}/outside/pic", Reason.MEDIA_FORBIDDEN),
        ("{root}/first-not/pic", Reason.MEDIA_FORBIDDEN),
        ("{root}/first", Reason.MEDIA_FORBIDDEN),
        ("leak", Reason.MEDIA_FORBIDDEN),
        ("/etc/passwd", Reason.MEDIA_FORBIDDEN),
        ("file:///etc/passwd", Reason.MEDIA_FORBIDDEN),
        ("s3://other/media/pic", Reason.MEDIA_FORBIDDEN),
        ("s3://bucket/media/../secret", Reason.MEDIA_FORBIDDEN),
        ("s3://bucket/media-not/pic", Reason.MEDIA_FORBIDDEN),
        ("http://169.254.169.254/latest", Reason.MEDIA_FORBIDDEN),
        ("https://example.com/pic.png", Reason.MEDIA_FORBIDDEN),
    ],
)
def test_refused(media: MediaStore, tmp_path: Path, path: str | None, reason: Reason) -> None:
    with pytest.raises(RowRejected) as refusal:
        fetch(media, path and path.format(root=tmp_path))
    assert refusal.value.reason is reason


def test_bytes_win_over_a_path_and_are_limited_too(media: MediaStore) -> None:
    assert fetch(media, "/etc/passwd", b"inline") == b"inline"
    assert fetch(media, None, b"") == b""
    with pytest.raises(RowRejected, match=r"21 bytes; the limit is 20 .*max_bytes") as refusal:
        fetch(media, None, b"x" * 21)
    assert refusal.value.reason is Reason.MEDIA_TOO_LARGE


def test_a_large_file_is_not_read(media: MediaStore, tmp_path: Path) -> None:
    (tmp_path / "first" / "large").write_bytes(b"x" * 21)
    with pytest.raises(RowRejected) as refusal:
        fetch(media, "large")
    assert refusal.value.reason is Reason.MEDIA_TOO_LARGE


def test_a_failing_store_is_no_fault_of_the_row(
    media: MediaStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Store, key: str) -> bytes:
        with self._errors(key):
            raise TimeoutError("no answer")

    monkeypatch.setattr(Store, "read", fail)
    with pytest.raises(StorageError, match="no answer"):
        fetch(media, "a/pic")
