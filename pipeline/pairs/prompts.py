"""Which prompt a pair is about: pairs of one prompt are alike, and count together in statistics."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.runtime.digest import digest

_DIGITS = 15  # of a hash, so that it fits a signed number of 64 bits


def prompt_key(prompt: str | None, messages: Sequence[Mapping[str, Any] | None] | None) -> int:
    """A number that is the same for the same text of a prompt, whatever its media.

    A conversation of one turn is the same as its text. Nothing is refused here: a row that cannot
    be judged has a prompt, too.

    Args:
        prompt: of pairs v1.
        messages: of pairs v1.
    """
    turns = [(turn["role"], turn["content"]) for turn in messages or () if turn is not None]
    text = prompt or ""
    if turns:
        text = str(turns[0][1]) if len(turns) == 1 else json.dumps(turns)
    return int(digest(text)[:_DIGITS], 16)
