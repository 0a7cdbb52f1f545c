"""Which commit of a hub model a run takes: what is given, or what the output's judge has."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.judging.judge_cards import KnownJudge, write_card
from pipeline.labeling.known_judge import known_judge
from pipeline.labeling.label_config import LabelConfig
from pipeline.runtime.errors import ConfigError
from pipeline.store.object_store import Store
from tests.hub_client import use_hub
from tests.model_hub import COMMIT, ModelHub, model_hub

NAME = "team/judge"
FILES = {"config.json": b"{}", "model.safetensors": b"weights"}
ANOTHER = "f" * 40


@pytest.fixture
def output(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "out"))


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelHub]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with model_hub(ModelHub({NAME: FILES})) as served:
        use_hub(monkeypatch, served.url, tmp_path / "hf")
        yield served


def judge(output: Store, revision: str | None = None) -> tuple[str | None, KnownJudge, list[str]]:
    """The commit, the judge and what was noted."""
    model = {"name": NAME, "revision": revision}
    config = LabelConfig.model_validate({"judge": {"model": model}})
    notes: list[str] = []
    pinned, known = known_judge(config, output, notes.append)
    return pinned.judge.model.revision, known, notes


def test_the_first_run_takes_the_newest_and_its_card_keeps_it(hub: ModelHub, output: Store) -> None:
    commit, known, notes = judge(output)
    assert (commit, known.card["judge"]["model"]["revision"]) == (COMMIT, COMMIT)
    assert notes == [f"judge.model.revision is not set: {NAME} at {COMMIT[:12]}, the newest"]
    write_card(output, known.card)
    again, same, notes = judge(output)
    assert (again, same.judge_id) == (COMMIT, known.judge_id)
    assert notes == [
        f"judge.model.revision is not set: {NAME} at {COMMIT[:12]}, as the output's judge has it; "
        "set it to take another commit"
    ]


def test_a_newer_commit_is_not_even_asked_for(hub: ModelHub, output: Store) -> None:
    _, known, _ = judge(output, COMMIT)
    write_card(output, known.card | {"model_version": f"commit:{ANOTHER}"})
    hub.models = {}
    hub.asked.clear()
    commit, _, _ = judge(output)  # the hub has nothing of it any more
    assert commit == ANOTHER
    assert not any("/resolve/main/" in path for path in hub.asked)


def test_a_branch_is_followed_and_a_commit_taken(hub: ModelHub, output: Store) -> None:
    commit, known, notes = judge(output, "main")
    assert commit == COMMIT
    assert notes == [f"judge.model.revision is main: {NAME} at {COMMIT[:12]}, the newest"]
    write_card(output, known.card | {"model_version": f"commit:{ANOTHER}"})
    assert judge(output, "main")[0] == COMMIT
    commit, _, notes = judge(output, COMMIT)
    assert (commit, notes) == (COMMIT, [])


@pytest.mark.parametrize("place", ["hub", "folder"])
def test_pickled_weights_are_refused(
    place: str, hub: ModelHub, output: Store, tmp_path: Path
) -> None:
    files = {"config.json": b"{}", "pytorch_model.bin": b"a pickle"}
    hub.models = {NAME: files}
    name = NAME
    if place == "folder":
        name = str(tmp_path)
        for file, data in files.items():
            (tmp_path / file).write_bytes(data)
    config = LabelConfig.model_validate({"judge": {"model": {"name": name}}})
    with pytest.raises(ConfigError, match=r"pickles alone \(pytorch_model.bin\)"):
        known_judge(config, output)
