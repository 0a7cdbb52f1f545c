"""Rows with videos, from bytes to a label or its quarantine, on the scripted engine."""

from __future__ import annotations

from typing import Any

import pytest
from PIL import Image

from pipeline.media.clip import Clip
from tests.judging import Row, judge_rows, scripted, text_pair
from tests.shards import picture, response
from tests.videos import clip, number_of

VIDEO = {"min_pixels": 1, "max_frames": 4, "max_videos": 3}
JUDGE = {"media": {"factor": 1, "min_pixels": 1, "video": VIDEO}}


def videos(*firsts: int) -> list[Row]:
    return [{"bytes": clip(12, first=first), "path": None} for first in firsts]


def video_pair(**more: Any) -> Row:
    """Two videos made for a prompt; their captions state the scores."""
    first = response("score=9", videos=videos(0))
    second = response("score=2", videos=videos(20))
    return text_pair(0) | {"response_a": first, "response_b": second} | more


def shown(chat: Any) -> list[list[int]]:
    """The numbers of the frames of each clip of a chat."""
    return [[number_of(frame) for frame in each.frames] for each in chat.clips]


def test_a_context_video_comes_before_the_question_and_after_its_pictures() -> None:
    judge, engine = scripted(judge=JUDGE)
    pictures = [{"bytes": picture(1), "path": None}]
    (label,) = judge_rows(judge, [text_pair(0, images=pictures, videos=videos(0, 30))])
    assert (label["status"], label["preference"]) == ("labeled", "a")
    for chat, _ in engine.asked:
        kinds = [type(part) for part in chat.parts]
        assert issubclass(kinds[0], Image.Image)
        assert kinds[1:] == [Clip, Clip, str]
        assert shown(chat) == [[0, 4, 7, 11], [30, 34, 37, 41]]
        assert chat.clips[0].fps == pytest.approx(4 / 1.2)


def test_video_candidates_are_shown_in_both_orders() -> None:
    judge, engine = scripted(judge=JUDGE | {"candidates": "video", "format": "pairwise_scores"})
    (label,) = judge_rows(judge, [video_pair()])
    assert (label["status"], label["preference"], label["scores"]) == ("labeled", "a", [9, 2])
    first, second = (chat for chat, _ in engine.asked)
    assert shown(first) == [[0, 4, 7, 11], [20, 24, 27, 31]]
    assert shown(second) == shown(first)[::-1]
    assert "[Assistant 1's Video]\n" in first.user


def test_the_same_video_twice_is_a_bad_row() -> None:
    same = response("score=3", videos=videos(0))
    judge, _ = scripted(judge=JUDGE | {"candidates": "video"})
    (label,) = judge_rows(judge, [video_pair(response_a=same, response_b=same)])
    assert (label["reason"], label["detail"]) == ("bad_row", "candidates a and b are equal")


@pytest.mark.parametrize("limit", [0, 1])
def test_more_videos_than_the_engine_takes(limit: int) -> None:
    media = {"media": {"video": VIDEO | {"max_videos": limit}}}
    judge, engine = scripted(judge=media)
    (label,) = judge_rows(judge, [text_pair(0, videos=videos(0, 1))])
    assert (label["status"], label["reason"], label["n_votes"]) == ("quarantined", "bad_row", 0)
    assert f"2 videos; the limit is {limit} (judge.media.video.max_videos)" in label["detail"]
    assert engine.asked == []


@pytest.mark.parametrize(
    ("data", "reason", "message"),
    [
        (clip(12)[:-200], "media_corrupt", "cut short"),
        (b"", "media_corrupt", "zero bytes"),
        (picture(1), "media_unsupported", "got a picture (PNG)"),
        (bytes(2**21), "media_too_large", "judge.media.max_bytes"),
        (clip(30), "media_too_large", "judge.media.video.max_source_frames"),
    ],
    ids=range(5),
)
@pytest.mark.parametrize("place", ["context", "candidate"])
def test_a_bad_video_quarantines_its_row_alone(
    place: str, data: bytes, reason: str, message: str
) -> None:
    bad = [{"bytes": data, "path": None}]
    media = {"max_bytes": 2**20, "video": VIDEO | {"max_source_frames": 20}}
    if place == "context":
        rows = [text_pair(0, videos=bad), text_pair(0, videos=videos(0))]
    else:
        rows = [video_pair(response_b=response("score=2", videos=bad)), video_pair()]
    candidates = {"candidates": "text" if place == "context" else "video"}
    judge, engine = scripted(judge={"media": media} | candidates)
    label, neighbour = judge_rows(judge, rows)
    assert (label["status"], label["reason"], label["votes"]) == ("quarantined", reason, [])
    assert message in label["detail"]
    assert (neighbour["status"], len(engine.asked)) == ("labeled", 2)
