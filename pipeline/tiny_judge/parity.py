"""Holds the batched forward pass to Hugging Face's own."""

import copy
import logging
from typing import Any, Final

import torch
from torch import Tensor
from transformers import Qwen2_5_VLForConditionalGeneration, Qwen2VLImageProcessor

from pipeline.tiny_judge.batched import BatchedJudge
from pipeline.tiny_judge.layout import FACTOR, Layout
from pipeline.tiny_judge.samples import Batch

log = logging.getLogger(__name__)

_TOLERANCE: Final = 1e-3


def check_parity(
    model: Qwen2_5_VLForConditionalGeneration, layout: Layout, batch: Batch, samples: int = 4
) -> float:
    """Hold the batched forward to Hugging Face's own, in float32.

    Args:
        model: The judge, on any device.
        layout: Its prompt layout.
        batch: Where samples come from.
        samples: How many of them to compare.

    Returns:
        The largest absolute difference of logits.

    Raises:
        AssertionError: If it exceeds 1e-3.
    """
    # On the CPU, where float32 is float32: CUDA's convolutions round to TF32.
    reference: Any = copy.deepcopy(model)
    reference.to("cpu")
    length = batch.ids.shape[1]
    keep = batch.rows < samples
    chosen = batch.positions[keep]
    with torch.no_grad():
        judge = BatchedJudge(reference, layout.prefix())
        ours = judge.logits(batch.pictures[:samples], batch.ids[:samples], chosen)
        theirs = _hugging_face_logits(reference, layout, batch, samples)[:, -length:]
    gap = float((ours - theirs.flatten(0, 1)[chosen]).abs().max())
    log.info("largest difference from Hugging Face's logits: %.1e", gap)
    if not gap <= _TOLERANCE:
        raise AssertionError(f"batched logits differ by {gap:.2e}, allowed {_TOLERANCE}")
    return gap


def _hugging_face_logits(
    model: Qwen2_5_VLForConditionalGeneration, layout: Layout, batch: Batch, samples: int
) -> Tensor:
    images = Qwen2VLImageProcessor(min_pixels=3136, max_pixels=12845056)
    seen = images(list(batch.pictures[:samples].cpu().numpy()), return_tensors="pt")
    tokens = batch.pictures.shape[1] * batch.pictures.shape[2] // FACTOR**2
    front = [*layout.prefix(), *[layout.special("<|image_pad|>")] * tokens]
    before = torch.tensor([front] * samples, device=model.device)
    ids = torch.cat([before, batch.ids[:samples]], dim=1)
    output: Any = model(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        mm_token_type_ids=(ids == layout.special("<|image_pad|>")).int(),
        pixel_values=seen["pixel_values"].to(model.device),
        image_grid_thw=seen["image_grid_thw"].to(model.device),
    )
    logits: Tensor = output.logits
    return logits
