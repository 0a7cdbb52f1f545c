"""The judge's forward pass over whole batches, with Hugging Face's own modules and weights.

Hugging Face's forward loops over pictures in Python and recomputes positions for every sample;
for a model this small that dominates the time. Here all pictures of a batch share one grid, so
the vision tower runs batched and positions are computed once, and the constant start of the
prompt runs once a batch (attention is causal). ``parity`` holds it to Hugging Face's result.
"""

from functools import cache
from typing import Any, Final, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import Qwen2_5_VLForConditionalGeneration

from pipeline.tiny_judge.layout import FACTOR

Rotary: TypeAlias = tuple[Tensor, Tensor]

_PATCH: Final = 14
_MERGE: Final = 2
_MEAN: Final = (0.48145466, 0.4578275, 0.40821073)
_STD: Final = (0.26862954, 0.26130258, 0.27577711)


class BatchedJudge:
    """Runs a judge on batches whose pictures have one size.

    Args:
        model: The judge; its parameters are used in place and receive gradients.
        prefix: Ids of the constant start of the prompt, up to the picture.
    """

    def __init__(self, model: Qwen2_5_VLForConditionalGeneration, prefix: list[int]) -> None:
        self.vision: Any = model.model.visual
        self.text: Any = model.model.language_model
        self.device = model.device
        self.prefix = torch.tensor([prefix], device=self.device)
        self._rotary = cache(self._compute_rotary)
        self._vision_rotary = cache(self._compute_vision_rotary)

    def logits(self, pictures: Tensor, ids: Tensor, positions: Tensor) -> Tensor:
        """Next-token logits at chosen positions.

        Args:
            pictures: uint8 (batch, height, width, 3), already of a size the judge is served.
            ids: (batch, length) ids after the picture, padded on the right with any id.
            positions: (n,) indices into the flattened (batch, length).

        Returns:
            (n, vocabulary) logits.
        """
        seen = self.see(pictures)
        rows, columns = pictures.shape[1] // FACTOR, pictures.shape[2] // FACTOR
        words = self.text.embed_tokens(ids)
        start = self.text.embed_tokens(self.prefix)
        rest = torch.cat([seen.to(words.dtype), words], dim=1)
        rotary = self._rotary(rows, columns, ids.shape[1])
        hidden = self._read(start, rest, rotary)[:, seen.shape[1] :]
        chosen = hidden.reshape(-1, hidden.shape[-1])[positions]
        return F.linear(_norm(self.text.norm, chosen), self.text.embed_tokens.weight)

    def see(self, pictures: Tensor) -> Tensor:
        """Merged picture tokens (batch, tokens, hidden) of uint8 pictures (batch, h, w, 3)."""
        batch, height, width, _ = pictures.shape
        rows, columns = height // _PATCH, width // _PATCH
        mean = torch.tensor(_MEAN, device=self.device)
        std = torch.tensor(_STD, device=self.device)
        pixels = (pictures.float() / 255 - mean) / std
        tiled = pixels.view(
            batch, rows // _MERGE, _MERGE, _PATCH, columns // _MERGE, _MERGE, _PATCH, 3
        )
        # Patches in merge order: blocks of two by two, channels before pixels.
        patches = tiled.permute(0, 1, 4, 2, 5, 7, 3, 6).reshape(batch, rows * columns, 3, -1)
        # A still picture fills both frames of a temporal patch.
        patches = patches[:, :, :, None].expand(-1, -1, -1, 2, -1).flatten(2)
        hidden = F.linear(patches, self.vision.patch_embed.proj.weight.flatten(1))
        rotary = self._vision_rotary(rows, columns)
        for block in self.vision.blocks:
            hidden = hidden + _look(block.attn, _norm(block.norm1, hidden), rotary)
            hidden = hidden + block.mlp(_norm(block.norm2, hidden))
        merger = self.vision.merger
        merged = _norm(merger.ln_q, hidden).reshape(batch, -1, merger.hidden_size)
        out: Tensor = merger.mlp(merged)
        return out

    def _read(self, start: Tensor, rest: Tensor, rotary: Rotary) -> Tensor:
        split, length = start.shape[1], rest.shape[1]
        early = (rotary[0][:, :split], rotary[1][:, :split])
        late = (rotary[0][:, split:], rotary[1][:, split:])
        mask = torch.ones(length, split + length, dtype=torch.bool, device=self.device)
        mask = mask.tril(split)
        for layer in self.text.layers:
            attention = layer.self_attn
            first = _project(attention, _norm(layer.input_layernorm, start), early)
            second = _project(attention, _norm(layer.input_layernorm, rest), late)
            keys, values = (
                torch.cat([a.expand(len(rest), -1, -1, -1), b], dim=2)
                for a, b in zip(first[1:], second[1:], strict=True)
            )
            start = start + _attend(attention, *first, causal=True)
            rest = rest + _attend(attention, second[0], keys, values, mask=mask)
            start = start + layer.mlp(_norm(layer.post_attention_layernorm, start))
            rest = rest + layer.mlp(_norm(layer.post_attention_layernorm, rest))
        return rest

    def _compute_rotary(self, rows: int, columns: int, length: int) -> Rotary:
        split = self.prefix.shape[1]
        before = torch.arange(split, device=self.device).expand(3, -1)
        row = torch.arange(rows, device=self.device).repeat_interleave(columns)
        column = torch.arange(columns, device=self.device).repeat(rows)
        picture = split + torch.stack([torch.zeros_like(row), row, column])
        after = torch.arange(length, device=self.device) + split + max(rows, columns)
        ids = torch.cat([before, picture, after.expand(3, -1)], dim=1)
        freqs = ids[..., None].float() * self.text.rotary_emb.inv_freq.float()
        # Sections of the head turn by time, row and column in turn.
        sections = self.text.config.rope_parameters["mrope_section"]
        parts = [part[i % 3] for i, part in enumerate(freqs.split(sections, dim=-1))]
        angles = torch.cat(parts, dim=-1).repeat(1, 2)
        return angles.cos()[None], angles.sin()[None]

    def _compute_vision_rotary(self, rows: int, columns: int) -> Rotary:
        grid = torch.stack(
            torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
        ).to(self.device)
        blocks = grid.view(2, rows // _MERGE, _MERGE, columns // _MERGE, _MERGE)
        ids = blocks.permute(0, 1, 3, 2, 4).reshape(2, -1)
        # Frequencies over half of the head's width, laid out (row, column, row, column).
        freqs = ids[..., None].float() * self.vision.rotary_pos_emb.inv_freq.float()
        angles = torch.cat([freqs[0], freqs[1]], dim=-1).repeat(1, 2)
        return angles.cos()[None], angles.sin()[None]


def _norm(module: Any, hidden: Tensor) -> Tensor:
    weight = module.weight.to(hidden.dtype)
    return F.rms_norm(hidden, weight.shape, weight, module.variance_epsilon)


def _rotate(x: Tensor, rotary: Rotary) -> Tensor:
    cos, sin = (part[:, None].to(x.dtype) for part in rotary)
    one, two = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-two, one), dim=-1) * sin


