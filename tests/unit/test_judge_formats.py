"""Every judging format and kind of candidate, from row to label, on the scripted engine."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.judging.votes import round_orders
from schemas.contract import table_of
from schemas.labels import LABELS
from tests.judging import Row, judge_rows, scripted, text_pair
from tests.shards import pair, picture, response


def images(*seeds: int) -> list[Row]:
    return [{"bytes": picture(seed), "path": None} for seed in seeds]


def image_pair(**more: Any) -> Row:
    """Two pictures made for a prompt; their captions state the scores."""
    first = response("score=9", images=images(1))
    second = response("score=2", images=images(2))
    return pair(0) | {"images": None, "response_a": first, "response_b": second} | more


def group(*texts: str, **more: Any) -> Row:
    """A row of candidates in place of a pair."""
    nothing = {"response_a": None, "response_b": None, "images": None}
    return pair(0) | nothing | {"candidates": [response(text) for text in texts]} | more


def judged(row: Row, script: Row | None = None, judge: Row | None = None, **more: Any) -> Row:
    (label,) = judge_rows(scripted(script, (judge or {}) | more)[0], [row])
    assert table_of([label], LABELS).num_rows == 1
    return label


def test_options_of_both_orders_are_mapped_back() -> None:
    label = judged(text_pair(0), format="pairwise_options")
    assert (label["status"], label["preference"], label["n_votes"]) == ("labeled", "a", 2)
    votes = [(v["order"], v["option"], v["choice"], v["score_a"]) for v in label["votes"]]
    assert votes == [("ab", "a", "a", None), ("ba", "a", "a", None)]
    assert (label["margin"], label["scores"], label["p_a_raw"]) == (None, None, 1.0)


@pytest.mark.parametrize(("score", "kind"), [(8, "good"), (2, "bad")])
def test_options_for_both(score: int, kind: str) -> None:
    texts = {"response_a": response(f"x score={score}"), "response_b": response(f"y score={score}")}
    label = judged(text_pair(0) | texts, format="pairwise_options")
    assert (label["status"], label["tie_kind"], label["preference"]) == ("tie", kind, None)
    assert {vote["option"] for vote in label["votes"]} == {f"both_{kind}"}


def test_image_candidates_are_shown_in_both_orders() -> None:
    judge, engine = scripted(judge={"candidates": "image"})
    (label,) = judge_rows(judge, [image_pair()])
    assert (label["status"], label["preference"], label["scores"]) == ("labeled", "a", [9, 2])
    (first, _), (second, _) = engine.asked
    assert len(first.images) == 2
    assert [i.tobytes() for i in first.images] == [i.tobytes() for i in reversed(second.images)]
    assert "[Assistant 1's Image]\n" in first.user
    assert "images that two AI assistants made" in (first.system or "")


def test_an_edit_is_judged_beside_its_source() -> None:
    judge, engine = scripted(judge={"candidates": "edit", "format": "pairwise_options"})
    rows = [image_pair(images=images(3)), image_pair()]
    edited, sourceless = judge_rows(judge, rows)
    assert edited["preference"] == "a"
    chat = engine.asked[0][0]
    assert len(chat.images) == 3
    kinds = [type(part).__name__ if isinstance(part, str) else "media" for part in chat.parts]
    assert kinds == ["str", "media", "str", "media", "str", "media", "str"]
    assert (sourceless["status"], sourceless["reason"]) == ("quarantined", "bad_row")
    assert "no source image" in sourceless["detail"]


def test_equal_pictures_are_a_bad_row_and_equal_captions_are_none() -> None:
    same = response("score=3", images=images(1))
    label = judged(image_pair(response_a=same, response_b=same), candidates="image")
    assert (label["reason"], label["detail"]) == ("bad_row", "candidates a and b are equal")
    other = response("score=3", images=images(2))
    label = judged(image_pair(response_a=same, response_b=other), candidates="image")
    assert label["status"] == "tie"


def test_several_context_pictures_come_first_in_order() -> None:
    judge, engine = scripted()
    judge_rows(judge, [pair(0, images=images(1, 2, 3))])
    chat = engine.asked[0][0]
    assert [isinstance(part, str) for part in chat.parts] == [False, False, False, True]
    assert chat.user.startswith("\n\n[Question]\n")


def test_a_conversation_is_judged_by_its_last_turn() -> None:
    turns = [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hi"},
        {"role": "user", "content": "And now?"},
    ]
    judge, engine = scripted()
    (label,) = judge_rows(judge, [text_pair(0, prompt=None, messages=turns)])
    assert label["status"] == "labeled"
    text = engine.asked[0][0].user
    assert "[Question]\nUser: Hello\n\nAssistant: Hi\n\nUser: And now?\n\n[Assistant 1's" in text


def test_a_single_score_takes_one_candidate_and_no_order() -> None:
    judge = {"format": "single_score", "votes": {"min_votes": 2, "max_votes": 4}}
    label = judged(group("x score=4"), judge=judge)
    assert (label["status"], label["preference"], label["scores"]) == ("labeled", None, [4.0])
    assert [(v["order"], v["score_a"], v["score_b"], v["scores"]) for v in label["votes"]] == [
        ("a", 4, None, None)
    ] * 2
    assert len({vote["seed"] for vote in label["votes"]}) == 2
    two = judged(group("x score=4", "y score=2"), judge=judge)
    assert (two["reason"], two["n_votes"]) == ("bad_row", 0)


def test_a_single_score_beyond_its_scale_is_asked_again_and_then_quarantined() -> None:
    judge = {"format": "single_score", "votes": {"min_votes": 1, "max_votes": 3}}
    label = judged(group("x MARK"), {"faults": {"MARK": "out_of_range"}}, judge)
    assert (label["status"], label["reason"]) == ("quarantined", "out_of_range")
    assert label["n_votes"] == 3


def test_a_ranking_scores_every_candidate() -> None:
    row = group("x score=3", "y score=9", "z score=6", "w score=1")
    judge, engine = scripted(judge={"format": "batch_ranking"})
    (label,) = judge_rows(judge, [row])
    assert (label["status"], label["preference"]) == ("labeled", None)
    assert label["scores"] == [3, 9, 6, 1]
    assert [vote["order"] for vote in label["votes"]] == ["abcd", "dcba"]
    assert [vote["scores"] for vote in label["votes"]] == [[3, 9, 6, 1]] * 2
    shown = engine.asked[1][0].user
    assert shown.index("w score=1") < shown.index("z score=6") < shown.index("x score=3")
    assert "[Assistant 4's Answer]" in shown


def test_a_ranking_asks_more_permutations_where_orders_contradict() -> None:
    row = group("x score=2 MARK", "y score=5", "z score=2")
    judge = {"format": "batch_ranking", "votes": {"max_votes": 6}}
    label = judged(row, {"faults": {"MARK": "flip"}, "heal_after": 2}, judge)
    orders = [vote["order"] for vote in label["votes"]]
    assert orders[:4] == ["abc", "cba", *round_orders(3, 1, label["pair_hash"])]
    assert label["votes"][0]["scores"] == [9, 2, 2]
    assert label["votes"][1]["scores"] == [2, 2, 9]
    assert label["votes"][2]["scores"] == [2, 5, 2]


@pytest.mark.parametrize("count", [1, 12])
def test_too_few_or_too_many_candidates(count: int) -> None:
    label = judged(group(*(f"answer {n}" for n in range(count))), format="batch_ranking")
    assert (label["status"], label["reason"], label["votes"]) == ("quarantined", "bad_row", [])
    assert f"{count} candidates; the format batch_ranking takes 2 to 10" in label["detail"]


def test_more_pictures_than_the_engine_takes() -> None:
    label = judged(image_pair(images=images(3)), candidates="image", media={"max_images": 2})
    assert (label["reason"], label["n_votes"]) == ("bad_row", 0)
    assert "3 images; the limit is 2 (judge.media.max_images)" in label["detail"]
