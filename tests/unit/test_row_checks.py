"""Which pairs a judge can be asked about."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.core.config import JudgeConfig
from pipeline.core.errors import RowRejected
from pipeline.core.row_checks import check_pair, question_of
from schemas.labels import Reason
from tests.shards import pair, response

MEDIA = [{"bytes": b"x", "path": None}]


def conversation(*turns: tuple[str, str | None]) -> dict[str, Any]:
    messages = [{"role": role, "content": content} for role, content in turns]
    return {"prompt": None, "messages": messages}


@pytest.mark.parametrize(
    ("change", "detail"),
    [
        ({"response_a": None}, "response_a is null"),
        ({"response_b": response(None)}, "response_b is empty"),
        ({"response_b": response(" \n\t")}, "response_b is empty"),
        ({"response_a": response("x", images=MEDIA)}, "response_a has media"),
        ({"response_a": response("x", videos=MEDIA)}, "response_a has media"),
        ({"response_a": response("x"), "response_b": response("x", model="m")}, "are equal"),
        ({"videos": MEDIA}, "reads pictures only"),
        ({"images": MEDIA * 9}, r"9 images; the limit is 8 \(judge.media.max_images\)"),
        ({"prompt": None}, "prompt is empty, and there are no messages"),
        ({"prompt": "  ", "messages": []}, "prompt is empty, and there are no messages"),
        ({"messages": [{"role": "user", "content": "q"}]}, "both prompt and messages"),
        (conversation(("robot", "q")), "expected a role of system, user, assistant"),
        (conversation(("user", None)), "and content"),
        (conversation(("user", "")), "and content"),
        ({"prompt": None, "messages": [None]}, "message None"),
        (conversation(("user", "q"), ("assistant", "r")), "ends with assistant, expected user"),
    ],
)
def test_refused(change: dict[str, Any], detail: str) -> None:
    with pytest.raises(RowRejected, match=detail) as refusal:
        check_pair(pair(0) | change, JudgeConfig())
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
    asked = pair(0) | change
    check_pair(asked, JudgeConfig())
    assert question_of(asked) == question


def test_images_up_to_the_limit_and_none_at_all() -> None:
    for images in (MEDIA * 8, [], None):
        check_pair(pair(0, images=images), JudgeConfig())
