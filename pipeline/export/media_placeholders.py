"""Placeholders of media in texts: one where each stands, escaped where they are just text."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pipeline.export.labeled_example import Turn
from pipeline.pairs.contents import Message, Part

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
PLACES = (
    " Media stand where `<image>` and `<video>` are in the prompts, in their order; a tag that "
    "stood in a text has a space in it (`<image >`)."
)
_LITERAL = re.compile(rf"<({'|'.join(TAGS)})>")


def escaped(text: str) -> str:
    """The text with a space in every tag that a trainer would take for a medium."""
    return _LITERAL.sub(r"<\1 >", text)


def with_placeholders(content: Sequence[Part]) -> str:
    """A content as a text, escaped, with a placeholder for each medium at its place."""
    return "".join(
        escaped(part["text"] or "") if part["type"] == "text" else f"<{part['type']}>"
        for part in content
    )


def placed(messages: Sequence[Message]) -> list[Turn]:
    """Messages as texts with placeholders."""
    return [
        {"role": each["role"], "content": with_placeholders(each["content"])} for each in messages
    ]
