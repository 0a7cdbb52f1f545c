"""Dummy-weight models of a judge's exact shape, to measure with where it cannot be downloaded.

An engine's speed depends on the shape of the model and the lengths of prompts and replies, not on
the values of the weights.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, PreTrainedTokenizerBase

from pipeline.engines.engine import TINY_JUDGE, model_path
from pipeline.judging.judge_config import JudgeConfig
from pipeline.lab.bench.dummy_pairs import DRAWN_WORDS, dummy_words

_KEPT = ("chat_template.jinja", "preprocessor_config.json", "video_preprocessor_config.json")
_VOCABULARY = 152_064
# By name: layers, width, width of a layer's MLP, heads, heads of keys and values, and the width of
# the vision encoder's MLP. From config.json of Qwen2.5-VL-7B-Instruct, of which Flex-VL-7B is a
# fine-tune, and of the largest of its family.
SHAPES = {
    "flex-vl-7b": (28, 3_584, 18_944, 28, 4, 3_420),
    "qwen2.5-vl-72b": (80, 8_192, 29_568, 64, 8, 3_456),
}


def write_model(folder: Path, shape: str = "flex-vl-7b") -> None:
    """Writes a model's folder without weights; for ``judge.model.args.load_format=dummy``.

    Its tokenizer has a token for each word of the judge's prompt and of the dummy pairs, as the
    real one has for common words. It has as many tokens as the model's vocabulary, so that any
    reply can be decoded. A folder that has a model already is left alone.

    Args:
        folder: of the model.
        shape: a name of ``SHAPES``.
    """
    if (folder / "config.json").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    tiny = Path(model_path(TINY_JUDGE))
    for name in _KEPT:
        shutil.copy(tiny / name, folder / name)
    tokenizer = _tokenizer(str(tiny))
    tokenizer.save_pretrained(folder)
    _fill_vocabulary(folder / "tokenizer.json")
    config = json.loads((tiny / "config.json").read_text(encoding="utf-8"))
    ids = {
        "bos_token_id": tokenizer.convert_tokens_to_ids("<|endoftext|>"),
        "eos_token_id": tokenizer.convert_tokens_to_ids("<|im_end|>"),
        "pad_token_id": tokenizer.convert_tokens_to_ids("<|endoftext|>"),
    }
    _set_shape(config, shape, ids)
    config["tie_word_embeddings"] = False
    for name, token in (
        ("image_token_id", "<|image_pad|>"),
        ("video_token_id", "<|video_pad|>"),
        ("vision_start_token_id", "<|vision_start|>"),
        ("vision_end_token_id", "<|vision_end|>"),
    ):
        config[name] = tokenizer.convert_tokens_to_ids(token)
    (folder / "config.json").write_text(json.dumps(config, indent=1), encoding="utf-8")


def _set_shape(config: dict[str, Any], shape: str, ids: dict[str, Any]) -> None:
    layers, width, mlp, heads, key_heads, vision_mlp = SHAPES[shape]
    config["text_config"] |= ids | {
        "vocab_size": _VOCABULARY,
        "hidden_size": width,
        "intermediate_size": mlp,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": key_heads,
        "max_position_embeddings": 128_000,
        "max_window_layers": layers,
        "layer_types": ["full_attention"] * layers,
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": 1_000_000.0,
            "mrope_section": [16, 24, 24],
        },
        "tie_word_embeddings": False,
    }
    config["vision_config"] |= {
        "depth": 32,
        "hidden_size": 1_280,
        "intermediate_size": vision_mlp,
        "num_heads": 16,
        "out_hidden_size": width,
        "fullatt_block_indexes": [7, 15, 23, 31],
        "tokens_per_second": 2,
    }


def _tokenizer(tiny: str) -> PreTrainedTokenizerBase:
    known: Any = AutoTokenizer.from_pretrained(tiny)
    system = JudgeConfig().prompt_texts.system or ""
    texts = [system, *(f" {word}" for word in dummy_words())] * 4
    trained: PreTrainedTokenizerBase = known.train_new_from_iterator([texts], 2 * DRAWN_WORDS)
    return trained


def _fill_vocabulary(path: Path) -> None:
    """Adds tokens that no text uses, up to the size of the model's vocabulary."""
    described: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    vocabulary: dict[str, int] = described["model"]["vocab"]
    taken = {*vocabulary.values(), *(token["id"] for token in described["added_tokens"])}
    free = (number for number in range(_VOCABULARY) if number not in taken)
    vocabulary |= {f"\u0120w{number}": number for number in free}
    path.write_text(json.dumps(described, ensure_ascii=False), encoding="utf-8")
