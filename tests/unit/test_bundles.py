"""Bundles: those that are shipped, a user's own, and what is refused before anything is judged."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

import pipeline
from jobs import judge as judge_job
from pipeline.aggregation.labeler import Labeler
from pipeline.aggregation.policy import PolicyConfig
from pipeline.aggregation.relabel import Relabeler
from pipeline.judging.bundle_check import check_bundle, folder_of
from pipeline.judging.bundle_files import DECLARATION, SHIPPED, load_bundle, shipped_bundles
from pipeline.judging.judge_cards import judge_card, judge_of
from pipeline.judging.judge_config import JudgeConfig
from pipeline.judging.judge_identity import ModelVersion, canonical_form, judge_id_of
from pipeline.judging.parsing import Unparseable, Verdict, parse
from pipeline.judging.reply_grammar import ReplyGrammar
from pipeline.runtime.errors import ConfigError
from schemas.contract import table_of
from schemas.labels import LABELS
from tests.judging import Row, judge_rows, scripted, text_pair
from tests.labeling import run_job
from tests.shards import pair

VERSION = ModelVersion.named("w")
LETTER: Row = {
    "family": "pair",
    "candidates": ["text"],
    "user": "{question}\n\n{answers}",
    "answer": "<{letter}>\n{answer}",
    "reply": {"think": "free", "at": "last", "wrap": "<<{}>>", "choice": {"A": "a", "B": "b"}},
}
PUBLIC = {"reply": "<<A>>", "verdict": {"choice": "a"}, "origin": "https://example.org"}


def bundle_at(folder: Path, transcript: Row | None = None, **changes: Any) -> str:
    """A user's bundle of one format."""
    folder.mkdir(parents=True, exist_ok=True)
    declared = {"about": "A test's.", "formats": {"pair": LETTER | changes}}
    (folder / DECLARATION).write_text(yaml.safe_dump(declared, sort_keys=False), encoding="utf-8")
    (folder / "transcripts.jsonl").write_text(json.dumps(transcript or PUBLIC), encoding="utf-8")
    return str(folder)


def identity(settings: Row) -> str:
    return judge_id_of(canonical_form(JudgeConfig.model_validate(settings), VERSION, "vllm"))


def writes(name: str) -> bool:
    """Whether a shipped bundle's judges write replies."""
    return any(each.declared.reply for each in load_bundle(name).formats.values())


WRITING = [name for name in shipped_bundles() if writes(name)]


@pytest.mark.parametrize("name", WRITING)
def test_a_shipped_bundle_is_sound(name: str) -> None:
    checked = check_bundle(load_bundle(name), folder_of(name), hostile=400, timed=False)
    assert checked.problems == []
    assert checked.outcomes["verdict"] > 0
    assert set(checked.outcomes) <= {"verdict", "malformed", "refused", "out_of_range"}


ODD: dict[str, Row] = {
    # Marks that are special to regular expressions, literals that begin alike, one inside another.
    "marks": {
        "reply": {
            "think": "tags",
            "at": "after",
            "wrap": "(?:$ {} ^|.*)",
            "choice": {"<A+": "a", "<A++": "b", "\\A": "tie", "[<A+]": "good"},
        }
    },
    # A slot for each candidate and criterion, negative scores, and no text behind a slot.
    "criteria": {
        "reply": {
            "think": "free",
            "at": "last",
            "wrap": "{criterion} of {letter} is {}",
            "score": "-20..5 real",
            "each": True,
            "crit": ["Tone", "Tone of voice", "R&D (all)"],
        }
    },
}


@pytest.mark.parametrize("name", ODD)
def test_odd_grammars_of_a_user_are_sound(tmp_path: Path, name: str) -> None:
    folder = bundle_at(tmp_path / name, **ODD[name])
    (tmp_path / name / "transcripts.jsonl").unlink()
    bundle = load_bundle(JudgeConfig(bundle=folder, allow_experimental=True).bundle)
    checked = check_bundle(bundle, folder_of(folder), hostile=400, timed=False)
    assert checked.problems == ["no transcripts.jsonl: expected replies and what each says"]
    assert checked.outcomes["verdict"] > 0


