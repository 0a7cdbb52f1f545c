"""Identity by content: what changes a judge, a shard, a pair, and what does not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.engines.model_version import folder_digest
from pipeline.judging import judge_cards as fingerprint
from pipeline.judging.judge_cards import judge_card, label_id
from pipeline.judging.judge_config import JudgeConfig
from pipeline.judging.prompts import load_prompt
from pipeline.pairs.pair_hash import Content, pair_hash
from pipeline.pairs.shards import shard_key
from pipeline.runtime.digest import digest
from tests.shards import pair, response

PARTS = st.lists(st.binary(max_size=6), max_size=4)


@given(PARTS, PARTS)
def test_parts_never_run_into_each_other(first: list[bytes], second: list[bytes]) -> None:
    assert (digest(*first) == digest(*second)) is (first == second)


def card(judge: JudgeConfig | None = None, version: str = "v") -> str:
    return str(judge_card(judge or JudgeConfig(), version, "vllm")["judge_id"])


@pytest.mark.parametrize(
    "change",
    [
        {"model": {"name": "other"}},
        {"model": {"dtype": "float16"}},
        {"model": {"args": {"kv_cache_dtype": "fp8"}}},
        {"sampling": {"temperature": 0.3}},
        {"sampling": {"reply_prefix": "<think>\n"}},
        {"media": {"max_pixels": 100_000}},
        {"votes": {"max_votes": 4}},
        {"votes": {"threshold": 0.9}},
        {"format": "pairwise_options"},
        {"candidates": "image"},
        {"media": {"video": {"fps": 2}}},
    ],
)
def test_every_setting_of_a_judge_is_part_of_it(change: dict[str, Any]) -> None:
    assert card(JudgeConfig.model_validate(change)) != card()


def test_model_version_parser_rendering_and_prompt_are_part_of_a_judge(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ids = [card(), card(version="w")]
    for name in ("PARSER_VERSION", "RENDERING_VERSION"):
        with monkeypatch.context() as patch:
            patch.setattr(fingerprint, name, "other")
            ids.append(card())
    prompt = load_prompt("pairwise_scores", "text")
    for part in ("system", "user", "answer"):
        changed = replace(prompt, **{part: getattr(prompt, part) + " "})
        with monkeypatch.context() as patch:
            patch.setattr(fingerprint, "load_prompt", lambda *_, prompt=changed: prompt)
            ids.append(card())
    assert len(set(ids)) == len(ids)


def test_a_judge_does_not_depend_on_the_order_of_its_arguments() -> None:
    args = {"a": 1, "b": {"c": 2, "d": 3}}
    turned = {"b": {"d": 3, "c": 2}, "a": 1}
    ids = {card(JudgeConfig.model_validate({"model": {"args": some}})) for some in (args, turned)}
    assert len(ids) == 1


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({}, True),
        (
            {
                "pair_id": "other",
                "gold": "a",
                "source": "s",
                "metadata": [{"key": "k", "value": "v"}],
            },
            True,
        ),
        ({"response_a": response("Answer 0, score=9", model="m")}, True),
        ({"prompt": "another"}, False),
        ({"prompt": None, "messages": [{"role": "user", "content": "hi"}]}, False),
        ({"response_a": response("another")}, False),
        (
            {
                "response_a": pair(0)["response_b"],
                "response_b": pair(0)["response_a"],
            },
            False,
        ),
    ],
)
def test_pair_hash_is_of_what_is_judged(change: dict[str, Any], same: bool) -> None:
    assert (hashed(pair(0) | change) == hashed(pair(0))) is same


def hashed(row: dict[str, Any], context: Content | None = None, *more: Content) -> str:
    """The hash of a pair of texts, with that context and those further candidates."""
    candidates = [Content(row[name]["text"]) for name in ("response_a", "response_b")]
    return pair_hash(row, [*candidates, *more], context or Content(None))


def test_pair_hash_is_of_every_medium_its_kind_place_and_order() -> None:
    one, two = b"one", b"two"
    contexts = [
        Content(None),
        Content(None, images=(one, two)),
        Content(None, images=(two, one)),
        Content(None, images=(one + two,)),
        Content(None, images=(one,)),
        Content(None, videos=(one,)),
    ]
    ids = [hashed(pair(0), context) for context in contexts]
    ids += [hashed(pair(0), None, Content(None, images=(one,))), hashed(pair(0), None, Content(""))]
    assert len(set(ids)) == len(ids)


def test_shard_key_is_of_path_size_and_content() -> None:
    keys = {shard_key("a", 1, "x"), shard_key("b", 1, "x"), shard_key("a", 2, "x")}
    assert len(keys | {shard_key("a", 1, "y")}) == 4
    assert shard_key("a", 1, "x")[:16] == shard_key("a", 2, "y")[:16] != shard_key("b", 1, "x")[:16]


def test_label_id_is_of_pair_and_judge() -> None:
    assert (
        len({label_id("p", "j"), label_id("q", "j"), label_id("p", "k"), label_id("j", "p")}) == 4
    )


def test_folder_digest_is_of_names_and_contents(tmp_path: Path) -> None:
    def make(name: str, **files: str) -> str:
        for file, text in files.items():
            path = tmp_path / name / file.replace("_", ".")
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        return folder_digest(tmp_path / name)

    base = make("base", model_bin="weights", config_json="{}")
    assert make("copy", config_json="{}", model_bin="weights") == base
    assert make("documented", config_json="{}", model_bin="weights", README_md="x") == base
    assert make("cached", config_json="{}", model_bin="weights", _cache="x") == base
    assert make("renamed", config_json="{}", weights_bin="weights") != base
    assert make("changed", config_json="{ }", model_bin="weights") != base
