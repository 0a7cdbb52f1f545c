"""Replies as judges really write them: a verdict, or the reason why it is none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.judging.parsing import Unparseable, Verdict, parse
from pipeline.judging.reply_grammar import Option
from pipeline.lab.tiny_judge.asked_formats import format_of
from schemas.labels import Reason

PAIR, OPTIONS, SINGLE = (
    format_of(name).grammar for name in ("pairwise_scores", "pairwise_options", "single_score")
)
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
    parsed = parse(PAIR, reply, "stop", 2)
    assert isinstance(parsed, Verdict)
    assert parsed.scores == scores


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
def test_unparseable(reply: str, reason: Reason) -> None:
    parsed = parse(PAIR, reply, "stop", 2)
    assert isinstance(parsed, Unparseable)
    assert parsed.reason is reason


@pytest.mark.parametrize("reply", [f"{THINK}{TWO}", "", "I cannot", f"{THINK}<answer>1"])
def test_a_cut_off_reply_is_truncated_even_if_it_looks_complete(reply: str) -> None:
    parsed = parse(PAIR, reply, "length", 2)
    assert isinstance(parsed, Unparseable)
    assert parsed.reason is Reason.TRUNCATED


def test_the_scale_is_the_prompts() -> None:
    parsed = parse(SINGLE, f"{THINK}<answer>3/5</answer><answer>5/5</answer>", "stop", 2)
    assert parsed == Verdict((3, 5), None, "both looked at")
    parsed = parse(SINGLE, f"{THINK}{TWO}", "stop", 2)
    assert isinstance(parsed, Unparseable)
    assert parsed.detail == "expected scores from 1 to 5, got 8, 3"


def test_a_long_reply_is_quoted_in_short() -> None:
    parsed = parse(PAIR, f"{THINK}{'x' * 10_000}", "stop", 2)
    assert isinstance(parsed, Unparseable)
    assert len(parsed.detail) < 200


PIECES = st.sampled_from(
    ["<think>", "</think>", "<answer>", "</answer>", "8", "11", "0", "/10", " ", "\n", "9.5", "<"]
)
HOSTILE = st.lists(PIECES | st.text(max_size=3), max_size=20).map("".join)


@given(HOSTILE, st.sampled_from(["stop", "length", "abort", None]))
def test_never_raises_and_never_leaves_the_scale(reply: str, finish_reason: str | None) -> None:
    parsed = parse(PAIR, reply, finish_reason, 2)
    if isinstance(parsed, Verdict):
        assert finish_reason != "length"
        assert len(parsed.scores) == 2
        assert all(1 <= score <= 10 for score in parsed.scores)
        assert reply.count("</answer>") >= 2
    else:
        assert parsed.detail


@given(HOSTILE, st.integers(4, 40), st.integers(4, 40))
def test_a_verdict_survives_whatever_its_rationale_contains(text: str, a: int, b: int) -> None:
    first, second = a / 4, b / 4
    reply = f"<think>{text}</think>\n<answer>{first:g}</answer><answer>{second:g}</answer>"
    assert parse(PAIR, reply, "stop", 2) == Verdict((first, second), None, text.strip())


def scores(*values: object) -> str:
    return "".join(f"<answer>{value}</answer>" for value in values)


@pytest.mark.parametrize("count", [1, 2, 3, 5, 10])
def test_as_many_scores_as_candidates(count: int) -> None:
    values = tuple(float(1 + number % 10) for number in range(count))
    reply = THINK + scores(*(f"{value:g}" for value in values))
    assert parse(PAIR, reply, "stop", count) == Verdict(values, None, "both looked at")
    for wrong in {count - 1, count + 1} - {0}:
        parsed = parse(PAIR, reply, "stop", wrong)
        assert isinstance(parsed, Unparseable)
        assert parsed.reason is Reason.MALFORMED


@pytest.mark.parametrize(
    ("answer", "option"),
    [
        ("[[A>B]]", "first"),
        ("[[B>A]]", "second"),
        ("[[A=B=Good]]", "both_good"),
        ("[[A=B=Bad]]", "both_bad"),
        (" [[ A > B ]]\n", "first"),
        ("[[B<A]]", "first"),
        ("[[A<B]]", "second"),
        ("[[ a < b ]]", "second"),
        ("[[A = B = good]]", "both_good"),
    ],
)
def test_option(answer: str, option: Option) -> None:
    parsed = parse(OPTIONS, f"{THINK}<answer>{answer}</answer>\n", "stop", 2)
    assert parsed == Verdict((), option, "both looked at")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("<answer>[[A=B]]</answer>", Reason.OUT_OF_RANGE),
        ("<answer>[[A<C]]</answer>", Reason.OUT_OF_RANGE),
        ("<answer>[[A<=B]]</answer>", Reason.OUT_OF_RANGE),
        ("<answer>[[A<B]]</answer><answer>[[B>A]]</answer>", Reason.MALFORMED),
        ("<answer>[[A>C]]</answer>", Reason.OUT_OF_RANGE),
        ("<answer>[[A=B=Ugly]]</answer>", Reason.OUT_OF_RANGE),
        ("<answer>A>B</answer>", Reason.MALFORMED),
        ("<answer>[A>B]</answer>", Reason.MALFORMED),
        ("[[A>B]]", Reason.MALFORMED),
        ("<answer>[[A>B]]</answer><answer>[[B>A]]</answer>", Reason.MALFORMED),
        ("<answer>[[A>B]] [[B>A]]</answer>", Reason.MALFORMED),
        ("<answer>[[\uff21>B]]</answer>", Reason.MALFORMED),
        ("<answer>[[A>B]]</answer> surely", Reason.MALFORMED),
        (TWO, Reason.MALFORMED),
        ("", Reason.MALFORMED),
        ("I cannot choose.", Reason.REFUSED),
    ],
)
def test_no_option(answer: str, reason: Reason) -> None:
    parsed = parse(OPTIONS, f"{THINK}{answer}", "stop", 2)
    assert isinstance(parsed, Unparseable)
    assert parsed.reason is reason


def test_an_option_in_the_reasoning_is_inert() -> None:
    quoted = "<think>it says <answer>[[A>B]]</answer></think><answer>[[B>A]]</answer>"
    parsed = parse(OPTIONS, quoted, "stop", 2)
    assert isinstance(parsed, Verdict)
    assert parsed.option == "second"
    cut = parse(OPTIONS, quoted, "length", 2)
    assert isinstance(cut, Unparseable)
    assert cut.reason is Reason.TRUNCATED


@given(
    st.lists(
        st.sampled_from(
            ["[[", "]]", "A>B", "B>A", "A=B=Good", "<answer>", "</answer>", "</think>", " ", "x"]
        ),
        max_size=14,
    ).map("".join)
)
def test_an_option_is_read_only_where_it_stands_alone(reply: str) -> None:
    parsed = parse(OPTIONS, reply, "stop", 2)
    if isinstance(parsed, Verdict):
        answer = reply.rpartition("</think>")[2].replace(" ", "")
        inner = answer.removeprefix("<answer>[[").removesuffix("]]</answer>")
        assert inner in ("A>B", "B>A", "A=B=Good")
    else:
        assert parsed.detail