def test_bundles_that_no_reply_is_known_of_say_so() -> None:
    unseen = {name for name in WRITING if not load_bundle(name).verified}
    assert unseen == {"json-scores", "llava-critic-r1", "rubric-json"}
    with pytest.raises(ValidationError, match=r"judge\.allow_experimental"):
        JudgeConfig.model_validate({"bundle": "json-scores"})
    assert JudgeConfig(bundle="json-scores", allow_experimental=True).format == "pair"


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        ({"choice": {"A": "a", "a": "b"}, "loose": True}, "'A' and 'a' are read alike"),
        ({"choice": {"A": "a", "C": "tie"}}, "no literal has side b"),
        ({"choice": {"A": "a", "B": "left"}}, "expected 'a', 'b', 'tie', 'good' or 'bad'"),
        ({"choice": {"xab": "a", "abx": "b"}}, "can end where 'abx' begins"),
        ({"choice": None, "score": "1..10 int"}, "reply.each: several candidates need a score"),
        ({"choice": None, "score": "10..1 int"}, "expected a range and a kind of number"),
        ({"choice": None, "score": "1..10 int", "each": True, "wrap": "{}"}, "any number could be"),
        ({"choice": None, "score": "1..5 int", "each": True, "crit": ["x"]}, "slots overlap"),
        (
            {"choice": None, "score": "1..5 int", "each": True, "crit": ["x", "X"]}
            | {"wrap": "{criterion}: {}"},
            "'x' and 'X' have equal names",
        ),
        (
            {"choice": None, "score": "1..5 int", "each": True, "at": "json:score", "wrap": "{}"},
            "slots overlap unless {n}, {i} or {letter}",
        ),
        ({"wrap": "[[]]"}, "expected one {} where the slot is"),
        ({"at": "after"}, "at: after needs think: tags"),
        ({"at": "first"}, "expected after, whole, last or json:PATH"),
        ({"tie": "literal"}, "tie: literal needs a literal"),
        ({"score": "1..10 int"}, "expected either score or choice"),
    ],
)
def test_an_ambiguous_grammar_is_refused(tmp_path: Path, reply: Row, message: str) -> None:
    folder = bundle_at(tmp_path / "mine", reply=LETTER["reply"] | reply)
    with pytest.raises(ValidationError) as refused:
        JudgeConfig.model_validate({"bundle": folder})
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"bundle": "flex-v1"}, "no such bundle; did you mean flex-vl?"),
        ({"format": "options"}, "judge.format 'options': the bundle has pairwise_scores"),
        ({"bundle": "r1-reward", "candidates": "video"}, "the format pair takes text"),
        ({"rubric": {"criteria": [{"name": "x", "text": "y"}]}}, "takes no rubric"),
        ({"bundle": "rubric-json", "allow_experimental": True}, "needs rubric"),
        ({"prompt": {"user": "/nowhere.txt"}}, "expected a text file"),
    ],
)
def test_what_a_bundle_does_not_have_is_refused(settings: Row, message: str) -> None:
    with pytest.raises(ValidationError) as refused:
        JudgeConfig.model_validate(settings)
    assert message in str(refused.value)


def test_a_users_bundle_is_its_content_wherever_it_lies(tmp_path: Path) -> None:
    mine, moved = bundle_at(tmp_path / "mine"), bundle_at(tmp_path / "elsewhere" / "b")
    changed = bundle_at(tmp_path / "other", answer="({letter})\n{answer}")
    assert identity({"bundle": mine}) == identity({"bundle": moved})
    assert identity({"bundle": mine}) != identity({"bundle": changed})
    judge = JudgeConfig(bundle=mine)
    card = judge_card(judge, VERSION, "vllm")
    shutil.rmtree(tmp_path)
    assert judge_of(json.loads(json.dumps(card))) == judge  # the card has it


def test_a_users_bundle_judges(tmp_path: Path) -> None:
    judge, engine = scripted(judge={"bundle": bundle_at(tmp_path / "mine")})
    (label,) = judge_rows(judge, [text_pair(0)])
    assert (label["status"], label["preference"]) == ("labeled", "a")
    assert [vote["option"] for vote in label["votes"]] == ["a", "a"]
    assert engine.asked[0][0].system is None


