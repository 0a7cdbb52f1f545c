"""Which weights will really run: a content hash of a folder, or the commit of a hub model."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from huggingface_hub import hf_hub_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError

from pipeline.engines.engine import model_path
from pipeline.judging.judge_config import ModelConfig
from pipeline.runtime.digest import digest
from pipeline.runtime.errors import ConfigError

_COMMIT = re.compile(r"[0-9a-f]{40}")


def model_version(model: ModelConfig) -> str:
    """The version that a judge's fingerprint names.

    Raises:
        ConfigError: the model does not exist, or the hub does not return its newest commit.
    """
    path = Path(model_path(model.name))
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise ConfigError(f"judge.model.name: {path} has no config.json; is it a model?")
        return f"sha256:{folder_digest(path)}"
    if path.is_absolute() or model.name.startswith("."):
        raise ConfigError(f"judge.model.name: there is no folder {path}")
    if model.revision and _COMMIT.fullmatch(model.revision):
        return f"commit:{model.revision}"
    try:
        # Not the hub's model_info: its network errors are those of whatever client is installed.
        config = hf_hub_download(model.name, "config.json", revision=model.revision)
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        cause = str(error).strip().splitlines()[0]
        raise ConfigError(
            f"judge.model.name {model.name!r}: the hub does not return its commit ({cause}); pin "
            "judge.model.revision to a full commit hash, or name a local folder"
        ) from error
    return f"commit:{Path(config).parent.name}"  # …/snapshots/<commit>/config.json


def folder_digest(folder: Path) -> str:
    """Content hash of a model folder's files (hidden ones and documentation left out)."""
    parts: list[bytes | str] = []
    for path in sorted(folder.iterdir()):
        if path.is_file() and not path.name.startswith(".") and path.suffix != ".md":
            with path.open("rb") as file:
                parts += [path.name, hashlib.file_digest(file, "sha256").hexdigest()]
    return digest(*parts)
