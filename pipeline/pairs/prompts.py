"""Which prompt a pair is about: pairs of one prompt are alike, and count together in statistics."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.pairs.contents import text_of
from pipeline.runtime.digest import digest

_DIGITS = 15  # of a hash, so that it fits a signed number of 64 bits


def question_text(messages: Sequence[Mapping[str, Any]]) -> str:
    """A prompt's text: that of its one message, or of a conversation with its roles named."""
    texts = [text_of(each["content"]) or "" for each in messages]
    if len(texts) == 1:
        return texts[0]
    named = zip((each["role"].capitalize() for each in messages), texts, strict=True)
    return "\n\n".join(f"{role}: {text}" for role, text in named)


def prompt_key(messages: Sequence[Mapping[str, Any] | None] | None) -> int:
    """A number that is the same for the same text of a prompt, whatever its media.

    Nothing is refused here: a row that cannot be judged has a prompt, too.

    Args:
        messages: of pairs v2.
    """
    turns = [(turn["role"], text_of(turn["content"])) for turn in messages or () if turn]
    text = str(turns[0][1] or "") if len(turns) == 1 else json.dumps(turns) if turns else ""
    return int(digest(text)[:_DIGITS], 16)
