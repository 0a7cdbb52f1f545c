"""Reward models as judges, on the scripted engine: one vote of two scores, and its label."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pipeline.aggregation.calibration import Calibration
from pipeline.aggregation.calibration_fit import GoldVotes, fit_calibration
from pipeline.aggregation.decisions import decide
from pipeline.aggregation.labeler import Labeler
from pipeline.aggregation.policy import PolicyConfig, Rule, policy_id
from pipeline.aggregation.reachable import check_reachable
from pipeline.aggregation.tie_band import TieBand, fit_tie_band
from pipeline.engines.engine import Chat, Rendered, Score
from pipeline.engines.engine_config import EngineConfig
from pipeline.engines.engine_registry import check_engine
from pipeline.evaluation.pair_measures import first_slot
from pipeline.judging.judge_config import JudgeConfig
from pipeline.judging.judge_identity import ModelVersion, canonical_form, judge_id_of
from pipeline.judging.votes import Vote
from pipeline.runtime.errors import ConfigError
from schemas.contract import table_of
from schemas.labels import LABELS, VERDICT
from tests.judging import JUDGE_ID, Row, judge_rows, scripted, text_pair
from tests.shards import read

REWARD: Row = {"bundle": "skywork-vl-reward"}
JUDGE = JudgeConfig.model_validate(REWARD)
BY_SIGN = PolicyConfig(tie_band=0)


def _label(row: Row | None = None, policy: PolicyConfig = BY_SIGN, **more: Any) -> Row:
    judge, _ = scripted(judge=REWARD, labeler=Labeler.of(JUDGE, policy), **more)
    (label,) = judge_rows(judge, [row or text_pair(0)])
    assert table_of([label], LABELS).num_rows == 1
    return label


def _vote(margin: float) -> Vote:
    return Vote(order="", seed=0, outcome=VERDICT, scores=(margin, 0.0))


def _decided(margin: float, rule: Rule, calibration: Calibration | None = None) -> tuple[Any, ...]:
    found = decide(JUDGE.declared_format, [_vote(margin)], rule, calibration)
    return str(found.status), found.preference, found.confidence


def test_one_vote_a_pair_holds_both_scores_and_no_order() -> None:
    label = _label()
    assert (label["status"], label["preference"], label["n_votes"]) == ("labeled", "a", 1)
    assert (label["scores"], label["margin"], label["p_a"], label["p_a_raw"]) == (
        [9, 2],
        7,
        None,
        1,
    )
    assert (label["confidence"], label["position_consistent"], label["rationale"]) == (None,) * 3
    (vote,) = label["votes"]
    assert (vote["order"], vote["score_a"], vote["score_b"], vote["choice"]) == ("", 9, 2, "a")
    assert (vote["output_tokens"], vote["finish_reason"]) == (0, None)
    assert Vote.from_row(vote).scores == (9, 2)
    assert first_slot([Vote.from_row(vote)]) == (0, 0)


def test_each_answer_is_the_assistants_turn_and_nothing_else_differs() -> None:
    judge, _ = scripted(judge=REWARD)
    prompts = judge.prepare(read(text_pair(0))).prompts
    assert list(prompts) == ["a", "b"]
    chats = [prompt.chat for prompt in prompts.values()]
    assert [(c.system, c.user, c.answer) for c in chats] == [
        (None, "Question 0? ", "Answer 0, score=9"),
        (None, "Question 0? ", "Reply 0, score=2"),
    ]


def test_a_head_of_tokens_is_asked_about_one_answer_in_the_users_turn() -> None:
    judge, _ = scripted(judge={"bundle": "from-token"})
    chat = judge.prepare(read(text_pair(0))).prompts["b"].chat
    assert chat.answer is None
    assert "Reply 0, score=2" in chat.user
    assert "Answer 0" not in chat.user
    assert judge.config.declared_format.declared.head_tokens == ("No", "Yes")


def test_the_second_candidate_waits_for_the_score_of_the_first() -> None:
    judge, engine = scripted(judge=REWARD)
    events: list[str] = []
    score = engine.score

    async def recorded(request_id: str, prompt: Rendered) -> Score:
        chat: Chat = prompt.chat
        events.append(f"begin {chat.answer}")
        found = await score(request_id, prompt)
        events.append(f"end {chat.answer}")
        return found

    engine.score = recorded  # type: ignore[method-assign]
    judge_rows(judge, [text_pair(0)])
    first, second = "Answer 0, score=9", "Reply 0, score=2"
    assert events == [f"begin {first}", f"end {first}", f"begin {second}", f"end {second}"]


def test_without_a_calibration_or_a_band_nothing_is_decided() -> None:
    label = _label(policy=PolicyConfig())
    assert (label["status"], label["preference"], label["margin"]) == ("abstained", None, 7)
    assert _label(policy=PolicyConfig(undecided="tie"))["status"] == "tie"


def test_a_score_that_does_not_come_is_asked_for_again_and_then_quarantines() -> None:
    never = {"faults": {"MARK": "hang"}}
    label = _label(text_pair(0, "MARK"), script=never, request_timeout_s=0.05)
    assert (label["status"], label["reason"], label["n_votes"]) == ("quarantined", "timeout", 8)
    healed = _label(text_pair(0, "MARK"), script=never | {"heal_after": 1}, request_timeout_s=0.05)
    assert (healed["status"], healed["n_votes"]) == ("labeled", 2)


def test_a_pair_of_pictures_is_not_shown_to_a_judge_of_texts() -> None:
    judge, _ = scripted(judge={"bundle": "skywork-reward-v2"})
    row = text_pair(0, images=[{"bytes": b"x", "path": None}])
    (label,) = judge_rows(judge, [row])
    assert (label["status"], label["reason"]) == ("quarantined", "bad_row")
    assert "does not show" in label["detail"]


def test_a_band_makes_ties_and_min_confidence_needs_a_calibration() -> None:
    assert _decided(0.4, Rule(tie_band=0.5)) == ("tie", None, None)
    assert _decided(-0.6, Rule(tie_band=0.5)) == ("labeled", "b", None)
    assert _decided(0.0, Rule(tie_band=0.0)) == ("tie", None, None)
    with pytest.raises(ConfigError, match="before it is calibrated"):
        check_reachable(JUDGE, PolicyConfig(min_confidence=0.6), calibrated=False)
    check_reachable(JUDGE, PolicyConfig(min_confidence=0.99), calibrated=True)


def _gold(rng: np.random.Generator, count: int) -> list[GoldVotes]:
    """Pairs whose true margin makes people's answers, ties among them; scores add an offset."""
    pairs = []
    for number in range(count):
        margin = float(rng.normal(0, 2))
        tie = abs(margin) < 0.7
        gold = 0.5 if tie else float(rng.random() < 1 / (1 + np.exp(-2 * margin)))
        vote = _vote(margin)
        pairs.append(GoldVotes(f"h{number}", number, [vote], float(margin > 0), gold, "a"))
    return pairs


