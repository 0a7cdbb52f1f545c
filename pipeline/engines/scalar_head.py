"""The head of a reward model: where a checkpoint has it, and what it says of a hidden state.

vLLM starts without a word where a checkpoint has no head, and then scores with whatever its memory
holds. So the head is looked for before an engine starts, and a probe's score is compared with
:mod:`pipeline.engines.probe_scores` before any other is believed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.engines.engine import Scalar, model_path
from pipeline.engines.hub_files import HUB_ERRORS
from pipeline.judging.judge_config import ModelConfig
from pipeline.runtime.errors import EngineStartError

if TYPE_CHECKING:
    from torch import Tensor

# Where vLLM looks for the head: within a Qwen2-VL or Qwen2.5-VL it makes a classifier of the text
# model itself.
_WITHIN_THE_TEXT_MODEL = ("qwen2_vl", "qwen2_5_vl")
_GENERATES = ("ForConditionalGeneration", "ForCausalLM")
_CLASSIFIES = "ForSequenceClassification"
_ALIKE = ("score", "v_head", "value_head", "reward")
_FILES = ("*.safetensors", "*.json", "*.jinja", "*.txt", "*.model")


@dataclass(frozen=True)
class HeadWeights:
    """A head as numbers.

    Attributes:
        weight: (hidden,) float32.
        bias: added to the score.
    """

    weight: Tensor
    bias: float

    def score(self, hidden: Tensor) -> float:
        """The score of a last hidden state (hidden,)."""
        return float(hidden.float() @ self.weight.to(hidden.device)) + self.bias

    def spread(self, hidden: Tensor) -> float:
        """How much a score is made of: the norm of the products that add up to it."""
        return float((hidden.float() * self.weight.to(hidden.device)).norm())


def head_prefix(model_type: str) -> str:
    """The name under which vLLM loads the head's ``weight`` and ``bias``."""
    return "language_model.score" if model_type in _WITHIN_THE_TEXT_MODEL else "score"


def model_folder(model: ModelConfig) -> Path:
    """The folder with a model's files; those of a hub model are downloaded, as vLLM would.

    Raises:
        EngineStartError: there is no such model.
    """
    path = Path(model_path(model.name))
    if path.is_dir():
        return path
    from huggingface_hub import snapshot_download

    try:
        return Path(
            snapshot_download(model.name, revision=model.revision, allow_patterns=[*_FILES])
        )
    except HUB_ERRORS as error:
        raise EngineStartError(f"judge.model.name {model.name!r}: {error}") from error


def tensor_files(folder: Path) -> dict[str, Path]:
    """The file that holds each tensor of a checkpoint, by the tensor's name.

    Those that the index names, where there is one: vLLM reads no others.

    Raises:
        EngineStartError: there are no safetensors, or the index cannot be read.
    """
    from safetensors import SafetensorError, safe_open

    index = folder / "model.safetensors.index.json"
    try:
        if index.is_file():
            listed: Mapping[str, str] = json.loads(index.read_bytes())["weight_map"]
            return {name: folder / file for name, file in listed.items()}
        found: dict[str, Path] = {}
        for path in sorted(folder.glob("*.safetensors")):
            with safe_open(path, "pt") as tensors:
                found |= dict.fromkeys(tensors.keys(), path)
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise EngineStartError(f"{folder}: the checkpoint cannot be read: {error}") from error
    if not found:
        raise EngineStartError(
            f"{folder}: no *.safetensors there, which a reward model's head is read from"
        )
    return found


def read_tensor(files: Mapping[str, Path], name: str) -> Tensor:
    """A tensor of a checkpoint, as it is stored."""
    from safetensors import safe_open

    with safe_open(files[name], "pt") as tensors:
        tensor: Tensor = tensors.get_tensor(name)
        return tensor


