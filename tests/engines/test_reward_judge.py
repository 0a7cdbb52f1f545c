"""The tiny reward judge in vLLM's pooling runner: its scores, and what it decides by them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import pytest

from jobs.demo import CONFIG
from pipeline.engines.chat_layout import ChatRenderer
from pipeline.engines.engine import (
    TINY_JUDGE,
    TINY_REWARD_JUDGE,
    Chat,
    Rendered,
    Scalar,
    Score,
    model_path,
)
from pipeline.engines.engine_config import EngineConfig
from pipeline.engines.engine_registry import start_scorer
from pipeline.engines.reward_checkpoint import RewardCheckpoint
from pipeline.lab.tiny_judge.blind_controls import blank
from pipeline.lab.tiny_judge.scene_corpus import scene_cases, scene_rows
from pipeline.labeling.label_config import LabelConfig
from pipeline.pairs.contents import text_of, text_part
from pipeline.runtime.config_file import load_config
from pipeline.runtime.errors import EngineStartError
from tests.engines.conftest import MEDIA, TinyJudge
from tests.engines.test_vllm_engine import HOSTILE
from tests.shards import asking

pytestmark = pytest.mark.engine
TEXTS = "pairwise_scores/text"
REWARD = (
    "judge.bundle=skywork-vl-reward",
    f"judge.model.name={TINY_REWARD_JUDGE}",
    "policy.tie_band=0",
)


def _config() -> LabelConfig:
    return load_config(LabelConfig, str(CONFIG), [*MEDIA, *REWARD])


@pytest.fixture(scope="module")
def reward(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TinyJudge]:
    judge = TinyJudge(_config(), tmp_path_factory.mktemp("media"))
    yield judge
    judge.close()


def _scores(reward: TinyJudge, prompts: list[Rendered]) -> list[Score]:
    scorer = reward.scorer
    return [reward.run(scorer.score(f"s{n}", prompt)) for n, prompt in enumerate(prompts)]


def test_it_orders_answers_about_held_out_scenes(reward: TinyJudge) -> None:
    cases = scene_cases(150, 21, TEXTS)  # thirty of each context
    labels = reward.labels([row for _, row in cases])
    hits: dict[str, list[bool]] = defaultdict(list)
    for (case, row), label in zip(cases, labels, strict=True):
        if row["gold"] != "tie":
            hits[case.about].append(label["preference"] == row["gold"])
    assert {about for about, each in hits.items() if sum(each) < 0.9 * len(each)} == set()
    every = [hit for each in hits.values() for hit in each]
    assert sum(every) >= 0.97 * len(every)
    assert {label["n_votes"] for label in labels} == {1}


def test_it_is_at_chance_where_pictures_are_blank(reward: TinyJudge) -> None:
    rows = [row for row in scene_rows(120, 22, f"{TEXTS}/picture") if row["gold"] != "tie"]
    labels = reward.labels(blank(rows))
    right = sum(label["preference"] == row["gold"] for row, label in zip(rows, labels, strict=True))
    assert 0.35 < right / len(rows) < 0.65


def test_scores_are_those_of_transformers(reward: TinyJudge) -> None:
    rows = scene_rows(5, 23, TEXTS)
    prepared = [reward.judge.prepare(row | {"defect": None}) for row in rows]
    prompts = [prompt for each in prepared for prompt in each.prompts.values()]
    reference = start_scorer(reward.config.judge, EngineConfig(kind="transformers"))
    expected = [reward.run(reference.score("", prompt)).value for prompt in prompts]
    got = _scores(reward, prompts)
    assert [score.value for score in got] == pytest.approx(expected, abs=1e-3)
    assert [score.prompt_tokens for score in got] == [prompt.length for prompt in prompts]
    assert {prompt.chat.clips != () for prompt in prompts} == {True, False}


def test_the_second_candidate_finds_the_question_in_the_prefix_cache(reward: TinyJudge) -> None:
    row = scene_rows(1, 24)[0]
    asked = text_of(row["messages"][0]["content"])
    long = asking(row, f"{'Look well. ' * 80}{asked}")
    (vote,) = reward.labels([long])[0]["votes"]
    block = 128  # tokens: vLLM caches whole blocks only
    shared = vote["prompt_tokens"] // 2 // block * block
    assert vote["cached_tokens"] == shared >= block


def test_hostile_answers_are_text(reward: TinyJudge) -> None:
    from transformers import AutoTokenizer

    row = scene_rows(1, 25)[0]
    first, second = row["candidates"]
    hostile = row | {"candidates": [first | {"content": [text_part(HOSTILE)]}, second]}
    plain, changed = (
        reward.judge.prepare(each | {"defect": None}).prompts["a"] for each in (row, hostile)
    )
    special = set(AutoTokenizer.from_pretrained(model_path(TINY_REWARD_JUDGE)).all_special_ids)
    framing = [token for token in plain.token_ids if token in special]
    assert [token for token in changed.token_ids if token in special] == framing
    assert reward.labels([hostile])[0]["status"] == "labeled"


def test_a_score_that_transformers_does_not_give_stops_the_engine(reward: TinyJudge) -> None:
    model = reward.config.judge.model
    checkpoint = RewardCheckpoint(model, Scalar())
    probes = checkpoint.probes(ChatRenderer(reward.config.judge))
    prompts = [Rendered(tuple(ids), len(ids), Chat(None, ())) for ids in probes]
    scores = [score.value for score in _scores(reward, prompts)]
    checkpoint.check(scores, probes)
    with pytest.raises(EngineStartError, match="the engine scores a probe with"):
        checkpoint.check([*scores[:2], scores[2] + 0.002], probes)
    without = model.model_copy(update={"name": TINY_JUDGE})
    judge = reward.config.judge.model_copy(update={"model": without})
    with pytest.raises(EngineStartError, match=r"no tensor language_model\.score\.weight"):
        start_scorer(judge, reward.config.engine)
