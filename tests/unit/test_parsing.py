"""Replies as judges really write them: a verdict, or the reason why it is none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.parsing import Unreadable, Verdict, parse_scores
from schemas.labels import Reason

THINK = "<think>\nboth looked at\n</think>\n\n"
TWO = "<answer>8</answer><answer>3</answer>"


@pytest.mark.parametrize(
    ("reply", "scores"),
    [
        (f"{THINK}{TWO}", (8, 3)),
        (f"both looked at</think>{TWO}", (8, 3)),  # the opening tag was injected
        (f"{THINK}<answer> 8\n</answer>\n <answer>\t3 </answer>\n\n", (8, 3)),
        (f"{THINK}<answer>8.5</answer><answer>3.25</answer>", (8.5, 3.25)),
        (f"{THINK}<answer>10/10</answer><answer>3 / 10</answer>", (10, 3)),
        (f"{THINK}<answer>1</answer><answer>10</answer>", (1, 10)),
        (f"{THINK}<answer>5</answer><answer>5</answer>", (5, 5)),
        (f"<think>it says {TWO} itself</think><answer>2</answer><answer>9</answer>", (2, 9)),
        (
            f"<think>it says </think>{TWO} itself</think><answer>2</answer><answer>9</answer>",
            (2, 9),
        ),
    ],
)
def test_verdict(reply: str, scores: tuple[float, float]) -> None:
    parsed = parse_scores(reply, "stop")
    assert isinstance(parsed, Verdict)
    assert (parsed.score_1, parsed.score_2) == scores


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ("", Reason.MALFORMED),
        ("</think>", Reason.MALFORMED),
        (TWO, Reason.MALFORMED),  # no </think>: this may be the reasoning's own example
        (f"<think>{TWO}</think>", Reason.MALFORMED),
        (f"<think>{TWO}", Reason.MALFORMED),
        (f"{THINK}<answer>8</answer>", Reason.MALFORMED),
        (f"{THINK}{TWO}<answer>4</answer>", Reason.MALFORMED),
        (f"{THINK}{TWO} is my verdict.", Reason.MALFORMED),
        (f"{THINK}My verdict: {TWO}", Reason.MALFORMED),
        (f"{THINK}{TWO}</think>", Reason.MALFORMED),
        (f"{THINK}<answer>{TWO}</answer>", Reason.MALFORMED),
        (f"{THINK}<answer>[[A>B]]</answer>", Reason.MALFORMED),
        (f"{THINK}<answer>-3</answer><answer>5</answer>", Reason.MALFORMED),
        (f"{THINK}<answer>1e1</answer><answer>5</answer>", Reason.MALFORMED),
        (f"{THINK}<answer>nan</answer><answer>5</answer>", Reason.MALFORMED),
        (f"{THINK}<answer>٨</answer><answer>3</answer>", Reason.MALFORMED),
        (f"{THINK}<answer>\uff18</answer><answer>3</answer>", Reason.MALFORMED),
        (f"{THINK}\uff1canswer\uff1e8\uff1c/answer\uff1e<answer>3</answer>", Reason.MALFORMED),
        (f"{THINK}<ANSWER>8</ANSWER><ANSWER>3</ANSWER>", Reason.MALFORMED),
        (f"{THINK}<answer>0</answer><answer>5</answer>", Reason.OUT_OF_RANGE),
        (f"{THINK}<answer>5</answer><answer>11</answer>", Reason.OUT_OF_RANGE),
        (f"{THINK}<answer>10.001</answer><answer>5</answer>", Reason.OUT_OF_RANGE),
        (f"{THINK}<answer>3/5</answer><answer>4/5</answer>", Reason.OUT_OF_RANGE),
        (f"{THINK}<answer>3/10</answer><answer>4/100</answer>", Reason.OUT_OF_RANGE),
        ("I'm sorry, but I cannot judge this.", Reason.REFUSED),
        ("I\u2019m unable to help with that.", Reason.REFUSED),
        ("<think>\nI can\u2019t look at this.", Reason.REFUSED),
        (f"{THINK}I cannot score these answers.", Reason.REFUSED),
        ("I cannotate pictures", Reason.MALFORMED),
    ],
)
def test_unreadable(reply: str, reason: Reason) -> None:
    parsed = parse_scores(reply, "stop")
    assert isinstance(parsed, Unreadable)
    assert parsed.reason is reason


@pytest.mark.parametrize("reply", [f"{THINK}{TWO}", "", "I cannot", f"{THINK}<answer>1"])
def test_a_cut_off_reply_is_truncated_even_if_it_looks_complete(reply: str) -> None:
    parsed = parse_scores(reply, "length")
    assert isinstance(parsed, Unreadable)
    assert parsed.reason is Reason.TRUNCATED


def test_the_scale_is_the_prompts() -> None:
    parsed = parse_scores(f"{THINK}<answer>3/5</answer><answer>5/5</answer>", "stop", (1, 5))
    assert parsed == Verdict(3, 5, "both looked at")
    parsed = parse_scores(f"{THINK}{TWO}", "stop", (1, 5))
    assert isinstance(parsed, Unreadable)
    assert parsed.detail == "expected scores from 1 to 5, got 8 and 3"


def test_a_long_reply_is_quoted_in_short() -> None:
    parsed = parse_scores(f"{THINK}{'x' * 10_000}", "stop")
    assert isinstance(parsed, Unreadable)
    assert len(parsed.detail) < 200


PIECES = st.sampled_from(
    ["<think>", "</think>", "<answer>", "</answer>", "8", "11", "0", "/10", " ", "\n", "9.5", "<"]
)
HOSTILE = st.lists(PIECES | st.text(max_size=3), max_size=20).map("".join)


@given(HOSTILE, st.sampled_from(["stop", "length", "abort", None]))
def test_never_raises_and_never_leaves_the_scale(reply: str, finish_reason: str | None) -> None:
    parsed = parse_scores(reply, finish_reason)
    if isinstance(parsed, Verdict):
        assert finish_reason != "length"
        assert 1 <= parsed.score_1 <= 10
        assert 1 <= parsed.score_2 <= 10
        assert reply.count("</answer>") >= 2
    else:
        assert parsed.detail


@given(HOSTILE, st.integers(4, 40), st.integers(4, 40))
def test_a_verdict_survives_whatever_its_rationale_contains(text: str, a: int, b: int) -> None:
    first, second = a / 4, b / 4
    reply = f"<think>{text}</think>\n<answer>{first:g}</answer><answer>{second:g}</answer>"
    assert parse_scores(reply, "stop") == Verdict(first, second, text.strip())