def _look(attention: Any, hidden: Tensor, rotary: Rotary) -> Tensor:
    batch, tokens, width = hidden.shape
    heads = attention.qkv(hidden).view(batch, tokens, 3, attention.num_heads, -1)
    query, key, value = heads.permute(2, 0, 3, 1, 4)
    out = F.scaled_dot_product_attention(_rotate(query, rotary), _rotate(key, rotary), value)
    projected: Tensor = attention.proj(out.transpose(1, 2).reshape(batch, tokens, width))
    return projected


def _project(attention: Any, hidden: Tensor, rotary: Rotary) -> tuple[Tensor, Tensor, Tensor]:
    shape = (*hidden.shape[:2], -1, attention.head_dim)
    query, key, value = (
        proj(hidden).view(shape).transpose(1, 2)
        for proj in (attention.q_proj, attention.k_proj, attention.v_proj)
    )
    return _rotate(query, rotary), _rotate(key, rotary), value


def _attend(
    attention: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None = None,
    causal: bool = False,
) -> Tensor:
    groups = attention.num_key_value_groups
    key, value = (x.repeat_interleave(groups, dim=1) for x in (key, value))
    out = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, is_causal=causal)
    projected: Tensor = attention.o_proj(out.transpose(1, 2).flatten(2))
    return projected
