"""Videos: the frames that qwen-vl-utils would sample, upright, on white, within the caps."""

from __future__ import annotations

import hashlib
import io
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pipeline.media.clip import Clip
from pipeline.media.frame_reader import FrameReader
from pipeline.media.media_config import MediaConfig
from pipeline.media.model_sizes import sample_frames
from pipeline.media.videos import decode_video
from tests.shards import picture
from tests.unit.test_media import corners
from tests.videos import (
    AVI,
    FORMATS,
    WEBM,
    as_it_is,
    clip,
    number_of,
    numbered,
    turned,
    video,
    video_of_yuv,
)


def numbers(of: Clip) -> list[int]:
    return [number_of(frame) for frame in of.frames]


EVEN = st.integers(1, 32).map(lambda half: 2 * half)
RATES = st.sampled_from([1.0, 7.5, 10.0, 24000 / 1001, 25.0, 29.97, 30.0, 60.0, 240.0])


@settings(max_examples=300)
@given(st.integers(2, 20_000), RATES | st.floats(0.1, 300), st.floats(0.1, 30), EVEN, EVEN)
def test_the_frames_are_those_of_qwen_vl_utils(
    total: int, rate: float, fps: float, low: int, high: int
) -> None:
    import torch  # seconds, which only this test shall pay
    from qwen_vl_utils.vision_process import smart_nframes

    bounds = {"min_frames": min(low, high), "max_frames": max(low, high)}
    count = smart_nframes({"fps": fps, **bounds}, total, rate)
    expected = torch.linspace(0, total - 1, count).round().long().tolist()
    assert sample_frames(total, rate, fps=fps, **bounds) == expected


def test_a_slow_video_is_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    assert sample_frames(5, 1.0, fps=2, min_frames=2, max_frames=4) == [0, 1, 3, 4]
    assert caplog.records == []


@pytest.mark.parametrize(("total", "expected"), [(1, [0, 0]), (2, [0, 1]), (3, [0, 2])])
def test_few_frames(total: int, expected: list[int]) -> None:
    assert sample_frames(total, 10, fps=1, min_frames=4, max_frames=16) == expected
    assert numbers(decode_video(clip(total), as_it_is())) == expected


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_shows_the_sampled_frames(kind: str) -> None:
    decoded = decode_video(clip(60, key_every=10, **FORMATS[kind]), as_it_is())
    assert numbers(decoded) == [0, 12, 24, 35, 47, 59]
    assert decoded.fps == pytest.approx(1.0)
    assert {(frame.mode, frame.size) for frame in decoded.frames} == {("RGB", (96, 64))}


@pytest.mark.parametrize("kind", ["mp4", "mp4 with open GOPs", "mp4 without key frames", "webm"])
def test_a_frame_is_the_same_wherever_decoding_began(kind: str) -> None:
    noise = [Image.effect_noise((96, 64), 40).convert("RGB") for _ in range(30)]
    reader = FrameReader(video(noise, key_every=8, **FORMATS[kind]), as_it_is())
    hashes = [reader.read([number], _hash) for number in range(30)]
    assert hashes == [[each] for each in reader.read_counted(range(30), _hash)]
    assert len({str(each) for each in hashes}) == 30


def _hash(frame: Any) -> str:
    return hashlib.sha256(frame.to_image().tobytes()).hexdigest()


@pytest.mark.parametrize(
    ("caps", "expected"),
    [
        ({"fps": 2}, [0, 5, 11, 16, 21, 27, 32, 38, 43, 48, 54, 59]),
        ({"fps": 2, "max_frames": 4}, [0, 20, 39, 59]),
        ({"fps": 0.1}, [0, 20, 39, 59]),
        ({"fps": 0.1, "min_frames": 2}, [0, 59]),
    ],
)
def test_frames_are_capped(caps: dict[str, Any], expected: list[int]) -> None:
    decoded = decode_video(clip(60), as_it_is(**caps))
    assert numbers(decoded) == expected
    assert decoded.fps == pytest.approx(len(expected) / 6)


