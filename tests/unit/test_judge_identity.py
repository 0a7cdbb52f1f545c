"""A judge's identity: what moves it, and what does not because it changes no verdict."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pipeline.judging import judge_identity
from pipeline.judging.bundle_files import DECLARATION, SHIPPED
from pipeline.judging.judge_config import JudgeConfig, SamplingConfig
from pipeline.judging.judge_identity import (
    ModelVersion,
    canonical_form,
    changed_settings,
    judge_id_of,
)
from pipeline.lab.tiny_judge.asked_formats import FormatName, prompt_of

VIDEO = {"media": {"video": {"max_videos": 2}}}


def identity(
    change: Mapping[str, Any] | JudgeConfig | None = None, weights: str = "v", engine: str = "vllm"
) -> str:
    judge = change if isinstance(change, JudgeConfig) else JudgeConfig.model_validate(change or {})
    return judge_id_of(canonical_form(judge, ModelVersion.named(weights), engine))


@pytest.mark.parametrize(
    "change",
    [
        {"model": {"dtype": "float16"}},
        {"model": {"quantization": "fp8"}},
        {"model": {"max_model_len": 8_192}},
        {"model": {"args": {"kv_cache_dtype": "fp8"}}},
        {"sampling": {"temperature": 0.3}},
        {"sampling": {"temperature": 0}},
        {"sampling": {"top_p": 1}},
        {"sampling": {"max_tokens": 512}},
        {"sampling": {"reply_prefix": "<think>\n"}},
        {"media": {"max_pixels": 100_000}},
        {"media": {"max_bytes": 1_000}},
        {"format": "pairwise_options"},
        {"candidates": "image"},
        VIDEO,
    ],
)
def test_what_can_change_a_verdict_makes_another_judge(change: dict[str, Any]) -> None:
    assert identity(change) != identity()


@pytest.mark.parametrize(
    ("base", "change"),
    [
        ({}, {"model": {"name": "/another/folder"}}),
        ({}, {"model": {"revision": "main"}}),
        ({}, {"votes": {"max_votes": 10}}),
        ({}, {"votes": {"min_votes": 4, "threshold": 0.9, "prior": 2, "margin_scale": 1}}),
        ({}, {"sampling": {"temperature": 0.2}}),  # stated, as by default
        ({}, {"sampling": {"retry_temperature": 0.9}}),  # only greedy decoding would repeat itself
        ({}, {"media": {"video": {"fps": 2}}}),  # no row may have a video
    ],
)
def test_what_changes_no_verdict_makes_none(base: dict[str, Any], change: dict[str, Any]) -> None:
    assert identity(base | change) == identity(base)


@pytest.mark.parametrize(
    ("base", "change"),
    [
        ({"temperature": 0}, {"sampling": {"temperature": 0, "retry_temperature": 0.9}}),
        ({"temperature": 0.2}, {"media": {"video": {"max_videos": 2, "fps": 2}}}),
    ],
)
def test_what_has_an_effect_by_another_setting_counts(
    base: dict[str, Any], change: dict[str, Any]
) -> None:
    assert identity({"sampling": base} | VIDEO | change) != identity({"sampling": base} | VIDEO)


def test_weights_engine_and_each_text_of_the_prompt_count(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = [identity(), identity(weights="w"), identity(engine="transformers")]
    prompt = prompt_of("pairwise_scores", "text")
    for part in ("system", "user", "answer"):
        changed = dataclasses.replace(prompt, **{part: getattr(prompt, part) + " "})
        with monkeypatch.context() as patch:
            patch.setattr(JudgeConfig, "prompt_texts", changed)
            ids.append(identity())
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("changed", get_args(FormatName))
def test_a_format_has_a_grammar_of_its_own(changed: str, tmp_path: Path) -> None:
    """Another grammar of one format is another judge for that format alone."""
    folder = shutil.copytree(SHIPPED / "flex-vl", tmp_path / "mine")
    declared = yaml.safe_load((folder / DECLARATION).read_text(encoding="utf-8"))
    declared["formats"][changed]["reply"]["wrap"] = "<verdict>{}</verdict>"
    (folder / DECLARATION).write_text(yaml.safe_dump(declared, sort_keys=False), encoding="utf-8")
    names = get_args(FormatName)
    own = [identity({"format": name}) for name in names]
    mine = [identity({"format": name, "bundle": str(folder)}) for name in names]
    assert [name for name, x, y in zip(names, own, mine, strict=True) if x != y] == [changed]


class LaterSampling(SamplingConfig):
    """Of a later version, with one more setting."""

    min_p: float = 0.0


class Later(JudgeConfig):
    """Of that version."""

    sampling: LaterSampling = LaterSampling()
    glasses: bool = False


def test_a_new_setting_counts_where_it_is_not_neutral() -> None:
    assert identity(Later()) == identity()
    later = [Later(sampling=LaterSampling(min_p=0.1)), Later(glasses=True)]
    assert len({identity(), *(identity(each) for each in later)}) == 3


class Warmer(SamplingConfig):
    """Of a later version, with another default."""

    temperature: float = 1.0


class LaterDefault(JudgeConfig):
    """Of that version."""

    sampling: Warmer = Warmer()


def test_a_changed_default_moves_who_relies_on_it_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(judge_identity.FIRST_DEFAULTS, "sampling.temperature", 0.2)
    assert identity(LaterDefault()) == identity({"sampling": {"temperature": 1.0}})
    assert identity(LaterDefault(sampling=Warmer(temperature=0.2))) == identity()
    # A card from before that change says 0.2; one from before the setting says nothing.
    cards: list[dict[str, Any]] = [{"sampling": {"temperature": 0.2}}, {"sampling": {}}, {}]
    assert [changed_settings(stored, LaterDefault) for stored in cards] == [{}, {}, {}]


def test_a_setting_that_is_gone_counts_as_it_did(monkeypatch: pytest.MonkeyPatch) -> None:
    stored = {"sampling": {"beams": 4}}
    assert changed_settings(stored) == {"sampling.beams": 4}
    monkeypatch.setitem(judge_identity.FIRST_DEFAULTS, "sampling.beams", 4)
    assert changed_settings(stored) == {}


ARGUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3),
    lambda inner: st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.text(max_size=3), ARGUMENTS, max_size=3))
def test_engine_arguments_count_as_a_whole_in_any_order(arguments: dict[str, Any]) -> None:
    turned = dict(reversed(list(arguments.items())))
    assert identity({"model": {"args": turned}}) == identity({"model": {"args": arguments}})
    more = arguments | {"a new one": {}}
    assert identity({"model": {"args": more}}) != identity({"model": {"args": arguments}})


def test_a_dot_in_the_name_of_an_argument_is_no_section() -> None:
    ids = [identity({"model": {"args": args}}) for args in ({"a.b": 1}, {"a": {"b": 1}})]
    assert ids[0] != ids[1]
