"""The judge's forward pass over whole batches, with Hugging Face's own modules and weights.

Hugging Face's forward loops over pictures in Python and recomputes positions for every sample;
for a model this small that dominates the time. Here all pictures of one size run through the
vision tower together, positions come from the worker processes, and the constant start of the
prompt runs once a batch (attention is causal). ``forward_parity`` compares it with Hugging Face.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention.bias import causal_lower_right
from transformers import Qwen2_5_VLForConditionalGeneration

from pipeline.lab.tiny_judge.training_batches import Batch

Rotary: TypeAlias = tuple[Tensor, Tensor]

_PATCH: Final = 14
_MERGE: Final = 2
_MEAN: Final = (0.48145466, 0.4578275, 0.40821073)
_STD: Final = (0.26862954, 0.26130258, 0.27577711)


class BatchedJudge:
    """Runs a judge on batches of one task.

    Args:
        model: The judge; its parameters are used in place and receive gradients.
    """

    def __init__(self, model: Qwen2_5_VLForConditionalGeneration) -> None:
        self.vision: Any = model.model.visual
        self.text: Any = model.model.language_model
        self.device = model.device
        self._vision_rotary = cache(self._compute_vision_rotary)

    def logits(self, batch: Batch) -> Tensor:
        """Next-token logits (n, vocabulary) at the batch's positions."""
        return self.predict(self.hidden(batch, batch.positions))

    def predict(self, hidden: Tensor) -> Tensor:
        """Next-token logits (n, vocabulary) of hidden states."""
        return F.linear(hidden, self.text.embed_tokens.weight)

    def hidden(self, batch: Batch, positions: Tensor) -> Tensor:
        """Last hidden states (n, width) at positions in the flattened ids."""
        words = self.text.embed_tokens(batch.ids)
        start = self.text.embed_tokens(batch.prefix[None])
        flat = words.flatten(0, 1)
        for seen in batch.seen:
            tokens = self.see(seen.frames).flatten(0, 1)
            # Answers that are laid out behind one picture each take it in.
            tokens = tokens.repeat(len(seen.slots) // len(tokens), 1)
            flat = flat.index_copy(0, seen.slots, tokens.to(flat.dtype))
        first = torch.arange(len(batch.prefix), device=self.device).expand(3, 1, -1)
        early, late = self._rotary(first), self._rotary(batch.rope_positions)
        hidden = self._read(start, flat.view_as(words), early, late)
        chosen = hidden.flatten(0, 1).index_select(0, positions)
        return _norm(self.text.norm, chosen)

    def see(self, frames: Tensor) -> Tensor:
        """Merged tokens (patches, tokens, hidden) of uint8 frames (patches, 1 or 2, h, w, 3)."""
        batch, together, height, width, _ = frames.shape
        rows, columns = height // _PATCH, width // _PATCH
        mean = torch.tensor(_MEAN, device=self.device)
        std = torch.tensor(_STD, device=self.device)
        pixels = (frames.float() / 255 - mean) / std
        tiled = pixels.view(
            *(batch, together, rows // _MERGE, _MERGE, _PATCH, columns // _MERGE, _MERGE, _PATCH, 3)
        )
        # Patches in merge order: blocks of two by two; channels, then frames, then pixels.
        patches = tiled.permute(0, 2, 5, 3, 6, 8, 1, 4, 7).flatten(1, 4).flatten(4)
        # A still picture fills both frames of a temporal patch.
        patches = patches.expand(-1, -1, -1, 2, -1) if together == 1 else patches
        hidden = F.linear(patches.flatten(2), self.vision.patch_embed.proj.weight.flatten(1))
        rotary = self._vision_rotary(rows, columns)
        for block in self.vision.blocks:
            hidden = hidden + _look(block.attn, _norm(block.norm1, hidden), rotary)
            hidden = hidden + block.mlp(_norm(block.norm2, hidden))
        merger = self.vision.merger
        merged = _norm(merger.ln_q, hidden).reshape(batch, -1, merger.hidden_size)
        out: Tensor = merger.mlp(merged)
        return out

    def _read(self, start: Tensor, rest: Tensor, early: Rotary, late: Rotary) -> Tensor:
        mask = causal_lower_right(rest.shape[1], start.shape[1] + rest.shape[1])
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

    def _rotary(self, positions: Tensor) -> Rotary:
        """Cosines and sines (batch, length, head) of positions (3, batch, length)."""
        freqs = positions[..., None].float() * self.text.rotary_emb.inv_freq.float()
        # Sections of the head rotate by time, row and column in turn.
        sections = self.text.config.rope_parameters["mrope_section"]
        parts = [part[i % 3] for i, part in enumerate(freqs.split(sections, dim=-1))]
        angles = torch.cat(parts, dim=-1).repeat(1, 1, 2)
        return angles.cos(), angles.sin()

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