def pooling_overrides(config: Any, tokens: tuple[str, str] | None) -> dict[str, Any]:
    """What vLLM is told about a checkpoint so that it scores with it (0.26 to 0.32).

    Args:
        config: the checkpoint's configuration, as transformers reads it.
        tokens: the vocabulary's entries of :attr:`Scalar.tokens`.

    Raises:
        EngineStartError: the checkpoint has several scores, or an architecture unknown here.
    """
    names = list(config.architectures or ())
    architecture = names[0] if len(names) == 1 else ""
    for ending in _GENERATES:
        if architecture.endswith(ending):
            architecture = architecture.removesuffix(ending) + _CLASSIFIES
    if not architecture.endswith(_CLASSIFIES):
        raise EngineStartError(
            f"the checkpoint's architectures are {names}; a reward model's is one that ends with "
            f"{', '.join((*_GENERATES, _CLASSIFIES))}"
        )
    labels = len(config.id2label or ()) if names[0].endswith(_CLASSIFIES) else 1
    if labels != 1:
        raise EngineStartError(
            f"the checkpoint has {labels} scores for each text (num_labels), expected one"
        )
    overrides: dict[str, Any] = {
        "architectures": [architecture],
        "num_labels": 1,
        "problem_type": "regression",
    }
    if config.get_text_config() is not config:
        overrides["text_config"] = {"num_labels": 1}  # what vLLM 0.26 reads
    if tokens is not None:
        overrides |= {"classifier_from_token": [*tokens], "method": "from_2_way_softmax"}
    return overrides


def head_weights(folder: Path, config: Any, ids: tuple[int, int] | None) -> HeadWeights:
    """The head of a checkpoint, every tensor of it.

    Args:
        folder: the checkpoint's.
        config: its configuration, as transformers reads it.
        ids: of a head made of two rows of the language model's own; the second's score counts.

    Raises:
        EngineStartError: it has no head, or one that vLLM would not load.
    """
    files = tensor_files(folder)
    hidden = int(config.get_text_config().hidden_size)
    if ids is not None:
        rows = read_tensor(files, _output_rows(folder, files)).float()
        return HeadWeights(rows[ids[1]] - rows[ids[0]], 0.0)
    prefix = head_prefix(config.model_type)
    weight, bias = f"{prefix}.weight", f"{prefix}.bias"
    if weight not in files:
        alike = [name for name in files if any(part in name for part in _ALIKE)]
        raise EngineStartError(
            f"{folder}: no tensor {weight} in the checkpoint, which vLLM would score without, by "
            f"what its memory holds; tensors named alike: {', '.join(alike[:5]) or 'none'}. A "
            "value head that is kept apart, or under another name: pairmill judge repack"
        )
    stored = read_tensor(files, weight).float()
    if stored.shape != (1, hidden):
        raise EngineStartError(
            f"{folder}: {weight} has the shape {tuple(stored.shape)}, expected {(1, hidden)}"
        )
    return HeadWeights(stored[0], float(read_tensor(files, bias)) if bias in files else 0.0)


def token_ids(tokenizer: Any, scalar: Scalar) -> tuple[int, int] | None:
    """The ids of the tokens that a head is made of; None of a head of its own.

    Raises:
        EngineStartError: a text is not one token, or both are the same.
    """
    if scalar.tokens is None:
        return None
    found = [tokenizer.encode(text, add_special_tokens=False) for text in scalar.tokens]
    if any(len(ids) != 1 for ids in found) or found[0] == found[1]:
        raise EngineStartError(
            f"head.tokens {list(scalar.tokens)}: expected two texts that are one token each, and "
            f"different ones; this model's tokenizer makes {found} of them"
        )
    return int(found[0][0]), int(found[1][0])


def _output_rows(folder: Path, files: Mapping[str, Path]) -> str:
    """The name of the language model's output embeddings, or of the input ones that it shares."""
    for ending in ("lm_head.weight", "embed_tokens.weight"):
        for name in sorted(files):
            if name.endswith(ending) and "visual" not in name:
                return name
    raise EngineStartError(f"{folder}: neither lm_head.weight nor embed_tokens.weight in it")
