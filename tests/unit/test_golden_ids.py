"""Golden identities: literal ids that stored outputs carry, those of commit bd695c2 and of today.

A test that fails here says that every stored label of the judges concerned would be judged again.
An id may change on purpose only: with a new prompt, grammar or default. Today's ids of judges were
computed by hand, of forms written by hand, and not by the code that they test.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.aggregation.calibration import calibration_id
from pipeline.aggregation.policy import Rule, policy_id
from pipeline.engines.engine_config import EngineConfig
from pipeline.engines.model_version import model_version
from pipeline.judging import judge_identity
from pipeline.judging.earlier_cards import earlier_form, earlier_id
from pipeline.judging.judge_cards import label_id
from pipeline.judging.judge_config import JudgeConfig, ModelConfig
from pipeline.judging.judge_identity import ModelVersion, canonical_form, judge_id_of
from pipeline.judging.votes import round_orders, vote_seed
from pipeline.pairs.shards import shard_key
from pipeline.parts.part_keys import parts_prefix
from pipeline.runtime.digest import digest
from tests.shards import hash_of, pair, response

CONFIGS = Path("jobs/configs")
COMMIT = "commit:" + "0" * 40
TINY_JUDGE = "sha256:5ca29819224037c34cceff335160674f76c5d7690a27497b4f81680a8a7186af"
# Its weights before it was taught that verdicts by letters name candidates by letters.
EARLIER_TINY_JUDGE = "sha256:0f0195143aeb0885b33d640b6f9f93acbc9f0581358ebde30d1933484830fc8e"
# The default of each setting of a judge when it was introduced, which its identity leaves out.
FIRST_DEFAULTS: dict[str, Any] = {
    "format": "pairwise_scores",
    "candidates": "text",
    "model": {
        "name": "jongwooko/Flex-VL-7B",
        "revision": None,
        "dtype": "auto",
        "quantization": None,
        "max_model_len": 16_384,
        "args": {},
    },
    "sampling": {
        "temperature": 0.2,
        "top_p": 0.95,
        "max_tokens": 4_096,
        "retry_temperature": 0.7,
        "reply_prefix": "",
    },
    "media": {
        "min_pixels": 3_136,
        "max_pixels": 1_003_520,
        "factor": 28,
        "max_images": 8,
        "max_bytes": 67_108_864,
        "max_decoded_pixels": 120_000_000,
        "video": {
            "fps": 1.0,
            "min_frames": 4,
            "max_frames": 16,
            "min_pixels": 3_136,
            "max_pixels": 200_704,
            "total_pixels": 3_211_264,
            "max_videos": 0,
            "max_seconds": 3_600.0,
            "max_source_frames": 216_000,
            "max_decoded_pixels": 20_000_000_000,
        },
    },
    "votes": {
        "min_votes": 2,
        "max_votes": 8,
        "prior": 1.0,
        "margin_scale": 0.0,
        "threshold": 0.74,
        "tie_threshold": 0.85,
    },
}
# Of settings that were introduced after bd695c2.
LATER_DEFAULTS: dict[str, Any] = {
    "model": {"env": {}},
    "bundle": "flex-vl",
    "media.square": None,
    "rubric": None,
    "prompt": {"system": None, "user": None, "answer": None},
    "allow_experimental": False,
    "sampling.constrained": False,
    "sampling.soft_votes": False,
    "votes.soft_weight": 1.0,
    "votes.stop": "threshold",
    "votes.price": None,
    "votes.budget_per_pair": None,
}
# Of the default judge with each format and kind of candidate: its id, the id that versions up to
# bd695c2 gave it, and the hash of its prompt.
JUDGES = {
    ("pairwise_scores", "text"): (
        "ed7736e5f95efb081498746ab439e18f3cfe450699e3601b6b2f8e29c240958a",
        "02f623c9da993cd7cff9ae73a2f0a822f1e1b0583df4d79d4eee3f49bb55d92d",
        "c78ae0861848eadfca9d102c2fb8bd9366d88e133fae51a4cd251607a5bafa3d",
    ),
    ("pairwise_scores", "image"): (
        "3f3bdeef1c7cd838e97868b941488301b60fd6768c659414f84dd8cbcd90e3a2",
        "f93194d0fc948653ae600e26ba0ab08d7c612bbeee93b48cfab446397bb99dbe",
        "fa2f7918f69378652f9a15cd7d8516ae31f9d718b182db37ad7ed82e116dfac0",
    ),
    ("pairwise_scores", "edit"): (
        "9bf05005495932aa26b53971292d5f0b54ac20db2fa0182599d5df1e09ef0d4d",
        "9363394fc0ce4e3a540e7deeb00e98ca4095aa5e46dec72530b753a1c6cbe74a",
        "c92c68e3d2323c1af4a1b7bca6eac914aa79e0f260795ba340dfcf5ea7234c62",
    ),
    ("pairwise_scores", "video"): (
        "a6748be98bba16454ecdc596efb1143a91fafd8e035c950edd4507a52678fde7",
        "39e56f86e75466bbe47e1d133484ec5deff932e9f2c67ee6edefc2bca13bc70a",
        "0e410c258d0dffd233aeb67cf38e342dbbe7841616137002927924aa46c58056",
    ),
    ("pairwise_options", "text"): (
        "17ab59b46c2b6b6c765ba228eef9ddb381540159659f47db6de113f449b7cae4",
        "127b707ee8b8b3dbb468e8a07536c63130d64c5a61b00694eea890586cf7e0c2",
        "c46d7f14e87c5bb53b8e341943f9073dc8684f8b59b0c395ddf0ea5bb95f8a80",
    ),
    ("pairwise_options", "image"): (
        "b4a9162bd89a5b1a1a24ab27c1a42ff019f2a5f9f74108276938a8119f6c07f7",
        "54aec33d92f5228f8411d0695db4f8ca96ddf127c2d8a513486aae02f38f3103",
        "8bfb1c31ce195fc65715fd6774fbd9f3ed1b2f42e74175a37121c1dd869b7e88",
    ),
    ("pairwise_options", "edit"): (
        "70d156a8832f47833168aa12f16c56345c75d6ce0f70e72db0bb33d0fab96267",
        "2944f700e1967da6b3923c41ac67198c351d0da17b03cef9fdadc08acb5c04ec",
        "7b6d7abd465dfbe4d6d404c760640ff6a1bcb36d471f4ec25c4865f137e9da04",
    ),
    ("pairwise_options", "video"): (
        "803e944ce81632f03fa7e9e5e078efcfde47bb2f807bfca73a070d126b670d39",
        "a8f1888b51485cc97f8770ee4b8663d094dc1e6979f537e7ee73aecefd724bb4",
        "a3768ec5d3412f4e59ab926469afe8f5e675b1a2195c1b2ffbea494def6ae821",
    ),
    ("single_score", "text"): (
        "592eb93d40b35dc749774e894c50eed66348a74aab6a950d82e35f762b6b782c",
        "69a6fbfd23e53dc21c9d282f6b6c76c37d56b34436e65666ddaf194b06a54075",
        "7c4606f47febfa2bb1dcc6e1acb9eda8e75d77b304c9223ad7621ded4d1745cb",
    ),
    ("single_score", "image"): (
        "31e93dabf8d6169c0db488893830f3aad1c98a1a455c290acde9416485eebb90",
        "5b6ac552cbec1d3624e7fe8c0ec629385d27a62d649f26aa3ba6484c09357bb8",
        "6f8a08dd667debb762a3db4dae177607d53d51167283bfbce382bb7a849edd78",
    ),
    ("single_score", "edit"): (
        "2c4469dbb279c43739586be01885a30b46c2a6c67f27a178eb3c3934873d511f",
        "3151af3ce0bb3791614ee33f2f32d13c6998f9977a517fef98d0560eff2f8a3f",
        "c09fa8957c5f03ade755ad582b9756c0c785c3bc8c8926a086fd58d1b47c7804",
    ),
    ("single_score", "video"): (
        "c1270892799d2f57ca86a895df5af57d4ac39ef2f4c33f3a33fa569fcda56f29",
        "a31b7a87c3216db0124cf48b92019d7d2d2aca0773a2325a4cc2c68f2c670769",
        "09c39b8a5faf93bd1ba7c991edc024d0cdb617c2623c3ae30dbdee88933e172f",
    ),
    ("batch_ranking", "text"): (
        "86515215e8d863a9f1e4a0674eafae32937377fc745ae74ca818d7be59aa295e",
        "7c290f9c609705a0ed5dc936f1f5d37434319862710b7d3576dd7b46f07b9168",
        "7eac1ccf0289d3e43588386df227aa2e1a2956eefafce1bca11834c776233901",
    ),
    ("batch_ranking", "image"): (
        "9a3637e423fe2f0c52016fb1e49ffbdad831ef70a6b1749b8591a5e3981c3774",
        "13542abe333ef426bc3bc7f1ac91cd19fddb5b428930362c55b9ee0fbc4dd65e",
        "5a34908e3818edf34249fe04090daabea5002435246ecfb813ea067f0aad4ee8",
    ),
    ("batch_ranking", "edit"): (
        "8528be1ea35287b01452b0b570afd121fe0ea313b77dbd95603a1a13ccf8c551",
        "ce9051944248563f795ee997f80f85a5a8dc943aa6dc0fbf4a67295eb946765a",
        "5f6bdea66b1eedbfef79a7e05e9a90e52484f6578cbf909c7d79d606572c8f5e",
    ),
    ("batch_ranking", "video"): (
        "04b0eae574c56ba375af547d849626edef50f578073a5eae2cd254e6bbe1c6a4",
        "80d749df3382974f4aa97c8e39521d5d1fdfbb674b72f75e17584526bf28b19a",
        "f98154048e3558bc06239eea2d474ed5fa769798c3e1b4664d86077b251ae960",
    ),
}
# The prompts of judges that choose options, by candidates, as bd695c2 had them: they named the
# candidates by numbers and the verdicts by letters. Those judges are others now.
EARLIER_OPTIONS = {
    "text": "b0cf4e27de6be5259325c8df27fb40b1d9b7d9da2197fc3ccde4d4aff57bd7e0",
    "image": "83080f5cd21972b15f476788b5aca865ccaec36a32751111c36976f192fb6016",
    "edit": "3058525439cac49c0d4e9d89cdeba5540cc692c19ef48a10d39ec987d2928892",
    "video": "b5423169a02429dbd92c6e345102cba38c0f764c34313f857877c23701128bc3",
}
# Of the configurations that are shipped, and both engines, in the same way: now and then.
SHIPPED = {
    ("vllm", "cpu"): (
        "c61487a80741d0cc4d409177be3d77bf0dd3f9f1ed3291b2bcea8c25ab510e01",
        "8edf5a701c5bfc2610e3cf185f84da69552d633c63687319222592cb9dfe33ee",
    ),
    ("transformers", "cpu"): (
        "07f72178720ea2bb96977f4edb1961e18aff8fb1c2d2430d98870dfd0a1cb5be",
        "e5662f5334fdfc2dcdd8606f2d87b838e2523f3fbf360403a516cae44ada30f8",
    ),
    ("vllm", "flex-vl-7b"): (
        "64c814c785f723961157e648beb41a5b3ca93e79d24f0d3db6e7abb554d46670",
        "2806a02b41931f38719af65d54e7722ac2654847a22d3d044f663c7e03721019",
    ),
    ("vllm", "nightly"): (
        "64c814c785f723961157e648beb41a5b3ca93e79d24f0d3db6e7abb554d46670",
        "2806a02b41931f38719af65d54e7722ac2654847a22d3d044f663c7e03721019",
    ),
    ("vllm", "h200-bf16"): (
        "64c814c785f723961157e648beb41a5b3ca93e79d24f0d3db6e7abb554d46670",
        "2806a02b41931f38719af65d54e7722ac2654847a22d3d044f663c7e03721019",
    ),
    ("vllm", "h200-fp8"): (
        "449349b0b007346652c3a14b624ff2c9f30ffeb3ed1d6dd4d3047875cbe8fc23",
        "55f48a842d9caae7a260c56255001656f52c9a86e80641255a21d5fb9e589eb6",
    ),
    ("vllm", "tiny-gpu"): (
        "768d22d3c9d0961f7c278c990e6c33c9d9dd621df84847f9b309b3c469788f5a",
        "ff1f1273bde5f3ec1ccba740594733659a12027d2483d460da9649294dd8edda",
    ),
}


def completed(change: dict[str, Any], first: dict[str, Any] = FIRST_DEFAULTS) -> dict[str, Any]:
    """The settings of a judge as bd695c2 stored them in its card."""
    found: dict[str, Any] = {}
    for name, default in first.items():
        if isinstance(default, dict) and default:
            found[name] = completed(change.get(name, {}), default)
        else:
            value = change.get(name, default)
            found[name] = float(value) if isinstance(default, float) else value
    return found


def earlier_card(settings: dict[str, Any], version: str, engine: str, prompt: str) -> Any:
    """A judge's card as bd695c2 wrote it."""
    card: dict[str, Any] = {
        "judge": settings,
        "model_version": version,
        "engine": engine,
        "prompt_sha256": prompt,
        "parser": "3",
        "rendering": "2",
    }
    return card | {"judge_id": digest(json.dumps(card, sort_keys=True))}


