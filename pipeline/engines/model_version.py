"""Which weights will really run: the content of a folder, or of a hub model's commit."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from pathlib import Path

from huggingface_hub import hf_hub_download

from pipeline.engines.engine import model_path
from pipeline.engines.engine_config import EngineConfig
from pipeline.engines.engine_registry import engine_kind
from pipeline.engines.hub_files import HUB_ERRORS, hub_hashes
from pipeline.engines.model_files import files_digest, model_files, refuse_pickles, verdict_files
from pipeline.judging.judge_config import ModelConfig
from pipeline.judging.judge_identity import ModelVersion
from pipeline.runtime.errors import ConfigError
from pipeline.runtime.faults import first_line
from pipeline.store.disk_cache import user_cache
from pipeline.store.file_hashes import FileHashes

_COMMIT = re.compile(r"[0-9a-f]{40}")
logger = logging.getLogger(__name__)


def model_version(model: ModelConfig, engine: EngineConfig) -> ModelVersion:
    """The version of a model's weights: equal files have equal ones, wherever they lie.

    Files are hashed once; their hashes are kept in the user's cache folder. Of weights at a server
    the version is what the user states of them (``judge.model.revision``), or else what the server
    says that they are.

    Raises:
        ConfigError: the model does not exist, has pickled weights alone, or the hub does not return
            its newest commit.
        EngineStartError: the server does not serve it.
        EndpointError: the server refuses to say, or cannot be reached.
    """
    if engine_kind(engine.kind).weights == "server":
        return _of_server(model, engine)
    path = Path(model_path(model.name))
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise ConfigError(f"judge.model.name: {path} has no config.json; is it a model?")
        names = model_files(each.name for each in path.iterdir() if each.is_file())
        try:
            refuse_pickles(model.name, names)
            return _of_files(FileHashes(user_cache()).of(path / name for name in names))
        except OSError as error:
            raise ConfigError(f"judge.model.name: {path} cannot be read ({error})") from error
    if path.is_absolute() or model.name.startswith("."):
        raise ConfigError(f"judge.model.name: there is no folder {path}")
    commit = _commit(model)
    try:
        hashes = hub_hashes(model.name, commit, user_cache())
    except HUB_ERRORS as error:
        logger.info("%s, %s: the hub states no hashes of its files: %s", model.name, commit, error)
        hashes = {}
    refuse_pickles(model.name, hashes)
    return _of_files(hashes, commit) if hashes else ModelVersion.named(f"commit:{commit}")


def hub_commit(model: ModelConfig, engine: EngineConfig) -> str | None:
    """The commit of a model on the hub; None where its weights are elsewhere.

    Raises:
        ConfigError: the hub does not return it.
    """
    path = Path(model_path(model.name))
    elsewhere = engine_kind(engine.kind).weights == "server" or path.is_dir()
    if elsewhere or path.is_absolute() or model.name.startswith("."):
        return None
    return _commit(model)


def _of_server(model: ModelConfig, engine: EngineConfig) -> ModelVersion:
    from pipeline.engines.openai_engine import what_is_served

    said = {"revision": model.revision} if model.revision else what_is_served(model.name, engine)
    shown = " ".join([model.name, *(f"{name}={said[name]}" for name in sorted(said))])
    return ModelVersion.named(f"served:{shown}")


def _of_files(hashes: Mapping[str, str], commit: str | None = None) -> ModelVersion:
    """The version of files, and what earlier versions called them: the digest of them all."""
    files = {name: hashes[name] for name in verdict_files(hashes)}
    content, earlier = f"sha256:{files_digest(files)}", f"sha256:{files_digest(hashes)}"
    shown = f"commit:{commit}" if commit else content
    return ModelVersion(content, shown, frozenset({content, earlier, shown}), files)


def _commit(model: ModelConfig) -> str:
    if model.revision and _COMMIT.fullmatch(model.revision):
        return model.revision
    try:
        config = hf_hub_download(model.name, "config.json", revision=model.revision)
    except HUB_ERRORS as error:
        cause = first_line(error)
        raise ConfigError(
            f"judge.model.name {model.name!r}: the hub does not return its commit ({cause}); pin "
            "judge.model.revision to a full commit hash, or name a local folder"
        ) from error
    return Path(config).parent.name  # …/snapshots/<commit>/config.json