def test_calibration_fits_a_scale_and_a_band_and_treats_the_sides_alike() -> None:
    pairs = _gold(np.random.default_rng(0), 400)
    fitted = fit_calibration(pairs, JUDGE_ID, "gold", "platt", scores=True)
    assert fitted.tie_band is not None
    assert 0.6 < fitted.tie_band.margin < 0.8
    assert fitted.tie_band.ties == 1
    assert fitted.weights[1:] == (0, 0)
    assert fitted.weights[0] > 0
    assert fitted.figures["labels_right"] > fitted.figures["labels_right_by_sign"] + 0.15
    assert fitted.p_a([_vote(2.0)]) == 1 - fitted.p_a([_vote(-2.0)]) > 0.9
    assert _decided(0.3, Rule(), fitted) == ("tie", None, 1.0)
    status, preference, confidence = _decided(-2.0, Rule(), fitted)
    assert (status, preference) == ("labeled", "b")
    assert confidence == fitted.p_a([_vote(2.0)])
    assert _decided(-1.0, Rule(min_confidence=0.99), fitted)[0] == "abstained"
    assert Calibration.model_validate(fitted.model_dump(mode="json")) == fitted


@pytest.mark.parametrize(
    ("margins", "gold", "band"),
    [
        ([1, -2, 3], [1, 0, 1], TieBand(margin=0, ties=0)),
        ([0.1, -0.2, 3], [0.5, 0.5, 1], TieBand(margin=0.2, ties=1)),
        ([0.1, -0.1, 0.1, 3], [0.5, 0.5, 1, 1], TieBand(margin=0.1, ties=2 / 3)),
        ([0, 0, 2], [0.5, 1, 1], TieBand(margin=0, ties=0.5)),
    ],
)
def test_the_narrowest_band_that_labels_most_gold_pairs_right(
    margins: list[float], gold: list[float], band: TieBand
) -> None:
    assert fit_tie_band(np.array(margins, float), np.array(gold, float)) == band


def test_a_policy_without_a_band_is_the_policy_that_it_was() -> None:
    assert policy_id(Rule(), None) != policy_id(Rule(tie_band=0.0), None)
    assert policy_id(Rule(tie_band=1.0), None) != policy_id(Rule(tie_band=0.0), None)


def _id(judge: Row) -> str:
    config = JudgeConfig.model_validate(judge)
    return judge_id_of(canonical_form(config, ModelVersion.named("m"), "vllm"))


def test_nothing_of_sampling_is_part_of_a_reward_judge() -> None:
    assert _id(REWARD) == _id(REWARD | {"sampling": {"temperature": 0, "max_tokens": 16}})
    assert _id(REWARD) != _id({"bundle": "from-token"})
    long = REWARD | {"model": {"max_model_len": 1024}, "sampling": {"max_tokens": 2048}}
    assert JudgeConfig.model_validate(long).most_prompt_tokens == 1024


def test_an_engine_that_cannot_score_is_refused_before_it_starts() -> None:
    served = EngineConfig.model_validate(
        {"kind": "openai", "endpoint": {"url": "http://judge:8000/v1"}}
    )
    with pytest.raises(ConfigError, match="runs no reward models"):
        check_engine(JUDGE, served)


def test_candidates_asked_about_apart_have_no_first_slot() -> None:
    """They are stored with one order, in which neither was shown before the other."""
    apart = [Vote(order="ab", seed=n, outcome=VERDICT, scores=(4.0, 2.0)) for n in range(2)]
    assert first_slot(apart) == (0, 0)
    assert first_slot([*apart, Vote(order="ba", seed=2, outcome=VERDICT, scores=(4.0, 2.0))]) == (
        2,
        3,
    )
