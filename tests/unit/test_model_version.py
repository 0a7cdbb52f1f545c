"""A fingerprint names the weights that will really run."""

from __future__ import annotations

from pathlib import Path

import pytest
from huggingface_hub import constants

from pipeline.engines.model_version import model_version
from pipeline.judging.judge_config import ModelConfig
from pipeline.runtime.errors import ConfigError

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache of a machine that cannot reach the hub, with one model in it."""
    model = tmp_path / "models--team--judge"
    (model / "refs").mkdir(parents=True)
    (model / "refs" / "main").write_text(COMMIT)
    (model / "snapshots" / COMMIT).mkdir(parents=True)
    (model / "snapshots" / COMMIT / "config.json").write_text("{}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path


def test_a_pinned_commit_is_taken_at_its_word() -> None:
    pinned = ModelConfig(name="team/elsewhere", revision=COMMIT)
    assert model_version(pinned) == f"commit:{COMMIT}"


def test_a_branch_becomes_the_commit_that_it_points_to(hub: Path) -> None:
    assert model_version(ModelConfig(name="team/judge")) == f"commit:{COMMIT}"


def test_an_unknown_commit_is_an_error_that_says_what_to_do(hub: Path) -> None:
    with pytest.raises(ConfigError, match=r"team/other.*pin judge\.model\.revision"):
        model_version(ModelConfig(name="team/other"))


def test_a_folder_is_its_content(tmp_path: Path) -> None:
    for name in ("one", "same", "changed"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text("{}")
        (tmp_path / name / "model.safetensors").write_bytes(b"1" if name == "changed" else b"0")
        (tmp_path / name / "README.md").write_text(f"documentation of {name}")
    versions = [
        model_version(ModelConfig(name=str(tmp_path / name))) for name in ("one", "same", "changed")
    ]
    assert versions[0] == versions[1] != versions[2]


@pytest.mark.parametrize("name", ["/no/such/folder", "./nowhere"])
def test_a_missing_folder_is_named(name: str) -> None:
    with pytest.raises(ConfigError, match="there is no folder"):
        model_version(ModelConfig(name=name))


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no config\.json"):
        model_version(ModelConfig(name=str(tmp_path)))
