"""Turns a checkpoint whose value head lies apart into one whose head vLLM loads.

Training tools keep the head of a reward model in a file of its own, or under names of their own;
vLLM reads neither, and starts without a word. Known are ``v_head.summary`` (TRL, LLaMA-Factory),
``value_head`` and ``score``; any other is named. Each is a linear layer to one number.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.engines.scalar_head import head_prefix, read_tensor, tensor_files
from pipeline.runtime.errors import EngineStartError, InputError

if TYPE_CHECKING:
    from torch import Tensor

INDEX = "model.safetensors.index.json"
HEAD_FILE = "reward_head.safetensors"
_APART = ("value_head.safetensors", "v_head.safetensors")
_PICKLED = ("value_head.bin", "v_head.bin", "value_head.pt")
_KNOWN = ("v_head.summary", "v_head", "value_head", "score", "language_model.score", "model.score")
_LIKE_A_HEAD = re.compile(r"(?<!lm_)head\.|score|reward|\brm\b|regress", re.IGNORECASE)
_FOR_VLLM = frozenset(
    {"qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen2", "qwen3", "llama", "mistral", "gemma2", "gemma3"}
)


@dataclass(frozen=True)
class Repacked:
    """What was done.

    Attributes:
        head: the head's tensors by their new names: the old name, and the shape.
        linked, copied, rewritten: names of files.
    """

    head: Mapping[str, tuple[str, tuple[int, ...]]]
    linked: tuple[str, ...]
    copied: tuple[str, ...]
    rewritten: tuple[str, ...]


def repack(source: Path, target: Path, head: str | None = None) -> Repacked:
    """Writes a checkpoint with its head where vLLM loads it from.

    Files that stay as they are become hard links where the file system has them, copies elsewhere;
    the source is left alone. The target appears once it is whole.

    Args:
        source: the folder of a checkpoint in safetensors.
        target: a folder that does not exist yet.
        head: the head's name there, such as ``reward_head``; by default one of those known.

    Raises:
        InputError: the checkpoint is none that this knows, or needs no repacking.
    """
    if target.exists():
        raise InputError(f"{target}: exists already; expected the name of a new folder")
    config = _config(source)
    files = _tensors(source)
    found, tensors = _named_head(source, files, head) if head else _head(source, files)
    hidden = (config.get("text_config") or config).get("hidden_size")
    renamed = _renamed(source, found, tensors, head_prefix(config["model_type"]), hidden)
    dropped = {old for old, _ in renamed.values()}
    made = target.with_name(f"{target.name}.part")
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir(parents=True)
    report = _write_files(source, made, files, dropped)
    _write_head(made, {new: tensors[old] for new, (old, _) in renamed.items()})
    kept = {name: path.name for name, path in files.items() if name not in dropped}
    weight_map = {**kept, **dict.fromkeys(renamed, HEAD_FILE)}
    _write_index(made, weight_map)
    made.replace(target)
    return Repacked(renamed, *report)


def _config(source: Path) -> dict[str, Any]:
    try:
        config = json.loads((source / "config.json").read_bytes())
    except (OSError, ValueError) as error:
        raise InputError(f"{source}: no config.json that can be read ({error})") from error
    kind = config.get("model_type") if isinstance(config, dict) else None
    if kind not in _FOR_VLLM:
        raise InputError(
            f"{source}: model_type is {kind!r}; where vLLM looks for a head is known of "
            f"{', '.join(sorted(_FOR_VLLM))}"
        )
    return dict(config)


def _tensors(source: Path) -> dict[str, Path]:
    try:
        return {name: p for name, p in tensor_files(source).items() if p.name not in _APART}
    except EngineStartError as error:
        raise InputError(str(error)) from error


def _head(source: Path, files: Mapping[str, Path]) -> tuple[str, dict[str, Tensor]]:
    """The name of the head in the checkpoint, and its tensors by their names there."""
    from safetensors.torch import load_file

    stored = {name: path for name, path in files.items() if _head_name(name)}
    tensors = {name: read_tensor(files, name) for name in stored}
    for name in _APART:
        if (source / name).is_file():
            apart = load_file(source / name)
            if unknown := [each for each in apart if not _head_name(each)]:
                raise InputError(f"{source / name}: unknown tensors {', '.join(unknown[:5])}")
            tensors |= apart
    names = sorted({_head_name(name) for name in tensors} - {""})
    if len(names) == 1:
        return names[0], tensors
    alike = sorted({n.rpartition(".")[0] for n in files if _LIKE_A_HEAD.search(n)})
    pickled = [name for name in _PICKLED if (source / name).is_file()]
    advice = f"; {pickled[0]} is pickled: convert it to safetensors first" if pickled else ""
    if alike and not names:
        advice += f"; --head names another one: is it {' or '.join(alike[:4])}?"
    raise InputError(
        f"{source}: {'several heads: ' + ', '.join(names) if names else 'no head'}; expected one "
        f"of {', '.join(_KNOWN)}, a linear layer to one number, in the checkpoint or in "
        f"{_APART[0]}{advice}"
    )


def _named_head(
    source: Path, files: Mapping[str, Path], head: str
) -> tuple[str, dict[str, Tensor]]:
    """A head by its name: among the checkpoint's tensors, or in a file beside them."""
    from safetensors.torch import load_file

    wanted = {f"{head}.weight", f"{head}.bias"}
    tensors = {name: read_tensor(files, name) for name in files if name in wanted}
    listed = {path.name for path in files.values()}
    for path in sorted(source.glob("*.safetensors")):
        if path.name not in listed:
            tensors |= {n: t for n, t in load_file(path).items() if n in wanted}
    if not tensors:
        raise InputError(f"{source}: no tensor {head}.weight in any of its *.safetensors files")
    return head, tensors


