"""Judges pairs: prepares in threads, asks both orders at once, parses, votes, until decided."""

from __future__ import annotations

import asyncio
import copy
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, TypeVar, cast

from pipeline.aggregation.decisions import Decision
from pipeline.aggregation.evidence import next_orders
from pipeline.aggregation.labeler import Labeler
from pipeline.engines.engine import Engine, Reply, Sampling, Scorer
from pipeline.engines.engine_config import EngineConfig
from pipeline.judging.bundle import Format
from pipeline.judging.constraint import Constraint
from pipeline.judging.endings import ending_of
from pipeline.judging.judge_cards import label_id
from pipeline.judging.judge_config import JudgeConfig
from pipeline.judging.renderings import Rendering, rendering_of, shown_kinds
from pipeline.judging.row_rubrics import rubric_text
from pipeline.judging.soft_verdicts import SlotReading, SoftReader, soft_first
from pipeline.judging.votes import Vote, joined, mapped_back, softened, standing, vote_seed
from pipeline.labeling.pair_turns import PairTurns, prompt_keys
from pipeline.labeling.planning.earlier_labels import NONE, EarlierLabels
from pipeline.labeling.planning.reopening import votes_of
from pipeline.labeling.prompting import Prepared, Prompting, media_threads
from pipeline.labeling.read_pairs import Pairs
from pipeline.labeling.run_budget import Purse, VotesSpentError
from pipeline.labeling.score_votes import ScoreVotes
from pipeline.labeling.worker_activity import Activity
from pipeline.media.decoder import MediaDecoder
from pipeline.media.media_store import MediaStore
from pipeline.parts.forgotten import forgotten_row
from pipeline.parts.part_files import row_revision
from pipeline.parts.units import Unit
from pipeline.runtime.clock import utc_now
from pipeline.runtime.errors import EngineDeadError, RowRejected
from schemas.labels import BY_GOLD, NOT_ASKED, Reason, Status

Result = TypeVar("Result")
# Requests in flight to replies that the engine generates at once: some must always wait for it.
QUEUE_FACTOR = 1.5


async def _never() -> bool:
    return False


