"""Which pairs are alike, and so count together in statistics: those that show the same pictures.

Pairs of one picture are alike whatever is asked about it: how hard it is to see is the same for
all. One text over many pictures, as where captions are compared, does not make pairs alike: each
picture is another question, and the texts of a corpus are no sample of others. So prompts with
media cluster by their media, and those without by their text. An interval is then never too narrow
where pictures repeat; where their questions are independent of each other, it is hardly wider,
since the spread between clusters is measured. (Joining clusters that share a text or a picture
would join nearly all of a corpus whose questions are templates.)
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any

from pipeline.pairs.contents import text_of
from pipeline.pairs.pair_hash import Piece
from pipeline.runtime.digest import digest

_END = 4_096  # bytes at each end of a medium that tell it from others, where order is at stake
_DIGITS = 15  # of a hash, so that it fits a signed number of 64 bits
Messages = Sequence[Mapping[str, Any] | None]


def question_text(messages: Sequence[Mapping[str, Any]]) -> str:
    """A prompt's text: that of its one message, or of a conversation with its roles named."""
    texts = [text_of(each["content"]) or "" for each in messages]
    if len(texts) == 1:
        return texts[0]
    named = zip((each["role"].capitalize() for each in messages), texts, strict=True)
    return "\n\n".join(f"{role}: {text}" for role, text in named)


def cluster_of(messages: Messages | None, asked: Sequence[Sequence[Piece]]) -> str:
    """A hash that pairs which are alike share; labels store it.

    Args:
        messages: of pairs v2.
        asked: the contents of each, media fetched.
    """
    media = (each for said in asked for kind, each in said if kind != "text")
    hashes = {hashlib.sha256(each).hexdigest() for each in media}
    if hashes:  # which of them stands where makes no other question
        return digest("media", *sorted(hashes))
    return digest(_text(messages))


def cluster_key(cluster: str | None, messages: Messages | None) -> int:
    """The same as a number, of a label.

    Labels that do not state it, since an earlier version wrote them or their row could not be read,
    cluster by the text of the prompt. Nothing is refused here.

    Args:
        cluster: of the label.
        messages: of pairs v2.
    """
    return cluster_number(cluster or digest(_text(messages)))


def cluster_number(cluster: str) -> int:
    """A stored cluster as a number."""
    return int(cluster[:_DIGITS], 16)


def prompt_key(messages: Messages | None) -> bytes:
    """A short key that pairs of one question with the same media share, media not fetched.

    Media are distinguished by their path, or by size and ends: what has the same key is put side by
    side, and nothing else follows from it.

    Args:
        messages: of pairs v2.
    """
    hashed = blake2b(digest_size=8)
    for message in messages or ():
        for part in (message and message["content"]) or ():
            medium = part["image"] or part["video"]
            for value in (part["text"], *(_distinguished(medium) if medium else ())):
                data = value.encode(errors="surrogatepass") if isinstance(value, str) else value
                hashed.update(b"%d:" % len(data or b"") + (data or b""))
    return hashed.digest()


def _distinguished(medium: Mapping[str, Any]) -> tuple[str | bytes, ...]:
    data = medium["bytes"]
    if data is None:
        return (medium["path"] or "",)
    return (str(len(data)), data[:_END], data[-_END:])


def _text(messages: Messages | None) -> str:
    """A conversation of one turn is the same as its text."""
    turns = [(turn["role"], text_of(turn["content"])) for turn in messages or () if turn]
    return str(turns[0][1] or "") if len(turns) == 1 else json.dumps(turns) if turns else ""
