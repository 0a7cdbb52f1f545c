"""Videos that cannot be judged: each ends as a rejected row that says why, and nothing else."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.media.media_config import MediaConfig
from pipeline.media.videos import decode_video
from pipeline.runtime.errors import RowRejected
from schemas.labels import Reason
from tests.pictures import CASES
from tests.shards import picture
from tests.videos import (
    AVI,
    FORMATS,
    FRAGMENTS,
    GIF,
    WEBM,
    as_it_is,
    clip,
    sound,
    turned,
)


def refusal(data: bytes, media: MediaConfig | None = None) -> RowRejected:
    with pytest.raises(RowRejected) as raised:
        decode_video(data, media or as_it_is())
    return raised.value


def test_decoding_begins_at_key_frames() -> None:
    # Frames 0 and 59 are shown: from key frames 0 and 50 these are 1 + 10 frames to decode.
    media = as_it_is(min_frames=2, max_frames=2, max_decoded_pixels=11 * 96 * 64)
    as_told = {"sc_threshold": "0"}  # no other key frames
    assert len(decode_video(clip(60, key_every=10, options=as_told), media).frames) == 2
    refused = refusal(clip(60, key_every=60, options=as_told), media)
    assert refused.reason is Reason.MEDIA_TOO_LARGE
    assert refused.detail == (
        "60 frames of 6,144 pixels would have to be decoded to reach those shown; the limit is "
        "67,584 pixels (judge.media.video.max_decoded_pixels)"
    )


CUT: dict[str, dict[str, Any]] = {
    "mp4": {"key_every": 10},
    "mp4 in fragments": {"key_every": 10, **FRAGMENTS},
    "webm": {"key_every": 10, **WEBM},
    "matroska": {"key_every": 10, "container": "matroska"},
    "gif": GIF,
    "avi": AVI,
}


@functools.cache
def to_cut(kind: str) -> bytes:
    return clip(30, **CUT[kind])


@pytest.mark.parametrize("share", [0.2, 0.6, 0.95])
@pytest.mark.parametrize("kind", CUT)
def test_a_file_that_is_cut_short_is_corrupt(kind: str, share: float) -> None:
    whole = to_cut(kind)
    assert len(decode_video(whole, as_it_is()).frames) == 4
    assert refusal(whole[: int(share * len(whole))]).reason is Reason.MEDIA_CORRUPT


@pytest.mark.parametrize(
    ("data", "reason", "message"),
    [
        (b"", Reason.MEDIA_CORRUPT, "zero bytes"),
        (b"\x01\x02\x03", Reason.MEDIA_CORRUPT, "damaged, or no video: 3 bytes"),
        (b"no video", Reason.MEDIA_UNSUPPORTED, "got a text (8 bytes), expected a video"),
        (picture(1), Reason.MEDIA_UNSUPPORTED, "got a picture (PNG)"),
        (picture(1, kind="JPEG"), Reason.MEDIA_UNSUPPORTED, "got a picture (JPEG)"),
        (sound(), Reason.MEDIA_CORRUPT, "no video stream, only audio"),
        (
            clip(4, (804, 4), codec="mpeg4"),
            Reason.MEDIA_UNSUPPORTED,
            "804x4: absolute aspect ratio must be smaller than 200",
        ),
    ],
    ids=range(7),
)
def test_what_is_no_video(data: bytes, reason: Reason, message: str) -> None:
    refused = refusal(data)
    assert refused.reason is reason
    assert message in refused.detail


@pytest.mark.parametrize(
    "playlist",
    [
        "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{path}\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile {path}\n",
    ],
)
def test_a_playlist_opens_no_other_file(playlist: str, tmp_path: Path) -> None:
    (tmp_path / "secret.mp4").write_bytes(clip(4))
    listing = playlist.format(path=tmp_path / "secret.mp4")
    assert refusal(listing.encode()).reason is Reason.MEDIA_UNSUPPORTED


@pytest.mark.parametrize(
    ("media", "message"),
    [
        (
            MediaConfig(max_decoded_pixels=96 * 64 - 1),
            "the video declares frames of 96x64 pixels; the limit is 6,143 "
            "(judge.media.max_decoded_pixels)",
        ),
        (
            as_it_is(max_source_frames=19),
            "the video has more frames; the limit is 19 (judge.media.video.max_source_frames)",
        ),
        (
            as_it_is(max_seconds=1.5),
            "the video lasts 2.0 s; the limit is 1.5 s (judge.media.video.max_seconds)",
        ),
    ],
    ids=range(3),
)
@pytest.mark.parametrize("kind", ["mp4", "gif"])
def test_what_is_too_large(kind: str, media: MediaConfig, message: str) -> None:
    refused = refusal(clip(20, **FORMATS[kind]), media)
    assert (refused.reason, refused.detail) == (Reason.MEDIA_TOO_LARGE, message)


def test_frames_that_grow_beyond_the_limit() -> None:
    small, large = (clip(12, size, container="mpegts") for size in ((96, 64), (1_920, 1_280)))
    media = as_it_is().model_copy(update={"max_decoded_pixels": 10_000})
    refused = refusal(small + large, media)
    assert refused.reason is Reason.MEDIA_TOO_LARGE
    assert "a frame of the video has 1920x1280 pixels; the limit is 10,000" in refused.detail


def test_frames_larger_than_the_header_states_count_as_they_are() -> None:
    data = (CASES / "video_declares_64x64.mp4").read_bytes()  # frames of 2000x2000 in it
    whole = as_it_is(min_frames=4, max_frames=16)
    assert len(decode_video(data, whole).frames) >= 4
    most = whole.model_copy(update={"max_decoded_pixels": 10**6})
    assert refusal(data, most).reason is Reason.MEDIA_TOO_LARGE
    refused = refusal(data, as_it_is(max_decoded_pixels=10**7))
    assert refused.reason is Reason.MEDIA_TOO_LARGE
    assert "judge.media.video.max_decoded_pixels" in refused.detail


SEEDS: dict[str, dict[str, Any]] = {
    "mp4": {},
    "webm": WEBM,
    "matroska": {"container": "matroska"},
    "avi": AVI,
    "gif": GIF,
    "mp4 in fragments": FRAGMENTS,
    "mpegts": {"container": "mpegts"},
    "turned": {},
}


@functools.cache
def seed(kind: str) -> bytes:
    made = clip(8, **SEEDS[kind])
    return turned(made, 0, 1, -1, 0) if kind == "turned" else made


CHANGES = st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=12)


@settings(max_examples=300)
@given(st.sampled_from(sorted(SEEDS)), CHANGES, st.floats(0, 1))
def test_damage_never_raises_anything_else(kind: str, changes: Any, near: float) -> None:
    damaged = bytearray(seed(kind))
    for position, value in changes:
        damaged[int(position * near) % len(damaged)] = value
    media = as_it_is(max_decoded_pixels=10**7).model_copy(update={"max_decoded_pixels": 10**6})
    try:
        decoded = decode_video(bytes(damaged), media)
    except RowRejected as rejected:
        known = Reason.MEDIA_CORRUPT, Reason.MEDIA_TOO_LARGE, Reason.MEDIA_UNSUPPORTED
        assert rejected.reason in known  # noqa: PT017
    else:
        assert len(decoded.frames) % 2 == 0
        assert decoded.fps > 0


@pytest.mark.parametrize(("transfer", "name"), [("smpte2084", "PQ"), ("arib-std-b67", "HLG")])
def test_clips_in_high_dynamic_range_are_named(transfer: str, name: str) -> None:
    stated = f"colormatrix=bt2020nc:colorprim=bt2020:transfer={transfer}"
    data = clip(3, options={"x264-params": stated})
    with pytest.raises(RowRejected, match=rf"high dynamic range \({name}\)") as refusal:
        decode_video(data, as_it_is())
    assert refusal.value.reason == Reason.MEDIA_UNSUPPORTED
