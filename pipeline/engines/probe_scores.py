"""What a reward model's probes score in transformers: its last hidden state times the head."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText

from pipeline.engines.scalar_head import HeadWeights
from pipeline.runtime.errors import EngineStartError

_SAME = 1e-3  # of scores in float32
_ROUNDED = 0.1  # of a score's spread, in lower precision


def load_trunk(folder: Path, dtype: str) -> Any:
    """A checkpoint's model without its head, on the CPU.

    Raises:
        EngineStartError: transformers refuses it.
    """
    try:
        config = AutoConfig.from_pretrained(folder)
        pictured = config.get_text_config() is not config
        loader: Any = AutoModelForImageTextToText if pictured else AutoModelForCausalLM
        return loader.from_pretrained(folder, dtype=dtype, trust_remote_code=False).eval()
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise EngineStartError(
            f"{folder}: transformers cannot load the model, so that its scores cannot be checked: "
            f"{error}"
        ) from error


def check_scores(
    scores: Sequence[float],
    probes: Sequence[Sequence[int]],
    folder: Path,
    head: HeadWeights,
    dtype: str,
) -> None:
    """Compares an engine's scores of probes with those of transformers.

    Args:
        scores: the engine's.
        probes: token ids of each.
        folder: the checkpoint's.
        head: its head.
        dtype: of the weights, as the engine has them.

    Raises:
        EngineStartError: they differ: by more than 1e-3 in float32, or by more than a tenth of
            what a score is made of in a lower precision, where both round at every layer.
    """
    model = load_trunk(folder, dtype)
    for got, ids in zip(scores, probes, strict=True):
        with torch.inference_mode():
            hidden = model.model(input_ids=torch.tensor([list(ids)])).last_hidden_state[0, -1]
        expected = head.score(hidden)
        allowed = _SAME if hidden.dtype == torch.float32 else _ROUNDED * head.spread(hidden)
        if not abs(got - expected) <= allowed:
            raise EngineStartError(
                f"{folder}: the engine scores a probe with {got:.6g}, transformers with "
                f"{expected:.6g}; allowed is a difference of {allowed:.2g}. The engine has not "
                "loaded the head as the checkpoint has it: check that nothing under "
                "judge.model.args changes it, and report this checkpoint"
            )
