"""Soft verdicts: which slot is read, by which tokens, and what becomes of the vote."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline.aggregation.calibration import features
from pipeline.aggregation.decisions import decide
from pipeline.aggregation.evidence import Evidence, next_orders
from pipeline.aggregation.policy import PolicyConfig, Rule, label_rule, stop_rule
from pipeline.aggregation.soft_weight import soft_weight
from pipeline.engines.engine import Sampling
from pipeline.engines.engine_config import EngineConfig
from pipeline.engines.engine_registry import check_engine
from pipeline.engines.slot_reading import read_reply
from pipeline.engines.stated_logprobs import read_stated
from pipeline.judging.asking import asking_of
from pipeline.judging.bundle import Format
from pipeline.judging.bundle_files import load_bundle
from pipeline.judging.judge_config import JudgeConfig, VotesConfig
from pipeline.judging.reply_grammar import ReplyGrammar
from pipeline.judging.reply_writer import write_reply
from pipeline.judging.soft_verdicts import (
    Literals,
    NextToken,
    SlotReading,
    SoftReader,
    WrittenSlot,
    read_slot,
    soft_first,
    why_not_soft,
)
from pipeline.judging.votes import Vote, softened
from pipeline.runtime.errors import ConfigError
from schemas.labels import VERDICT
from tests.judging import judge_rows, scripted, text_pair

SCORES = load_bundle("flex-vl").formats["pairwise_scores"]
Tree = Mapping[Any, Mapping[str, float]]  # by texts of tokens


def letters(**grammar: object) -> Format:
    """A format of two literals, or as stated."""
    stated = {"think": "none", "at": "whole", "choice": {"A": "a", "B": "b"}} | grammar
    declared = load_bundle("boxed-letter").formats["pair"]
    reply = ReplyGrammar.model_validate(stated)
    return Format("pair", declared.declared.model_copy(update={"reply": reply}))


def read(
    format_: Format, reply: str, tree: Tree, temperature: float = 1.0, top_p: float = 1.0
) -> SlotReading:
    """Reads a reply by a tree of tokens: behind some, the likeliest ones and their probability."""
    slot = SoftReader(format_, 1 if format_.apart else 2).locate(reply)
    assert slot is not None

    async def following(path: tuple[NextToken, ...]) -> list[NextToken] | None:
        found = tree.get(tuple(token.text for token in path))
        return found and [NextToken(text, math.log(p)) for text, p in found.items()]  # type: ignore[return-value]

    return asyncio.run(read_slot(slot, "", following, temperature, top_p))


@pytest.mark.parametrize(
    ("reply", "at"),
    [
        ("<think>\nx\n</think>\n\n<answer>7</answer>\n<answer>3</answer>", "3</answer>"),
        ("<think>\n</think><answer>1</answer> x </think> <answer> 7 </answer><answer> 10", None),
        ("x</think> <answer>7/10</answer><answer> 10 / 10 </answer>", "10 / 10"),
        ("no verdict", None),
    ],
)
def test_the_last_slot_is_found(reply: str, at: str | None) -> None:
    slot = SoftReader(SCORES, 2).locate(reply)
    assert (slot and reply[slot.start :].lstrip().startswith(str(at))) is (
        None if at is None else True
    )


def test_what_a_prefix_holds_is_not_written_by_the_judge() -> None:
    reply = "x</think><answer>7</answer><answer>3</answer>"
    plain = SoftReader(SCORES, 2).locate(reply)
    behind = SoftReader(SCORES, 2, "<think>\n").locate(reply)
    assert plain == behind
    assert SoftReader(letters(), 2, "[[A").locate("") is None


def test_of_a_verdict_that_is_repeated_the_first_decides() -> None:
    boxed = load_bundle("boxed-letter").formats["pair"]
    slot = SoftReader(boxed, 2).locate("so [[A]], I say.\n\n[[A]]")
    assert slot is not None
    assert slot.start == len("so [[")


def test_letters_with_and_without_a_space_before_them_are_one_literal() -> None:
    found = read(letters(), "A", {(): {"A": 0.5, " A": 0.2, " B": 0.1, "B": 0.15, "I": 0.05}})
    assert found.shares == pytest.approx({"first": 0.7 / 0.95, "second": 0.25 / 0.95})
    assert found.mass == pytest.approx(0.95)


def test_a_token_that_goes_on_as_a_word_is_no_literal() -> None:
    found = read(letters(), "A", {(): {"A": 0.6, "Answer": 0.2, "A]]": 0.1, "B": 0.1}})
    assert found.shares == pytest.approx({"first": 0.875, "second": 0.125})


def test_literals_that_share_their_first_tokens_are_told_apart_where_they_differ() -> None:
    think = load_bundle("unified-reward").formats["think"]
    tree = {
        (): {"Answer": 0.9, "Image": 0.06, "The": 0.04},
        ("Answer",): {" ": 0.5, " 1": 0.3, " 2": 0.2},
        ("Answer", " "): {"1": 0.25, "2": 0.75},
        ("Image",): {" 1": 1.0},
    }
    found = read(think, "x</think><answer>Answer 1 is better</answer>", tree)
    first = 0.9 * (0.3 + 0.5 * 0.25) + 0.06
    assert found.mass == pytest.approx(0.96)
    assert found.shares == pytest.approx({"first": first / 0.96, "second": 1 - first / 0.96})


def test_one_and_ten_are_told_apart_by_what_follows_the_one() -> None:
    reply = "x</think><answer>5</answer><answer>1</answer>"
    tree = {(): {"1": 0.5, "7": 0.3, "5": 0.2}, ("1",): {"0": 0.4, "<": 0.6}, ("5",): {"</": 1.0}}
    found = read(SCORES, reply, tree)
    assert found.shares == pytest.approx({"first": 0.3, "second": 0.2 + 0.3, "tie": 0.2})
    assert found.mass == pytest.approx(1.0)


def test_where_both_are_on_one_side_nothing_more_is_asked() -> None:
    found = read(
        SCORES, "x</think><answer>10</answer><answer>1</answer>", {(): {"2": 0.5, "7": 0.5}}
    )
    assert found.shares == {"first": 1.0}


def test_a_reply_that_may_end_behind_a_literal() -> None:
    format_ = load_bundle("prometheus-vision").formats["pair"]
    found = read(format_, "x [RESULT] 4", {(): {" 4": 0.7, " 2": 0.3}})
    assert found.shares == pytest.approx({4.0: 0.7, 2.0: 0.3})
    whole = letters(choice={"A": "a", "AB": "b"})
    ended = read(whole, "A", {(): {"A": 1.0}, ("A",): {"": 0.25, "B": 0.75}})
    assert ended.shares == pytest.approx({"first": 0.25, "second": 0.75})


def test_what_is_not_resolved_counts_as_no_verdict() -> None:
    reply = "x</think><answer>5</answer><answer>9</answer>"
    found = read(SCORES, reply, {(): {"1": 0.5, "9": 0.5}})  # what follows the 1 is not known
    assert found.shares == {"second": 1.0}
    assert found.mass == pytest.approx(0.5)
    assert soft_first([found]) is None


@given(
    st.lists(st.floats(0.01, 1), min_size=2, max_size=2),
    st.floats(0.2, 3),
)
def test_shares_are_those_of_the_temperature(odds: list[float], temperature: float) -> None:
    a, b = (each / sum(odds) for each in odds)
    found = read(letters(), "A", {(): {"A": a, "B": b}}, temperature)
    hot = [each ** (1 / temperature) for each in (a, b)]
    assert found.shares == pytest.approx({"first": hot[0] / sum(hot), "second": hot[1] / sum(hot)})
    assert found.mass == pytest.approx(1.0)


def test_top_p_leaves_out_what_is_never_sampled() -> None:
    tree = {(): {"A": 0.96, "B": 0.04}}
    assert read(letters(), "A", tree, top_p=0.95).shares == {"first": 1.0}
    assert read(letters(), "A", tree, temperature=0, top_p=0.95).shares["second"] == pytest.approx(
        0.04
    )


def test_candidates_that_are_scored_apart_make_one_vote() -> None:
    readings = [SlotReading({3.0: 0.5, 4.0: 0.5}, 1.0), SlotReading({3.0: 0.5, 5.0: 0.5}, 0.95)]
    assert soft_first(readings) == pytest.approx(0.25 / 0.75)
    assert soft_first([readings[0], None]) is None


def test_tokens_that_reach_over_the_slots_beginning() -> None:
    """Tokens of a reply: the one before the letter also holds its bracket."""
    words = ["x ", "[[A", "]]", "[[B", "[[", "A", "B", "]]"]

    def decode(ids: Sequence[int]) -> str:
        return "".join(words[each] for each in ids)

    async def ask(begun: Sequence[int]) -> dict[int, float]:
        after = {(0,): {1: 0.5, 3: 0.2, 4: 0.3}, (0, 4): {5: 0.5, 6: 0.5}}
        return {token: math.log(p) for token, p in after[tuple(begun)].items()}

    boxed = load_bundle("boxed-letter").formats["pair"]
    how = Sampling(1.0, 1.0, 9, 0, soft=SoftReader(boxed, 2))
    found = asyncio.run(read_reply("x [[A]]", [0, 1, 2], how, decode, ask))
    assert found is not None
    assert found.shares == pytest.approx({"first": 0.65, "second": 0.35})
    assert asyncio.run(read_reply("no verdict", [0], how, decode, ask)) is None


def token(text: str, **others: float) -> dict[str, object]:
    top = [{"token": each, "logprob": math.log(p)} for each, p in others.items()]
    return {"token": text, "logprob": math.log(others.get(text, 1.0)), "top_logprobs": top}


@pytest.mark.parametrize("reasoning", ["", "<think>\nlong\n</think>\n\n"])
def test_log_probabilities_that_a_server_states(reasoning: str) -> None:
    content = "Ä</think>[[A]]" if not reasoning else "[[A]]"
    grammar = letters(think="tags", at="after", wrap="[[{}]]")
    text = f"{reasoning}{content}"
    stated = [
        token("Ä"),
        token("</think>"),
        token("[["),
        token("A", A=0.6, B=0.3, C=0.1),
        token("]]"),
    ]
    stated += [token("<|im_end|>")]
    slot = SoftReader(grammar, 2).locate(text)
    assert slot is not None
    found = asyncio.run(read_stated(slot, text, content, stated, 1.0, 1.0))
    assert found is not None
    assert found.shares == pytest.approx({"first": 2 / 3, "second": 1 / 3})
    assert found.mass == pytest.approx(0.9)
    assert asyncio.run(read_stated(slot, text, "another", stated, 1.0, 1.0)) is None


def vote(order: str, soft_a: float | None, option: str = "a", weight: float | None = None) -> Vote:
    return Vote(order=order, seed=0, outcome=VERDICT, option=option, soft_a=soft_a, weight=weight)


def test_a_soft_vote_replaces_the_sampled_one() -> None:
    votes = [vote("ab", 0.9), vote("ba", 0.4, weight=2.0), vote("ab", None, "both_good")]
    counted = Evidence.of(votes, Rule())
    assert (counted.for_a, counted.for_b) == pytest.approx((0.9 + 0.8, 0.1 + 1.2))
    assert (counted.ties, counted.votes) == (1, 3)
    heavier = Evidence.of(votes, Rule(soft_weight=3.0))
    assert (heavier.for_a, heavier.for_b) == pytest.approx((3.9, 2.1))
    assert features(votes)[2] == pytest.approx(0.8 - 0.2)
    decision = decide(SCORES, votes[:2], Rule(threshold=0.51))
    assert (decision.preference, decision.position_consistent) == ("a", False)
    assert decision.p_a_raw == pytest.approx(0.65)


def test_a_tie_and_what_is_no_verdict_stay_hard() -> None:
    assert softened(vote("ab", None, "both_bad"), 0.9, 2.0).soft_a is None
    assert softened(vote("ab", None), None, 2.0).weight is None
    assert softened(vote("ba", None), 0.9, 2.0).soft_a == pytest.approx(0.1)


def test_a_soft_vote_is_stored_and_read() -> None:
    kept = vote("ab", 0.25, weight=1.5)
    assert Vote.from_row(kept.as_row()) == kept


def test_votes_that_weigh_more_are_fewer() -> None:
    votes = [vote("ab", 0.8, weight=3.0), vote("ba", 0.8, weight=3.0)]
    asked = VotesConfig(threshold=0.9, soft_weight=3.0)
    assert next_orders(SCORES, votes, asked, 2, "x") == ()
    assert next_orders(SCORES, votes, VotesConfig(threshold=0.9), 2, "x") == ()
    plain = [vote("ab", 0.8), vote("ba", 0.8)]
    assert next_orders(SCORES, plain, VotesConfig(threshold=0.9), 2, "x") == ("ab", "ba")
    assert stop_rule(asked).soft_weight == 3.0
    assert label_rule(asked, PolicyConfig(soft_weight=2.0)).soft_weight == 2.0


def test_the_weight_is_the_ratio_of_variances() -> None:
    again = [[vote("ab", q) for q in (0.2, 0.6)] for _ in range(20)]
    chance = (0.2 * 0.8 + 0.6 * 0.4) / 2
    assert soft_weight(again) == pytest.approx(1 + chance / 0.08)
    collapsed = [[vote("ab", q) for q in (0.0, 1.0)] for _ in range(20)]
    assert soft_weight(collapsed) == 1.0
    assert soft_weight([[vote("ab", 0.7)] * 2 for _ in range(20)]) == 4.0
    assert soft_weight([[vote("ab", 0.7), vote("ba", 0.2)]] * 40) is None


def test_the_weight_of_a_known_distribution() -> None:
    """q ~ Beta(3p, 3(1 - p)): 4, by methods.md."""
    import numpy as np

    rng = np.random.default_rng(1)
    pairs = [
        [vote("ab", float(q)) for q in rng.beta(3 * p, 3 * (1 - p), 6)]
        for p in rng.uniform(0.2, 0.8, 4_000)
    ]
    assert soft_weight(pairs) == pytest.approx(4.0, abs=0.1)


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"format": "single_score"}, "soft votes are about pairs"),
        ({"format": "batch_ranking"}, "soft votes are about pairs"),
        ({"bundle": "json-scores", "allow_experimental": True}, "its verdict is JSON"),
        ({"bundle": "unified-reward", "format": "point"}, "scores of whole numbers"),
    ],
)
def test_formats_without_a_slot_are_refused(settings: dict[str, object], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        JudgeConfig.model_validate(settings | {"sampling": {"soft_votes": True}})


def test_formats_that_can_be_soft() -> None:
    soft = [
        f"{name}.{each.name}"
        for name in ("flex-vl", "r1-reward", "unified-reward", "llava-critic-r1", "skywork-critic")
        for each in load_bundle(name).formats.values()
        if why_not_soft(each) is None
    ]
    assert soft == [
        "flex-vl.pairwise_scores",
        "flex-vl.pairwise_options",
        "r1-reward.pair",
        "unified-reward.pair",
        "unified-reward.think",
        "llava-critic-r1.pair",
        "skywork-critic.pair",
    ]
    for format_ in (SCORES, load_bundle("flex-vl").formats["pairwise_options"]):
        reply = write_reply(format_.grammar, [7, 2], "x")
        slot = SoftReader(format_, 2).locate(reply)
        assert slot is not None
        assert set(slot.literals.outcomes.values()) == {"first", "second", "tie"}


@given(
    st.sets(st.text("1 0.,aB", min_size=1, max_size=4), min_size=1),
    st.text("1 0.,aB", max_size=6),
    st.booleans(),
)
def test_a_text_goes_on_to_a_literal_or_ends_it_before_something_else(
    literals: set[str], text: str, loose: bool
) -> None:
    def compared(each: str) -> str:
        if loose:
            return "".join(each.split()).casefold()
        return " ".join(each.split()) + (" " if each.strip() and each[-1].isspace() else "")

    def fits(literal: str) -> bool:
        if literal.startswith(begun):
            return True
        behind = begun[len(literal) :]
        number = behind[:1] in (".", ",") and behind[1:2].isdigit()
        joined = literal[-1:].isalnum() and (behind[:1].isalnum() or number)
        return begun.startswith(literal) and not joined

    begun = compared(text.lstrip())
    shapes = {compared(each): each for each in sorted(literals)}
    read = Literals({each: each for each in sorted(literals)}, loose=loose)
    assert read.possible(text) == {said for shape, said in shapes.items() if fits(shape)}


def test_replies_alike_but_for_the_last_slot_share_what_may_be_written_there() -> None:
    def slot(first: int, last: int) -> WrittenSlot:
        reply = write_reply(SCORES.grammar, [first, last], "x")
        found = SoftReader(SCORES, 2).locate(reply)
        assert found is not None
        return found

    assert slot(7, 2).literals is slot(7, 9).literals
    assert slot(7, 2).literals.outcomes["7"] == "tie"
    assert slot(3, 2).literals.outcomes["7"] == "second"


def test_an_engine_without_log_probabilities_is_refused_before_it_starts() -> None:
    judge = JudgeConfig.model_validate({"sampling": {"soft_votes": True}})
    endpoint = {"url": "http://127.0.0.1:9/v1"}
    with pytest.raises(ConfigError, match=r"engine\.endpoint\.logprobs"):
        check_engine(judge, EngineConfig.model_validate({"kind": "openai", "endpoint": endpoint}))
    stated = {"kind": "openai", "endpoint": endpoint | {"logprobs": True}}
    check_engine(judge, EngineConfig.model_validate(stated))


def test_the_weight_does_not_reopen_rows_unless_it_is_set() -> None:
    assert "soft_weight" not in asking_of(JudgeConfig())
    heavier = JudgeConfig.model_validate({"votes": {"soft_weight": 2}})
    assert '"soft_weight": 2.0' in asking_of(heavier)


def test_a_judge_with_soft_votes() -> None:
    settings = {
        "format": "pairwise_options",
        "sampling": {"soft_votes": True, "temperature": 1.0, "top_p": 1.0},
        "votes": {"soft_weight": 1.5},
    }
    judge, _ = scripted(judge=settings, script={"sure": 0.8})
    (label,) = judge_rows(judge, [text_pair(0)])
    # Of six literals two are for each side; those that were not written have 0.04 each.
    assert [each["soft_a"] for each in label["votes"]] == pytest.approx([0.84 / 0.92] * 2)
    assert [(each["weight"], each["choice"]) for each in label["votes"]] == [(1.5, "a")] * 2
