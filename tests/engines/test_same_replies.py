"""The two real engines must write the same words."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pipeline.engines.engine import Chat, ChatPart, Reply
from pipeline.lab.tiny_judge.scene_corpus import scene_rows
from pipeline.media.clip import Clip
from tests.engines.conftest import TinyJudge, start_tiny
from tests.videos import numbered

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TinyJudge]:
    """The tiny judge in transformers."""
    folder = tmp_path_factory.mktemp("media")
    judge = start_tiny(folder, "engine.kind=transformers", "engine.args={}")
    yield judge
    judge.engine.close()


def clip(frames: int, width: int = 112, height: int = 84, fps: float = 1.0, first: int = 0) -> Clip:
    return Clip(tuple(numbered(first + n, (width, height)) for n in range(frames)), fps)


def same(got: list[Reply], expected: list[Reply]) -> None:
    assert [reply.text for reply in got] == [reply.text for reply in expected]
    for ours, theirs in zip(got, expected, strict=True):
        assert ours.prompt_tokens == theirs.prompt_tokens
        assert ours.output_tokens == theirs.output_tokens
        assert ours.finish_reason == theirs.finish_reason


def test_greedy_replies_of_vllm_and_transformers_are_identical(
    tiny: TinyJudge, reference: TinyJudge
) -> None:
    rows = scene_rows(6, seed=7)
    got, expected = tiny.replies(rows), reference.replies(rows)
    same(got, expected)
    assert {reply.finish_reason for reply in got} == {"stop"}


def test_clips_of_every_length_and_shape(tiny: TinyJudge, reference: TinyJudge) -> None:
    sizes = [(112, 84), (84, 140), (168, 56)]
    chats = [Chat("Judge.", (clip(n, *size), "\nWhat?")) for n in (2, 4, 6) for size in sizes]
    same(tiny.answers(chats), reference.answers(chats))


def test_the_same_frames_at_another_speed(tiny: TinyJudge, reference: TinyJudge) -> None:
    # From clips shorter than their sides are long, in positions, to such as outlast them.
    speeds = [0.02, 0.3, 1.0, 1.34, 7.0, 24.0]
    chats = [Chat("Judge.", (clip(6, fps=fps), "\nWhat?")) for fps in speeds]
    same(tiny.answers(chats), reference.answers(chats))


def test_pictures_and_clips_among_texts(tiny: TinyJudge, reference: TinyJudge) -> None:
    one, two = numbered(5, (112, 112)), numbered(9, (84, 112))
    short, long = clip(2), clip(4, 84, 112, fps=0.5, first=8)
    turns: list[tuple[ChatPart, ...]] = [
        (one, "first", short, "second", two, long, "end"),
        (long, two, "second", short, "first", one, "end"),
        (short, long, short, "the same again"),
        ("text first", one, long),
    ]
    chats = [Chat("Judge both.", turn) for turn in turns]
    same(tiny.answers(chats), reference.answers(chats))


def test_clips_that_are_partly_cached(tiny: TinyJudge, reference: TinyJudge) -> None:
    a, b, c = (clip(4, fps=fps, first=first) for fps, first in ((0.4, 10), (1.0, 20), (3.0, 30)))
    chats = [Chat("Judge.", (*pair, "\nWhich?")) for pair in ((a, b), (b, a), (b, c), (c, a))]
    expected = reference.answers(chats)
    same(tiny.answers(chats), expected)
    same(tiny.answers(chats), expected)  # all of them cached
