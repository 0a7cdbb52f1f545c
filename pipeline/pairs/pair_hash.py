"""The identity of a pair: a hash of all that the judge is shown of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pipeline.runtime.digest import digest


@dataclass(frozen=True)
class Content:
    """A text and encoded media: of a candidate, or of the context."""

    text: str | None
    images: tuple[bytes, ...] = ()
    videos: tuple[bytes, ...] = ()

    @cached_property
    def media_hashes(self) -> tuple[str, ...]:
        """Of its pictures, then of its videos."""
        return tuple(hashlib.sha256(data).hexdigest() for data in (*self.images, *self.videos))

    def hashed(self) -> dict[str, Any]:
        """The content with each picture and video replaced by its hash."""
        count = len(self.images)
        images, videos = list(self.media_hashes[:count]), list(self.media_hashes[count:])
        return {"text": self.text, "images": images, "videos": videos}


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
