"""Which narrow kinds a row has: what few rows have, and what a part of the code alone shows."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pipeline.engines.engine import ChatPart
from pipeline.media.clip import Clip
from pipeline.media.images import kinds_of_picture

_PLACEHOLDER = re.compile(r"<\s*(?:image|video)\s*\d*\s*>", re.IGNORECASE)
_TAG = re.compile(r"<[^\s<>]{1,40}>")  # every token that a tokenizer adds looks like this


def kinds_of(context: Sequence[ChatPart], *contents: Sequence[ChatPart]) -> frozenset[str]:
    """The kinds of a row (``pipeline.judging.renderings.NARROW``).

    Args:
        context: decoded media that the question begins with.
        contents: the question and the candidates, each with the decoded media among its texts.
    """
    kinds: set[str] = set()
    for content in (context, *contents):
        texts = [part for part in content if isinstance(part, str)]
        media = [part for part in content if not isinstance(part, str)]
        for part in media:
            kinds |= part.kinds if isinstance(part, Clip) else kinds_of_picture(part)
        if _broken_up(content) or any(_PLACEHOLDER.search(text) for text in texts):
            kinds.add("text.placeholder")
        if any(_TAG.search(text) for text in texts):
            kinds.add("text.tag")
    return frozenset(kinds)


def _broken_up(content: Sequence[ChatPart]) -> bool:
    """Whether media stand behind a text."""
    seen = False
    for part in content:
        if seen and not isinstance(part, str):
            return True
        seen = seen or isinstance(part, str)
    return False
