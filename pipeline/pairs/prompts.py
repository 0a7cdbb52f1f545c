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

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.pairs.pair_hash import Content
from pipeline.runtime.digest import digest

_DIGITS = 15  # of a hash, so that it fits a signed number of 64 bits
Turns = Sequence[Mapping[str, Any] | None]


def cluster_of(pair: Mapping[str, Any], context: Content) -> str:
    """A hash that pairs which are alike share; labels store it.

    Args:
        pair: a row of pairs v1.
        context: the media of its prompt.
    """
    if context.media_hashes:  # which of them stands where makes no other question
        return digest("media", *sorted(set(context.media_hashes)))
    return digest(_text(pair["prompt"], pair["messages"]))


def cluster_key(cluster: str | None, prompt: str | None, messages: Turns | None) -> int:
    """The same as a number, of a label.

    Labels that do not state it, since an earlier version wrote them or their row could not be read,
    cluster by the text of the prompt.

    Args:
        cluster: of the label.
        prompt, messages: of pairs v1.
    """
    return cluster_number(cluster or digest(_text(prompt, messages)))


def cluster_number(cluster: str) -> int:
    """A stored cluster as a number."""
    return int(cluster[:_DIGITS], 16)


def _text(prompt: str | None, messages: Turns | None) -> str:
    """A conversation of one turn is the same as its text. Nothing is refused here."""
    turns = [(turn["role"], turn["content"]) for turn in messages or () if turn is not None]
    if turns:
        return str(turns[0][1]) if len(turns) == 1 else json.dumps(turns)
    return prompt or ""
