"""The identity of a pair: a hash of all that the judge is shown of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.runtime.digest import digest


@dataclass(frozen=True)
class Content:
    """A text and encoded media: of a candidate, or of the context."""

    text: str | None
    images: tuple[bytes, ...] = ()
    videos: tuple[bytes, ...] = ()

    def hashed(self) -> dict[str, Any]:
        """The content with each picture and video replaced by its hash."""
        media = {"images": self.images, "videos": self.videos}
        hashes = {
            name: [hashlib.sha256(data).hexdigest() for data in each]
            for name, each in media.items()
        }
        return {"text": self.text, **hashes}


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