def test_an_authors_own_text_makes_another_judge(tmp_path: Path) -> None:
    own = tmp_path / "system.txt"
    own.write_text("Judge as we do.", encoding="utf-8")
    settings = {"prompt": {"system": str(own)}}
    judge = JudgeConfig.model_validate(settings)
    assert judge.prompt_texts.system == "Judge as we do."
    before = identity(settings)
    own.write_text("Judge otherwise.", encoding="utf-8")
    assert len({before, identity(settings), identity({})}) == 3


def test_candidates_that_are_asked_about_apart_make_one_vote_a_pair() -> None:
    settings = {"bundle": "prometheus-vision", "votes": {"min_votes": 1, "max_votes": 4}}
    judge, engine = scripted(judge=settings)
    (label,) = judge_rows(judge, [text_pair(0)])
    assert (label["status"], label["preference"]) == ("labeled", "a")
    (vote,) = label["votes"]
    assert (vote["order"], vote["choice"]) == ("ab", "a")
    assert vote["score_a"] > vote["score_b"]
    assert vote["rationale"].startswith("[a] ")
    assert label["position_consistent"] is None
    assert len(engine.asked) == 2
    shown = [chat.user.count("[Answer to judge]") for chat, _ in engine.asked]
    assert shown == [1, 1]


def test_a_candidate_without_a_score_makes_no_vote() -> None:
    settings = {"bundle": "prometheus-vision", "votes": {"min_votes": 1, "max_votes": 1}}
    row = text_pair(1)
    row["response_b"] = row["response_b"] | {"text": "MARK"}
    judge, _ = scripted({"faults": {"MARK": "malformed"}}, judge=settings)
    (label,) = judge_rows(judge, [row])
    assert (label["status"], label["reason"]) == ("quarantined", "malformed")
    assert "of candidate b: " in label["detail"]


def test_a_judge_of_texts_refuses_rows_with_pictures() -> None:
    judge, engine = scripted(judge={"bundle": "skywork-critic"})
    with_picture, plain = judge_rows(judge, [pair(0), text_pair(1)])
    assert (with_picture["status"], with_picture["reason"]) == ("quarantined", "bad_row")
    assert "which the judge's bundle does not show" in with_picture["detail"]
    assert plain["status"] == "labeled"
    assert all(chat.user.startswith("Two assistants") for chat, _ in engine.asked)


RUBRIC: Row = {
    "criteria": [
        {"name": "Accuracy", "text": "right", "weight": 3},
        {"name": "Tone", "text": "kind", "levels": {"1": "rude", "10": "warm"}},
    ]
}
TINY = {"name": "tiny-judge"}
BY_RUBRIC: Row = {"bundle": "rubric-json", "allow_experimental": True, "rubric": RUBRIC}


def test_a_rubrics_scores_are_kept_by_criterion() -> None:
    judge, engine = scripted(judge=BY_RUBRIC)
    (label,) = judge_rows(judge, [text_pair(0)])
    names = [each["name"] for each in label["criteria"]]
    assert (label["preference"], names) == ("a", ["Accuracy", "Tone"])
    assert table_of([label], LABELS).num_rows == 1
    assert "* Tone: kind\n    1: rude\n    10: warm" in engine.asked[0][0].user


def test_weights_are_policy_and_need_no_judge() -> None:
    judge = JudgeConfig.model_validate(BY_RUBRIC)
    lighter = {"criteria": [each | {"weight": 1} for each in RUBRIC["criteria"]]}
    assert identity(BY_RUBRIC) == identity(BY_RUBRIC | {"rubric": lighter})
    other = {"criteria": [{"name": "Accuracy", "text": "another"}]}
    assert identity(BY_RUBRIC) != identity(BY_RUBRIC | {"rubric": other})
    (label,) = judge_rows(scripted(judge=BY_RUBRIC)[0], [text_pair(1)])
    for vote in label["votes"]:
        vote["criteria"] = [
            {"name": "Accuracy", "scores": [8.0, 6.0]},
            {"name": "Tone", "scores": [2.0, 6.0]},
        ]
    table = table_of([label], LABELS)
    found = {}
    for name, weights in (("rubric", {}), ("tone", {"Accuracy": 1, "Tone": 3})):
        labeler = Labeler.of(judge, PolicyConfig(weights=weights))
        (row,) = Relabeler(labeler).table(table).to_pylist()
        found[name] = (row["preference"], row["scores"], row["policy_id"])
    assert found["rubric"][:2] == ("a", [6.5, 6.0])
    assert found["tone"][:2] == ("b", [3.5, 6.0])
    assert found["rubric"][2] != found["tone"][2]
    with pytest.raises(ConfigError, match="'Style' is no criterion of this judge; it has Accuracy"):
        Labeler.of(judge, PolicyConfig(weights={"Style": 1}))