@pytest.mark.parametrize(
    ("caps", "size"),
    [
        ({}, (644, 364)),
        ({"max_pixels": 224 * 224}, (280, 168)),  # less than qwen-vl-utils' own minimum
        ({"total_pixels": 4 * 224 * 224}, (280, 168)),
        ({"total_pixels": 4 * 10**6, "max_pixels": 224 * 224}, (280, 168)),
        ({"min_pixels": 500_000}, (952, 532)),
    ],
)
def test_pixels_are_capped_and_the_aspect_is_kept(caps: dict[str, int], size: Any) -> None:
    free = {"min_pixels": 56 * 56, "max_pixels": 10**8, "total_pixels": 10**10}
    media = MediaConfig.model_validate({"video": free | caps})
    decoded = decode_video(clip(4, (640, 360)), media)
    assert {frame.size for frame in decoded.frames} == {size}
    assert numbers(decoded) == [0, 1, 2, 3]


QUARTERS = {  # what turns the upright picture into the one that is stored
    (1, 0, 0, 1): None,
    (0, 1, -1, 0): Image.Transpose.ROTATE_90,
    (-1, 0, 0, -1): Image.Transpose.ROTATE_180,
    (0, -1, 1, 0): Image.Transpose.ROTATE_270,
    (-1, 0, 0, 1): Image.Transpose.FLIP_LEFT_RIGHT,
    (1, 0, 0, -1): Image.Transpose.FLIP_TOP_BOTTOM,
    (0, 1, 1, 0): Image.Transpose.TRANSPOSE,
    (0, -1, -1, 0): Image.Transpose.TRANSVERSE,
}


@pytest.mark.parametrize("matrix", QUARTERS)
def test_a_turned_video_is_set_upright_once(matrix: tuple[int, int, int, int]) -> None:
    upright = Image.new("RGB", (96, 64))
    quarters = {(0, 0): "red", (48, 0): "lime", (48, 32): "blue", (0, 32): "white"}
    for (x, y), colour in quarters.items():
        upright.paste(colour, (x, y, x + 48, y + 32))
    turn = QUARTERS[matrix]
    stored = upright if turn is None else upright.transpose(turn)
    decoded = decode_video(turned(video([stored] * 2), *matrix), as_it_is())
    assert decoded.frames[0].size == (96, 64)
    assert corners(decoded.frames[0]) == ["r", "g", "b", "w"]


RED, CLEAR = Image.new("RGB", (32, 32), "red"), Image.new("RGBA", (32, 32), (0, 0, 0, 0))


@pytest.mark.parametrize(
    ("frame", "how", "colour"),
    [
        (RED, {"pixels": "yuv444p"}, (255, 0, 0)),
        (RED, {"pixels": "yuv420p10le"}, (255, 0, 0)),
        (RED, {"container": "mov", "codec": "png", "pixels": "gray"}, (76, 76, 76)),
        (RED, {"container": "mov", "codec": "qtrle", "pixels": "rgb24"}, (255, 0, 0)),
        (CLEAR, {"container": "mov", "codec": "qtrle", "pixels": "argb"}, (255, 255, 255)),
        (CLEAR, {"container": "mov", "codec": "png", "pixels": "rgba"}, (255, 255, 255)),
    ],
    ids=range(6),
)
def test_every_pixel_format_becomes_rgb_on_white(frame: Any, how: Any, colour: Any) -> None:
    decoded = decode_video(video([frame] * 2, **how), as_it_is())
    shown: Any = decoded.frames[0].getpixel((16, 16))
    assert max(abs(a - b) for a, b in zip(shown, colour, strict=True)) <= 4


@pytest.mark.parametrize("transparent", [False, True])
def test_a_gif_is_a_video(transparent: bool) -> None:
    shown = [CLEAR if transparent else RED, Image.new("RGBA", (32, 32), "blue")]
    buffer = io.BytesIO()
    shown[0].save(buffer, "GIF", save_all=True, append_images=shown[1:], duration=500, loop=0)
    decoded = decode_video(buffer.getvalue(), as_it_is())
    colours = [frame.getpixel((5, 5)) for frame in decoded.frames]
    assert colours == [(255, 255, 255) if transparent else (255, 0, 0), (0, 0, 255)]
    assert decoded.fps == pytest.approx(2.0)


