"""The configurations that are shipped: all can be read, and those of one judge are one judge."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.judging.judge_cards import judge_card
from pipeline.judging.judge_identity import ModelVersion
from pipeline.lab.bench.engine_sweep import BASE, read_sweep
from pipeline.nightly.pipeline_config import PipelineConfig
from pipeline.runtime.config_file import load_config
from pipeline.runtime.errors import ConfigError

CONFIGS = Path("jobs/configs")
MACHINES = ("h200-bf16", "h200-fp8", "h100-80g", "a100-80g", "l40s", "cpu")
SWEEPS = {"bench-engine-cpu": "cpu", "bench-engine-gpu": "h200-bf16"}


def config_of(name: str, *overrides: str) -> PipelineConfig:
    return load_config(PipelineConfig, str(CONFIGS / f"{name}.yaml"), list(overrides))


def judge_of(name: str) -> str:
    config = config_of(name)
    return str(
        judge_card(config.judge, ModelVersion.named("weights"), config.engine.kind)["judge_id"]
    )


def test_machines_of_one_precision_share_a_judge() -> None:
    judges = {name: judge_of(name) for name in MACHINES}
    in_bf16 = {judges[name] for name in ("h200-bf16", "h100-80g", "a100-80g")}
    assert in_bf16 == {judge_of("flex-vl-7b")}
    assert judges["h200-fp8"] == judges["l40s"]
    assert len(set(judges.values())) == 3
    full = config_of("h200-bf16").judge.model_dump()
    full["model"]["quantization"] = "fp8"
    assert config_of("h200-fp8").judge.model_dump() == full


def test_the_configurations_of_other_judges_say_what_they_are_for() -> None:
    reward, rubric, server = map(config_of, ("reward", "rubric-qwen2.5-vl-7b", "endpoint"))
    found = [(c.judge.declared_format.family, c.engine.kind) for c in (reward, rubric, server)]
    assert found == [("reward", "vllm"), ("pair", "vllm"), ("pair", "openai")]
    assert rubric.judge.declared_format.criteria == ("Accuracy", "Completeness", "Clarity")
    assert (str(server.engine.endpoint.url), server.judge.rubric) == (
        "http://localhost:8000/v1",
        None,
    )


def test_the_cascade_is_of_the_judges_that_are_configured_alone() -> None:
    first, last = config_of("cascade").tiers
    assert first.judge == config_of("reward").judge
    assert last.judge == config_of("flex-vl-7b").judge


def test_the_nightly_configuration_has_the_default_judge_and_a_gate() -> None:
    nightly, base = config_of("nightly"), config_of("flex-vl-7b")
    assert judge_of("nightly") == judge_of("flex-vl-7b")
    for section in ("judge", "engine", "input", "workers", "policy"):
        assert getattr(nightly, section) == getattr(base, section)
    assert nightly.gate.active


@pytest.mark.parametrize(("sweep", "base"), SWEEPS.items())
def test_every_setting_of_a_sweep_changes_the_configuration(sweep: str, base: str) -> None:
    settings = read_sweep(str(CONFIGS / f"{sweep}.yaml"))
    assert BASE not in settings
    configs = [config_of(base), *(config_of(base, *each) for each in settings.values())]
    assert len({config.model_dump_json() for config in configs}) == len(settings) + 1


@pytest.mark.parametrize("text", ["- a=1", "name: a=1", "name: [1]", "name: [a", ""])
def test_what_is_no_sweep_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "sweep.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"sweep\.yaml"):
        read_sweep(str(path))
