"""Scores in lists of JSON, with signs and without bounds, and what such grammars refuse."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline.aggregation.criteria_weights import weighted
from pipeline.judging.bundle_check import check_bundle
from pipeline.judging.bundle_files import load_bundle, stored_bundle
from pipeline.judging.judge_config import JudgeConfig
from pipeline.judging.parsing import Unparseable, Verdict, parse
from pipeline.judging.reply_grammar import ReplyGrammar
from pipeline.judging.reply_writer import write_reply
from pipeline.judging.votes import Vote
from tests.judging import Row, judge_rows, scripted, text_pair

SIGNED: Row = {"think": "none", "at": "json:marks[{i}].mark", "score": "-5..5 real", "each": True}
NAMED: Row = {
    **{"think": "none", "at": "json:marks[of={criterion}].{letter}", "score": "-5..5 real"},
    **{"each": True, "crit": ["Tone", "Truth"]},
}
EVERY: Row = {"think": "none", "at": "json:dims[].s_{n}", "score": "0..10 real", "each": True}
SIDES: Row = {"Image 1": "a", "Image 2": "b"}
BESIDE: Row = {  # a choice with scores of whatever criteria the reply names
    **{"think": "none", "at": "json:winner", "choice": SIDES, "rationale": "reason"},
    **{"by_criterion": "categories[name={criterion}].dims[].score_{n}", "crit": "any"},
    **{"score": "0..10 share", "each": True},
}
BESIDE_PROSE: Row = {
    **{"think": "free", "at": "last", "wrap": "Better: [[{}]]", "choice": {"A": "a", "B": "b"}},
    **{"by_criterion": "{criterion} of {letter}: {}", "crit": ["Truth", "Tone"]},
    **{"score": "1..5 int", "each": True},
}
PROSE: Row = {"think": "free", "at": "last", "wrap": "Reward {letter}: {}", "score": "real"}


def read(grammar: Row, reply: object) -> Verdict | Unparseable:
    text = reply if isinstance(reply, str) else json.dumps(reply)
    return parse(ReplyGrammar.model_validate(grammar), text, "stop", 2)


@pytest.mark.parametrize(
    ("grammar", "reply", "expected"),
    [
        (SIGNED, {"marks": [{"mark": -3.5}, {"mark": 2.28125}]}, (-3.5, 2.28125)),
        (SIGNED, {"marks": [{"mark": "-3.5"}, {"mark": "+2"}]}, (-3.5, 2.0)),
        (SIGNED, {"marks": [{"mark": -3.5}, {"mark": 7}]}, "out_of_range"),
        (SIGNED, {"marks": [{"mark": -3.5}]}, "malformed"),
        (SIGNED, {"marks": [{"mark": "--3"}, {"mark": 1}]}, "malformed"),
        (EVERY, {"dims": [{"s_1": 3, "s_2": 4}, {"s_1": 6, "s_2": 5}]}, (4.5, 4.5)),
        (EVERY, {"dims": [{"s_1": 3, "s_2": 4}, {"s_1": 6}]}, "malformed"),
        (EVERY, {"dims": [{"s_1": 30, "s_2": 4}, {"s_1": 1, "s_2": 5}]}, "out_of_range"),
        (EVERY, {"dims": []}, "malformed"),
        (PROSE | {"each": True}, "Reward A: -3.5\nReward B: +120.0625", (-3.5, 120.0625)),
        (PROSE | {"each": True}, "Reward A: 1. Reward B: 2. No, Reward A: -1", "malformed"),
        (PROSE | {"each": True}, "Reward A: 1e5, Reward B: 2", "malformed"),
    ],
)
def test_scores_of_lists_and_signed_scores(grammar: Row, reply: object, expected: object) -> None:
    found = read(grammar, reply)
    assert (found.scores if isinstance(found, Verdict) else str(found.reason)) == expected


def test_an_element_is_found_by_its_criterion_and_only_once() -> None:
    truth, tone = {"of": "truth", "A": -1, "B": 4}, {"of": "Tone", "A": 2, "B": -2.5}
    found = read(NAMED, {"marks": [truth, tone]})
    assert isinstance(found, Verdict)
    assert found.criteria == (("Tone", (2.0, -2.5)), ("Truth", (-1.0, 4.0)))
    for marks in ([tone], [truth, tone, tone], {"of": "Tone"}, [truth, {"of": "Tone", "A": 1}]):
        assert isinstance(read(NAMED, {"marks": marks}), Unparseable)


@pytest.mark.parametrize("grammar", [SIGNED, NAMED, EVERY, PROSE | {"each": True},
    {"think": "none", "at": "json:[{i}].s", "score": "1..5 int", "each": True}])  # fmt: skip
def test_a_grammar_reads_what_it_writes(grammar: Row) -> None:
    made = ReplyGrammar.model_validate(grammar)
    found = parse(made, write_reply(made, [4, 2], "why"), "stop", 2)
    assert isinstance(found, Verdict)
    assert found.scores == (4, 2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"at": "json:marks[of={criterion}]"}, "expected a key behind"),
        ({"at": "json:marks[=3].{n}"}, "expected between brackets"),
        ({"at": "json:marks[]", "score": None, "choice": {"A": "a", "B": "b"}, "each": False},
         "a choice is one value"),
        ({"rationale": "why[]"}, "a text is one value"),
        ({"crit": "any"}, "whose elements name them"),
        ({"crit": "any", "at": "json:a[].marks[of={criterion}].{n}"}, "one list of criteria"),
        ({"by_criterion": "marks[{i}].mark"}, "is for a choice that has scores"),
        ({**BESIDE, "think": "tags", "at": "after"}, "needs at: json:PATH or last"),
        ({**BESIDE, "by_criterion": "s.{criterion}", "crit": ["A"]}, "by_criterion: each: slots"),
        ({**BESIDE, "choice": {"A": "a"}}, "choice: choice: no literal has side b"),
        ({"score": "0..inf share"}, "shares are of a range"),
        ({"score": "inf..0 real"}, "expected a range"),
        ({"think": "free", "at": "last", "wrap": "{criterion}: {}", "each": False,
          "crit": ["Style", "Art Style"]}, "ends with what stands before"),
    ],
)  # fmt: skip
def test_paths_and_bounds_that_cannot_be_read_are_refused(changes: Row, message: str) -> None:
    with pytest.raises(ValidationError) as refused:
        ReplyGrammar.model_validate(SIGNED | changes)
    assert message in str(refused.value)


def category(name: object, *scores: tuple[float, float]) -> Row:
    dims = [{"name": "d", "reason_1": "x", "score_1": a, "score_2": b} for a, b in scores]
    return {"name": name, "dims": dims, "cat_winner": "Image 2"}


def flex(*categories: Row, winner: str = "Image 2") -> str:
    reply = {"prompt": "p", "categories": categories, "reason": "sharper", "winner": winner}
    return f"```json\n{json.dumps(reply, indent=1)}\n```"


def test_a_choice_and_scores_of_criteria_that_the_reply_names() -> None:
    found = read(BESIDE, flex(category("A. Meaning", (8, 2), (6, 4)), category("Art ", (5, 5))))
    assert found == Verdict(
        (), "second", "sharper", (("A. Meaning", (7.0, 3.0)), ("Art", (5.0, 5.0)))
    )


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (flex(category("A", (8, 2)), winner="Image 3"), "out_of_range"),
        (flex(category("A", (8, 3))), "out_of_range"),
        (flex(category("A", (11, -1))), "malformed"),
        (flex(category("A", (8, 2)), category("a", (8, 2))), "malformed"),
        (flex(category("", (8, 2))), "malformed"),
        (flex(category(None, (8, 2))), "malformed"),
        (flex(category("n" * 81, (8, 2))), "malformed"),
        (flex(category("A")), "malformed"),
        (flex(*(category(f"{n}", (5, 5)) for n in range(31))), "malformed"),
        (flex(), "malformed"),
    ],
)
def test_scores_beside_a_choice_that_cannot_be_read_leave_no_verdict(
    reply: str, reason: str
) -> None:
    found = read(BESIDE, reply)
    assert isinstance(found, Unparseable)
    assert str(found.reason) == reason


def test_a_choice_in_prose_with_scores_beside_it() -> None:
    scores = "Truth of A: 2\nTone of A: 4, and Tone of B: 3.\nTruth of B: 5\n"
    found = read(BESIDE_PROSE, f"{scores}Better: [[B]]")
    assert isinstance(found, Verdict)
    assert (found.option, found.scores) == ("second", ())
    assert found.criteria == (("Truth", (2.0, 5.0)), ("Tone", (4.0, 3.0)))
    for reply in (scores, "Better: [[B]]", f"{scores}Truth of A: 3\nBetter: [[B]]"):
        assert isinstance(read(BESIDE_PROSE, reply), Unparseable)


def test_slots_may_stand_in_lines_of_their_own() -> None:
    lines: Row = {"think": "none", "at": "whole", "wrap": "{criterion} of {n}: {};"}
    lines |= {"score": "1..9 int", "each": True, "crit": ["Tone", "Truth"]}
    grammar = ReplyGrammar.model_validate(lines)
    reply = write_reply(grammar, [4, 2], "")
    assert "\n" in reply
    for written in (reply, reply.replace("\n", ""), reply.replace("\n", "  \n")):
        assert isinstance(read(lines, written), Verdict)
    assert isinstance(read(lines, reply.replace("\n", " and ")), Unparseable)


@pytest.mark.parametrize("where", [{"think": "none", "at": "whole"}, {"think": "tags"}])
def test_bare_literals_are_read_in_any_case_where_the_grammar_is_loose(where: Row) -> None:
    sides: Row = {**where, "wrap": "{}", "choice": {"LEFT": "a", "RIGHT": "b"}}
    begun = "<think>\nx\n</think>\n" if where["think"] == "tags" else ""
    for reply, option in (("left", "first"), ("Right\n", "second")):
        found = read({**sides, "loose": True}, begun + reply)
        assert isinstance(found, Verdict)
        assert found.option == option
        assert isinstance(read(sides, begun + reply), Unparseable)
    for reply in ("left or right", "lefty", "leftright"):
        assert isinstance(read({**sides, "loose": True}, begun + reply), Unparseable)


CONTENTS = st.dictionaries(
    st.text("abcDE é'&", min_size=1, max_size=8).map(str.strip).filter(bool),
    st.tuples(st.integers(1, 5), st.integers(1, 5)),
    min_size=1,
    max_size=4,
).filter(lambda named: len({name.casefold().replace(" ", "") for name in named}) == len(named))


@given(contents=CONTENTS, first=st.sampled_from((9, 1)), crit=st.sampled_from(("any", "given")))
@settings(max_examples=150, deadline=None)
def test_what_is_written_of_a_choice_and_criteria_is_read(
    contents: dict[str, tuple[int, int]], first: int, crit: str
) -> None:
    names = " ".join(next(iter(contents)).split()), *map(" ".join, map(str.split, [*contents][1:]))
    named = dict(zip(names, contents.values(), strict=True))
    declared = BESIDE | {"score": "1..5 int", "crit": crit if crit == "any" else names}
    grammar = ReplyGrammar.model_validate(declared)
    reply = write_reply(grammar, [first, 5], "why", named)
    found = parse(grammar, reply, "stop", 2)
    assert isinstance(found, Verdict)
    assert found.option == ("first" if first == 9 else "second")
    assert found.rationale == "why"
    assert dict(found.criteria) == {name: tuple(map(float, of)) for name, of in named.items()}


@given(where=st.integers(0, 10_000), piece=st.text(max_size=3))
@settings(max_examples=200, deadline=None)
def test_a_changed_reply_is_the_same_verdict_or_none(where: int, piece: str) -> None:
    reply = flex(category("A", (8, 2)), category("B", (5, 5)))
    at = where % len(reply)
    found = read(BESIDE, reply[:at] + piece + reply[at:])
    if isinstance(found, Verdict):
        assert found.option == "second"
        assert {sum(scores) for _, scores in found.criteria} == {10.0}


def test_criteria_beside_a_choice_are_votes_and_decide_only_by_policy(tmp_path: Path) -> None:
    turn = {"user": "{answers}\n{question}", "answer": "<<{letter}>>\n{answer}"}
    where = folder(
        tmp_path / "flex",
        {"family": "pair", "candidates": ["text"], **turn, "reply": BESIDE},
        flex(category("A", (8, 2))),
        {"choice": "b", "criteria": {"A": [8, 2]}},
    )
    checked = check_bundle(load_bundle(stored_bundle(str(where))), where, hostile=600)
    assert checked.problems == []
    judge, _ = scripted(judge={"bundle": str(where), "allow_experimental": True})
    (label,) = judge_rows(judge, [text_pair(0)])
    (vote, _) = label["votes"]
    assert (vote["score_a"], vote["option"] is not None) == (None, True)
    assert [each["name"] for each in label["criteria"]] == ["Quality", "Truth"]
    votes = [Vote.from_row(row) for row in label["votes"]]
    assert [vote.choice for vote in votes] == [vote.choice for vote in weighted(votes, {})]
    against = [replace(vote, criteria=(("Truth", (1.0, 9.0)),), option="a") for vote in votes]
    assert {vote.choice for vote in weighted(against, {"Truth": 1.0})} == {"b"}


def folder(path: Path, format_: Row, reply: str, verdict: Row) -> Path:
    path.mkdir()
    (path / "bundle.yaml").write_text(json.dumps({"about": "mine", "formats": {"f": format_}}))
    line = {"reply": reply, "verdict": verdict, "origin": "constructed"}
    (path / "transcripts.jsonl").write_text(json.dumps(line))
    return path


def test_users_bundles_with_such_grammars_are_checked_and_judge(tmp_path: Path) -> None:
    turn = {"user": "{answers}\n{question}", "answer": "<<{letter}>>\n{answer}"}
    pair: dict[str, Any] = {"family": "pair", "candidates": ["text"], **turn}
    rubric = {**NAMED, "crit": "rubric"}
    marks = [{"of": n, "A": 1, "B": -1} for n in ("Accuracy", "Tone")]
    mine = folder(
        tmp_path / "mine",
        {**pair, "system": "By:\n{rubric}", "reply": rubric},
        json.dumps({"marks": marks}),
        {"scores": [1, -1], "criteria": {"Accuracy": [1, -1], "Tone": [1, -1]}},
    )
    prose = PROSE | {"each": True}
    other = folder(
        tmp_path / "o", {**pair, "reply": prose}, "Reward A: -1 Reward B: 2", {"scores": [-1, 2]}
    )
    four = {"criteria": [{"name": n, "text": "?"} for n in ("Truth", "Tone", "Depth", "Wit")]}
    for path, more in ((mine, {"rubric": four}), (other, {})):
        bundle = load_bundle(stored_bundle(str(path)))
        assert check_bundle(bundle, path, hostile=300, timed=False).problems == []
        settings = {"bundle": str(path), "allow_experimental": True} | more
        judge, _engine = scripted(judge=settings)
        (label,) = judge_rows(judge, [text_pair(0)])
        assert (label["status"], label["n_votes"]) == ("labeled", 2)
        with pytest.raises(ValidationError, match=r"judge\.allow_experimental"):
            JudgeConfig.model_validate(settings | {"allow_experimental": False})
    lost = folder(tmp_path / "lost", {**pair, "reply": rubric}, "", {"reason": "malformed"})
    (problem, *_) = check_bundle(load_bundle(stored_bundle(str(lost))), lost, hostile=1).problems
    assert "no text of the prompt has {rubric}" in problem
