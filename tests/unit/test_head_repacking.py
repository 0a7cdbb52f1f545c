"""Checkpoints with a value head of their own names become what vLLM loads, or are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from jobs.judge import main
from pipeline.engines.head_repacking import HEAD_FILE, INDEX, repack
from pipeline.runtime.errors import InputError

Tensors = dict[str, NDArray[np.float32]]
HIDDEN = 8
EMBEDDED: Tensors = {"model.embed_tokens.weight": np.zeros((4, HIDDEN), np.float32)}
WRITTEN: Tensors = {"lm_head.weight": np.ones((4, HIDDEN), np.float32)}
TRUNK = EMBEDDED | WRITTEN
WEIGHT, BIAS = np.arange(HIDDEN, dtype=np.float32)[None], np.array([0.5], np.float32)
SUMMARY: Tensors = {"v_head.summary.weight": WEIGHT, "v_head.summary.bias": BIAS}


def _checkpoint(folder: Path, kind: str, files: dict[str, Tensors], index: bool = False) -> Path:
    folder.mkdir()
    text: dict[str, Any] = {"hidden_size": HIDDEN}
    config = {"model_type": kind, **({"text_config": text} if "vl" in kind else text)}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer.json").write_text("{}")
    for name, tensors in files.items():
        save_file(tensors, folder / name, {"format": "pt"})
    if index:
        names = {t: name for name, tensors in files.items() for t in tensors if "model-" in name}
        (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": names}))
    return folder


def _one_file(folder: Path, kind: str, head: Tensors) -> Path:
    return _checkpoint(folder, kind, {"model.safetensors": TRUNK | head})


def _loaded(folder: Path) -> Tensors:
    """Every tensor that the index lists, read from the file that it names."""
    found = {}
    for name, file in json.loads((folder / INDEX).read_text())["weight_map"].items():
        with safe_open(folder / file, "np") as tensors:
            found[name] = tensors.get_tensor(name)
    return found


@pytest.mark.parametrize(
    ("kind", "prefix"),
    [
        ("qwen2_5_vl", "language_model.score"),
        ("qwen2_vl", "language_model.score"),
        ("qwen3_vl", "score"),
        ("qwen3", "score"),
    ],
)
def test_a_head_in_a_file_of_its_own_is_put_into_the_index(
    tmp_path: Path, kind: str, prefix: str
) -> None:
    shards = {"model-1.safetensors": WRITTEN, "model-2.safetensors": EMBEDDED}
    apart = {"value_head.safetensors": SUMMARY}
    source = _checkpoint(tmp_path / "a", kind, shards | apart, index=True)
    done = repack(source, tmp_path / "b")
    assert done.head == {
        f"{prefix}.weight": ("v_head.summary.weight", (1, HIDDEN)),
        f"{prefix}.bias": ("v_head.summary.bias", (1,)),
    }
    loaded = _loaded(tmp_path / "b")
    assert loaded.keys() == {*TRUNK, f"{prefix}.weight", f"{prefix}.bias"}
    assert np.array_equal(loaded[f"{prefix}.weight"], WEIGHT)
    assert np.array_equal(loaded[f"{prefix}.bias"], BIAS)
    assert not (tmp_path / "b" / "value_head.safetensors").exists()
    assert (tmp_path / "b" / "model-1.safetensors").samefile(source / "model-1.safetensors")
    assert done.rewritten == ()


def test_a_head_among_the_other_tensors_is_taken_out_of_their_file(tmp_path: Path) -> None:
    source = _one_file(tmp_path / "a", "qwen2_5_vl", {"score.weight": WEIGHT})
    done = repack(source, tmp_path / "b")
    assert done.rewritten == ("model.safetensors",)
    assert set(load_file(tmp_path / "b" / "model.safetensors")) == set(TRUNK)
    assert set(load_file(tmp_path / "b" / HEAD_FILE)) == {"language_model.score.weight"}
    assert set(load_file(source / "model.safetensors")) == {*TRUNK, "score.weight"}


@pytest.mark.parametrize(
    ("kind", "head", "said"),
    [
        ("qwen2_5_vl", {}, "no head"),
        ("qwen2_5_vl", {"language_model.score.weight": WEIGHT}, "nothing to repack"),
        ("qwen3", {"score.weight": WEIGHT}, "nothing to repack"),
        ("qwen3", {"v_head.weight": WEIGHT, "score.weight": WEIGHT + 1}, "several heads"),
        ("qwen3", {"v_head.weight": np.ones((3, HIDDEN), np.float32)}, r"a weight of \(3, 8\)"),
        ("internvl", {"score.weight": WEIGHT}, "model_type is 'internvl'"),
    ],
)
def test_what_is_not_known_is_refused(tmp_path: Path, kind: str, head: Tensors, said: str) -> None:
    source = _one_file(tmp_path / "a", kind, head)
    with pytest.raises(InputError, match=said):
        repack(source, tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_a_head_of_several_layers_is_refused(tmp_path: Path) -> None:
    apart = {"value_head.safetensors": {"value_head.0.weight": WEIGHT}}
    source = _checkpoint(tmp_path / "a", "qwen3", {"model.safetensors": TRUNK} | apart)
    with pytest.raises(InputError, match=r"unknown tensors value_head\.0\.weight"):
        repack(source, tmp_path / "b")


@pytest.mark.parametrize("apart", [True, False])
def test_a_head_of_another_name_is_named(tmp_path: Path, *, apart: bool) -> None:
    head: Tensors = {"reward_head.weight": WEIGHT, "reward_head.bias": BIAS}
    files = {"model.safetensors": TRUNK, "rm.safetensors": head}
    source = _checkpoint(
        tmp_path / "a", "qwen2_5_vl", files if apart else {"model.safetensors": TRUNK | head}
    )
    said = "no head" if apart else "is it reward_head"
    with pytest.raises(InputError, match=said):
        repack(source, tmp_path / "b")
    repack(source, tmp_path / "b", "reward_head")
    loaded = _loaded(tmp_path / "b")
    assert loaded.keys() == {*TRUNK, "language_model.score.weight", "language_model.score.bias"}
    assert np.array_equal(loaded["language_model.score.weight"], WEIGHT)
    with pytest.raises(InputError, match=r"no tensor rm_head\.weight"):
        repack(source, tmp_path / "c", "rm_head")


def test_the_command_says_what_it_did(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = _one_file(tmp_path / "a", "qwen3", SUMMARY)
    assert main(["repack", str(source), str(tmp_path / "b"), "--log", "text"]) == 0
    out = capsys.readouterr().out
    assert "score.weight" in out
    assert "v_head.summary.weight" in out
    assert main(["repack", str(source), str(tmp_path / "b")]) == 2
    assert "exists already" in capsys.readouterr().err
