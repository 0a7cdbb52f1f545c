"""Placeholders of media in texts: added for each medium, escaped where they are just text."""

from __future__ import annotations

import re
from collections.abc import Sequence

# Tags that trainers which count placeholders replace or count, wherever they stand.
TAGS = (
    "image",
    "video",
    "audio",
    "bbox",
    "ref-object",
    "cot-process",
    "start-image",
    "end-image",
)
_LITERAL = re.compile(rf"<({'|'.join(TAGS)})>")

Message = dict[str, str]


def escaped(text: str) -> str:
    """The text with a space in every tag that a trainer would take for a medium."""
    return _LITERAL.sub(r"<\1 >", text)


def with_placeholders(text: str, images: int, videos: int) -> str:
    """The escaped text behind a placeholder for each medium."""
    return "<image>" * images + "<video>" * videos + escaped(text)


def placed(messages: Sequence[Message], images: int, videos: int) -> list[Message]:
    """Escaped messages, the placeholders at the beginning of the user's first turn."""
    first = next(i for i, message in enumerate(messages) if message["role"] == "user")
    return [
        message
        | {
            "content": with_placeholders(message["content"], images, videos)
            if number == first
            else escaped(message["content"])
        }
        for number, message in enumerate(messages)
    ]
