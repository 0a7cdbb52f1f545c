"""What few rows have is stored with them, so that a fix of how it is shown concerns them alone."""

from __future__ import annotations

import asyncio
import dataclasses
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline.judging import asking, renderings
from pipeline.judging.asking import asking_of, without_narrow
from pipeline.judging.judge_config import JudgeConfig
from pipeline.judging.renderings import CURRENT, NARROW, may_have, shown_kinds
from pipeline.labeling.planning.reopening import COLUMNS, Reopening, parse_kinds
from pipeline.labeling.row_kinds import kinds_of
from pipeline.media.decoder import MediaDecoder
from pipeline.media.images import decode_image, kinds_of_picture
from pipeline.media.media_config import MediaConfig
from pipeline.media.videos import decode_video
from pipeline.parts.commit import commit_part
from pipeline.parts.part_files import read_part
from pipeline.runtime.errors import InputError
from pipeline.store.object_store import Store
from tests.judging import JUDGE_ID, Row, judge_rows, pairs_of, runner, scripted, text_pair, unit
from tests.pictures import AS_IS, encoded, png, scene, with_alpha
from tests.shards import labels_of
from tests.videos import GIF, WEBM, clip, turned

TURNED = Image.Exif()
TURNED[0x0112] = 6
DEEP = png(np.full((4, 4, 3), 30_000, np.uint16), depth=16)
PLAIN_CLIP = MediaConfig.model_validate(
    {"factor": 1, "min_pixels": 1, "video": {"min_pixels": 1, "max_frames": 4, "max_videos": 1}}
)
# Parts are named by the versions of today; a later software has raised one.
RAISED = MappingProxyType({**NARROW, "text.tag": 2})


@pytest.mark.parametrize(
    ("data", "kinds"),
    [
        (encoded(scene()), set()),
        (encoded(scene(), "JPEG"), set()),
        (encoded(scene().convert("L")), set()),
        (encoded(with_alpha(scene())), {"image.alpha"}),
        (encoded(scene().convert("P"), transparency=0), {"image.alpha"}),
        (encoded(scene().convert("CMYK"), "JPEG"), {"image.ink"}),
        (encoded(scene(), "JPEG", exif=TURNED), {"image.turned"}),
        (DEEP, {"image.depth"}),
    ],
)
def test_kinds_of_pictures(data: bytes, kinds: set[str]) -> None:
    assert kinds_of_picture(decode_image(data, AS_IS)) == kinds
    assert kinds_of_picture(MediaDecoder(AS_IS).image(data)) == kinds
    assert kinds <= NARROW.keys()


def test_a_plain_clip_has_no_kind() -> None:
    assert decode_video(clip(12), PLAIN_CLIP).kinds == set()
    assert MediaDecoder(PLAIN_CLIP).clip(clip(12)).kinds == set()


SIDEWAYS = (0, 1, -1, 0)
WIDE = {"x264-params": "colorprim=bt2020:transfer=bt709:colormatrix=bt709"}


@pytest.mark.parametrize(
    ("data", "kinds"),
    [
        (turned(clip(2), *SIDEWAYS), {"video.turned"}),
        (clip(2, aspect=Fraction(3, 2)), {"video.aspect"}),
        (turned(clip(2, aspect=Fraction(3, 2)), *SIDEWAYS), {"video.aspect", "video.turned"}),
        (clip(2, transparent=True, pixels="yuva420p", **WEBM), {"video.alpha"}),
        (clip(2, **GIF), {"video.alpha"}),
        (clip(2, (64, 720)), {"video.colour"}),  # which matrix, it does not say
        (clip(2, (64, 704)), set()),
        (clip(2, options=WIDE), {"video.colour"}),
    ],
    ids=["turned", "aspect", "both", "alpha", "palette", "hd", "sd", "wide"],
)
def test_kinds_of_clips(data: bytes, kinds: set[str]) -> None:
    assert decode_video(data, PLAIN_CLIP).kinds == kinds
    assert kinds <= NARROW.keys()


