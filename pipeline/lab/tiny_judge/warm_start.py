"""Starts a judge from the weights of an earlier one."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import torch
from transformers import Qwen2_5_VLForConditionalGeneration

from pipeline.lab.tiny_judge.sample_layout import Layout

log = logging.getLogger(__name__)


@torch.no_grad()
def warm_start(model: Qwen2_5_VLForConditionalGeneration, layout: Layout, folder: Path) -> None:
    """Copy what fits from the judge in ``folder``.

    Parameters of equal name and shape are copied, and the embeddings of tokens that both
    vocabularies have. Layers that the earlier judge lacks add zero at first.

    Args:
        model: The judge to fill, in place.
        layout: Its layout.
        folder: Hugging Face folder of the earlier one.
    """
    loader: Any = Qwen2_5_VLForConditionalGeneration
    earlier: Any = loader.from_pretrained(folder, dtype=torch.float32)
    known = dict(earlier.named_parameters())
    layers: Any = model.model.language_model.layers
    copied = 0
    for name, parameter in model.named_parameters():
        source = known.get(name)
        if source is not None and source.shape == parameter.shape:
            parameter.copy_(source)
            copied += 1
    for layer in layers[len(earlier.model.language_model.layers) :]:
        layer.self_attn.o_proj.weight.zero_()
        layer.mlp.down_proj.weight.zero_()
    ours, theirs = (each.tokenizer.get_vocab() for each in (layout, Layout.load(folder)))
    shared = sorted(ours.keys() & theirs.keys())
    to = torch.tensor([ours[token] for token in shared])
    of = torch.tensor([theirs[token] for token in shared])
    model.model.language_model.embed_tokens.weight[to] = (
        earlier.model.language_model.embed_tokens.weight[of]
    )
    log.info("copied %d parameters and %d of %d token embeddings", copied, len(shared), len(ours))