def _head_name(tensor: str) -> str:
    """The head that a tensor belongs to; empty of any other tensor."""
    name, _, kind = tensor.rpartition(".")
    return name if name in _KNOWN and kind in ("weight", "bias") else ""


def _renamed(
    source: Path, found: str, tensors: Mapping[str, Tensor], prefix: str, hidden: object
) -> dict[str, tuple[str, tuple[int, ...]]]:
    weight = tensors.get(f"{found}.weight")
    if weight is None or tuple(weight.shape) != (1, hidden):
        got = "no weight" if weight is None else f"a weight of {tuple(weight.shape)}"
        raise InputError(f"{source}: {found} has {got}, expected {(1, hidden)}")
    if found == prefix:
        raise InputError(
            f"{source}: the head is {found} already, where vLLM loads it: nothing to repack"
        )
    return {
        f"{prefix}.{kind}": (old, tuple(tensors[old].shape))
        for kind in ("weight", "bias")
        if (old := f"{found}.{kind}") in tensors
    }


def _write_files(
    source: Path, made: Path, files: Mapping[str, Path], dropped: set[str]
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Files but the index and the head's own: as they are, or without the head."""
    from safetensors.torch import load_file, save_file

    holders = {path.name for name, path in files.items() if name in dropped}
    linked, copied, rewritten = [], [], []
    for path in sorted(source.iterdir()):
        if not path.is_file() or path.name in (INDEX, *_APART):
            continue
        if path.name in holders:
            rest = {n: t for n, t in load_file(path).items() if n not in dropped}
            save_file(rest, made / path.name, {"format": "pt"})
            rewritten.append(path.name)
            continue
        try:
            os.link(path.resolve(), made / path.name)  # a hub's cache has links itself
            linked.append(path.name)
        except OSError:
            shutil.copy2(path, made / path.name)
            copied.append(path.name)
    return tuple(linked), tuple(copied), tuple(rewritten)


def _write_head(made: Path, head: Mapping[str, Tensor]) -> None:
    from safetensors.torch import save_file

    save_file({n: t.contiguous() for n, t in head.items()}, made / HEAD_FILE, {"format": "pt"})


def _write_index(made: Path, weight_map: Mapping[str, str]) -> None:
    size = sum((made / name).stat().st_size for name in set(weight_map.values()))
    index = {"metadata": {"total_size": size}, "weight_map": dict(sorted(weight_map.items()))}
    (made / INDEX).write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")
