"""What stands in for Flex-VL-7B and its pairs where neither can be downloaded: shapes, not sense.

The model has that one's exact shape and weights that were never trained; the pairs have its usual
lengths. How fast an engine is depends on both, and on nothing that they say.
"""

from __future__ import annotations

import functools
import json
import os
import random
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from pipeline.engines.engine import TINY_JUDGE, model_path
from pipeline.judging.prompts import load_prompt
from pipeline.lab.bench.photos import CLIP_FPS, EncodeClip, jpeg, pan
from schemas.contract import table_of
from schemas.pairs import PAIRS

Row = dict[str, Any]
_ROWS = 256  # of a shard
_GRAIN = 8
QUESTION_WORDS, ANSWER_WORDS = 30, 150
_WORDS = 4_000  # that texts are made of, each a token
_KEPT = ("chat_template.jinja", "preprocessor_config.json", "video_preprocessor_config.json")
# config.json of Qwen2.5-VL-7B-Instruct, of which Flex-VL-7B is a fine-tune.
_VOCABULARY, _WIDTH, _LAYERS = 152_064, 3_584, 28
_TEXT = {
    "vocab_size": _VOCABULARY,
    "hidden_size": _WIDTH,
    "intermediate_size": 18_944,
    "num_hidden_layers": _LAYERS,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "max_position_embeddings": 128_000,
    "max_window_layers": _LAYERS,
    "layer_types": ["full_attention"] * _LAYERS,
    "rope_parameters": {
        "rope_type": "default",
        "rope_theta": 1_000_000.0,
        "mrope_section": [16, 24, 24],
    },
    "tie_word_embeddings": False,
}
_VISION = {
    "depth": 32,
    "hidden_size": 1_280,
    "intermediate_size": 3_420,
    "num_heads": 16,
    "out_hidden_size": _WIDTH,
    "fullatt_block_indexes": [7, 15, 23, 31],
    "tokens_per_second": 2,
}


def write_model(folder: Path) -> None:
    """Writes a model's folder without weights; for ``judge.model.args.load_format=dummy``.

    Its tokenizer has a token for each word of the judge's prompt and of the pairs, as the real one
    has for usual words, and as many tokens as the model's vocabulary: any reply can be decoded.
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
    config["text_config"] |= _TEXT | ids
    config["vision_config"] |= _VISION
    config["tie_word_embeddings"] = False
    for name, token in (
        ("image_token_id", "<|image_pad|>"),
        ("video_token_id", "<|video_pad|>"),
        ("vision_start_token_id", "<|vision_start|>"),
        ("vision_end_token_id", "<|vision_end|>"),
    ):
        config[name] = tokenizer.convert_tokens_to_ids(token)
    (folder / "config.json").write_text(json.dumps(config, indent=1), encoding="utf-8")


def write_photo_shards(folder: Path, shards: int, size: tuple[int, int]) -> None:
    """Writes shards of 256 pairs: a picture of ``size`` pixels, two answers of ~150 words."""
    _write_shards(folder, shards, lambda seed: {"images": [_file(jpeg(size, seed, _GRAIN))]})


def write_clip_shards(folder: Path, shards: int, encode_clip: EncodeClip) -> None:
    """The same with a clip of eight seconds instead of the picture."""
    _write_shards(
        folder, shards, lambda seed: {"videos": [_file(encode_clip(pan(seed), CLIP_FPS))]}
    )


def _write_shards(folder: Path, shards: int, media: Callable[[int], Row]) -> None:
    folder.mkdir(parents=True, exist_ok=True)

    def write(number: int) -> None:
        path = folder / f"pairs-{number:03d}.parquet"
        if path.exists():
            return
        rng = random.Random(number)
        rows = [_row(f"pair-{number}-{row}", media, rng) for row in range(_ROWS)]
        temporary = path.with_suffix(".tmp")  # one that was cut short is not found again
        pq.write_table(table_of(rows, PAIRS), temporary, write_page_checksum=True)
        temporary.replace(path)

    with ThreadPoolExecutor(os.cpu_count()) as threads:  # codecs and NumPy let go of the GIL
        list(threads.map(write, range(shards)))


def _tokenizer(tiny: str) -> PreTrainedTokenizerBase:
    known: Any = AutoTokenizer.from_pretrained(tiny)
    system = load_prompt("pairwise_scores", "text").system
    texts = [system, *(f" {word}" for word in _words())] * 4
    trained: PreTrainedTokenizerBase = known.train_new_from_iterator([texts], 2 * _WORDS)
    return trained


def _fill_vocabulary(path: Path) -> None:
    """Adds tokens that no text is made of, up to the size that the model's vocabulary has."""
    described: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    vocabulary: dict[str, int] = described["model"]["vocab"]
    taken = {*vocabulary.values(), *(token["id"] for token in described["added_tokens"])}
    free = (number for number in range(_VOCABULARY) if number not in taken)
    vocabulary |= {f"\u0120w{number}": number for number in free}
    path.write_text(json.dumps(described, ensure_ascii=False), encoding="utf-8")


def _row(pair_id: str, media: Callable[[int], Row], rng: random.Random) -> Row:
    answers = [text_of(rng, round(rng.lognormvariate(0, 0.3) * ANSWER_WORDS)) for _ in range(2)]
    nothing: Row = {"images": [], "videos": [], "model": None}
    return (
        dict.fromkeys(PAIRS.names)
        | {
            "pair_id": pair_id,
            "prompt": text_of(rng, QUESTION_WORDS),
            "response_a": {"text": answers[0], **nothing},
            "response_b": {"text": answers[1], **nothing},
        }
        | media(rng.getrandbits(32))
    )


def _file(data: bytes) -> Row:
    return {"bytes": data, "path": None}


def text_of(rng: random.Random, words: int) -> str:
    """A text of so many words, none of them real."""
    return " ".join(rng.choices(_words(), k=words))


@functools.cache
def _words() -> list[str]:
    syllables = [first + last for first in "bcdfglmnprst" for last in ("a", "e", "in", "or", "us")]
    rng = random.Random("words")
    return sorted({"".join(rng.choices(syllables, k=3)) for _ in range(_WORDS)})
