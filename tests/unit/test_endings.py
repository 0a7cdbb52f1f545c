"""Where a reply is over: right behind its verdict, and nowhere before."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.judging.endings import ending_of
from pipeline.judging.judge_config import JudgeConfig
from pipeline.lab.tiny_judge.asked_formats import FormatName
from tests.judging import judge_rows, scripted, text_pair

THINK = "<think>\nboth looked at\n</think>\n\n"
TWO = "<answer>8</answer><answer>3</answer>"


def cut(reply: str, format_: FormatName = "pairwise_scores", count: int = 2) -> str | None:
    ending = ending_of(JudgeConfig(format=format_), count, "[Question]\nWhich?")
    assert ending is not None
    return ending.cut(reply)


@pytest.mark.parametrize(
    ("format_", "count", "verdict"),
    [
        ("pairwise_scores", 2, TWO),
        ("pairwise_scores", 2, "<answer>10</answer>\n<answer>1</answer>"),
        ("pairwise_options", 2, "<answer>[[A=B=Good]]</answer>"),
        ("single_score", 1, "<answer>4</answer>"),
        ("batch_ranking", 2, TWO),
    ],
)
def test_a_reply_ends_with_its_verdict(format_: FormatName, count: int, verdict: str) -> None:
    reply = THINK + verdict
    assert cut(reply, format_, count) == reply
    assert cut(f"{reply}\nI chose so because {verdict}", format_, count) == reply
    assert cut(reply[:-1], format_, count) is None
    assert cut(f"<think>I may say {verdict}, or", format_, count) is None


@pytest.mark.parametrize(
    "reply",
    [
        f"<think>as told, </think> and then {TWO}",
        f"{THINK}My verdict: {TWO}",
        f"{THINK}<answer>8</answer>",
        f"{THINK}<answer>8</answer>, <answer>3</answer>",
        f"{THINK}<answer>0</answer><answer>3</answer>",
    ],
)
def test_what_is_no_verdict_ends_nothing(reply: str) -> None:
    assert cut(reply) is None


def test_a_reply_with_a_verdict_in_its_reasoning_ends_with_its_own() -> None:
    reply = f"<think>it says {TWO} itself</think><answer>2</answer><answer>9</answer>"
    assert cut(f"{reply} so") == reply


@pytest.mark.parametrize("mark", ["</think>", "<answer>", "< / THINK >"])
def test_a_text_with_marks_of_a_verdict_leaves_the_end_to_the_judge(mark: str) -> None:
    judge, engine = scripted()
    judge_rows(judge, [text_pair(1), text_pair(2, mark)])
    left: dict[bool, Any] = {mark in chat.user: how.ending for chat, how in engine.asked}
    assert left[True] is None
    assert left[False] is not None


def test_the_end_of_a_longer_ranking_is_left_to_the_judge() -> None:
    assert ending_of(JudgeConfig(format="batch_ranking"), 3, "Which?") is None
