"""Controls: what is changed in the pairs, what is not, and what is left out."""

from __future__ import annotations

import io
import random
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pipeline.aggregation.judged_pairs import JudgedPair
from pipeline.evaluation.altered_pictures import derangement
from pipeline.evaluation.control_comparison import compare
from pipeline.evaluation.controls import (
    Control,
    ControlPairs,
    check_control,
    write_control,
)
from pipeline.judging.judge_config import JudgeConfig
from pipeline.pairs.contents import asked_by_user, text_part
from pipeline.pairs.input_config import InputConfig
from pipeline.runtime.errors import ConfigError, InputError
from tests.judged_pairs import judged, ranked, vote
from tests.shards import as_v1, pair, picture, response, write_shard

Row = dict[str, Any]


def changed(
    tmp_path: Path, control: Control, rows: list[Row], judge: JudgeConfig | None = None
) -> tuple[ControlPairs, list[Row]]:
    """What a control makes of the rows."""
    write_shard(tmp_path / "in/s.parquet", rows)
    made = write_control(
        control, str(tmp_path / "in"), InputConfig(), judge or JudgeConfig(), str(tmp_path / "out")
    )
    found: list[Row] = []
    for shard in sorted((tmp_path / "out").glob("*.parquet")):
        found += [as_v1(row) for row in pq.read_table(shard).to_pylist()]
    return made, found


def image_pair(number: int, **more: Any) -> Row:
    a, b = (
        response(None, images=[{"bytes": picture(100 * number + side), "path": None}])
        for side in (1, 2)
    )
    return pair(number, images=None, response_a=a, response_b=b, gold="a") | more


def test_blank_pictures_keep_size_and_format(tmp_path: Path) -> None:
    small = {"bytes": picture(1, (40, 30), "JPEG"), "path": None}
    large = {"bytes": picture(2, (90, 120)), "path": None}
    rows = [
        pair(0, gold="a", images=[small, large]),
        pair(1, gold="b", images=None),
        pair(2, gold=None),
        pair(3, gold="tie", images=[{"bytes": b"no picture", "path": None}]),
        pair(4, gold="tie"),
    ]

    made, found = changed(tmp_path, "blank-image", rows)

    assert made.places == [("s.parquet", 0), ("s.parquet", 4)]
    assert made.left_out == {"without pictures": 1, "with pictures that cannot be read": 1}
    seen = []
    for item in found[0]["images"]:
        with Image.open(io.BytesIO(item["bytes"])) as image:
            seen.append((image.format, image.size, image.convert("RGB").getextrema()))
    white = ((255, 255),) * 3
    assert seen == [("JPEG", (40, 30), white), ("PNG", (90, 120), white)]
    assert found[0] | {"images": None} == rows[0] | {"images": None, "defect": None}


def test_blank_candidates_are_white_and_yet_two(tmp_path: Path) -> None:
    made, found = changed(tmp_path, "blank-image", [image_pair(0)], JudgeConfig(candidates="image"))

    assert len(made.places) == 1
    a, b = (found[0][name]["images"][0]["bytes"] for name in ("response_a", "response_b"))
    assert a != b  # the judge refuses equal candidates
    for data in (a, b):
        with Image.open(io.BytesIO(data)) as image:
            assert (image.size, image.convert("RGB").getextrema()) == ((56, 56), ((255, 255),) * 3)


