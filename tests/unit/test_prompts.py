"""Prompts are filled in one pass: a value's text is never read as a template."""

from __future__ import annotations

import itertools
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.judging.judge_config import CandidateKind
from pipeline.judging.prompts import Prompt
from pipeline.lab.tiny_judge.asked_formats import FormatName, prompt_of

HOSTILE = st.lists(
    st.sampled_from(["{question}", "{answers}", "{x}", "{", "}", "{{", "\\1", "%s", "$a", "t"])
).map("".join)
ALL = list(itertools.product(get_args(FormatName), get_args(CandidateKind)))
ASKED_FOR = {
    "pairwise_scores": ["from 1 to 10", "<answer>3</answer><answer>5</answer>"],
    "pairwise_options": ["[[A>B]]", "[[B>A]]", "[[A=B=Good]]", "[[A=B=Bad]]"],
    "single_score": ["from 1 to 5", "<answer>3</answer>"],
    "batch_ranking": ["from 1 to 10", "in the order in which they are shown"],
}


@given(HOSTILE, HOSTILE, HOSTILE)
def test_values_stay_what_they_are(question: str, first: str, second: str) -> None:
    prompt = Prompt("", "{context}Q {question}\n{answers}", "{assistant}: {answer}")
    filled = prompt.fill([], question, [[first], [second]])
    assert filled == (f"Q {question}\nAssistant 1: {first}\n\nAssistant 2: {second}",)


def test_other_braces_of_the_template_stay() -> None:
    assert Prompt("", '{} {"a": 1} { x } {question}', "").fill([], "1", []) == (
        '{} {"a": 1} { x } 1',
    )


def test_unknown_placeholder() -> None:
    with pytest.raises(KeyError, match="answer_3"):
        Prompt("", "{answer_3}", "").fill([], "x", [])


def test_the_judges_prompt() -> None:
    prompt = prompt_of("pairwise_scores", "text")
    turn = "[Question]\nWhy?\n\n[Assistant 1's Answer]\nSo.\n\n[Assistant 2's Answer]\nBecause."
    assert prompt.fill([], "Why?", [["So."], ["Because."]]) == (turn,)
    picture = object()  # media may be anything: they are laid out, not read
    assert prompt.fill([picture], "Why?", [["So."], ["Because."]]) == (picture, f"\n\n{turn}")


def test_one_candidate_is_not_numbered() -> None:
    (turn,) = prompt_of("single_score", "text").fill([], "Why?", [["So."]])
    assert turn == "[Question]\nWhy?\n\n[Assistant's Answer]\nSo."


def test_media_stand_where_they_belong() -> None:
    source, first, second = object(), object(), object()
    filled = prompt_of("pairwise_options", "edit").fill([source], "Bluer.", [[first], [second]])
    assert filled == (
        "[Source Image]\n",
        source,
        "\n\n[Instruction]\nBluer.\n\n[Assistant A's Edited Image]\n",
        first,
        "\n\n[Assistant B's Edited Image]\n",
        second,
    )


@pytest.mark.parametrize(("format_", "candidates"), ALL)
def test_the_turn_names_candidates_as_verdicts_do(format_: str, candidates: str) -> None:
    filled = "".join(prompt_of(format_, candidates).fill([], "Why?", [["So."], ["Because."]]))
    names = "AB" if format_ == "pairwise_options" else "12"
    assert [name for name in "12AB" if f"Assistant {name}'s" in filled] == list(names)


@pytest.mark.parametrize(("format_", "candidates"), ALL)
def test_every_prompt_asks_for_what_its_format_reads(format_: str, candidates: str) -> None:
    system = prompt_of(format_, candidates).system or ""
    demands = ["<think> </think>", "criteria", *ASKED_FOR[format_]]
    assert [demand for demand in demands if demand not in system] == []
    assert "{" not in system
    others = {"text": "answer that", "image": "image", "edit": "source image", "video": "video"}
    assert others[candidates] in system.replace("answers", "answer")
