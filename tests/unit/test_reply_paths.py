"""Scores in lists of JSON, with signs and without bounds, and what such grammars refuse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from pipeline.judging.bundle_check import check_bundle
from pipeline.judging.bundle_files import load_bundle, stored_bundle
from pipeline.judging.judge_config import JudgeConfig
from pipeline.judging.parsing import Unparseable, Verdict, parse
from pipeline.judging.reply_grammar import ReplyGrammar
from pipeline.judging.reply_writer import write_reply
from tests.judging import Row, judge_rows, scripted, text_pair

SIGNED: Row = {"think": "none", "at": "json:marks[{i}].mark", "score": "-5..5 real", "each": True}
NAMED: Row = {
    **{"think": "none", "at": "json:marks[of={criterion}].{letter}", "score": "-5..5 real"},
    **{"each": True, "crit": ["Tone", "Truth"]},
}
EVERY: Row = {"think": "none", "at": "json:dims[].s_{n}", "score": "0..10 real", "each": True}
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
