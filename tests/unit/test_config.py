"""The configuration: what is refused, and how overrides are laid on top of a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from pipeline.engines.engine_config import EngineConfig
from pipeline.judging.judge_config import JudgeConfig
from pipeline.labeling.label_config import LabelConfig, WorkersConfig
from pipeline.media.media_config import MediaConfig
from pipeline.runtime.config_file import load_config
from pipeline.runtime.errors import ConfigError


def write(folder: Path, text: str) -> str:
    path = folder / "config.yaml"
    path.write_bytes(text.encode("latin-1"))
    return str(path)


@pytest.mark.parametrize("text", ["", "# nothing\n", "{}"])
def test_an_empty_file_means_the_defaults(tmp_path: Path, text: str) -> None:
    assert load_config(LabelConfig, write(tmp_path, text), []) == LabelConfig()


def test_overrides_win_over_the_file_and_are_yaml(tmp_path: Path) -> None:
    path = write(tmp_path, "judge: {sampling: {temperature: 1, top_p: 0.5}}\n")
    config = load_config(
        LabelConfig,
        path,
        [
            "judge.sampling.temperature=0",
            "input.media_roots=[/a, s3://b/c]",
            "judge.model.revision=null",
            "engine.args.gpu_memory_utilization=0.5",
            "judge.model.name=a=b",
        ],
    )
    assert (config.judge.sampling.temperature, config.judge.sampling.top_p) == (0, 0.5)
    assert config.input.media_roots == ("/a", "s3://b/c")
    assert config.judge.model.revision is None
    assert config.engine.args == {"gpu_memory_utilization": 0.5}
    assert config.judge.model.name == "a=b"


@pytest.mark.parametrize(
    ("text", "overrides", "message"),
    [
        ("judge: [", [], "cannot read configuration"),
        ("\xff\xfe", [], "cannot read configuration"),
        ("- 1", [], "expected a mapping, got list"),
        ("jugde: {}", [], r"jugde: there is no such setting; did you mean judge\?"),
        ("workers: {max: many}", [], "workers.max: got 'many', expected"),
        ("judge: {sampling: {temperature: -1}}", [], "judge.sampling.temperature"),
        ("", ["temperature"], "expected key.path=value"),
        ("", ["=1"], "expected key.path=value"),
        ("progress_seconds: 5", ["progress_seconds.x=1"], "'progress_seconds' is not a section"),
        ("cascade: [{}]", ["cascade.side_by_side=true"], r"'cascade' is a list .* {judges: "),
        ("", ["judge.model.name=["], "the value is not YAML"),
    ],
)
def test_what_cannot_be_used(tmp_path: Path, text: str, overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(LabelConfig, write(tmp_path, text), overrides)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml.*No such file"):
        load_config(LabelConfig, str(tmp_path / "nowhere.yaml"), [])


@pytest.mark.parametrize(
    "name",
    [
        "dtype",
        "max_model_len",
        "trust_remote_code",
        "tokenizer_mode",
        "config_format",
        "worker_cls",
    ],
)
def test_arguments_that_change_verdicts_belong_to_the_judge(name: str) -> None:
    with pytest.raises(ValidationError, match=f"'{name}'.*judge.model"):
        EngineConfig(args={name: 1})


def test_variables_that_change_verdicts_belong_to_the_judge() -> None:
    assert EngineConfig(env={"VLLM_CPU_KVCACHE_SPACE": "4", "OMP_NUM_THREADS": "1"}).env
    with pytest.raises(ValidationError, match=r"'VLLM_PLUGINS'.*judge.model.env"):
        EngineConfig(env={"VLLM_PLUGINS": "mine"})


@pytest.mark.parametrize(
    ("model", "values"),
    [
        (MediaConfig, {"min_pixels": 100, "max_pixels": 99}),
        (WorkersConfig, {"min": 2, "max": 1}),
        (LabelConfig, {"engine": {"tensor_parallel_size": 2}}),
        (JudgeConfig, {"model": {"max_model_len": 4096}, "sampling": {"max_tokens": 4096}}),
        (JudgeConfig, {"votes": {"max_votes": 1}}),  # both orders need one
    ],
)
def test_settings_that_contradict_each_other(model: type[Any], values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        model.model_validate(values)


def test_a_configuration_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        LabelConfig().judge.votes.max_votes = 9  # type: ignore[misc]
