"""A labeling run that is planned: what is to be judged, by which judge, and at which price."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from pipeline.judging.judge_cards import KnownJudge
from pipeline.labeling.canaries import Canaries, plan_canaries
from pipeline.labeling.carried_price import CarriedPrice
from pipeline.labeling.label_config import LabelConfig, WorkersConfig
from pipeline.labeling.opened_units import OpenedUnits, ranges_of
from pipeline.labeling.planning.committed_shards import CommittedShard
from pipeline.labeling.planning.plan import Plan, plan_shards
from pipeline.labeling.planning.reopening import Reopening
from pipeline.labeling.planning.settled_parts import unsettled_parts
from pipeline.labeling.planning.shard_planner import ShardPlan, ShardPlanner, map_threads
from pipeline.labeling.read_pairs import ShardTask
from pipeline.labeling.run_request import RunRequest, Tier
from pipeline.pairs.shards import open_input
from pipeline.parts.index_update import update_index
from pipeline.parts.label_index import LabelIndex
from pipeline.runtime.printable import one_line
from pipeline.runtime.reporter import Reporter
from pipeline.store.object_store import Store

_MANY_SHARDS = 256  # from here on, Ray tasks read their footers in place of threads
# Of a tier's rows, where the one before has not judged them yet. What is asked of more than that
# waits in memory, as far as there is room (``flow_size``); of less, an engine would not be full.
_ASSUMED_SHARE = 0.1


@dataclass(frozen=True)
class Run:
    """A planned run.

    Attributes:
        request: what it was asked to do.
        reopening: which judged rows are asked about again.
        index: the judge's labels as they were before; None of a dry run.
        epoch: of the lease under which it writes.
        card: the judge card; ``card["judge_id"]`` is the judge's fingerprint.
        checked: the asking that each part was looked into by.
        tier: which one of a cascade it is.
        share: of its rows, about how many its judge is asked about.
        price: of a vote, where a budget sets it.
        beside: the pools of other judges that work at the same time.
    """

    request: RunRequest
    reopening: Reopening
    index: LabelIndex | None
    epoch: int
    card: dict[str, Any]
    plan: Plan
    config: LabelConfig
    input_uri: str
    output: Store
    canaries: Canaries | None
    checked: Mapping[str, str] = field(default_factory=dict)
    tier: Tier | None = None
    share: float = 1.0
    price: CarriedPrice | None = None
    beside: tuple[WorkersConfig, ...] = ()

    @property
    def run_id(self) -> str:
        """The run's identity; begins with its time."""
        return self.request.run_id

    @property
    def canary_rows(self) -> int:
        """How many canaries it judges."""
        return self.canaries.plan.rows_to_do if self.canaries else 0

    @property
    def tasks(self) -> list[ShardTask]:
        """What is to be judged, canaries among it."""
        return self.canaries.among(self.plan) if self.canaries else self.plan.tasks

    @cached_property
    def opened(self) -> OpenedUnits | None:
        """The same as judges before open it; None where none works at the same time.

        It is one: whoever starts threads that share it asks for it before (``judge_side_by_side``).
        """
        before = self.tier.before if self.tier else None
        return None if before is None else OpenedUnits(self.tasks, before)

    @property
    def place(self) -> dict[str, int]:
        """Which tier of a cascade it is; empty where it is of a judge that works alone."""
        if self.tier is None:
            return {}
        return {"tier": self.tier.number, "tiers": self.tier.count}


def plan_run(
    config: LabelConfig,
    known: KnownJudge,
    input_uri: str,
    output: Store,
    reporter: Reporter,
    request: RunRequest,
    session: ExitStack,
    *,
    epoch: int,
    tier: Tier | None = None,
    pools: WorkersConfig | None = None,
) -> Run:
    """Plans a run, and reports the plan.

    Args:
        config, known: of one judge, which the configuration is pinned to.
        input_uri: a folder of shards, or one shard; a local path or ``s3://``.
        output: the output root.
        request: what the run is asked to do.
        session: is given Ray, where there are so many shards that it plans them.
        epoch: of the lease that the caller holds.
        tier: of a run that is one of a cascade's.
        pools: the size of that Ray, where pools of other judges share it.
    """

    def spread(planner: ShardPlanner, shards: Sequence[CommittedShard]) -> Iterable[ShardPlan]:
        if len(shards) < _MANY_SHARDS:
            return map_threads(planner, shards)
        from pipeline.labeling.cluster.ray_session import ray_session
        from pipeline.labeling.dataflow import plan_shards_by_tasks  # Ray takes seconds to load

        session.enter_context(ray_session(pools or config.workers, reporter))
        return plan_shards_by_tasks(planner, shards)

    judge_id, open_rows = known.judge_id, tier.open_rows if tier else None
    with request.step("plan") as detail:
        price = CarriedPrice.of(output, judge_id, config.judge)
        if price is not None:
            config = config.model_copy(update={"judge": price.judge(config.judge)})
        settled_at = price.settled_at if price else None
        again = Reopening(
            config.judge, request.run_id, request.retries, request.rerender, settled_at
        )
        index = None if request.dry_run else update_index(output, judge_id, reporter.note)
        parts = None if index is None else [key for key, _ in index.part_keys()]
        unsettled = unsettled_parts(output, judge_id, again.asking, index, open_rows)
        source, prefix = open_input(input_uri)
        plan = plan_shards(
            source,
            prefix,
            output,
            config.input,
            config.judge,
            judge_id,
            spread,
            again,
            unsettled,
            request.read_published,
            parts=parts,
            open_rows=open_rows,
            wanted=tier.shards if tier else None,
            awaited=ranges_of(tier.before or ()) if tier else None,
        )
        plan = request.sample.of(plan) if request.sample else plan
        of_run = (config, output, request.run_id, judge_id, reporter)
        asked = dict.fromkeys(plan.settled, again.asking) if open_rows is None else {}
        run = Run(
            request,
            again,
            index,
            epoch,
            known.card,
            plan,
            config,
            source.uri,
            output,
            plan_canaries(request.canary, *of_run) if plan.units else None,
            asked | {key: unsettled[key] for key in plan.settled if key in unsettled},
            tier,
            _share_asked(tier, plan, request),
            price,
        )
        shares = {"share_asked": round(run.share, 4)} if open_rows else {}
        numbers = {**plan.summary(), "canaries": run.canary_rows, **run.place, **shares}
        detail.update({"judge_id": judge_id, **numbers})
        reporter.event("plan", {**detail, "judge_id": judge_id[:16], "judge": known.found})
        _note_what_is_left_out(run, reporter)
    return run


def _share_asked(tier: Tier | None, plan: Plan, request: RunRequest) -> float:
    """Of the rows of a plan, about how many its judge is asked about."""
    if tier is None or tier.open_rows is None or request.dry_run:
        return 1.0
    # Where those before have nothing to do, all of their parts are there.
    return _ASSUMED_SHARE if tier.before else tier.open_rows.share(plan.tasks)


def _note_what_is_left_out(run: Run, reporter: Reporter) -> None:
    """Says which shards and columns of the input are not read, and how its columns are."""
    for shard in run.plan.bad_shards:
        reporter.note(f"unreadable shard, left out: {one_line(shard.entry.key)}: {shard.defect}")
    if expressions := run.config.input.translated():
        reporter.note(f"input.columns is read as this input.map: {expressions}")
    if run.plan.unread:
        names = ", ".join(run.plan.unread)
        reporter.note(f"columns that no field of a pair is read from: {names} (input.map)")