class Judge:
    """One judge on one engine; judges any number of pairs at once on one event loop.

    Attributes:
        activity: counts its units, pairs and requests in flight.
    """

    def __init__(
        self,
        engine: Engine | Scorer,
        judge: JudgeConfig,
        how: EngineConfig,
        media: MediaStore,
        labeler: Labeler | None = None,
        activity: Activity | None = None,
        purse: Purse | None = None,
        seeds_by_id: bool = False,
        turns: Callable[[int], PairTurns] = PairTurns,
    ) -> None:
        """Binds a judge to a started engine.

        Args:
            engine: a started engine; one that scores if the judge is a reward model.
            judge: what is judged and how.
            how: concurrency and time-outs.
            media: the store of the pairs' media.
            labeler: makes labels of votes; by default under the default policy.
            activity: receives what starts and ends; by default, one that records nothing.
            purse: what votes are taken from; by default there are any number.
            seeds_by_id: whether seeds follow from a pair's id, in place of its content.
            turns: makes the slots of so many pairs.
        """
        self.activity = activity or Activity()
        self._judge, self._how = judge, how
        self._purse, self._seeds_by_id = purse or Purse(), seeds_by_id
        self._labeler = labeler or Labeler.of(judge)
        threads = how.decode_threads or os.cpu_count() or 1
        seconds, memory = how.decode_seconds, how.decode_bytes
        self._decoder = MediaDecoder(judge.media, memory, threads, seconds)
        self._prompting = Prompting(engine, judge, media, self._decoder)
        self._format = judge.declared_format
        self._engine, self._scores = cast(Engine, engine), None
        if self._format.family == "reward":
            self._scores = ScoreVotes(cast(Scorer, engine), how.reply_limit_s, self.activity)
        self._threads = media_threads(threads)
        rows_at_once = round(engine.at_once * QUEUE_FACTOR / self._format.requests_at_once)
        self._turns = turns(max(1, rows_at_once))

    @property
    def config(self) -> JudgeConfig:
        """What is judged and how."""
        return self._judge

    @property
    def policy_id(self) -> str:
        """Identity of the policy and calibration that label the votes."""
        return self._labeler.policy_id

    def with_media(self, media: MediaStore) -> Judge:
        """The same judge, threads and slots included, for pairs with media in another store."""
        other = copy.copy(self)
        other._prompting = Prompting(self._engine, self._judge, media, self._decoder)
        return other

    async def judge_unit(
        self,
        unit: Unit,
        pairs: Pairs,
        stamp: Mapping[str, Any],
        earlier: EarlierLabels = NONE,
        stopping: Callable[[], Awaitable[bool]] = _never,
    ) -> list[dict[str, Any]]:
        """Judges the pairs of a unit; returns their labels v2 rows in the same order.

        Pairs that share a prompt are begun together (``pipeline.labeling.pair_turns``). Once
        ``stopping``, no further pair is started: the rows are those of the pairs that were, which
        need not lie side by side. Rows that the run has no votes left for are left out.

        Args:
            unit: the unit of the pairs.
            pairs: rows of pairs v2 with their ``defect``.
            stamp: ``judge_id``, ``run_id`` and ``epoch``.
            earlier: labels that are reused, except for rows that are asked about again.
            stopping: called before each pair: whether the run is to stop.

        Raises:
            EngineDeadError: the engine died; nothing of the unit is judged.
            StorageError: the store of the media fails.
        """
        where = {"shard": unit.shard, "unit": unit.name, **stamp}

        keys = await asyncio.get_running_loop().run_in_executor(self._threads, prompt_keys, pairs)

        async def one(offset: int) -> dict[str, Any] | None:
            async with self._turns.turn(
                keys[offset]
            ):  # before the row is taken out of Arrow: bounds memory
                if await stopping():
                    return None
                row = {**where, "row": unit.start + offset}
                with self.activity.pair(), suppress(VotesSpentError):
                    return await self.judge_pair(pairs[offset], row, earlier)
                return None

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(one(offset)) for offset in range(len(pairs))]
        except ExceptionGroup as failed:
            # A dead engine before the other errors that it caused: callers act on it.
            deaths = [error for error in failed.exceptions if isinstance(error, EngineDeadError)]
            raise (deaths or failed.exceptions)[0] from failed
        return [row for task in tasks if (row := task.result()) is not None]

    async def judge_pair(
        self,
        pair: Mapping[str, Any],
        where: Mapping[str, Any],
        earlier: EarlierLabels = NONE,
    ) -> dict[str, Any]:
        """Judges one pair: labels it, or quarantines it with the reason.

        What is wrong with the pair itself is never an exception. A row that has a label keeps it
        where it can no longer be judged.

        Raises:
            VotesSpentError: the run has no votes left to begin with it.
        """
        before = earlier.of_row(where["row"])
        votes: list[Vote] = []
        pair_hash: str | None = None
        now = utc_now()
        forgotten = {"epoch": 0, "revision": 1, **where, "judged_at": now}
        if earlier.forgotten.knows(pair["pair_id"], None):
            return forgotten_row(forgotten)
        if where["row"] in earlier.settled and pair["gold"] is None:
            return await self._in_thread(self._not_asked, pair, where, earlier)
        try:
            row = await self._in_thread(self._prompting.identify, pair)
            pair_hash = row.pair_hash
            rubric = None if row.rubric is None else rubric_text(row.rubric)
            where = {**where, "cluster": row.cluster, "rubric": rubric}
            if any(earlier.forgotten.knows(None, each) for each in (pair_hash, row.content)):
                return forgotten_row(forgotten)
            if row.alike:
                where = {**where, "revision": row_revision(before) + 1 if before else 1}
                return _by_gold(pair, where, row.alike, pair_hash, self.policy_id)
            before = before or await self._in_thread(earlier.of_pair, pair_hash)
            going_on = earlier.votes(before) if before else []
            if before and going_on is None:
                return self._reused(before, pair, where)
            votes = going_on or []
            prepared = await self._in_thread(self._prompting.prepare, row)
            if self._seeds_by_id:
                prepared = replace(prepared, seeded_by=str(pair["pair_id"]))
            kinds = prepared.kinds
            if before and before["pair_hash"] not in (None, pair_hash):
                kinds |= {"text.placeholder"}  # which earlier versions read as mere text
            where["shown_kinds"] = shown_kinds(kinds)
            if before and earlier.stands(before, kinds):
                return self._reused(before, pair, where) | {"shown_kinds": where["shown_kinds"]}
            await self._vote(prepared, votes, where)
            decision = self._labeler.decide(votes, rubric)
        except RowRejected as rejected:
            if before and before["status"] != Status.QUARANTINED:
                return self._reused(before, pair, where)
            votes = votes or (votes_of(before) if before else [])
            decision = Decision(
                status=Status.QUARANTINED, reason=rejected.reason, detail=rejected.detail
            )
        where = {**where, "revision": row_revision(before) + 1 if before else 1}
        return label_row(pair, where, pair_hash, decision, votes, self.policy_id)

    async def _vote(self, prepared: Prepared, votes: list[Vote], where: Mapping[str, Any]) -> None:
        """Adds votes until those that count suffice, or those of a pair are spent."""
        count, begun = len(prepared.answers), False
        while orders := next_orders(
            self._format,
            self._labeler.weighted(votes, where["rubric"]),
            self._judge.votes,
            count,
            prepared.pair_hash,
        ):
            await self._purse.take(sum(len(self._format.requests(o)) for o in orders), begun)
            begun = True
            superseded = len(votes) - len(standing(votes))
            asked = [
                self._ask(prepared, order, len(votes) + i, superseded)
                for i, order in enumerate(orders)
            ]
            votes += [
                replace(vote, run_id=where["run_id"]) for vote in await asyncio.gather(*asked)
            ]

    def prepare(self, pair: Mapping[str, Any]) -> Prepared:
        """Checks and decodes a pair, and lays out its first round (CPU work, any thread).

        Raises:
            RowRejected: the pair cannot be judged.
        """
        return self._prompting.prepare(self._prompting.identify(pair))

    def _reused(
        self, label: Mapping[str, Any], pair: Mapping[str, Any], where: Mapping[str, Any]
    ) -> dict[str, Any]:
        """A label that is there already: its votes, under the current policy."""
        position = {name: where[name] for name in ("shard", "unit", "row")}
        stated = {"revision": row_revision(label), "epoch": label["epoch"] or 0}
        row = {**label, **position, **stated, "pair_id": pair["pair_id"]}
        row["cluster"] = where.get("cluster") or label["cluster"]
        row["rubric"] = where.get("rubric", label["rubric"])
        row["votes"] = [vote.as_row() for vote in votes_of(label)]
        if label["status"] == Status.QUARANTINED or not row["votes"]:
            return row
        decision = self._labeler.decide(votes_of(label), row["rubric"])
        return row | decision.as_row() | {"policy_id": self.policy_id}

    def _not_asked(
        self, pair: Mapping[str, Any], where: Mapping[str, Any], earlier: EarlierLabels
    ) -> dict[str, Any]:
        """The row of a pair that a judge before this one has settled; votes of this one stay."""
        if label := earlier.votes_there(where["row"]):
            return self._reused(label, pair, where)
        settled = earlier.settled[where["row"]]
        none = Decision(status=Status.ABSTAINED)
        where = {**where, "cluster": settled.cluster, "revision": 0}
        row = label_row(pair, where, settled.pair_hash, none, [], self.policy_id)
        return row | {"status": NOT_ASKED, "decided_by": settled.decided_by}

    async def _in_thread(self, work: Callable[..., Result], *arguments: object) -> Result:
        with self.activity.stage("decode"):
            return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)

    async def _ask(self, prepared: Prepared, order: str, number: int, superseded: int) -> Vote:
        if self._scores is not None:
            return await self._scores.ask(prepared.pair_hash, prepared.prompts)
        sampling = self._judge.sampling
        seed = vote_seed(prepared.seeded_by or prepared.pair_hash, number)
        temperature = sampling.temperature
        if temperature == 0 and number - superseded >= len(self._format.orders(len(order), 0, "")):
            temperature = sampling.retry_temperature
        how = Sampling(temperature, sampling.top_p, sampling.max_tokens, seed)
        format_ = self._judge.asking(prepared.rubric).declared_format
        shown = 1 if format_.apart else len(order)
        if sampling.constrained:
            how = replace(how, constraint=Constraint.of(format_.grammar, shown))
        if sampling.soft_votes:
            how = replace(how, soft=SoftReader(format_, shown, self._judge.reply_prefix))
        request_id = f"{prepared.pair_hash[:16]}-{os.urandom(4).hex()}-{number}"
        asked = (
            self._request(prepared, each, f"{request_id}{each}", how)
            for each in self._format.requests(order)
        )
        votes, readings = zip(*await asyncio.gather(*asked), strict=True)
        vote = joined(order, votes)
        weight = self._judge.votes.soft_weight
        return softened(vote, soft_first(readings), weight) if sampling.soft_votes else vote

    async def _request(
        self, prepared: Prepared, order: str, request_id: str, how: Sampling
    ) -> tuple[Vote, SlotReading | None]:
        """What one reply says about the candidates that it is shown, and could have said."""
        limit, seed = self._how.reply_limit_s, how.seed
        prompt = prepared.prompts.get(order)
        if prompt is None:  # a later permutation of a ranking
            prompt = await self._in_thread(self._prompting.prompt, prepared, order)
        chat = prompt.chat
        media = bool(chat.images or chat.clips)
        judge = self._judge.asking(prepared.rubric)
        ending = ending_of(judge, len(order), chat.user, media=media)
        how, ended = replace(how, ending=ending), ending is not None
        shown = rendering_of(images=bool(chat.images), videos=bool(chat.clips), ended=ended)
        try:
            async with asyncio.timeout(limit):
                with self.activity.request():
                    reply = await self._engine.reply(request_id, prompt, how)
        except TimeoutError:
            detail = f"no reply within {self._how.request_timeout_s:g} s (engine.request_timeout_s)"
            outcome = Reason.TIMEOUT
            none = Vote(order=order, seed=seed, outcome=outcome, detail=detail, rendering=shown)
            return none, None
        self._purse.pay(reply.prompt_tokens, reply.cached_tokens, reply.output_tokens)
        vote = self._read(judge.declared_format, order, seed, shown, reply)
        if vote.parsed or ending is None or (end := ending.last_end(reply.text)) is None:
            return vote, reply.slot
        return replace(vote, cut_text=reply.text[end:].strip() or None), None

    def _read(self, format_: Format, order: str, seed: int, shown: Rendering, reply: Reply) -> Vote:
        text = self._judge.reply_prefix + reply.text
        read = format_.parse(text, reply.finish_reason, len(order))
        return Vote(
            order=order,
            seed=seed,
            finish_reason=reply.finish_reason,
            prompt_tokens=reply.prompt_tokens,
            output_tokens=reply.output_tokens,
            cached_tokens=reply.cached_tokens,
            rendering=shown,
            **mapped_back(read, order),
        )


