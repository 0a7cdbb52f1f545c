"""The version of a model's weights: of their content, in any folder and on the hub."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import pytest
from huggingface_hub import constants

from pipeline.engines.engine_config import EngineConfig
from pipeline.engines.model_files import files_digest, model_files, verdict_files
from pipeline.engines.model_version import model_version
from pipeline.judging.judge_config import ModelConfig
from pipeline.judging.judge_identity import ModelVersion
from pipeline.runtime.errors import ConfigError
from tests.hub_client import use_hub
from tests.model_hub import COMMIT, ModelHub, model_hub

MODEL = {
    "config.json": b"{}",
    "generation_config.json": b'{"eos_token_id": 1}',
    "merges.txt": b"a b\n",
    "model-00001-of-00002.safetensors": b"weights 1",
    "model-00002-of-00002.safetensors": b"weights 2",
    "model.safetensors.index.json": b'{"weight_map": {}}',
    "preprocessor_config.json": b"{}",
    "chat_template.jinja": b"{{ messages }}",
    "tokenizer.json": b'{"model": {}}',
}
BESIDE = {
    "README.md": b"# A judge",
    "LICENSE": b"terms",
    ".gitattributes": b"*.safetensors filter=lfs",
    "assets/figure.png": b"a figure",
    "figure.png": b"another",
    "onnx/model.onnx": b"the same in another format",
    "pytorch_model.bin": b"the same once more",
    "pytorch_model.bin.index.json": b"{}",
    "optimizer.pt": b"moments",
    "trainer_state.json": b"{}",
    "training_args.bin": b"arguments",
    "eval_results.json": b"{}",
}


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def folder(path: Path, files: Mapping[str, bytes]) -> ModelVersion:
    """The version of a folder that is made of these files."""
    for name, data in files.items():
        file = path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    return model_version(ModelConfig(name=str(path)), EngineConfig())


def by_hand(files: Mapping[str, bytes]) -> str:
    """SHA-256 of names and hashes in the order of names, each after its length in eight bytes."""
    state = hashlib.sha256()
    for name in sorted(files):
        for part in (name, hashlib.sha256(files[name]).hexdigest()):
            state.update(len(part).to_bytes(8, "big") + part.encode())
    return f"sha256:{state.hexdigest()}"


def test_equal_weights_in_another_folder_are_the_same(tmp_path: Path) -> None:
    one = folder(tmp_path / "one", MODEL)
    assert one.digest == one.shown == by_hand(MODEL)
    assert one.files == {name: hashlib.sha256(data).hexdigest() for name, data in MODEL.items()}
    other = folder(tmp_path / "deep" / "er", MODEL)
    assert other == one


def test_what_no_engine_reads_does_not_count(tmp_path: Path) -> None:
    version = folder(tmp_path / "whole", MODEL | BESIDE)
    assert version.digest == by_hand(MODEL)
    # Earlier versions took all files there but hidden ones, documentation and folders.
    of_old = {name: data for name, data in (MODEL | BESIDE).items() if "/" not in name}
    of_old = {n: d for n, d in of_old.items() if n not in ("README.md", ".gitattributes")}
    assert version.names == {by_hand(MODEL), by_hand(of_old)}


@pytest.mark.parametrize("name", MODEL)
def test_each_file_that_can_change_a_verdict_counts(tmp_path: Path, name: str) -> None:
    whole = folder(tmp_path / "whole", MODEL).digest
    less = {each: data for each, data in MODEL.items() if each != name}
    changed = folder(tmp_path / "changed", less | {name: MODEL[name] + b" "}).digest
    versions = {whole, changed}
    if name != "config.json":
        versions.add(folder(tmp_path / "less", less).digest)
        versions.add(folder(tmp_path / "renamed", less | {f"x{name}": MODEL[name]}).digest)
    assert len(versions) == (2 if name == "config.json" else 4)


@pytest.mark.parametrize(
    ("names", "kept"),
    [
        (["config.json", "pytorch_model.bin"], ["config.json", "pytorch_model.bin"]),
        (["a.gguf", "config.json"], ["a.gguf", "config.json"]),
        (["a.gguf", "b.safetensors"], ["b.safetensors"]),
        (["modeling.py", "qwen.tiktoken", "spiece.model"], ["modeling.py", "qwen.tiktoken"]),
        (["unheard.of", "vocab.txt", "LICENSE.txt", "Notice"], ["unheard.of", "vocab.txt"]),
        (["sub/config.json", ".hidden", "Readme.MD", "rng_state_0.pth", "scheduler.pt"], []),
    ],
)
def test_which_files_count(names: list[str], kept: list[str]) -> None:
    extra = ["spiece.model"] if "spiece.model" in names else []
    assert verdict_files(names) == sorted(kept + extra)


def test_the_digest_is_of_names_and_contents() -> None:
    assert model_files(["b", "a", "c/d", ".e", "f.md"]) == ["a", "b"]
    assert files_digest({"a": "1", "b": "2"}) == files_digest({"b": "2", "a": "1"})
    digests = [{"a": "1", "b": "2"}, {"a": "2", "b": "1"}, {"a": "1"}, {"a1": "", "b": "2"}]
    assert len({files_digest(each) for each in digests}) == len(digests)


def ask(tmp_path: Path, url: str, *models: tuple[str, str | None]) -> list[ModelVersion]:
    """The versions of models of a hub."""
    with pytest.MonkeyPatch.context() as patch:
        use_hub(patch, url, tmp_path / "hf")
        asked = [ModelConfig(name=name, revision=at) for name, at in models]
        return [model_version(each, EngineConfig()) for each in asked]


def test_a_hub_model_is_its_files_and_stays_so_when_the_hub_is_gone(tmp_path: Path) -> None:
    whole = folder(tmp_path / "whole", MODEL | BESIDE)
    commit = f"commit:{COMMIT}"
    served = {"team/judge": MODEL | BESIDE, "team/bare": MODEL}
    with model_hub(ModelHub(served, frozenset({"team/bare"}))) as hub:
        pinned, newest, bare = ask(
            tmp_path, hub.url, ("team/judge", COMMIT), ("team/judge", None), ("team/bare", COMMIT)
        )
    of_hub = ModelVersion(whole.digest, commit, whole.names | {commit}, whole.files)
    assert pinned == newest == of_hub
    assert bare == ModelVersion.named(commit)  # the hub states no hashes
    gone = [path for path in hub.asked if path.endswith((".safetensors", ".bin", ".png"))]
    assert gone == []  # no weights are downloaded to know them

    kept, unknown = ask(tmp_path, hub.url, ("team/judge", COMMIT), ("team/bare", COMMIT))
    assert (kept, unknown) == (pinned, bare)


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cache of a machine that cannot reach the hub, with one model in it."""
    model = tmp_path / "models--team--judge"
    (model / "refs").mkdir(parents=True)
    (model / "refs" / "main").write_text(COMMIT)
    (model / "snapshots" / COMMIT).mkdir(parents=True)
    (model / "snapshots" / COMMIT / "config.json").write_text("{}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize(("name", "revision"), [("team/elsewhere", COMMIT), ("team/judge", None)])
def test_without_a_hub_a_model_is_its_commit(name: str, revision: str | None) -> None:
    version = model_version(ModelConfig(name=name, revision=revision), EngineConfig())
    assert version == ModelVersion.named(f"commit:{COMMIT}")


@pytest.mark.usefixtures("offline")
def test_an_unknown_commit_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(ConfigError, match=r"team/other.*pin judge\.model\.revision"):
        model_version(ModelConfig(name="team/other"), EngineConfig())


@pytest.mark.parametrize("name", ["/no/such/folder", "./nowhere"])
def test_a_missing_folder_is_named(name: str) -> None:
    with pytest.raises(ConfigError, match="there is no folder"):
        model_version(ModelConfig(name=name), EngineConfig())


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no config\.json"):
        model_version(ModelConfig(name=str(tmp_path)), EngineConfig())