def test_a_control_of_pictures_needs_pairs_with_pictures(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none of the gold pairs .* fits .2 without pictures"):
        changed(tmp_path, "blank-image", [pair(n, gold="a", images=None) for n in range(2)])


def test_shuffled_pictures_are_those_of_another_row(tmp_path: Path) -> None:
    # 270 rows are two windows; pictures repeat, five rows each.
    rows = [
        pair(n, gold="a", images=[{"bytes": picture(n // 5, (28, 28)), "path": None}])
        for n in range(270)
    ]

    made, found = changed(tmp_path, "shuffled-image", rows)

    assert [number for _, number in made.places] == list(range(270))
    assert made.left_out == {}
    for before, after in zip(rows, found, strict=True):
        assert after["images"] != before["images"]
        assert after | {"images": None} == before | {"images": None, "defect": None}
    counts = Counter(row["images"][0]["bytes"] for row in found)
    assert counts == Counter(row["images"][0]["bytes"] for row in rows)
    again, same = changed(tmp_path, "shuffled-image", rows)
    assert (again.places, same) == (made.places, found)


def test_shuffled_candidates_move_together(tmp_path: Path) -> None:
    rows = [image_pair(n) for n in range(4)]

    _, found = changed(tmp_path, "shuffled-image", rows, JudgeConfig(candidates="image"))

    pairs = [(r["response_a"]["images"], r["response_b"]["images"]) for r in rows]
    for place, row in enumerate(found):
        moved = (row["response_a"]["images"], row["response_b"]["images"])
        assert moved in pairs
        assert moved != pairs[place]


def test_swapped_candidates_take_gold_along(tmp_path: Path) -> None:
    rows = [pair(0, gold="a"), pair(1, gold="tie", images=None), pair(2)]
    more = [response(f"text {n}") for n in range(3)]
    nothing = {"response_a": None, "response_b": None, "gold": None}
    ranking = pair(3) | nothing | {"candidates": more, "gold_scores": [3.0, 1.0, 2.0]}

    made, found = changed(tmp_path, "swap-text", rows)
    assert [number for _, number in made.places] == [0, 1]
    assert [row["gold"] for row in found] == ["b", "tie"]
    for before, after in zip(rows, found, strict=False):
        assert after["response_a"] == before["response_b"]
        assert after["response_b"] == before["response_a"]

    judge = JudgeConfig(format="batch_ranking")
    _, (row,) = changed(tmp_path / "n", "swap-text", [ranking], judge)
    assert row["candidates"] == more[::-1]
    assert row["gold_scores"] == [2.0, 1.0, 3.0]


@given(st.lists(st.integers(0, 4), max_size=20), st.integers(0, 5))
def test_a_derangement_gives_every_item_another_key(keys: list[int], seed: int) -> None:
    partner = derangement(keys, random.Random(seed))
    named = [other for other in partner if other is not None]
    assert len(named) == len(set(named))
    for index, other in enumerate(partner):
        assert other is None or keys[other] != keys[index]
    largest = max(Counter(keys).values(), default=0)
    if 2 * largest <= len(keys):
        assert None not in partner


def test_controls_that_cannot_be() -> None:
    with pytest.raises(ConfigError, match=r"'blur' is not known; known are blank-image"):
        check_control("blur", JudgeConfig())
    with pytest.raises(ConfigError, match="a single score is about one candidate"):
        check_control("swap-text", JudgeConfig(format="single_score"))


A, B = [vote("ab", 9, 2), vote("ba", 9, 2)], [vote("ab", 2, 9), vote("ba", 2, 9)]
TIE = [vote("ab", 5, 5), vote("ba", 5, 5)]


def outcome(control: Control, before: list[JudgedPair], after: list[JudgedPair]) -> Any:
    places = [("s", number) for number in range(len(before))]
    asked = [
        replace(each, pair={**each.pair, "messages": asked_by_user(text_part(f"{number}?"))})
        for number, each in enumerate(before)
    ]
    true = dict(zip(places, asked, strict=True))
    family = "ranking" if before[0].pair["gold_scores"] else "pair"
    return compare(ControlPairs(control, "", places), true, after, family, 200)  # type: ignore[arg-type]


def test_a_judge_that_looks_is_clearly_worse_without_its_pictures() -> None:
    before = [judged(A, "a") for _ in range(30)]
    after = [judged(A if n % 2 else B, "a") for n in range(30)]

    found = outcome("blank-image", before, after)

    assert found.warning is None
    assert found.figures["accuracy_difference"].value == pytest.approx(0.5)
    assert found.figures["accuracy_difference"].low > 0.3


@pytest.mark.parametrize("wrong", [0, 1])
def test_a_judge_that_does_not_look_is_warned_of(wrong: int) -> None:
    before = [judged(A, "a") for _ in range(30)]
    after = [judged(B if n < wrong else A, "a") for n in range(30)]

    found = outcome("shuffled-image", before, after)

    assert "nothing shows that the judge looks at the pictures" in found.warning


def test_preferences_must_follow_swapped_candidates() -> None:
    before = [judged(A, "a")] * 20 + [judged(TIE, "a")] * 5
    follows = outcome("swap-text", before, [judged(B, "b")] * 25)
    stays = outcome("swap-text", before, [judged(A, "b")] * 25)

    assert (follows.figures["flipped"].value, follows.figures["flipped"].rows) == (1, 20)
    assert follows.warning is None
    assert stays.figures["flipped"].value == 0
    assert "labels depend on the position" in stays.warning


def test_rankings_must_follow_swapped_candidates() -> None:
    before = [ranked([9, 5, 2], [3, 2, 1])] * 25
    follows = outcome("swap-text", before, [ranked([2, 5, 9], [1, 2, 3])] * 25)
    stays = outcome("swap-text", before, [ranked([9, 5, 2], [1, 2, 3])] * 25)

    assert (follows.figures["flipped"].value, follows.warning) == (1, None)
    assert stays.figures["flipped"].value == 0
    assert stays.warning is not None
