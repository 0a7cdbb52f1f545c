"""Asks a reward model about a pair: one request a candidate, and one vote of both scores.

The second candidate is asked about once the first has its score: both prompts begin alike up to
the answer, and the second finds that beginning in the engine's prefix cache. Other pairs fill the
engine meanwhile.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping

from pipeline.engines.engine import Rendered, Score, Scorer
from pipeline.judging.renderings import rendering_of
from pipeline.judging.votes import LETTERS, Vote
from pipeline.labeling.worker_activity import Activity
from schemas.labels import VERDICT, Reason


class ScoreVotes:
    """Makes votes of scores."""

    def __init__(self, scorer: Scorer, timeout_s: float, activity: Activity) -> None:
        """Binds to a started reward model.

        Args:
            scorer: the reward model.
            timeout_s: a score that takes longer is aborted.
            activity: counts requests in flight.
        """
        self._scorer, self._timeout_s, self._activity = scorer, timeout_s, activity

    async def ask(self, pair_hash: str, prompts: Mapping[str, Rendered]) -> Vote:
        """One vote about a pair; without an order, a seed that matters, or a rationale.

        Args:
            pair_hash: the pair's.
            prompts: the candidates' by their letters.

        Raises:
            EngineDeadError: the engine died.
            RowRejected: the engine refuses a prompt.
        """
        letters = LETTERS[: len(prompts)]
        chat = prompts[letters[0]].chat
        images, videos = bool(chat.images), bool(chat.clips)
        shown = rendering_of(images=images, videos=videos, ended=False)
        scores: list[Score] = []
        try:
            for letter in letters:
                name = f"{pair_hash[:16]}-{os.urandom(4).hex()}-{letter}"
                async with asyncio.timeout(self._timeout_s):
                    with self._activity.request():
                        scores.append(await self._scorer.score(name, prompts[letter]))
        except TimeoutError:
            detail = f"no score within {self._timeout_s:g} s (engine.request_timeout_s)"
            return Vote(order="", seed=0, outcome=Reason.TIMEOUT, detail=detail, rendering=shown)
        return Vote(
            order="",
            seed=0,
            outcome=VERDICT,
            scores=tuple(score.value for score in scores),
            prompt_tokens=sum(score.prompt_tokens for score in scores),
            cached_tokens=sum(score.cached_tokens for score in scores),
            rendering=shown,
        )
