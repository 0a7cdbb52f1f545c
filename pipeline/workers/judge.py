"""Judges pairs: prepare in threads, ask both orders at once, parse, vote, until decided."""

from __future__ import annotations

import asyncio
import datetime
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from pipeline.core.config import EngineConfig, JudgeConfig
from pipeline.core.errors import EngineDeadError, RowRejected
from pipeline.core.fingerprint import label_id, pair_hash
from pipeline.core.parsing import Unreadable, parse_scores
from pipeline.core.prompts import load_prompt
from pipeline.core.row_checks import check_pair, question_of, response_text
from pipeline.core.units import Unit
from pipeline.core.voting import ORDERS, Decision, Vote, decide, next_orders, vote_seed
from pipeline.workers.engine import Chat, Engine, Rendered, Reply, Sampling
from pipeline.workers.media import MediaStore, decode_image
from pipeline.workers.read_pairs import Pairs
from schemas.labels import VERDICT, Reason, Status

# Requests beyond what the engine generates at once, so that it never runs out of waiting ones.
_QUEUE_FACTOR = 1.5


@dataclass(frozen=True)
class Prepared:
    """A pair laid out for the judge: its identity, and one prompt for each order."""

    pair_hash: str
    prompts: Mapping[str, Rendered]


class Judge:
    """One judge on one engine; judges any number of pairs at once on one event loop."""

    def __init__(
        self, engine: Engine, judge: JudgeConfig, how: EngineConfig, media: MediaStore
    ) -> None:
        """Binds a judge to a started engine.

        Args:
            engine: a started engine.
            judge: what is judged and how.
            how: concurrency and time-outs.
            media: where the pairs' media are.
        """
        self._engine, self._judge, self._how, self._media = engine, judge, how, media
        self._prompt = load_prompt(judge.format)
        self._threads = ThreadPoolExecutor(
            how.decode_threads or os.cpu_count() or 1, thread_name_prefix="prepare"
        )
        pairs_at_once = max(1, round(engine.at_once * _QUEUE_FACTOR / len(ORDERS)))
        self._slots = asyncio.Semaphore(pairs_at_once)

    async def judge_unit(
        self, unit: Unit, pairs: Pairs, stamp: Mapping[str, Any]
    ) -> list[dict[str, Any]]:
        """Judges the pairs of a unit; returns their labels v1 rows in the same order.

        Args:
            unit: where the pairs come from.
            pairs: rows of pairs v1 with their ``defect``.
            stamp: ``judge_id`` and ``run_id``.

        Raises:
            EngineDeadError: the engine died; nothing of the unit is judged.
            StorageError: the store of the media fails.
        """
        where = {"shard": unit.shard, "unit": unit.name, **stamp}

        async def one(offset: int) -> dict[str, Any]:
            async with self._slots:  # before the row is taken out of Arrow: bounds memory
                return await self.judge_pair(pairs[offset], {**where, "row": unit.start + offset})

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(one(offset)) for offset in range(len(pairs))]
        except ExceptionGroup as failed:
            # What the callers act on: a dead engine before anything else that broke with it.
            deaths = [error for error in failed.exceptions if isinstance(error, EngineDeadError)]
            raise (deaths or failed.exceptions)[0] from failed
        return [task.result() for task in tasks]

    async def judge_pair(self, pair: Mapping[str, Any], where: Mapping[str, Any]) -> dict[str, Any]:
        """Judges one pair: a label, a tie, or quarantined with its reason; never an exception
        for what is wrong with the pair itself."""
        loop = asyncio.get_running_loop()
        votes: list[Vote] = []
        hashed: str | None = None
        try:
            prepared = await loop.run_in_executor(self._threads, self.prepare, pair)
            hashed = prepared.pair_hash
            while orders := next_orders(votes, self._judge.votes.max_votes):
                asked = [
                    self._ask(prepared, order, len(votes) + i) for i, order in enumerate(orders)
                ]
                votes += await asyncio.gather(*asked)
            decision = decide(votes)
        except RowRejected as rejected:
            decision = Decision(
                status=Status.QUARANTINED, reason=rejected.reason, detail=rejected.detail
            )
        return label_row(pair, where, hashed, decision, votes)

    def prepare(self, pair: Mapping[str, Any]) -> Prepared:
        """Checks, decodes and lays out a pair (CPU work, any thread).

        Raises:
            RowRejected: the pair cannot be judged.
        """
        if pair["defect"] is not None:
            raise RowRejected(Reason.BAD_ROW, pair["defect"])
        check_pair(pair, self._judge)
        media = [self._fetch(reference) for reference in pair["images"] or ()]
        images = tuple(decode_image(data, self._judge.media) for data in media)
        answers = [response_text(pair, name) for name in ("response_a", "response_b")]
        prompts = {}
        for order in ORDERS:
            first, second = answers if order == "ab" else reversed(answers)
            user = self._prompt.fill(question=question_of(pair), answer_1=first, answer_2=second)
            prefix = self._judge.sampling.reply_prefix
            prompts[order] = self._engine.render(Chat(self._prompt.system, user, images, prefix))
        longest = max(prompt.length for prompt in prompts.values())
        limit = self._judge.model.max_model_len - self._judge.sampling.max_tokens
        if longest > limit:
            raise RowRejected(
                Reason.TOO_LONG,
                f"the prompt has {longest} tokens; max_model_len - max_tokens leaves {limit}",
            )
        return Prepared(pair_hash(pair, media), prompts)

    def _fetch(self, reference: Mapping[str, Any] | None) -> bytes:
        if reference is None:
            raise RowRejected(Reason.MEDIA_MISSING, "an entry of images is null")
        return self._media.fetch(reference)

    async def _ask(self, prepared: Prepared, order: str, number: int) -> Vote:
        sampling = self._judge.sampling
        seed = vote_seed(prepared.pair_hash, number)
        temperature = sampling.temperature
        if temperature == 0 and number >= len(ORDERS):
            temperature = sampling.retry_temperature
        how = Sampling(temperature, sampling.top_p, sampling.max_tokens, seed)
        request_id = f"{prepared.pair_hash[:16]}-{os.urandom(4).hex()}-{number}"
        limit = self._how.request_timeout_s
        try:
            async with asyncio.timeout(limit):
                reply = await self._engine.reply(request_id, prepared.prompts[order], how)
        except TimeoutError:
            detail = f"no reply within {limit:g} s (engine.request_timeout_s)"
            return Vote(order=order, seed=seed, outcome=Reason.TIMEOUT, detail=detail)
        return self._read(order, seed, reply)

    def _read(self, order: str, seed: int, reply: Reply) -> Vote:
        text = self._judge.sampling.reply_prefix + reply.text
        parsed = parse_scores(text, reply.finish_reason)
        vote: dict[str, Any] = {
            "order": order,
            "seed": seed,
            "finish_reason": reply.finish_reason,
            "rationale": parsed.rationale,
            "prompt_tokens": reply.prompt_tokens,
            "output_tokens": reply.output_tokens,
            "cached_tokens": reply.cached_tokens,
        }
        if isinstance(parsed, Unreadable):
            return Vote(**vote, outcome=parsed.reason, detail=parsed.detail)
        first, second = parsed.score_1, parsed.score_2
        a, b = (first, second) if order == "ab" else (second, first)
        return Vote(**vote, outcome=VERDICT, score_a=a, score_b=b)


def label_row(
    pair: Mapping[str, Any],
    where: Mapping[str, Any],
    hashed: str | None,
    decision: Decision,
    votes: Sequence[Vote],
) -> dict[str, Any]:
    """A row of labels v1.

    Args:
        pair: the input row.
        where: ``shard, unit, row, judge_id, run_id``.
        hashed: the pair's hash; None where its media or text could not be read.
        decision: what the votes say.
        votes: every vote, unreadable ones included.
    """
    return {
        "label_id": label_id(hashed, where["judge_id"]) if hashed else None,
        "pair_id": pair["pair_id"],
        "pair_hash": hashed,
        **where,
        "status": decision.status,
        "reason": decision.reason,
        "detail": decision.detail,
        "preference": decision.preference,
        "p_a": None,  # calibrated; only calibration fills it
        "p_a_raw": decision.p_a_raw,
        "margin": decision.margin,
        "confidence": decision.confidence,
        "position_consistent": decision.position_consistent,
        "n_votes": len(votes),
        "rationale": decision.rationale,
        "votes": [vote.as_row() for vote in votes],
        "judged_at": datetime.datetime.now(datetime.UTC),
    }
