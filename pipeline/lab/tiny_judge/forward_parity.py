"""Compares the batched forward pass with Hugging Face's own."""

from __future__ import annotations

import copy
import logging
from typing import Any, Final

import torch
from torch import Tensor
from transformers import Qwen2_5_VLForConditionalGeneration

from pipeline.lab.tiny_judge.batched_judge import BatchedJudge
from pipeline.lab.tiny_judge.sample_layout import TOKENS_A_SECOND, Layout
from pipeline.lab.tiny_judge.training_batches import Batch
from pipeline.media.model_sizes import FRAMES_A_PATCH

log = logging.getLogger(__name__)

_TOLERANCE: Final = 1e-3
_PATCH: Final = 14
_MERGE: Final = 2


def check_parity(model: Qwen2_5_VLForConditionalGeneration, layout: Layout, batch: Batch) -> float:
    """Compare the batched forward with Hugging Face's own, in float32.

    Args:
        model: The judge, on any device.
        layout: Its prompt layout.
        batch: What to compare on; small, as Hugging Face's forward is slow.

    Returns:
        The largest absolute difference of logits.

    Raises:
        AssertionError: If it exceeds 1e-3.
    """
    # On the CPU, where float32 is float32: CUDA's convolutions round to TF32.
    reference: Any = copy.deepcopy(model)
    reference.to("cpu")
    with torch.no_grad():
        ours = BatchedJudge(reference).logits(batch)
        theirs = _hugging_face_logits(reference, layout, batch)[:, len(batch.prefix) :]
    gap = float((ours - theirs.flatten(0, 1)[batch.positions]).abs().max())
    log.info("%s: largest difference from Hugging Face's logits %.1e", batch.task.name, gap)
    if not gap <= _TOLERANCE:
        raise AssertionError(
            f"{batch.task.name}: batched logits differ by {gap:.2e}, allowed {_TOLERANCE}"
        )
    return gap


def _hugging_face_logits(
    model: Qwen2_5_VLForConditionalGeneration, layout: Layout, batch: Batch
) -> Tensor:
    before = batch.prefix.expand(len(batch.ids), -1)
    ids = torch.cat([before, batch.ids], dim=1)
    image, video = layout.special("<|image_pad|>"), layout.special("<|video_pad|>")
    output: Any = model(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        mm_token_type_ids=(ids == image).int() + 2 * (ids == video).int(),
        **_media(batch, layout),
    )
    logits: Tensor = output.logits
    return logits


def _media(batch: Batch, layout: Layout) -> dict[str, Tensor]:
    """The batch's media as Hugging Face's processors return them, in order of placeholders."""
    found: list[tuple[int, int, Tensor]] = []  # where in the flattened ids, of what size, patches
    for seen in batch.seen:
        patches = _flattened(seen.frames)
        starts = seen.slots.view(len(patches), -1)[:, 0].tolist()
        rows = seen.frames.shape[2] // _PATCH
        found += [(at, rows, part) for at, part in zip(starts, patches, strict=True)]
    flat, video = batch.ids.flatten(), layout.special("<|video_pad|>")
    media: dict[str, list[Any]] = {"image": [], "video": []}
    grids: dict[str, list[list[int]]] = {"image": [], "video": []}
    seconds: list[float] = []
    for at, rows, part in sorted(found, key=lambda each: each[0]):
        kind = "video" if flat[at] == video else "image"
        if kind == "video" and flat[at - 1] == video:  # continues the clip before it
            grids[kind][-1][0] += 1
            step = batch.rope_positions[0].flatten()
            seconds[-1] = float(step[at] - step[at - 1]) / TOKENS_A_SECOND
        else:
            grids[kind].append([1, rows, len(part) // rows])
            seconds += [1.0] if kind == "video" else []
        media[kind].append(part)
    inputs = {}
    for kind, name in (("image", "pixel_values"), ("video", "pixel_values_videos")):
        if media[kind]:
            inputs[name] = torch.cat(media[kind])
            inputs[f"{kind}_grid_thw"] = torch.tensor(grids[kind])
    return inputs | ({"second_per_grid_ts": torch.tensor(seconds)} if seconds else {})


def _flattened(frames: Tensor) -> list[Tensor]:
    """Patches of each temporal patch, laid out by ``Qwen2VLImageProcessor`` itself."""
    from transformers import Qwen2VLImageProcessor

    processor = Qwen2VLImageProcessor(do_resize=False)
    patches = []
    for pair in frames.expand(-1, FRAMES_A_PATCH, -1, -1, -1):
        both = [processor([frame.numpy()], return_tensors="pt")["pixel_values"] for frame in pair]
        # Each holds its frame twice: (patches, channels * frames * pixels).
        first, second = (one.view(len(one), 3, FRAMES_A_PATCH, -1) for one in both)
        patches.append(torch.stack([first[:, :, 0], second[:, :, 1]], dim=2).flatten(1))
    return patches
