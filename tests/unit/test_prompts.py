"""Prompts are filled in one pass: a value's text is never read as a template."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.prompts import Prompt, load_prompt

HOSTILE = st.lists(
    st.sampled_from(["{question}", "{answer_1}", "{x}", "{", "}", "{{", "\\1", "%s", "$a", "t"])
).map("".join)


@given(HOSTILE, HOSTILE, HOSTILE)
def test_values_stay_what_they_are(question: str, first: str, second: str) -> None:
    user = Prompt("p", "", "Q {question}\nA {answer_1}\nB {answer_2}")
    filled = user.fill(question=question, answer_1=first, answer_2=second)
    assert filled == f"Q {question}\nA {first}\nB {second}"


def test_other_braces_of_the_template_stay() -> None:
    assert Prompt("p", "", '{} {"a": 1} { x } {x}').fill(x="1") == '{} {"a": 1} { x } 1'


def test_unknown_placeholder() -> None:
    with pytest.raises(KeyError, match="answer_3"):
        Prompt("p", "", "{answer_3}").fill(answer_1="x")


def test_the_judges_prompt() -> None:
    prompt = load_prompt("pairwise_scores")
    filled = prompt.fill(question="Why?", answer_1="So.", answer_2="Because.")
    assert filled.rstrip("\n") == (
        "[Question]\nWhy?\n\n[Assistant 1's Answer]\nSo.\n\n[Assistant 2's Answer]\nBecause."
    )
    for demand in ("<think> </think>", "<answer>3</answer><answer>5</answer>", "1 to 10"):
        assert demand in prompt.system
    assert "{" not in prompt.system
