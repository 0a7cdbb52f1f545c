"""The files of a model that can change a verdict, and the digest of files by name and content."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

from pipeline.runtime.digest import digest
from pipeline.runtime.errors import ConfigError

# Weights in formats that no engine loads where there are safetensors, and what indexes them.
_OTHER_WEIGHTS = (
    *("*.bin", "*.pt", "*.pth", "*.ckpt", "*.h5", "*.msgpack", "*.onnx", "*.ot", "*.gguf"),
    "*.bin.index.json",
)
# Of these, what loading can run code of.
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")
# Documentation, and what training leaves behind: neither an engine nor a tokenizer reads it.
_NEVER_READ = (
    *("readme*", "license*", "licence*", "notice*", "citation*", "use_policy*", "requirements.txt"),
    *("*.png", "*.jpg", "*.jpeg", "*.gif", "*.webp", "*.svg", "*.pdf", "*.mp4"),
    *("*.log", "*.lock", "*.sh", "*.ipynb", "*.csv", "*.jsonl", "*.parquet"),
    *("optimizer*", "scheduler.*", "scaler.*", "rng_state*", "trainer_state.json"),
    *("training_args.*", "*_results.json", "events.out.tfevents.*", "zero_to_fp32.py", "latest"),
)


def model_files(names: Iterable[str]) -> list[str]:
    """The files directly in a model's folder that belong to it: neither hidden nor ``*.md``.

    Folders below hold other formats, or earlier states of a training.
    """
    return sorted(
        name for name in names if not ("/" in name or name.startswith(".") or name.endswith(".md"))
    )


def verdict_files(names: Iterable[str]) -> list[str]:
    """Of a model's files, those that can change a verdict: any that is not known not to.

    So weights, configuration, tokenizer, processor and chat template count, and whatever a model
    may bring that this does not know.
    """
    of_model = model_files(names)
    safe = any(name.endswith(".safetensors") for name in of_model)
    ignored = (*_NEVER_READ, *(_OTHER_WEIGHTS if safe else ()))
    return [name for name in of_model if not _matches(name, ignored)]


def refuse_pickles(model: str, names: Iterable[str]) -> None:
    """Checks that a model's weights can be read without unpickling them.

    Raises:
        ConfigError: they are pickles, and there are no others.
    """
    weights = [name for name in verdict_files(names) if _matches(name, _PICKLES)]
    if weights:
        raise ConfigError(
            f"judge.model.name: {model} has its weights as pickles alone ({weights[0]}), which can "
            "run code when they are loaded; expected *.safetensors: convert them on a machine "
            "where that may happen, or take another revision"
        )


def files_digest(hashes: Mapping[str, str]) -> str:
    """A digest of files by their names and the SHA-256 of their contents."""
    return digest(*(part for name in sorted(hashes) for part in (name, hashes[name])))


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name.lower(), pattern) for pattern in patterns)
