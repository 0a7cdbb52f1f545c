"""Golden identities: literal ids that stored outputs carry, computed by commit bd695c2.

A test that fails here says that every stored label of the judges concerned would be judged again.
An id may change on purpose only: with a new prompt, parser, rendering or default.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from pipeline.aggregation.calibration import calibration_id
from pipeline.aggregation.policy import Rule, policy_id
from pipeline.engines.model_version import model_version
from pipeline.judging.judge_cards import judge_card, label_id
from pipeline.judging.judge_config import JudgeConfig
from pipeline.judging.votes import round_orders, vote_seed
from pipeline.pairs.pair_hash import Content, pair_hash
from pipeline.pairs.shards import shard_key
from pipeline.parts.part_keys import parts_prefix

CONFIGS = Path("jobs/configs")
COMMIT = "commit:" + "0" * 40
TINY_JUDGE = "sha256:0f0195143aeb0885b33d640b6f9f93acbc9f0581358ebde30d1933484830fc8e"
# Of the default judge with each format and kind of candidate: (judge id, hash of the prompt).
JUDGES = {
    ("pairwise_scores", "text"): (
        "02f623c9da993cd7cff9ae73a2f0a822f1e1b0583df4d79d4eee3f49bb55d92d",
        "c78ae0861848eadfca9d102c2fb8bd9366d88e133fae51a4cd251607a5bafa3d",
    ),
    ("pairwise_scores", "image"): (
        "f93194d0fc948653ae600e26ba0ab08d7c612bbeee93b48cfab446397bb99dbe",
        "fa2f7918f69378652f9a15cd7d8516ae31f9d718b182db37ad7ed82e116dfac0",
    ),
    ("pairwise_scores", "edit"): (
        "9363394fc0ce4e3a540e7deeb00e98ca4095aa5e46dec72530b753a1c6cbe74a",
        "c92c68e3d2323c1af4a1b7bca6eac914aa79e0f260795ba340dfcf5ea7234c62",
    ),
    ("pairwise_scores", "video"): (
        "39e56f86e75466bbe47e1d133484ec5deff932e9f2c67ee6edefc2bca13bc70a",
        "0e410c258d0dffd233aeb67cf38e342dbbe7841616137002927924aa46c58056",
    ),
    ("pairwise_options", "text"): (
        "127b707ee8b8b3dbb468e8a07536c63130d64c5a61b00694eea890586cf7e0c2",
        "b0cf4e27de6be5259325c8df27fb40b1d9b7d9da2197fc3ccde4d4aff57bd7e0",
    ),
    ("pairwise_options", "image"): (
        "54aec33d92f5228f8411d0695db4f8ca96ddf127c2d8a513486aae02f38f3103",
        "83080f5cd21972b15f476788b5aca865ccaec36a32751111c36976f192fb6016",
    ),
    ("pairwise_options", "edit"): (
        "2944f700e1967da6b3923c41ac67198c351d0da17b03cef9fdadc08acb5c04ec",
        "3058525439cac49c0d4e9d89cdeba5540cc692c19ef48a10d39ec987d2928892",
    ),
    ("pairwise_options", "video"): (
        "a8f1888b51485cc97f8770ee4b8663d094dc1e6979f537e7ee73aecefd724bb4",
        "b5423169a02429dbd92c6e345102cba38c0f764c34313f857877c23701128bc3",
    ),
    ("single_score", "text"): (
        "69a6fbfd23e53dc21c9d282f6b6c76c37d56b34436e65666ddaf194b06a54075",
        "7c4606f47febfa2bb1dcc6e1acb9eda8e75d77b304c9223ad7621ded4d1745cb",
    ),
    ("single_score", "image"): (
        "5b6ac552cbec1d3624e7fe8c0ec629385d27a62d649f26aa3ba6484c09357bb8",
        "6f8a08dd667debb762a3db4dae177607d53d51167283bfbce382bb7a849edd78",
    ),
    ("single_score", "edit"): (
        "3151af3ce0bb3791614ee33f2f32d13c6998f9977a517fef98d0560eff2f8a3f",
        "c09fa8957c5f03ade755ad582b9756c0c785c3bc8c8926a086fd58d1b47c7804",
    ),
    ("single_score", "video"): (
        "a31b7a87c3216db0124cf48b92019d7d2d2aca0773a2325a4cc2c68f2c670769",
        "09c39b8a5faf93bd1ba7c991edc024d0cdb617c2623c3ae30dbdee88933e172f",
    ),
    ("batch_ranking", "text"): (
        "7c290f9c609705a0ed5dc936f1f5d37434319862710b7d3576dd7b46f07b9168",
        "7eac1ccf0289d3e43588386df227aa2e1a2956eefafce1bca11834c776233901",
    ),
    ("batch_ranking", "image"): (
        "13542abe333ef426bc3bc7f1ac91cd19fddb5b428930362c55b9ee0fbc4dd65e",
        "5a34908e3818edf34249fe04090daabea5002435246ecfb813ea067f0aad4ee8",
    ),
    ("batch_ranking", "edit"): (
        "ce9051944248563f795ee997f80f85a5a8dc943aa6dc0fbf4a67295eb946765a",
        "5f6bdea66b1eedbfef79a7e05e9a90e52484f6578cbf909c7d79d606572c8f5e",
    ),
    ("batch_ranking", "video"): (
        "80d749df3382974f4aa97c8e39521d5d1fdfbb674b72f75e17584526bf28b19a",
        "f98154048e3558bc06239eea2d474ed5fa769798c3e1b4664d86077b251ae960",
    ),
}
# Of the configurations that are shipped, and both engines: (engine, file, judge id).
SHIPPED = [
    ("vllm", "cpu", "8edf5a701c5bfc2610e3cf185f84da69552d633c63687319222592cb9dfe33ee"),
    ("transformers", "cpu", "e5662f5334fdfc2dcdd8606f2d87b838e2523f3fbf360403a516cae44ada30f8"),
    ("vllm", "flex-vl-7b", "2806a02b41931f38719af65d54e7722ac2654847a22d3d044f663c7e03721019"),
    ("vllm", "nightly", "2806a02b41931f38719af65d54e7722ac2654847a22d3d044f663c7e03721019"),
    ("vllm", "h200-bf16", "2806a02b41931f38719af65d54e7722ac2654847a22d3d044f663c7e03721019"),
    ("vllm", "h200-fp8", "55f48a842d9caae7a260c56255001656f52c9a86e80641255a21d5fb9e589eb6"),
    ("vllm", "tiny-gpu", "ff1f1273bde5f3ec1ccba740594733659a12027d2483d460da9649294dd8edda"),
]


@pytest.mark.parametrize(("format_", "candidates"), JUDGES)
def test_judge_ids_and_prompt_hashes(format_: str, candidates: str) -> None:
    media = {"video": {"max_videos": 1}} if candidates == "video" else {}
    judge = JudgeConfig.model_validate(
        {"format": format_, "candidates": candidates, "media": media}
    )
    card = judge_card(judge, COMMIT, "vllm")
    assert (card["judge_id"], card["prompt_sha256"]) == JUDGES[format_, candidates]


@pytest.mark.parametrize(("engine", "name", "judge_id"), SHIPPED)
def test_judge_ids_of_the_shipped_configurations(engine: str, name: str, judge_id: str) -> None:
    settings = yaml.safe_load((CONFIGS / f"{name}.yaml").read_text(encoding="utf-8"))
    judge = JudgeConfig.model_validate(settings["judge"])
    version = model_version(judge.model) if judge.model.name == "tiny-judge" else COMMIT
    assert version in (TINY_JUDGE, COMMIT)
    assert judge_card(judge, version, engine)["judge_id"] == judge_id


def test_pair_hashes() -> None:
    pair = {"prompt": "What is shown? é", "messages": None}
    candidates = [Content("A cat."), Content("Ein Hund — größer.", images=(b"picture",))]
    context = Content(None, images=(b"one", b"two"), videos=(b"film",))
    assert pair_hash(pair, candidates, context) == (
        "50a640c869dddff9dc76eaefb7d8fb98ea640911c37673bbcf82a11db1a9c5c9"
    )
    turns = [("user", "hi"), ("assistant", "hello"), ("user", "who?")]
    messages = [{"role": role, "content": content} for role, content in turns]
    assert pair_hash({"prompt": None, "messages": messages}, [Content("x")], Content(None)) == (
        "1d6a29c2c9bf99aea5f3677184d60e614faa3277bb4344cc22eefe8f3dac721f"
    )


def test_shard_keys_and_the_folders_of_parts() -> None:
    key = shard_key("2026/pairs-00000.parquet", 1234, "etag")
    assert key == "0c3e925e1930357a0c02ec24b8851c35b4ddf53fd77d620f0bf322caca9ff830"
    assert parts_prefix("j" * 64, key) == (
        "parts/judge=jjjjjjjjjjjjjjjj/0c3e925e1930357a/0c02ec24b8851c35b4ddf53fd77d620f"
    )


def test_label_ids() -> None:
    assert label_id("p" * 64, "j" * 64) == (
        "0cb10c140086dbe79341904248386eb9860a89e9710a9886e11926418234e86e"
    )


def test_policy_and_calibration_ids() -> None:
    assert policy_id(Rule(), None) == (
        "5a34768409255f5f9646e0913a0b201008499abc11ac3eb3edfeae3d3274bfe1"
    )
    assert policy_id(Rule(undecided="tie", threshold=0.74, min_confidence=0.6), "c" * 64) == (
        "a388ff61d849002f3a510f72457fe46e0a61165f96cfb33818a88a0bc634060f"
    )
    assert calibration_id("j" * 64, (0.5, 1.25, 0.0), ((0.5, 0.5), (0.75, 0.7))) == (
        "d95e638bd017a3a197a5a22fca2075b947dea7014fecd0f380cd4afc3f31a52c"
    )


def test_vote_seeds_and_the_orders_of_later_rounds() -> None:
    seeds = [vote_seed("p" * 64, number) for number in (0, 1, 7)]
    assert seeds == [1541806874, 1317939093, 649719362]
    assert round_orders(4, 2, "p" * 64) == ("dbca", "acbd")