def check(change: dict[str, Any], version: str, engine: str, now: str, then: str) -> str:
    """The id of a judge now and then, and that the old one is recognised; its prompt's hash."""
    judge = JudgeConfig.model_validate(change)
    form = canonical_form(judge, ModelVersion.named(version), engine)
    options, tiny = judge.format == "pairwise_options", version == TINY_JUDGE
    prompt = EARLIER_OPTIONS[judge.candidates] if options else form["prompt"]
    weights = EARLIER_TINY_JUDGE if tiny else version
    card = earlier_card(completed(change), weights, engine, prompt)
    assert (judge_id_of(form), card["judge_id"], earlier_id(card)) == (now, then, then)
    assert (earlier_form(card) == form) is not (options or tiny)
    return str(form["prompt"])


@pytest.mark.parametrize(("format_", "candidates"), JUDGES)
def test_judge_ids_and_prompt_hashes(format_: str, candidates: str) -> None:
    now, then, prompt = JUDGES[format_, candidates]
    media = {"video": {"max_videos": 1}} if candidates == "video" else {}
    change = {"format": format_, "candidates": candidates, "media": media}
    assert check(change, COMMIT, "vllm", now, then) == prompt


@pytest.mark.parametrize(("engine", "name"), SHIPPED)
def test_judge_ids_of_the_shipped_configurations(engine: str, name: str) -> None:
    settings = yaml.safe_load((CONFIGS / f"{name}.yaml").read_text(encoding="utf-8"))
    tiny = settings["judge"]["model"]["name"] == "tiny-judge"
    check(settings["judge"], TINY_JUDGE if tiny else COMMIT, engine, *SHIPPED[engine, name])


