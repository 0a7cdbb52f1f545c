"""Whether the judge's weights can be reached, and how much memory they take."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import hf_hub_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError

from pipeline.engines.engine import model_path
from pipeline.engines.engine_config import EngineConfig
from pipeline.engines.engine_registry import engine_kind
from pipeline.engines.openai_engine import what_is_served
from pipeline.judging.judge_config import ModelConfig
from pipeline.labeling.preflight.check import Check
from pipeline.runtime.errors import EndpointError, EngineStartError
from pipeline.runtime.faults import first_line

_NAME = "weights"
_INDEX = "model.safetensors.index.json"
_SUFFIXES = (".safetensors", ".bin")
_SHOWN = 3
_SERVER_S = 3.0  # a run tries for longer
_WIDTHS = {"float32": 4, "bfloat16": 2, "float16": 2}


@dataclass(frozen=True)
class Weights:
    """What is known about the judge's model before it is loaded.

    Attributes:
        check: whether it can be reached.
        bytes: of the weights once they are loaded; None if not known.
        token_bytes: of the keys and values of one token; None if not known.
    """

    check: Check
    bytes: int | None = None
    token_bytes: int | None = None


def find_weights(model: ModelConfig, engine: EngineConfig) -> Weights:
    """Looks for the model as a run does: in its folder, on the hub, or at its server."""
    if engine_kind(engine.kind).weights == "server":
        return Weights(_at_server(model, engine))
    folder = Path(model_path(model.name))
    if folder.is_dir():
        return _in_folder(folder, model, engine)
    if folder.is_absolute() or model.name.startswith("."):
        advice = "set judge.model.name to a folder with config.json and weights, or to a hub id"
        return Weights(Check(_NAME, "fail", f"there is no folder {folder}", advice))
    return _on_hub(model)


def _at_server(model: ModelConfig, engine: EngineConfig) -> Check:
    where = f"{model.name} at {engine.endpoint.url}"
    try:
        patient = engine.model_copy(
            update={"endpoint": engine.endpoint.model_copy(update={"retry_s": _SERVER_S})}
        )
        said = what_is_served(model.name, patient)
    except (EndpointError, EngineStartError) as error:
        advice = "start the server, or set engine.endpoint and judge.model.name to what it serves"
        return Check(_NAME, "fail", f"{where}: {error}", advice)
    shown = ", ".join(f"{name} {value}" for name, value in sorted(said.items()))
    return Check(_NAME, "ok", f"{where} ({shown or 'it says no more of it'})")


def _in_folder(folder: Path, model: ModelConfig, engine: EngineConfig) -> Weights:
    advice = "copy the whole model into the folder, or set judge.model.name to another one"
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        expected = _indexed(folder)
    except (OSError, ValueError) as error:
        found = f"{folder}: config.json or {_INDEX} cannot be read ({first_line(error)})"
        return Weights(Check(_NAME, "fail", found, advice))
    if engine.kind == "scripted":
        return Weights(Check(_NAME, "ok", f"{folder} (the scripted engine loads none)"))
    there = {path.name: path.stat().st_size for path in folder.iterdir() if path.is_file()}
    if missing := sorted(expected - there.keys()):
        shown = ", ".join(missing[:_SHOWN])
        found = f"{folder}: {len(missing)} of {len(expected)} files of weights missing ({shown})"
        return Weights(Check(_NAME, "fail", found, advice))
    sizes = [size for name, size in there.items() if name.endswith(_SUFFIXES)]
    if not sizes:
        return Weights(Check(_NAME, "fail", f"{folder}: no *.safetensors and no *.bin", advice))
    stored = sum(sizes)
    found = f"{folder} ({_size(stored)})"
    loaded = _loaded_bytes(stored, config, model)
    return Weights(Check(_NAME, "ok", found), loaded, _token_bytes(config, model))


def _indexed(folder: Path) -> set[str]:
    """The files that the index names; none without an index."""
    index = folder / _INDEX
    if not index.is_file():
        return set()
    return set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())


def _on_hub(model: ModelConfig) -> Weights:
    revision = model.revision or "newest"
    try:
        path = Path(hf_hub_download(model.name, "config.json", revision=model.revision))
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        found = f"the hub does not answer for {model.name}, {revision} ({first_line(error)})"
        advice = (
            "check judge.model.name and revision, the network, HF_ENDPOINT and HF_TOKEN; or copy "
            "the model and set judge.model.name to its folder"
        )
        return Weights(Check(_NAME, "fail", found, advice))
    config, stored = json.loads(path.read_text(encoding="utf-8")), None
    try:
        index = Path(hf_hub_download(model.name, _INDEX, revision=model.revision))
        stored = json.loads(index.read_text(encoding="utf-8"))["metadata"]["total_size"]
    except (HfHubHTTPError, OSError, KeyError, ValueError):
        pass  # a small model has no index
    size = f", {_size(stored)}" if stored else ""
    found = f"the hub answers for {model.name}, {path.parent.name}{size}"
    loaded = _loaded_bytes(stored, config, model) if stored else None
    tokens = _token_bytes(config, model)
    if model.revision is None:
        advice = "set judge.model.revision: an output's first run takes the newest commit"
        return Weights(Check(_NAME, "warn", found, advice), loaded, tokens)
    return Weights(Check(_NAME, "ok", found), loaded, tokens)


def _size(stored: int) -> str:
    return f"{stored / 1e9:.1f} GB" if stored >= 1e9 else f"{stored / 1e6:.1f} MB"


def _loaded_bytes(stored: int, config: dict[str, Any], model: ModelConfig) -> int:
    """Weights are converted to ``judge.model.dtype``, and FP8 is a byte for each."""
    from_width = _WIDTHS.get(_dtype(config), 2)
    width = _width(model)
    if model.quantization == "fp8":
        width = 1
    elif model.quantization is not None or "quantization_config" in config:
        width = from_width  # as they are stored
    return stored * width // from_width


def _token_bytes(config: dict[str, Any], model: ModelConfig) -> int | None:
    text = config.get("text_config") or config
    try:
        heads = text["num_attention_heads"]
        size = text.get("head_dim") or text["hidden_size"] // heads
        values = 2 * text["num_hidden_layers"] * (text.get("num_key_value_heads") or heads) * size
    except (KeyError, TypeError):
        return None
    fp8 = str(model.args.get("kv_cache_dtype", "")).startswith("fp8")
    return int(values) * (1 if fp8 else _width(model))


def _width(model: ModelConfig) -> int:
    """Bytes of a number by ``judge.model.dtype``; ``auto`` loads float32 as float16."""
    return _WIDTHS.get(model.dtype, 2)


def _dtype(config: dict[str, Any]) -> str:
    text = config.get("text_config") or {}
    for holder in (config, text):
        for name in ("dtype", "torch_dtype"):
            if isinstance(holder.get(name), str):
                return str(holder[name])
    return "bfloat16"
