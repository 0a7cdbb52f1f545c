"""Identity by content: of a judge, a shard, a pair and a label (SHA-256, whole in the data)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pipeline.core.config import JudgeConfig
from pipeline.core.parsing import PARSER_VERSION
from pipeline.core.prompts import load_prompt

# Raise with any change to how media are decoded or prompts laid out: both change verdicts.
RENDERING_VERSION = "1"
SHORT = 12  # hex digits in names that people read


def digest(*parts: bytes | str) -> str:
    """SHA-256 of a sequence of parts, each preceded by its length so that no two collide."""
    state = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        state.update(len(data).to_bytes(8, "big"))
        state.update(data)
    return state.hexdigest()


def folder_digest(folder: Path) -> str:
    """Content hash of a model folder's files (hidden ones and documentation left out)."""
    parts: list[bytes | str] = []
    for path in sorted(folder.iterdir()):
        if path.is_file() and not path.name.startswith(".") and path.suffix != ".md":
            with path.open("rb") as file:
                parts += [path.name, hashlib.file_digest(file, "sha256").hexdigest()]
    return digest(*parts)


def judge_card(judge: JudgeConfig, model_version: str, engine: str) -> dict[str, Any]:
    """Everything that can change a verdict, as stored in ``judges/<judge_id>.json``.

    Args:
        judge: the judge's configuration.
        model_version: the hub commit or the content hash of the weights that will really run.
        engine: the kind of engine; kinds differ in the last bits, and with them in a verdict.
    """
    prompt = load_prompt(judge.format)
    card: dict[str, Any] = {
        "judge": judge.model_dump(mode="json"),
        "model_version": model_version,
        "engine": engine,
        "prompt_sha256": digest(prompt.system, prompt.user),
        "parser": PARSER_VERSION,
        "rendering": RENDERING_VERSION,
    }
    return card | {"judge_id": digest(json.dumps(card, sort_keys=True))}


def shard_key(path: str, size: int, content: str) -> str:
    """Identity of one version of a shard: path relative to the input root, size, etag or hash."""
    return digest(path, str(size), content)


def pair_hash(pair: Mapping[str, Any], media: Iterable[bytes]) -> str:
    """Identity of what is judged: canonical prompt, candidates, and the bytes of all media.

    Identifiers, gold, source and model names are left out: they do not change a verdict.
    """
    text = {
        "prompt": pair["prompt"],
        "messages": pair["messages"],
        "responses": [pair[name]["text"] for name in ("response_a", "response_b")],
    }
    hashes = [hashlib.sha256(data).hexdigest() for data in media]
    return digest(json.dumps(text, sort_keys=True, ensure_ascii=False), *hashes)


def label_id(pair_hash_: str, judge_id: str) -> str:
    """Identity of a label: this pair, judged by this judge."""
    return digest(pair_hash_, judge_id)
