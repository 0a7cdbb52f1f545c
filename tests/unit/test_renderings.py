"""Rendering versions: which a vote states, and which rows a later version concerns."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.judging.renderings import CURRENT, Rendering, concerns, unstated
from pipeline.judging.votes import Vote
from tests.judging import Row, judge_rows, scripted, text_pair
from tests.shards import picture
from tests.videos import clip

PICTURE = {"bytes": picture(1), "path": None}
VIDEO = {"min_pixels": 1, "max_frames": 4, "max_videos": 1}
MEDIA = {"factor": 1, "min_pixels": 1, "video": VIDEO}
KINDS = tuple(field.name for field in dataclasses.fields(Rendering))


def stated_by(row: Row, script: Row | None = None, **more: Any) -> list[dict[str, Any]]:
    """The renderings of a row's votes, without what they do not have."""
    (label,) = judge_rows(scripted(script, judge={"media": MEDIA}, **more)[0], [row])
    return [
        {kind: version for kind, version in vote["rendering"].items() if version is not None}
        for vote in label["votes"]
    ]


def test_the_versions_continue_that_of_earlier_votes() -> None:
    assert dataclasses.asdict(CURRENT) == {"text": 2, "image": 2, "video": 2, "ending": 3}


@pytest.mark.parametrize(
    ("row", "kinds"),
    [
        ({}, {"text", "ending"}),
        ({"images": [PICTURE]}, {"text", "image", "ending"}),
        ({"videos": [{"bytes": clip(12), "path": None}]}, {"text", "video", "ending"}),
        ({"prompt": "What does <answer> mean?"}, {"text", "ending"}),
    ],
)
def test_a_vote_states_the_kinds_that_it_has(row: Row, kinds: set[str]) -> None:
    stated = dict.fromkeys(kinds, 2) | {"ending": 3}
    assert stated_by(text_pair(0) | row) == [stated, stated]


def test_a_vote_without_a_reply_states_what_was_asked() -> None:
    hanging = stated_by(text_pair(0, "MARK"), {"faults": {"MARK": "hang"}}, request_timeout_s=0.1)
    assert hanging == [{"text": 2, "ending": 3}] * 8


RENDERINGS = st.builds(
    Rendering, **{kind: st.none() | st.integers(1, 4) for kind in ("text", "image", "video")}
)


@given(RENDERINGS, RENDERINGS)
def test_a_row_is_concerned_by_a_later_version_of_a_kind_that_it_has(
    seen: Rendering, current: Rendering
) -> None:
    pairs = [(getattr(seen, kind), getattr(current, kind)) for kind in KINDS]
    later = [None not in (before, now) and before < now for before, now in pairs]
    assert concerns(seen, current) is any(later)


@pytest.mark.parametrize("kind", KINDS)
def test_a_fix_of_one_kind_leaves_rows_without_it(kind: str) -> None:
    fixed = dataclasses.replace(CURRENT, **{kind: 4})
    for other in KINDS:
        seen = Rendering(**{other: getattr(CURRENT, other)})
        assert concerns(seen, fixed) is (other == kind)
    assert not concerns(fixed, CURRENT)  # an earlier version of the software fixes nothing


def test_votes_of_labels_v1_may_have_shown_what_their_judge_takes() -> None:
    fixed = dataclasses.replace(CURRENT, video=3)
    assert [concerns(unstated(videos=each), fixed) for each in (False, True)] == [False, True]
    assert not concerns(unstated(videos=True))
    for kind in ("text", "image"):
        assert concerns(unstated(videos=False), dataclasses.replace(CURRENT, **{kind: 3}))


@pytest.mark.parametrize("stored", [None, dict.fromkeys(KINDS)])
def test_a_vote_that_states_nothing_is_read_so(stored: dict[str, None] | None) -> None:
    row = Vote(order="ab", seed=1, outcome="verdict").as_row() | {"rendering": stored}
    assert Vote.from_row(row).rendering is None


def test_a_reply_that_was_cut_off_is_asked_for_again_only_where_media_were_shown() -> None:
    assert not concerns(Rendering(text=2, ending=2))
    assert concerns(Rendering(text=2, image=2, ending=2))
    assert concerns(Rendering(text=2, video=2, ending=2))
    assert not concerns(Rendering(text=2, image=2, ending=3))