def test_kinds_of_texts() -> None:
    picture = decode_image(encoded(with_alpha(scene())), AS_IS)
    assert kinds_of([picture], ["What is 1 < 2?"], ["a <b", "c> d"]) == {"image.alpha"}
    assert kinds_of([], ["Look:", picture]) == {"image.alpha", "text.placeholder"}
    assert kinds_of([], ["Look at <image>"]) == {"text.placeholder", "text.tag"}
    assert kinds_of([], ["So."], ["It is </think> so"]) == {"text.tag"}


def test_every_kind_is_of_a_coarse_one() -> None:
    coarse = {field.name for field in dataclasses.fields(CURRENT)}
    assert {kind.partition(".")[0] for kind in NARROW} <= coarse
    only_text = dataclasses.replace(CURRENT, image=None, video=None)
    assert may_have(only_text, ["image.alpha", "text.tag"])
    assert not may_have(only_text, ["image.alpha"])


def rows_with_a_tag() -> list[Row]:
    return [text_pair(0), text_pair(1, "</think>"), text_pair(2)]


def run(store: Store, rows: list[Row], run_id: str, **how: Any) -> set[str]:
    """Which rows are asked about, by their questions."""
    judge, engine = scripted()
    worker = runner(judge, store, run_id, **how)
    asyncio.run(worker.run(unit(0, len(rows)), pairs_of(rows)))
    return {chat.user.partition("?")[0].rpartition("\n")[2] for chat, _ in engine.asked}


def test_a_later_version_concerns_rows_that_have_the_kind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, rows = Store(str(tmp_path)), rows_with_a_tag()
    run(store, rows, "first")
    stored = [row["shown_kinds"] for row in labels_of(store.uri)]
    assert stored == [[], [{"kind": "text.tag", "version": 1}], []]
    before = asking_of(JudgeConfig())
    for module in (renderings, asking):
        monkeypatch.setattr(module, "NARROW", RAISED)
    monkeypatch.setattr(renderings.concerns_kinds, "__defaults__", (RAISED,))
    assert asking_of(JudgeConfig()) != before
    part = read_part(store, unit(0, 3).part_key(JUDGE_ID), COLUMNS)
    assert Reopening(JudgeConfig(), "x").pending(part) == {"shown_otherwise": 1}
    assert run(store, rows, "second") == {"Question 1"}
    after = labels_of(store.uri)
    assert [row["revision"] for row in after] == [1, 2, 1]
    assert after[1]["shown_kinds"] == [{"kind": "text.tag", "version": 2}]
    assert [vote["superseded"] for vote in after[1]["votes"]] == [True, True, False, False]
    assert run(store, rows, "third") == set()


def test_rows_of_earlier_versions_are_looked_at_when_asked_to(tmp_path: Path) -> None:
    store, rows = Store(str(tmp_path)), rows_with_a_tag()
    made = judge_rows(scripted()[0], rows)
    commit_part(store, JUDGE_ID, unit(0, 3), [row | {"shown_kinds": None} for row in made])
    assert run(store, rows, "second") == set()
    assert run(store, rows, "third", rerender=frozenset({"image.alpha"})) == set()
    asked = frozenset({"text.tag"})
    part = read_part(store, unit(0, 3).part_key(JUDGE_ID), COLUMNS)
    rule = Reopening(JudgeConfig(), "x", rerender=asked)
    assert rule.pending(part) == {"looked_at": 3}
    assert run(store, rows, "fourth", rerender=asked) == {"Question 1"}
    after = labels_of(store.uri)
    assert [row["shown_kinds"] for row in after] == [[], shown_kinds(["text.tag"]), []]
    assert [row["revision"] for row in after] == [1, 2, 1]
    assert [len(row["votes"]) for row in after] == [2, 4, 2]
    assert run(store, rows, "fifth", rerender=asked) == set()  # they are known by now


def test_a_part_that_states_no_narrow_kinds_was_asked_alike() -> None:
    now = asking_of(JudgeConfig())
    assert "narrow" in now
    assert "narrow" not in without_narrow(now)
    assert without_narrow(without_narrow(now)) == without_narrow(now)


def test_an_unknown_kind_is_refused_with_those_there_are() -> None:
    assert parse_kinds(["image.alpha"]) == {"image.alpha"}
    with pytest.raises(InputError, match=r"got 'image.odd', expected some of text.placeholder, "):
        parse_kinds(["image.odd"])