def _by_gold(
    pair: Mapping[str, Any], where: Mapping[str, Any], alike: str, hashed: str, policy_id: str
) -> dict[str, Any]:
    """The label of a pair that leaves nothing to ask, and that a person has decided."""
    gold = pair["gold"]
    decision = Decision(
        status=Status.TIE if gold == "tie" else Status.LABELED,
        preference=None if gold == "tie" else gold,
        detail=f"by gold, since there is nothing to compare: {alike}",
    )
    row = label_row(pair, where, hashed, decision, [], policy_id)
    return row | {"decided_by": BY_GOLD}


def label_row(
    pair: Mapping[str, Any],
    where: Mapping[str, Any],
    hashed: str | None,
    decision: Decision,
    votes: Sequence[Vote],
    policy_id: str,
) -> dict[str, Any]:
    """A row of labels v2.

    Args:
        pair: the input row.
        where: ``shard, unit, row, judge_id, run_id``, the ``cluster`` and the row's own ``rubric``
            if they are known, and ``epoch`` and ``revision`` unless they are 0 and 1.
        hashed: the pair's hash; None where its media or text could not be read.
        decision: the label, tie, abstention or quarantine.
        votes: every vote, unparseable ones included.
        policy_id: identity of the policy and calibration that decided.
    """
    return {
        "label_id": label_id(hashed, where["judge_id"]) if hashed else None,
        "pair_id": pair["pair_id"],
        "pair_hash": hashed,
        "epoch": 0,
        "revision": 1,
        "cluster": None,
        "rubric": None,
        "shown_kinds": None,
        **where,
        **decision.as_row(),
        "n_votes": len(standing(votes)),
        "votes": [vote.as_row() for vote in votes],
        "policy_id": policy_id,
        "judged_at": utc_now(),
        "decided_by": where["judge_id"] if decision.status != Status.QUARANTINED else None,
        "part_revision": None,  # stated when the part is written
    }