def test_a_still_gif_is_a_video_that_stands_still() -> None:
    decoded = decode_video(picture(1, kind="GIF"), as_it_is())
    assert len(decoded.frames) == 2
    assert decoded.frames[0].tobytes() == decoded.frames[1].tobytes()


def test_frames_are_sampled_by_number_where_they_are_shown_for_unequal_times() -> None:
    times = [0, 1, 2, 3, 50, 51, 52, 97, 98, 99]  # tenths of a second
    decoded = decode_video(clip(10, times=times), as_it_is(fps=0.4))
    assert numbers(decoded) == [0, 3, 6, 9]
    assert decoded.fps == pytest.approx(0.4)


def test_a_frame_count_in_a_header_is_not_believed() -> None:
    data = bytearray(clip(12, **AVI))
    for mark, place in ((b"avih", 8 + 16), (b"strh", 8 + 32)):
        at = data.index(mark) + place
        assert int.from_bytes(data[at : at + 4], "little") == 12
        data[at : at + 4] = (5_000).to_bytes(4, "little")
    assert numbers(decode_video(bytes(data), as_it_is(fps=2))) == [0, 4, 7, 11]


def test_the_same_bytes_give_the_same_frames_in_every_thread() -> None:
    data = clip(40, key_every=10)
    with ThreadPoolExecutor(8) as pool:
        clips = list(pool.map(lambda _: decode_video(data, as_it_is()), range(16)))
    assert len({tuple(frame.tobytes() for frame in each.frames) for each in clips}) == 1


@pytest.mark.parametrize("rate", [Fraction(30_000, 1_001), 25, 12])
def test_a_second_of_video_is_a_second(rate: Any) -> None:
    decoded = decode_video(clip(48, rate=rate, **WEBM), as_it_is(fps=2))
    assert decoded.fps == pytest.approx(len(decoded.frames) / 48 * float(rate), rel=1e-3)


def test_numbered_frames_tell_their_number() -> None:
    assert [number_of(numbered(number)) for number in range(64)] == list(range(64))


@pytest.mark.parametrize("codec", ["libvpx", "libvpx-vp9"])
def test_transparency_of_webm_is_on_white(codec: str) -> None:
    half = Image.new("RGBA", (64, 64), (255, 0, 0, 255))
    half.paste((0, 0, 0, 0), (32, 0, 64, 64))
    options = {"auto-alt-ref": "0"}
    how: Any = {"container": "webm", "codec": codec, "pixels": "yuva420p", "options": options}
    decoded = decode_video(video([half] * 20, transparent=True, **how), as_it_is())
    assert len(decoded.frames) == 4
    for frame in decoded.frames:
        shown: list[Any] = [frame.getpixel((x, 32)) for x in (10, 54)]
        assert np.abs(np.array(shown) - ((255, 0, 0), (255, 255, 255))).max() <= 6


@pytest.mark.parametrize(
    ("aspect", "matrix", "size"),
    [
        (Fraction(4, 3), None, (128, 64)),
        (Fraction(1, 2), None, (96, 128)),
        (Fraction(4, 3), (0, 1, -1, 0), (64, 128)),
        (Fraction(1, 1), None, (96, 64)),
    ],
)
def test_pixels_that_are_not_square_are_shown_square(aspect: Any, matrix: Any, size: Any) -> None:
    data = clip(4, aspect=aspect)
    decoded = decode_video(turned(data, *matrix) if matrix else data, as_it_is())
    assert {frame.size for frame in decoded.frames} == {size}


@pytest.mark.parametrize(("height", "matrix"), [(64, "ITU601"), (720, "ITU709")])
def test_colours_without_a_matrix_are_those_of_their_height(height: int, matrix: str) -> None:
    """As players do it; what the encoder is given is YUV of that matrix, and says nothing."""
    from av import VideoFrame

    green = VideoFrame.from_ndarray(np.full((height, 96, 3), (20, 200, 30), np.uint8), "rgb24")
    yuv: Any = green.reformat(format="yuv420p", dst_colorspace=matrix).to_ndarray()
    decoded = decode_video(video_of_yuv([yuv] * 2, (96, height)), as_it_is())
    assert np.abs(np.array(decoded.frames[0].getpixel((40, 30))) - (20, 200, 30)).max() <= 5
