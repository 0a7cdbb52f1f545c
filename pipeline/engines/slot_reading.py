"""Reads the slot of a reply's verdict with an engine that can say what follows given tokens."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping, Sequence

from pipeline.engines.engine import Sampling
from pipeline.judging.soft_verdicts import NextToken, SlotReading, read_slot

_CONTEXT = 4  # tokens before one that its text may depend on
Decode = Callable[[Sequence[int]], str]
Ask = Callable[[Sequence[int]], Awaitable[Mapping[int, float]]]
"""The log-probabilities of the likeliest tokens, by their ids, behind a reply's first tokens."""


async def read_reply(
    text: str, written: Sequence[int], sampling: Sampling, decode: Decode, ask: Ask
) -> SlotReading | None:
    """Reads the last slot of a reply.

    Args:
        text: the reply.
        written: its tokens, at least to the slot's end.
        sampling: how it was sampled, and what finds the slot.
        decode: the text of tokens, special ones left out.
        ask: what may follow the reply's first tokens.

    Returns:
        None where nothing is to be read, or the reply is no verdict.
    """
    slot = sampling.soft.locate(text) if sampling.soft else None
    if slot is None or (cut := _tokens_before(slot.start, text, written, decode)) is None:
        return None
    before, lead = written[:cut], text[len(decode(written[:cut])) : slot.start]

    async def following(path: tuple[NextToken, ...]) -> list[NextToken]:
        begun = [*before, *(token.id for token in path)]
        found = await ask(begun)
        near = begun[-_CONTEXT:]
        known = len(decode(near))
        return [
            NextToken(decode([*near, token])[known:], logprob, token)
            for token, logprob in found.items()
            if logprob > -math.inf
        ]

    return await read_slot(slot, lead, following, sampling.temperature, sampling.top_p)


def _tokens_before(start: int, text: str, written: Sequence[int], decode: Decode) -> int | None:
    """How many tokens are written wholly before a place of the reply."""
    for count in range(len(written), -1, -1):
        head = decode(written[:count])
        if len(head) <= start and text.startswith(head):
            return count
    return None
