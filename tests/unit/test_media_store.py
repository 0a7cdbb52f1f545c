"""Media references: bytes as they are, paths only below the allowed roots."""

from __future__ import annotations

import base64
import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.media.media_store import MediaStore
from pipeline.runtime.errors import RowRejected, StorageError
from pipeline.store.object_store import Store
from schemas.labels import Reason
from tests.shards import picture


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
        ("file:{root}/second/b/pic", b"second/b/pic"),
        ("file://localhost{root}/second/b/pic", b"second/b/pic"),
        ("data:image/png;base64,cGljdHVyZQ==", b"picture"),
        ("DATA:;base64,cGlj%0AdHVyZQ", b"picture"),
        ("data:,a%20picture", b"a picture"),
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
        ("data:image/png;base64," + "A" * 5_000, Reason.MEDIA_TOO_LARGE),
        ("data:image/png;base64,!!", Reason.MEDIA_CORRUPT),
        ("A" * 500, Reason.MEDIA_MISSING),  # base64 of nothing known is a path
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
        ("file://elsewhere{root}/first/a/pic", Reason.MEDIA_FORBIDDEN),
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
    def fail(self: Store, key: str, start: int, stop: int) -> bytes:
        with self._errors(key):
            raise TimeoutError("no answer")

    monkeypatch.setattr(Store, "read_range", fail)
    with pytest.raises(StorageError, match="no answer"):
        fetch(media, "a/pic")


GIF = picture(1, kind="GIF")


@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode, base64.encodebytes])
def test_base64_is_decoded_wherever_it_stands(encode: Callable[[bytes], bytes]) -> None:
    media, text = MediaStore(["/tmp"], max_bytes=10_000), encode(GIF)
    for bare in (text, text.rstrip(b"=\n")):
        assert fetch(media, bare.decode()) == fetch(media, None, bare) == GIF
    uri = b"data:image/gif;base64," + text
    assert fetch(media, uri.decode()) == fetch(media, None, uri) == GIF
    assert fetch(media, None, GIF) is GIF


@given(st.binary(max_size=300))
def test_a_data_uri_of_any_bytes(data: bytes) -> None:
    uri = "data:application/octet-stream;base64," + base64.b64encode(data).decode()
    assert fetch(MediaStore([], max_bytes=300), uri) == data


def test_an_address_says_how_to_get_its_file(media: MediaStore) -> None:
    with pytest.raises(RowRejected, match=r"download the files.*media_root and inline_media"):
        fetch(media, "https://example.com/pic.png")


def test_a_long_text_does_not_stand_in_a_message(media: MediaStore) -> None:
    for path in ("x" * 4_000_000, "/" + "y" * 4_000_000, "data:image/png;base64,!" + "z" * 7_000):
        with pytest.raises(RowRejected) as refusal:
            fetch(media, path)
        assert len(refusal.value.detail) < 1_500


@pytest.mark.timeout(20)  # of a pipe nobody writes to, a read would never end
def test_pipes_and_devices_are_not_read(media: MediaStore, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "first" / "pipe")
    with pytest.raises(RowRejected, match="pipe or socket, expected a file") as refusal:
        fetch(media, "pipe")
    assert refusal.value.reason is Reason.MEDIA_UNSUPPORTED
    with pytest.raises(RowRejected, match="expected a file"):
        fetch(MediaStore(["/dev"], max_bytes=20), "zero")


def test_no_more_is_read_than_was_asked_for(
    media: MediaStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that grows meanwhile."""
    monkeypatch.setattr(Store, "size", lambda self, key: 5)
    assert fetch(media, "a/pic") == b"first"


class Refusing(Store):
    """A bucket that refuses some keys, always or for a number of requests."""

    def __init__(self, refused: dict[str, float]) -> None:
        super().__init__("/bucket")
        self.local, self.refused, self.waited = False, refused, 0.0
        self.host = self  # type: ignore[assignment]

    def sleep(self, seconds: float) -> None:
        self.waited += seconds

    def size(self, key: str) -> int | None:
        left = max(self.refused.get(key, 0), self.refused.get("*", 0))
        if left > 0:
            self.refused = {name: count - 1 for name, count in self.refused.items()}
            raise StorageError(f"403 {key}") from PermissionError("ExpiredToken")
        return 4

    def read_range(self, key: str, start: int, stop: int) -> bytes:
        return key.encode()[:4]


def refusing(**refused: float) -> tuple[MediaStore, Refusing]:
    media, store = MediaStore(["/bucket"], 100), Refusing(refused)
    media._stores = [store]
    return media, store


def test_what_alone_is_refused_is_its_rows_fault() -> None:
    media, store = refusing(mine=float("inf"))
    assert fetch(media, "other") == b"othe"
    with pytest.raises(RowRejected) as rejected:
        fetch(media, "mine")
    assert (rejected.value.reason, store.waited) == (Reason.MEDIA_FORBIDDEN, 0)


def test_a_passing_refusal_of_everything_is_nobodys_fault() -> None:
    media, store = refusing(**{"*": 4.0})
    assert fetch(media, "mine") == b"mine"
    assert store.waited > 0
    media, store = refusing()
    assert fetch(media, "other") == b"othe"
    store.refused = {"*": 5.0}
    assert fetch(media, "mine") == b"mine"


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5])
def test_refusals_that_come_and_go_are_nobodys_fault(share: float) -> None:
    rng = random.Random(share)

    class Flapping(Refusing):
        def size(self, key: str) -> int | None:
            if rng.random() < share:
                raise StorageError(f"403 {key}") from PermissionError("SignatureDoesNotMatch")
            return 4

    media, _ = refusing()
    media._stores = [Flapping({})]
    for number in range(2_000):
        assert fetch(media, f"{number:04}") == f"{number:04}".encode()


def test_a_refusal_of_everything_that_stays_ends_the_run() -> None:
    media, store = refusing(**{"*": float("inf")})
    with pytest.raises(StorageError, match="so is everything else below /bucket, for 4"):
        fetch(media, "mine")
    assert store.waited == pytest.approx(44.1)