def test_an_overall_score_that_is_asked_for_decides() -> None:
    asked = BY_RUBRIC | {"rubric": RUBRIC | {"overall": "asked"}}
    judge = JudgeConfig.model_validate(asked)
    scores = {"Accuracy": [9, 1], "Tone": [9, 1], "Overall": [2, 7]}
    reply = json.dumps({"reasoning": "why", "scores": scores})
    read = judge.declared_format.parse(reply, "stop", 2)
    criteria = (("Accuracy", (9.0, 1.0)), ("Tone", (9.0, 1.0)))
    assert read == Verdict((2.0, 7.0), None, "why", criteria)


@pytest.mark.parametrize(
    ("criteria", "message"),
    [
        ([{"name": "x", "text": ""}, {"name": "X", "text": ""}], "equal names"),
        ([{"name": "x", "text": "", "weight": 0}], "weight"),
        ([], "criteria"),
    ],
)
def test_a_rubric_that_counts_nothing_is_refused(criteria: list[Row], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        JudgeConfig.model_validate(BY_RUBRIC | {"rubric": {"criteria": criteria}})


def test_shares_sum_to_their_total() -> None:
    each = ReplyGrammar(think="none", at="whole", wrap="{n}={}", score="0..1 share", each=True)
    one = ReplyGrammar(think="none", at="whole", wrap="{}", score="1..6 share")
    assert parse(each, "1=0.333333333333333 2=0.666666666666667", "stop", 2) == Verdict(
        (0.333333333333333, 0.666666666666667), None, ""
    )
    assert isinstance(parse(each, "1=0.4 2=0.4", "stop", 2), Unparseable)
    assert parse(one, "5", "stop", 2) == Verdict((5.0, 2.0), None, "")


def test_judge_check_says_what_is_read_otherwise(tmp_path: Path) -> None:
    wrong = bundle_at(tmp_path / "mine", PUBLIC | {"reply": "<<B>>"})
    found = run_job(judge_job.main, ["check", wrong, "--hostile", "100"])
    assert found.exit_code == 2
    assert "transcript 1: expected {'choice': 'a'}, got {'choice': 'b'}" in found.error
    sound = run_job(judge_job.main, ["check", bundle_at(tmp_path / "mine"), "--hostile", "100"])
    assert sound.exit_code == 0
    assert sound.event("checked")["transcripts"] == {"https://example.org": 1}


def test_every_shipped_bundle_is_documented_data_alone() -> None:
    suffixes = {path.suffix for path in SHIPPED.rglob("*") if path.is_file()}
    assert suffixes == {".yaml", ".txt", ".jsonl", ".md"}
    assert all(load_bundle(name).declared.about.strip() for name in shipped_bundles())


def test_a_few_rows_are_judged_in_a_notebook() -> None:
    rows = [
        {"prompt": "Why?", "response_a": {"text": a}, "response_b": {"text": b}}
        for a, b in (("score=9", "score=2"), ("score=3", ""))
    ]
    config = {"engine": {"kind": "scripted"}, "judge": BY_RUBRIC | {"model": TINY}}
    good, bad = pipeline.judge(rows, config)
    assert (good["status"], good["preference"], len(good["votes"])) == ("labeled", "a", 2)
    assert (bad["status"], bad["reason"]) == ("quarantined", "bad_row")
    with pytest.raises(ConfigError, match=r"judge\.sampling\.temprature"):
        pipeline.judge(rows, {"judge": {"sampling": {"temprature": 1}}})
