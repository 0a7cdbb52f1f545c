"""Identity by content: of a judge, a shard, a pair and a label (SHA-256, whole in the data)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipeline.core.config import JudgeConfig
from pipeline.core.parsing import PARSER_VERSION
from pipeline.core.prompts import load_prompt
from pipeline.core.units import PATH_DIGITS
from pipeline.core.voting import Rule

# Raise with any change to how media are decoded or prompts laid out: both change verdicts.
RENDERING_VERSION = "2"
SHORT = 12  # hex digits in names that people read


@dataclass(frozen=True)
class Content:
    """A text and encoded media: of a candidate, or of the context."""

    text: str | None
    images: tuple[bytes, ...] = ()
    videos: tuple[bytes, ...] = ()

    def hashed(self) -> dict[str, Any]:
        """The content with every medium in place of which stands its hash."""
        media = {"images": self.images, "videos": self.videos}
        hashes = {
            name: [hashlib.sha256(data).hexdigest() for data in each]
            for name, each in media.items()
        }
        return {"text": self.text, **hashes}


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
    prompt = load_prompt(judge.format, judge.candidates)
    card: dict[str, Any] = {
        "judge": judge.model_dump(mode="json"),
        "model_version": model_version,
        "engine": engine,
        "prompt_sha256": digest(prompt.system, prompt.user, prompt.answer),
        "parser": PARSER_VERSION,
        "rendering": RENDERING_VERSION,
    }
    return card | {"judge_id": digest(json.dumps(card, sort_keys=True))}


def shard_key(path: str, size: int, content: str) -> str:
    """Identity of one version of a shard: path relative to the input root, size, etag or hash.

    It begins with what all versions of the path share (see ``units.versions_prefix``).
    """
    return digest(path)[:PATH_DIGITS] + digest(path, str(size), content)[PATH_DIGITS:]


def policy_id(rule: Rule, calibration_id: str | None) -> str:
    """Identity of what made a label of votes: the rule, and the calibration if there is one."""
    return digest(json.dumps(asdict(rule), sort_keys=True), calibration_id or "")


def pair_hash(pair: Mapping[str, Any], candidates: Sequence[Content], context: Content) -> str:
    """Identity of what is judged: canonical prompt, candidates, and the bytes of all media.

    Identifiers, gold, source and model names are left out: they do not change a verdict.

    Args:
        pair: a row of pairs v1.
        candidates: text and media of each candidate, in the row's order.
        context: the media that the question is about.
    """
    content = {
        "prompt": pair["prompt"],
        "messages": pair["messages"],
        "context": context.hashed(),
        "candidates": [candidate.hashed() for candidate in candidates],
    }
    return digest(json.dumps(content, sort_keys=True, ensure_ascii=False))


def label_id(pair_hash_: str, judge_id: str) -> str:
    """Identity of a label: this pair, judged by this judge."""
    return digest(pair_hash_, judge_id)
