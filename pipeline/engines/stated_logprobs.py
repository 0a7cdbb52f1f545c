"""Reads the slot of a verdict from the log-probabilities that a server states with its reply."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.judging.soft_verdicts import NextToken, SlotReading, WrittenSlot, read_slot


async def read_stated(
    slot: WrittenSlot,
    text: str,
    content: str,
    stated: Sequence[Mapping[str, Any]],
    temperature: float,
    top_p: float,
) -> SlotReading | None:
    """Reads a slot; where other tokens than the written ones lead is not known.

    Args:
        slot: in ``text``.
        text: the whole reply, which ends with ``content``.
        content: what the server calls the message.
        stated: ``logprobs.content`` of a chat completion, a token each.
        temperature, top_p: as the reply was sampled.

    Returns:
        None where the tokens are not those of the message.
    """
    written = [_bytes(token) for token in stated]
    whole, message = b"".join(written), content.encode()
    begins = whole.rfind(message)
    inside = slot.start - (len(text) - len(content))
    if begins < 0 or inside < 0:
        return None
    start = begins + len(content[:inside].encode())
    ends = list(itertools.accumulate(map(len, written)))
    first = next((place for place, end in enumerate(ends) if end > start), None)
    if first is None:
        return None
    lead = whole[ends[first] - len(written[first]) : start].decode(errors="replace")

    async def following(path: tuple[NextToken, ...]) -> list[NextToken] | None:
        place = first + len(path)
        so_far = [_text(token) for token in stated[first:place]]
        if place >= len(stated) or [token.text for token in path] != so_far:
            return None
        token = stated[place]
        likely = {_text(each): each for each in (token, *(token.get("top_logprobs") or ()))}
        return [NextToken(each, float(of["logprob"])) for each, of in likely.items()]

    return await read_slot(slot, lead, following, temperature, top_p)


def _bytes(token: Mapping[str, Any]) -> bytes:
    stated = token.get("bytes")
    return bytes(stated) if stated else str(token["token"]).encode()


def _text(token: Mapping[str, Any]) -> str:
    return _bytes(token).decode(errors="replace")
