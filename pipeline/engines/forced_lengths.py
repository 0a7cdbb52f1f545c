"""Cuts replies off at given lengths: the untrained weights of benchmarks never end a reply."""

from __future__ import annotations

import functools
import hashlib
import math
from dataclasses import replace
from statistics import NormalDist

from pipeline.engines.engine import CachingEngine, Chat, Engine, Rendered, Reply, Sampling
from pipeline.judging.soft_verdicts import Literals, SoftReader, WrittenSlot, literals_of

_SIGMA = 0.5  # of the logarithm of lengths: about the spread of Flex-VL-7B's replies


class ForcedLengths:
    """An engine whose replies are cut off at lognormal lengths that depend on the prompt alone."""

    def __init__(self, engine: Engine, mean: int) -> None:
        """Wraps an engine; lengths are ``mean`` tokens on average, ``max_tokens`` at most."""
        self._engine, self._mean = engine, mean
        self.at_once = engine.at_once

    def render(self, chat: Chat) -> Rendered:
        """As the engine does."""
        return self._engine.render(chat)

    async def reply(self, request_id: str, prompt: Rendered, sampling: Sampling) -> Reply:
        """Replies, and stops at the prompt's length."""
        most = min(sampling.max_tokens, forced_length(prompt, self._mean))
        how = replace(sampling, max_tokens=most)
        if how.soft is not None:
            how = replace(how, soft=_AtTheEnd(how.soft.format_, how.soft.count))
        return await self._engine.reply(request_id, prompt, how)

    async def forget_prompts(self) -> None:
        """Empties the engine's caches, where it has any."""
        if isinstance(self._engine, CachingEngine):
            await self._engine.forget_prompts()

    def close(self) -> None:
        """Ends the engine."""
        self._engine.close()


class _AtTheEnd(SoftReader):
    """Reads at the end of any reply, as if its last verdict stood there: it costs the same."""

    forced = True

    def locate(self, reply: str) -> WrittenSlot:
        """The end."""
        return WrittenSlot(len(reply), _ties(literals_of(self.format_.grammar)))


@functools.lru_cache(8)
def _ties(literals: tuple[str, ...]) -> Literals:
    return Literals(dict.fromkeys(literals, "tie"))


def forced_length(prompt: Rendered, mean: int) -> int:
    """How many tokens the reply to a prompt is given, ``mean`` on average."""
    text = f"{prompt.chat.system or ''}{prompt.chat.user}"
    share = int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big") / 2**48
    deviation = NormalDist().inv_cdf(min(max(share, 1e-6), 1 - 1e-6))
    return max(1, round(mean * math.exp(_SIGMA * deviation - _SIGMA**2 / 2)))