def test_the_embedded_judge_is_its_content() -> None:
    assert model_version(ModelConfig(name="tiny-judge"), EngineConfig()).digest == TINY_JUDGE


def test_an_id_is_a_digest_of_what_can_change_a_verdict() -> None:
    form = (
        '{"engine": "vllm", "grammar": "pairwise_scores/3", '
        f'"prompt": "{JUDGES["pairwise_scores", "text"][2]}", '
        '"settings": {"media.video.max_videos": 2, "model.dtype": "bfloat16", '
        f'"model.quantization": "fp8"}}, "weights": "{COMMIT}"}}'
    )
    parts = [part.encode() for part in ("judge", form)]
    data = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
    assert hashlib.sha256(data).hexdigest() == SHIPPED["vllm", "h200-fp8"][0]


def test_first_defaults_are_as_they_were_introduced() -> None:
    """A default that changes must enter FIRST_DEFAULTS, and a new setting this file."""
    now = by_path(JudgeConfig().model_dump(mode="json")) | judge_identity.FIRST_DEFAULTS
    assert now == by_path(FIRST_DEFAULTS) | by_path(LATER_DEFAULTS)


def by_path(settings: dict[str, Any], above: str = "") -> dict[str, Any]:
    """The settings of all sections by dotted names."""
    found: dict[str, Any] = {}
    for name, value in settings.items():
        path = f"{above}{name}"
        found |= by_path(value, f"{path}.") if isinstance(value, dict) and value else {path: value}
    return found


