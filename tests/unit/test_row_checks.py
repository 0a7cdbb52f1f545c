"""Which rows a judge can be asked about."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.judging.judge_config import JudgeConfig
from pipeline.judging.row_checks import (
    check_candidates,
    check_question,
    nothing_to_compare,
    question_of,
)
from pipeline.pairs.contents import Part, asked_by_user, media_part, text_part
from pipeline.pairs.pair_hash import Piece
from pipeline.runtime.errors import RowRejected
from schemas.labels import Reason
from tests.shards import pair, pieces, read, response

Row = dict[str, Any]

MEDIA = [{"bytes": b"x", "path": None}]


def conversation(*turns: tuple[str, str | None]) -> dict[str, Any]:
    messages = [{"role": role, "content": content} for role, content in turns]
    return {"prompt": None, "messages": messages}


@pytest.mark.parametrize(
    ("change", "detail"),
    [
        ({"response_a": None}, "candidate a is null"),
        ({"response_b": response(None)}, "candidate b is empty"),
        ({"response_b": response(" \n\t")}, "candidate b is empty"),
        (
            {"response_a": response("x", images=MEDIA)},
            "candidate a has images; judge.candidates 'text' takes text",
        ),
        (
            {"response_a": response("x", videos=MEDIA)},
            "candidate a has videos; judge.candidates 'text' takes text",
        ),
        ({"candidates": [response("x")]}, "has 1 candidates; the format pairwise_scores takes 2"),
        ({"videos": MEDIA}, r"1 videos; the limit is 0 \(judge.media.video.max_videos\)"),
        ({"images": MEDIA * 9}, r"9 images; the limit is 8 \(judge.media.max_images\)"),
        ({"prompt": None, "images": None}, "messages hold nothing"),
        ({"prompt": "  ", "messages": []}, "the question has no text"),
        (
            conversation(("user", None), ("user", "q")) | {"images": None},
            "a message by the user is empty",
        ),
        (conversation(("user", "")) | {"images": None}, "a message by the user is empty"),
        (conversation(("user", "q"), ("assistant", "r")), "ends with assistant, expected user"),
    ],
)
def test_refused(change: dict[str, Any], detail: str) -> None:
    with pytest.raises(RowRejected, match=detail) as refusal:
        ask(pair(0) | change)
    assert refusal.value.reason is Reason.BAD_ROW


@pytest.mark.parametrize(
    ("change", "question"),
    [
        ({"prompt": " Why?\n"}, " Why?\n"),
        ({"prompt": "Why?", "messages": []}, "Why?"),
        (conversation(("user", "Why?")), "Why?"),
        ({"prompt": ""} | {"messages": conversation(("user", "Why?"))["messages"]}, "Why?"),
        (
            conversation(
                ("system", "Be kind."), ("user", "Why?"), ("assistant", "So."), ("user", "?")
            ),
            "System: Be kind.\n\nUser: Why?\n\nAssistant: So.\n\nUser: ?",
        ),
    ],
)
def test_the_question(change: dict[str, Any], question: str) -> None:
    row = read(pair(0) | change)
    check_question(row)
    context, rest = question_of(row, [pieces(each["content"]) for each in row["messages"]])
    assert [kind for kind, _ in context] == ["image"]
    assert "".join(text for _, text in rest) == question


def said(*parts: Part, role: str = "user") -> Row:
    return {"role": role, "content": list(parts)}


@pytest.mark.parametrize(
    ("turns", "question"),
    [
        ([("system", ""), ("user", "q")], "q"),
        ([("system", ""), ("user", "p"), ("assistant", "r"), ("user", "q")],
         "User: p\n\nAssistant: r\n\nUser: q"),
        ([("user", "p"), ("assistant", ""), ("tool", ""), ("user", "q")],
         "User: p\n\nAssistant: \n\nTool: \n\nUser: q"),
        ([("user", "p"), ("assistant", "f()"), ("tool", "7")],  # candidates answer a tool, too
         "User: p\n\nAssistant: f()\n\nTool: 7"),
    ],
)  # fmt: skip
def test_what_others_left_empty_costs_no_row(turns: list[tuple[str, str]], question: str) -> None:
    row = read(pair(0, images=None) | conversation(*turns))
    assert row["defect"] is None
    check_question(row)
    asked = [pieces(each["content"]) for each in row["messages"]]
    assert "".join(str(value) for _, value in question_of(row, asked)[1]) == question


def test_media_stand_where_they_stood() -> None:
    one, two = (media_part("image", {"bytes": data, "path": None}) for data in (b"1", b"2"))
    turns = [said(text_part("Be brief."), role="system"), said(one, text_part("What is this?")),
             said(text_part("A cat."), role="assistant"), said(text_part("And"), two)]  # fmt: skip
    context, rest = question_of({"messages": turns}, [pieces(each["content"]) for each in turns])
    assert context == (("image", b"1"),)
    assert [value for _, value in rest if value] == [
        "System: ", "Be brief.", "\n\nUser: ", "What is this?", "\n\nAssistant: ", "A cat.",
        "\n\nUser: ", "And", b"2",
    ]  # fmt: skip
    alone = asked_by_user(text_part("Is "), one, text_part(" it?"))
    assert question_of({"messages": alone}, [pieces(each["content"]) for each in alone]) == (
        (),
        (("text", "Is "), ("image", b"1"), ("text", " it?")),
    )


def test_images_up_to_the_limit_and_none_at_all() -> None:
    for images in (MEDIA * 8, [], None):
        ask(pair(0, images=images))


def ask(row: dict[str, Any], **judge: Any) -> None:
    """Checks a row as the judge does before it fetches media."""
    found = read(row)
    check_question(found)
    check_candidates(found, JudgeConfig.model_validate(judge))


def media_pair(kind: str, **more: Any) -> dict[str, Any]:
    candidate = response(None) | {kind: MEDIA}
    return pair(0) | {"images": None, "response_a": candidate, "response_b": candidate} | more


VIDEO = {"candidates": "video", "media": {"video": {"max_videos": 2}}}


@pytest.mark.parametrize(
    ("judge", "row"),
    [
        ({"candidates": "image"}, media_pair("images")),
        ({"candidates": "image"}, media_pair("images", images=MEDIA)),
        ({"candidates": "edit"}, media_pair("images", images=MEDIA)),
        (VIDEO, media_pair("videos", images=MEDIA)),
        ({"candidates": "image", "format": "pairwise_options"}, media_pair("images")),
    ],
)
def test_candidates_made_of_media(judge: dict[str, Any], row: dict[str, Any]) -> None:
    ask(row, **judge)


@pytest.mark.parametrize(
    ("judge", "row", "detail"),
    [
        ({"candidates": "image"}, pair(0), "candidate a is empty: it has no images"),
        (
            {"candidates": "image"},
            media_pair("videos"),
            "candidate a has videos; judge.candidates 'image'",
        ),
        ({"candidates": "edit"}, media_pair("images"), "no source image"),
        (
            VIDEO,
            media_pair("images"),
            "candidate a has images; judge.candidates 'video' takes videos",
        ),
        (VIDEO, media_pair("videos", videos=MEDIA), "3 videos; the limit is 2"),
        (
            {"candidates": "image", "media": {"max_images": 2}},
            media_pair("images", images=MEDIA),
            "3 images; the limit is 2",
        ),
    ],
)
def test_other_candidates_are_refused(
    judge: dict[str, Any], row: dict[str, Any], detail: str
) -> None:
    with pytest.raises(RowRejected, match=detail):
        ask(row, **judge)


@pytest.mark.parametrize(
    ("format_", "count", "takes"),
    [
        ("batch_ranking", 0, "2 to 10"),
        ("batch_ranking", 1, "2 to 10"),
        ("batch_ranking", 2, None),
        ("batch_ranking", 10, None),
        ("batch_ranking", 12, "2 to 10"),
        ("single_score", 0, "1"),
        ("single_score", 1, None),
        ("single_score", 2, "1"),
    ],
)
def test_how_many_candidates_a_format_takes(format_: str, count: int, takes: str | None) -> None:
    candidates = [response(f"answer {number}") for number in range(count)]
    row = pair(0) | {"response_a": None, "response_b": None, "candidates": candidates}
    if takes is None:
        ask(row, format=format_)
        return
    detail = f"the row has {count} candidates; the format {format_} takes {takes}"
    with pytest.raises(RowRejected, match=detail):
        ask(row, format=format_)


def test_a_bad_one_among_candidates_is_named() -> None:
    for bad, detail in ((None, "candidate b is null"), (response(""), "candidate b is empty")):
        row = pair(0) | {"candidates": [response("x"), bad]}
        with pytest.raises(RowRejected, match=detail):
            ask(row, format="batch_ranking")


def test_equal_candidates() -> None:
    x: list[Piece] = [("text", "x")]
    y: list[Piece] = [("text", "y")]
    some = [x, y, [*x, ("image", b"1")], x]
    assert nothing_to_compare(some[:3], "text") is None
    assert nothing_to_compare(some, "text") == "candidates a and d are equal"
    assert nothing_to_compare([x, [("text", " ")]], "text") == "candidate b is empty"
