"""A reward model's head is found in its checkpoint, or the checkpoint is refused."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import save_file

from pipeline.engines.engine import Scalar
from pipeline.engines.scalar_head import head_weights, pooling_overrides, token_ids
from pipeline.runtime.errors import EngineStartError

HIDDEN = 4
WEIGHT, BIAS = np.array([[1, 0, 2, 0]], np.float32), np.array([0.25], np.float32)
ROWS = np.arange(12, dtype=np.float32).reshape(3, HIDDEN)


def _config(architecture: str, kind: str = "qwen2_5_vl", labels: int = 1) -> Any:
    text = SimpleNamespace(hidden_size=HIDDEN)
    config = SimpleNamespace(
        architectures=[architecture], model_type=kind, id2label=dict.fromkeys(range(labels), "")
    )
    config.get_text_config = lambda: text
    return config


VL = _config("Qwen2_5_VLForConditionalGeneration", labels=2)


def _saved(folder: Path, tensors: dict[str, NDArray[np.float32]]) -> Path:
    save_file(tensors, folder / "model.safetensors")
    return folder


def test_a_score_is_the_hidden_state_times_the_weight_and_the_bias(tmp_path: Path) -> None:
    tensors = {"language_model.score.weight": WEIGHT, "language_model.score.bias": BIAS}
    head = head_weights(_saved(tmp_path, tensors), VL, None)
    import torch  # here alone: it takes seconds

    assert head.score(torch.tensor([1.0, 5, 3, 5])) == 7.25


def test_a_head_of_two_tokens_is_the_difference_of_their_rows(tmp_path: Path) -> None:
    head = head_weights(_saved(tmp_path, {"model.embed_tokens.weight": ROWS}), VL, (0, 2))
    import torch  # here alone: it takes seconds

    assert head.score(torch.ones(HIDDEN)) == 32


@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        ({"model.norm.weight": BIAS}, "named alike: none"),
        ({"v_head.summary.weight": WEIGHT}, r"v_head\.summary\.weight.*pairmill judge repack"),
        ({"score.weight": WEIGHT}, r"no tensor language_model\.score\.weight"),
        ({"language_model.score.weight": ROWS}, r"shape \(3, 4\), expected \(1, 4\)"),
    ],
)
def test_a_checkpoint_without_the_head_that_vllm_loads_is_refused(
    tmp_path: Path, tensors: dict[str, NDArray[np.float32]], said: str
) -> None:
    with pytest.raises(EngineStartError, match=said):
        head_weights(_saved(tmp_path, tensors), VL, None)


def test_an_index_says_which_tensors_vllm_reads(tmp_path: Path) -> None:
    folder = _saved(tmp_path, {"model.norm.weight": BIAS})
    save_file({"language_model.score.weight": WEIGHT}, folder / "value_head.safetensors")
    index = '{"weight_map": {"model.norm.weight": "model.safetensors"}}'
    (folder / "model.safetensors.index.json").write_text(index)
    with pytest.raises(EngineStartError, match="no tensor"):
        head_weights(folder, VL, None)


def test_what_vllm_is_told() -> None:
    assert pooling_overrides(VL, None) == {
        "architectures": ["Qwen2_5_VLForSequenceClassification"],
        "num_labels": 1,
        "problem_type": "regression",
        "text_config": {"num_labels": 1},
    }
    of_tokens = pooling_overrides(VL, ("No", "Yes"))
    assert of_tokens["classifier_from_token"] == ["No", "Yes"]
    assert of_tokens["method"] == "from_2_way_softmax"
    with pytest.raises(EngineStartError, match="2 scores for each text"):
        pooling_overrides(_config("Qwen3ForSequenceClassification", "qwen3", labels=2), None)
    with pytest.raises(EngineStartError, match="architectures are"):
        pooling_overrides(_config("InternVLChatModel"), None)


@pytest.mark.parametrize("tokens", [("No", "Not at all"), ("Yes", "Yes")])
def test_tokens_of_a_head_are_two_different_ones(tokens: tuple[str, str]) -> None:
    known = {"Yes": [1], "No": [2], "Not at all": [2, 3, 4]}
    tokenizer = SimpleNamespace(encode=lambda text, **_: known[text])
    with pytest.raises(EngineStartError, match="one token each"):
        token_ids(tokenizer, Scalar(tokens))
    assert token_ids(tokenizer, Scalar(("No", "Yes"))) == (2, 1)
