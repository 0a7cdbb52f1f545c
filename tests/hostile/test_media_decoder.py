"""Media decoded in processes that may die: the same pixels, and an end for those that end them."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline.media import decoder
from pipeline.media.decoder import MediaDecoder
from pipeline.media.images import decode_image
from pipeline.media.media_config import MediaConfig
from pipeline.media.shared_decoding import SharedDecoding
from pipeline.media.videos import decode_video
from pipeline.runtime.disposable import Disposables
from pipeline.runtime.errors import RowRejected
from schemas.labels import Reason
from tests.hostile import hazards
from tests.shards import picture
from tests.videos import numbered, video

LIMITS = MediaConfig.model_validate({"video": {"max_videos": 1}})


def test_pixels_are_those_of_our_own_process() -> None:
    ours = MediaDecoder(LIMITS)
    data = picture(3)
    assert ours.image(data).tobytes() == decode_image(data, LIMITS).tobytes()
    frames = [numbered(n, (112, 84)) for n in range(6)]
    clip, expected = ours.clip(video(frames)), decode_video(video(frames), LIMITS)
    assert clip.fps == expected.fps
    assert [f.tobytes() for f in clip.frames] == [f.tobytes() for f in expected.frames]
    small = ours.thumbnail(data, 20, video=False)
    assert max(small.size) == 20


def test_what_is_no_picture_is_said_as_ever() -> None:
    with pytest.raises(RowRejected) as rejected:
        MediaDecoder(LIMITS).image(b"<html>no</html>")
    assert rejected.value.reason == Reason.MEDIA_UNSUPPORTED


def large_picture() -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.zeros((900, 1200, 3), np.uint8)).save(file, "PNG")
    return file.getvalue()


def test_large_media_share_the_memory() -> None:
    ours = MediaDecoder(LIMITS, memory=2**20, threads=2)
    assert ours.image(large_picture()).mode == "RGB"  # alone


def test_a_medium_that_rows_share_is_decoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, once = [], decoder.MediaDecoder._decoded

    def counted(self: MediaDecoder, function: Any, data: bytes, *how: Any) -> Any:
        asked.append(data)
        return once(self, function, data, *how)

    monkeypatch.setattr(decoder.MediaDecoder, "_decoded", counted)
    ours, same, other = MediaDecoder(LIMITS, threads=8), picture(3), picture(4)
    with ThreadPoolExecutor(8) as pool:
        shown = list(pool.map(ours.image, [bytes(bytearray(same)) for _ in range(32)]))
    ours.image(other)
    assert asked == [same, other]
    assert {each.tobytes() for each in shown} == {decode_image(same, LIMITS).tobytes()}
    shown[0].info["changed"] = True  # each row has a picture of its own
    assert "changed" not in shown[1].info
    for data in (b"<html>no</html>", b"<html>no</html>"):
        with pytest.raises(RowRejected):
            ours.image(data)
    assert len(asked) == 4  # what cannot be decoded is tried again


def test_only_so_many_bytes_of_decoded_media_are_kept() -> None:
    kept, made = SharedDecoding[bytes](10, len), list[str]()

    def decode(key: str, size: int) -> bytes:
        def now() -> bytes:
            made.append(key)
            return bytes(size)

        return kept.get(key, now)

    for key, size in [("a", 4), ("b", 4), ("a", 4), ("c", 4), ("a", 4), ("b", 4), ("d", 11)]:
        assert len(decode(key, size)) == size
    assert made == ["a", "b", "c", "b", "d"]  # "b" was used longest ago when "c" came
    decode("d", 11)
    assert made[-2:] == ["d", "d"]  # larger than all that may be kept


@pytest.mark.parametrize(
    ("hazard", "reason", "said"),
    [
        (hazards.dying_image, Reason.MEDIA_CORRUPT, "dies each time .*SIGABRT"),
        (hazards.hanging_image, Reason.MEDIA_TOO_LARGE, r"not decoded within 0\.3 s"),
    ],
)
def test_deadly_media_are_their_rows_fault(
    monkeypatch: pytest.MonkeyPatch, hazard: Any, reason: Reason, said: str
) -> None:
    processes = Disposables(["tests.hostile.hazards"])
    monkeypatch.setattr(decoder, "_image", hazard)
    monkeypatch.setattr(decoder, "disposables_of", lambda _: processes)
    with pytest.raises(RowRejected, match=said) as rejected:
        MediaDecoder(LIMITS, seconds=0.3 if "hanging" in hazard.__name__ else 60).image(b"x")
    assert rejected.value.reason == reason
    processes.close()