def test_pair_hashes() -> None:
    shown = {"images": [inline(b"one"), inline(b"two")], "videos": [inline(b"film")]}
    answers = {
        "response_a": response("A cat."),
        "response_b": response("Ein Hund — größer.", images=[inline(b"picture")]),
    }
    first = pair(0, prompt="What is shown? é", **shown, **answers)
    assert hash_of(first) == "50a640c869dddff9dc76eaefb7d8fb98ea640911c37673bbcf82a11db1a9c5c9"
    turns = [("user", "hi"), ("assistant", "hello"), ("user", "who?")]
    second = pair(0, prompt=None, images=None, candidates=[response("x")]) | {
        "messages": [{"role": role, "content": content} for role, content in turns]
    }
    assert hash_of(second) == "1d6a29c2c9bf99aea5f3677184d60e614faa3277bb4344cc22eefe8f3dac721f"


@pytest.mark.parametrize(
    ("change", "hashed"),
    [
        (
            {"prompt": "<image>\nWho?", "images": [{"bytes": b"one", "path": None}]},
            "00085cb80b119f317fcc93701b1f42ca523715d4512bbf7c457491458a0638fe",
        ),
        (
            {"prompt": None, "messages": [{"role": "user", "content": "Who?"}], "images": None},
            "2215a6c0f6da2d72cedbca9de457ceb9d1cdee267869940c1201f15ce036e8ca",
        ),
        (
            {
                "prompt": "Who?",
                "images": None,
                "response_a": response("", images=[{"bytes": b"one", "path": None}]),
                "response_b": response("x\n<image>", images=[{"bytes": b"two", "path": None}]),
            },
            "59a188899c77f45bf322329241683cc92f297604c1d3029499c2f48d331dcf93",
        ),
    ],
)
def test_pair_hashes_of_what_pairs_v2_states_otherwise(change: dict[str, Any], hashed: str) -> None:
    assert hash_of(pair(0) | change) == hashed


def inline(data: bytes) -> dict[str, Any]:
    return {"bytes": data, "path": None}


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
    # Of RULE_VERSION 2: ties are for neither side. A policy's id concerns labels and no vote: those
    # under an earlier one are derived again, and nothing is judged.
    assert policy_id(Rule(), None) == (
        "73bec3b50e328cf824751a4c90dd35b9d89374e2a2f1da742f7ff93a808d80ed"
    )
    assert policy_id(Rule(undecided="tie", threshold=0.74, min_confidence=0.6), "c" * 64) == (
        "b7c510b2002d39513f8e166269166dc9bc5440fd0c1e94eaa8c03d86f0bd8d8e"
    )
    assert calibration_id("j" * 64, (0.5, 1.25, 0.0), ((0.5, 0.5), (0.75, 0.7))) == (
        "d95e638bd017a3a197a5a22fca2075b947dea7014fecd0f380cd4afc3f31a52c"
    )


def test_vote_seeds_and_the_orders_of_later_rounds() -> None:
    seeds = [vote_seed("p" * 64, number) for number in (0, 1, 7)]
    assert seeds == [1541806874, 1317939093, 649719362]
    assert round_orders(4, 2, "p" * 64) == ("dbca", "acbd")
