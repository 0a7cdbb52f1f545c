"""Builds the untrained judge: its tokenizer and a randomly initialised tiny Qwen2.5-VL."""

from __future__ import annotations

import copy
import json
import random
import string
from pathlib import Path
from typing import Any, Final

import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from tokenizers.trainers import BpeTrainer
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

from pipeline.lab.tiny_judge.asked_formats import prompt_of
from pipeline.lab.tiny_judge.judging_tasks import TASKS
from pipeline.lab.tiny_judge.sample_layout import (
    SPECIAL_TOKENS,
    TOKENS_A_SECOND,
    Layout,
    Slot,
    parts_of,
)

_VOCABULARY: Final = 1_600
_CASES_A_TASK: Final = 600
# Repeats the system prompts, most of the input, so that their words become single tokens.
_SYSTEM_REPEATS: Final = 50

# Qwen's own pre-tokenizer.
_SPLIT: Final = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
# Qwen2.5-VL's own chat format.
_CHAT_TEMPLATE: Final = Path(__file__).with_name("chat_template.jinja")


def build_tokenizer(seed: int) -> Tokenizer:
    """Train the byte-level BPE on prompts, replies and printable ASCII; any UTF-8 still encodes."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=_VOCABULARY - len(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_corpus(seed), trainer)
    tokenizer.add_special_tokens(
        [AddedToken(token, special=True, normalized=False) for token in SPECIAL_TOKENS]
    )
    return tokenizer


def build_model(layout: Layout, layers: int = 4) -> Qwen2_5_VLForConditionalGeneration:
    """A randomly initialised judge in float32 for the layout's vocabulary.

    Args:
        layout: With the tokenizer.
        layers: Of the text model.
    """
    special = layout.special
    config = Qwen2_5_VLConfig(
        text_config={
            "vocab_size": -(-layout.tokenizer.get_vocab_size() // 8) * 8,
            "hidden_size": 192,
            "intermediate_size": 512,
            "num_hidden_layers": layers,
            "num_attention_heads": 3,
            "num_key_value_heads": 1,
            "max_position_embeddings": 4096,
            "rms_norm_eps": 1e-6,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 10_000.0,
                "mrope_section": [8, 12, 12],
            },
            "bos_token_id": special("<|endoftext|>"),
            "eos_token_id": special("<|im_end|>"),
            "pad_token_id": special("<|endoftext|>"),
            "tie_word_embeddings": True,
        },
        vision_config={
            "depth": 3,
            "hidden_size": 96,
            "intermediate_size": 192,
            "num_heads": 3,
            "out_hidden_size": 192,
            "fullatt_block_indexes": [0, 1, 2],
            "window_size": 112,
            "tokens_per_second": TOKENS_A_SECOND,
        },
        image_token_id=special("<|image_pad|>"),
        video_token_id=special("<|video_pad|>"),
        vision_start_token_id=special("<|vision_start|>"),
        vision_end_token_id=special("<|vision_end|>"),
        tie_word_embeddings=True,
    )
    build: Any = Qwen2_5_VLForConditionalGeneration
    model: Qwen2_5_VLForConditionalGeneration = build(config)
    return model


def save_folder(
    folder: Path, tokenizer: Tokenizer, model: Qwen2_5_VLForConditionalGeneration | None
) -> None:
    """Write a Hugging Face folder that transformers and vLLM load.

    Args:
        folder: Created if missing.
        tokenizer: Saved with its chat template and the picture processor's settings.
        model: Saved in bfloat16; None writes the tokenizer only.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    bpe = json.loads(tokenizer.to_str())["model"]
    _write_json(folder / "vocab.json", bpe["vocab"])
    merges = "\n".join(" ".join(merge) for merge in bpe["merges"])
    (folder / "merges.txt").write_text(f"#version: 0.2\n{merges}\n", encoding="utf-8")
    _write_json(folder / "tokenizer_config.json", _tokenizer_config(tokenizer))
    _write_json(folder / "preprocessor_config.json", _PICTURES)
    _write_json(folder / "video_preprocessor_config.json", _PICTURES | _CLIPS)
    # A template's last newline would become part of the prompt.
    template = _CHAT_TEMPLATE.read_text(encoding="utf-8").removesuffix("\n")
    (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    if model is not None:
        served: Any = copy.deepcopy(model)
        served.to(torch.bfloat16)
        served.generation_config.eos_token_id = tokenizer.token_to_id("<|im_end|>")
        served.generation_config.pad_token_id = tokenizer.token_to_id("<|endoftext|>")
        served.save_pretrained(folder)
        (folder / "model.safetensors").chmod(0o644)


# Bounds are permissive: pictures arrive resized, and the processor must not change them.
_PICTURES: Final[dict[str, Any]] = {
    "image_processor_type": "Qwen2VLImageProcessor",
    "processor_class": "Qwen2_5_VLProcessor",
    "min_pixels": 3136,
    "max_pixels": 12845056,
    "size": {"shortest_edge": 3136, "longest_edge": 12845056},
    "patch_size": 14,
    "temporal_patch_size": 2,
    "merge_size": 2,
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
}


# Clips arrive resized and sampled.
_CLIPS: Final[dict[str, Any]] = {
    "video_processor_type": "Qwen2VLVideoProcessor",
    "do_sample_frames": False,
}


def _tokenizer_config(tokenizer: Tokenizer) -> dict[str, Any]:
    added = {
        str(tokenizer.token_to_id(token)): {
            "content": token,
            "lstrip": False,
            "normalized": False,
            "rstrip": False,
            "single_word": False,
            "special": True,
        }
        for token in SPECIAL_TOKENS
    }
    return {
        "tokenizer_class": "Qwen2Tokenizer",
        "processor_class": "Qwen2_5_VLProcessor",
        "add_prefix_space": False,
        "added_tokens_decoder": added,
        "additional_special_tokens": list(SPECIAL_TOKENS[1:]),
        "bos_token": None,
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "unk_token": None,
        "errors": "replace",
        "clean_up_tokenization_spaces": False,
        "split_special_tokens": False,
        "model_max_length": 4096,
    }


def _corpus(seed: int) -> list[str]:
    rng = random.Random(seed)
    texts = [string.printable, *(["system\n", "user\n", "assistant\n"] * _SYSTEM_REPEATS)]
    for task in TASKS:
        texts += [prompt_of(task.format, task.made_of).system or ""] * _SYSTEM_REPEATS
        for _ in range(_CASES_A_TASK):
            case = task.sample(rng)
            slots = [Slot(1, 1)] * (len(case.context) + len(case.candidates))
            parts = parts_of(case, slots, case.order)
            texts += [part for part in parts if isinstance(part, str)]
            texts.append(case.reply(case.order))
    return texts


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
