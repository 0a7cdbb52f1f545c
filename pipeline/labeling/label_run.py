"""One labeling run: plan, judge, reconcile, and store the record under the output root."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from pipeline.aggregation.calibration_cards import read_calibration
from pipeline.aggregation.reachable import check_reachable
from pipeline.engines.engine_registry import check_engine
from pipeline.judging.judge_cards import KnownJudge, write_card
from pipeline.labeling.attempts import Starts
from pipeline.labeling.canaries import Canaries, plan_canaries
from pipeline.labeling.canary_config import CanaryConfig
from pipeline.labeling.carried_price import CarriedPrice
from pipeline.labeling.committed_shards import CommittedShard
from pipeline.labeling.dataflow import judge_shards, plan_shards_by_tasks
from pipeline.labeling.judge_actor import RunSpec
from pipeline.labeling.known_judge import Config, known_judge
from pipeline.labeling.label_config import LabelConfig, WorkersConfig
from pipeline.labeling.open_rows import OpenRows
from pipeline.labeling.opened_units import OpenedUnits, ranges_of
from pipeline.labeling.plan import Plan, plan_shards
from pipeline.labeling.progress import RunProgress
from pipeline.labeling.published_shards import ReadPublished, nothing_published
from pipeline.labeling.ray_recorder import RayRecorder
from pipeline.labeling.ray_session import ray_session
from pipeline.labeling.read_pairs import ShardTask
from pipeline.labeling.reconcile import check_coverage, check_quarantine
from pipeline.labeling.reopening import Reopening
from pipeline.labeling.run_budget import NO_LIMITS, RunBudget
from pipeline.labeling.run_metrics import RunMetrics
from pipeline.labeling.sample_plan import Sample
from pipeline.labeling.settled_parts import unsettled_parts
from pipeline.labeling.shard_planner import ShardPlan, ShardPlanner, map_threads
from pipeline.labeling.unit_result import RowCounts
from pipeline.pairs.shards import open_input
from pipeline.parts.index_update import mark_asked, update_index
from pipeline.parts.label_index import LabelIndex
from pipeline.parts.units import Unit
from pipeline.runtime.errors import StorageError
from pipeline.runtime.logs import logging_of
from pipeline.runtime.phases import phase
from pipeline.runtime.printable import one_line
from pipeline.runtime.reporter import Reporter
from pipeline.runtime.steps import Step, new_run_id, unrecorded
from pipeline.runtime.stop import Stop
from pipeline.store.lease import Lease
from pipeline.store.object_store import Store
from pipeline.store.writer_lease import writer_lease
from schemas.labels import NOT_ASKED, Reason, Status

_MANY_SHARDS = 256  # from here on, Ray tasks read their footers in place of threads
# Of a tier's rows, where the one before has not judged them yet. What is asked of more than that
# waits in memory, as far as there is room (``flow_size``); of less, an engine would not be full.
_ASSUMED_SHARE = 0.1

Committed = Callable[[Unit], None]


def _nobody(unit: Unit) -> None:
    """Nobody waits for units of a judge that works alone."""


@dataclass(frozen=True)
class Run:
    """A planned run.

    Attributes:
        reopening: which judged rows are asked about again, and its run id.
        index: the judge's labels as they were before; None of a dry run.
        epoch: of the lease under which it writes.
        card: the judge card; ``card["judge_id"]`` is the judge's fingerprint.
        checked: the asking that each part was looked into by.
        tier: which one of a cascade it is.
        share: of its rows, about how many its judge is asked about.
        price: of a vote, where a budget sets it.
        beside: the pools of other judges that work at the same time.
    """

    reopening: Reopening
    index: LabelIndex | None
    epoch: int
    card: dict[str, Any]
    plan: Plan
    config: LabelConfig
    input_uri: str
    output: Store
    canaries: Canaries | None
    budget: RunBudget
    seeds_by_id: bool = False
    checked: Mapping[str, str] = field(default_factory=dict)
    tier: Tier | None = None
    share: float = 1.0
    price: CarriedPrice | None = None
    beside: tuple[WorkersConfig, ...] = ()

    @property
    def run_id(self) -> str:
        """The run's identity; begins with its time."""
        return self.reopening.run_id

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


@dataclass(frozen=True)
class RunResult:
    """What a run did.

    Attributes:
        judge_id: the judge's fingerprint.
        counts: counts over the rows it judged.
        judging_seconds: from the start of its first unit to its last commit.
        canaries: counts over its canaries.
        shards: the keys of all shards that it planned, by path.
        plan: the plan in numbers.
        budget: what it was given, with what it has spent of it.
    """

    judge_id: str
    counts: RowCounts
    judging_seconds: float
    canaries: RowCounts
    shards: Mapping[str, str]
    plan: Mapping[str, int] = field(default_factory=dict)
    budget: RunBudget = NO_LIMITS


@dataclass(frozen=True)
class Tier:
    """Which judge of a cascade a run is of.

    Attributes:
        number: from 1.
        count: of all judges.
        known: the judge, which the configuration is pinned to.
        open_rows: which rows it is asked about.
        shards: the keys of those that the judges before have judged, by path; None of the first.
        before: what the judges before have to do at the same time, of all of them; None where they
            are done.
    """

    number: int
    count: int
    known: KnownJudge
    open_rows: OpenRows | None = None
    shards: Mapping[str, str] | None = None
    before: Sequence[ShardTask] | None = None

    @property
    def last(self) -> bool:
        """Whether it is asked about all that is open."""
        return self.number == self.count


def label(
    config: LabelConfig,
    input_uri: str,
    output_uri: str,
    reporter: Reporter,
    *,
    dry_run: bool,
    retries: frozenset[Reason] = frozenset(),
    rerender: frozenset[str] = frozenset(),
    run_id: str | None = None,
    canary: CanaryConfig | None = None,
    read_published: ReadPublished = nothing_published,
    step: Step = unrecorded,
    stop: Stop | None = None,
    lease: Lease | None = None,
    sample: Sample | None = None,
    budget: RunBudget = NO_LIMITS,
    tier: Tier | None = None,
    seeds_by_id: bool = False,
) -> RunResult:
    """Labels every pair under ``input_uri`` that the judge of a configuration has not labelled yet.

    Args:
        config: the job's configuration.
        input_uri: a folder of shards, or one shard; a local path or ``s3://``.
        output_uri: where parts, judge card and the run's record go.
        reporter: receives the plan, the phases, the progress and the result.
        dry_run: only plan.
        retries: rows that are quarantined for one of these reasons are re-judged.
        rerender: narrow kinds; rows that earlier versions judged are re-judged if they have one.
        run_id: the run's identity; a new one by default.
        canary: gold pairs that are judged among the others, if there are others to judge.
        read_published: reads which shards of the output are published; the footers of these are
            not read again, and their labels are kept where they were only moved.
        step: entered around the steps ``plan`` and ``label``.
        stop: checked between steps, and while pairs are judged.
        lease: of the output, if the caller holds it; otherwise this takes it, except to only plan.
        sample: the pairs that alone are judged; all by default.
        budget: what the run may spend.
        tier: of a run that is one of a cascade's (``pipeline.labeling.cascade_run``).
        seeds_by_id: whether pairs of the same id are sampled by the same seeds, in place of pairs
            of the same content: for copies of a pair that are compared with each other.

    Returns:
        Counts over the rows judged by this run, and how long judging took.

    Raises:
        StoppedError: a stop was asked for before everything was labelled.
        BudgetSpentError: the budget was spent before everything was labelled.
        LeaseHeldError: another run writes to this output.
        LeaseLostError: the lease was lost; what is committed stays.
        PairmillError: with the exit code of the job (see ``pipeline.runtime.errors``).
    """
    stop, run_id = stop or Stop(), run_id or new_run_id()
    output = Store(output_uri)
    if tier is None:
        config, known = identified(config, output, reporter)
    else:
        known = tier.known
    check_decides(config, known, output)
    reporter = reporter.of_run(run_id)
    with ExitStack() as session:
        session.enter_context(logging_of(run_id, logging.WARNING))
        if lease is None and not dry_run:
            held = writer_lease(output, run_id, config.lease_s, reporter, stop)
            lease = session.enter_context(held)
        run = plan_run(
            config,
            known,
            input_uri,
            output,
            reporter,
            session,
            dry_run=dry_run,
            retries=retries,
            rerender=rerender,
            run_id=run_id,
            canary=canary,
            read_published=read_published,
            step=step,
            epoch=lease.epoch if lease else 0,
            sample=sample,
            budget=budget,
            tier=tier,
            seeds_by_id=seeds_by_id,
        )
        if dry_run:
            none = RowCounts(run_id)
            about = (run.plan.versions, run.plan.summary())
            return RunResult(run.card["judge_id"], none, 0, none, *about)
        return judge_planned(run, reporter, step, stop)


def check_decides(config: LabelConfig, known: KnownJudge, output: Store) -> None:
    """Refuses a policy under which no vote of a judge would ever become a preference.

    Raises:
        ConfigError: with what to do.
    """
    calibrated = read_calibration(output, known.judge_id) is not None
    check_reachable(config.judge, config.policy, calibrated=calibrated)


def plan_run(
    config: LabelConfig,
    known: KnownJudge,
    input_uri: str,
    output: Store,
    reporter: Reporter,
    session: ExitStack,
    *,
    dry_run: bool,
    retries: frozenset[Reason],
    rerender: frozenset[str],
    run_id: str,
    canary: CanaryConfig | None,
    read_published: ReadPublished,
    step: Step,
    epoch: int,
    sample: Sample | None = None,
    budget: RunBudget = NO_LIMITS,
    tier: Tier | None = None,
    seeds_by_id: bool = False,
    pools: WorkersConfig | None = None,
) -> Run:
    """Plans a run, and reports the plan; the arguments are those of :func:`label`.

    Args:
        config, known: of one judge, which the configuration is pinned to.
        session: is given Ray, where there are so many shards that it plans them.
        epoch: of the lease that the caller holds.
        pools: the size of that Ray, where pools of other judges share it.
    """
    judge_id = known.judge_id

    def spread(planner: ShardPlanner, shards: Sequence[CommittedShard]) -> Iterable[ShardPlan]:
        if len(shards) < _MANY_SHARDS:
            return map_threads(planner, shards)
        session.enter_context(ray_session(pools or config.workers, reporter))
        return plan_shards_by_tasks(planner, shards)

    with step("plan") as detail:
        price = CarriedPrice.of(output, judge_id, config.judge)
        if price is not None:
            config = config.model_copy(update={"judge": price.judge(config.judge)})
        settled_at = price.settled_at if price else None
        again = Reopening(config.judge, run_id, retries, rerender, settled_at)
        index = None if dry_run else update_index(output, judge_id, reporter.note)
        parts = None if index is None else [key for key, _ in index.part_keys()]
        open_rows = tier.open_rows if tier else None
        unsettled = unsettled_parts(output, judge_id, again.asking, index, open_rows)
        how = (config.input, config.judge, judge_id, spread, again, unsettled, read_published)
        source, prefix = open_input(input_uri)
        shards = tier.shards if tier else None
        before = tier.before if tier else None
        awaited = ranges_of(before or ())
        of_tier = (None, parts, open_rows, shards, awaited)
        plan = plan_shards(source, prefix, output, *how, *of_tier)
        plan = sample.of(plan) if sample else plan
        share = 1.0
        if open_rows is not None and not dry_run:
            # Where those before have nothing to do, all of their parts are there.
            share = _ASSUMED_SHARE if before else open_rows.share(plan.tasks)
        of_run = (config, output, run_id, judge_id, reporter)
        canaries = plan_canaries(canary, *of_run) if plan.units else None
        about = (plan, config, source.uri, output, canaries, budget, seeds_by_id)
        asked = dict.fromkeys(plan.settled, again.asking) if open_rows is None else {}
        checked = asked | {key: unsettled[key] for key in plan.settled if key in unsettled}
        run = Run(again, index, epoch, known.card, *about, checked, tier, share, price)
        detail.update({"judge_id": judge_id, **plan.summary(), "canaries": run.canary_rows})
        detail.update(_place(run) | ({"share_asked": round(share, 4)} if open_rows else {}))
        reporter.event("plan", {**detail, "judge_id": judge_id[:16], "judge": known.found})
        for shard in plan.bad_shards:
            reporter.note(
                f"unreadable shard, left out: {one_line(shard.entry.key)}: {shard.defect}"
            )
        if expressions := config.input.translated():
            reporter.note(f"input.columns is read as this input.map: {expressions}")
        if plan.unread:
            names = ", ".join(plan.unread)
            reporter.note(f"columns that no field of a pair is read from: {names} (input.map)")
    return run


def judge_planned(
    run: Run, reporter: Reporter, step: Step, stop: Stop, committed: Committed = _nobody
) -> RunResult:
    """Judges what a run has planned, and stores its record.

    Args:
        run: not one that only plans.
        reporter, step, stop: as of :func:`label`.
        committed: is told of each unit that it commits, or piece of one, canaries aside.
    """
    with ExitStack() as session, step("label") as detail:
        stop.check("nothing is judged yet")
        # Before Ray and engines, so that an output that cannot be written starts none; also
        # without rows, since a snapshot of no rows names a judge too.
        write_card(run.output, run.card)
        if run.price is not None:
            run.price.begin()
        for planned in (run.plan, *([run.canaries.plan] if run.canaries else [])):
            planned.contents.save()
        if run.plan.units:
            session.enter_context(ray_session(run.config.workers, reporter))
        return _execute(run, reporter, detail, stop, committed)


def identified(config: Config, output: Store, reporter: Reporter) -> tuple[Config, KnownJudge]:
    """The judge of a configuration, pinned to the weights that will run (``known_judge``).

    Raises:
        PairmillError: as ``known_judge`` does, and where the engine cannot run it.
    """
    with phase(reporter, "identifying the model", announce=False):
        check_engine(config.judge, config.engine)
        return known_judge(config, output, reporter.note)


def _execute(
    run: Run,
    reporter: Reporter,
    detail: dict[str, Any],
    stop: Stop,
    committed: Committed,
) -> RunResult:
    began = time.monotonic()
    progress = RunProgress(reporter, run.run_id, run.plan.rows_to_do, run.config.progress_seconds)
    canaries = RowCounts(run.run_id)

    def store(state: str) -> dict[str, Any]:
        seconds = time.monotonic() - began
        record = _record(run, state, progress.counts, canaries, seconds, progress.rates())
        _store(run, record, reporter, detail)
        return record

    if run.plan.units:
        try:
            _judge(run, progress, canaries, stop, committed)
        except KeyboardInterrupt:  # what was in flight may be committed, and is not counted
            with suppress(StorageError):
                store("stopped")
            raise
    else:
        reporter.note("nothing to judge: every row is labelled by this judge; no engine started")
    counts = progress.counts
    planned = (run.plan.rows_to_do, run.canary_rows)
    if (counts.pairs, canaries.pairs) != planned and stop.asked:
        store("stopped")
        stop.check(f"{counts.pairs} of {planned[0]} pairs to do are labelled and committed")
    if (counts.pairs, canaries.pairs) != planned:
        raise AssertionError(
            f"run {run.run_id}: {planned} rows and canaries planned, {counts.pairs} and "
            f"{canaries.pairs} committed"
        )
    check_coverage(run.plan, run.output, run.card["judge_id"])
    if run.index is not None and run.plan.settled:
        mark_asked(run.index, run.output, run.checked)
    if run.price is not None:
        units = [unit for task in run.plan.tasks for unit in task.units]
        run.price.end(units, run.config.judge, run.run_id)
    record = store("done")
    check_quarantine(run.output, record, run.config.quarantine)
    of_plan = (run.plan.versions, run.plan.summary())
    spent = _spent(run.budget, counts, canaries, time.monotonic() - began)
    return RunResult(run.card["judge_id"], counts, record["judging_s"], canaries, *of_plan, spent)


def _judge(
    run: Run, progress: RunProgress, canaries: RowCounts, stop: Stop, committed: Committed
) -> None:
    """Judges all units of a run; counts its pairs in ``progress``, its canaries apart."""
    judge_id = run.card["judge_id"]
    spec = RunSpec(
        run.config,
        read_calibration(run.output, judge_id),
        judge_id,
        run.run_id,
        run.input_uri,
        run.output.uri,
        run.reopening.reasons,
        run.canaries.corpus if run.canaries else None,
        run.epoch,
        run.budget,
        run.reopening.rerender,
        run.tier.open_rows if run.tier else None,
        run.share,
        run.seeds_by_id,
        run.reopening.settled_at,
        run.beside,
    )
    starts = Starts(run.output, judge_id, run.run_id)
    recorder, rows = RayRecorder(judge_id), run.plan.rows_to_do
    shown = RunMetrics(recorder, rows, starts, progress.engine_starts)
    with progress, shown as metrics, run.budget.timed(stop):
        for result in judge_shards(run.opened or run.tasks, spec, stop):
            metrics.count(result)
            whole = result.counts.pairs == result.unit.rows
            if not whole and not stop.asked:
                run.budget.end(stop)
            if result.corpus:
                canaries.add(result.counts)
                continue
            progress.update(result)
            if whole:
                committed(result.unit)


def _store(run: Run, record: dict[str, Any], reporter: Reporter, detail: dict[str, Any]) -> None:
    """Stores and reports a run's record."""
    data = json.dumps(record, indent=2, sort_keys=True).encode()
    folder = f"runs/{run.run_id}"
    if run.tier and not run.tier.last:  # the last one's is that of the run
        folder = f"{folder}/tier-{run.tier.number}"
    run.output.put(f"{folder}/run.json", data)
    detail.update({name: record[name] for name in ("pairs", *Status, "reused", "judging_s")})
    reporter.event(record["state"], {k: v for k, v in record.items() if k not in ("plan", "state")})


def _record(
    run: Run,
    state: str,
    counts: RowCounts,
    canaries: RowCounts,
    seconds: float,
    rates: dict[str, Any],
) -> dict[str, Any]:
    tokens = (counts.prompt_tokens, counts.cached_tokens, counts.output_tokens)
    return {
        "run_id": run.run_id,
        "state": state,
        "judge_id": run.card["judge_id"],
        "input": run.input_uri,
        "output": run.output.uri,
        "seconds": round(seconds, 1),
        "judging_s": rates["judging_s"],
        "pairs_per_s": rates["pairs_per_s"],
        "pairs": counts.pairs,
        **{status: counts.statuses[status] for status in Status},
        "reused": counts.reused,
        "by_gold": counts.by_gold,
        "quarantined_by_reason": dict(counts.reasons),
        "judgments": counts.judgments,
        "prompt_tokens": counts.prompt_tokens,
        "output_tokens": counts.output_tokens,
        "cached_tokens": counts.cached_tokens,
        "tokens_usd": run.budget.tokens_usd(*tokens),  # without those of canaries
        "canaries": canaries.pairs,
        "canary_judgments": canaries.judgments,
        **_price(run),
        "unreadable_shards": {shard.entry.key: shard.defect for shard in run.plan.bad_shards},
        "plan": run.plan.summary(),
        **_place(run, counts),
    }


def _price(run: Run) -> dict[str, float]:
    """What a round of votes had to gain at least, where that stops the asking."""
    votes = run.config.judge.votes
    return {"vote_price": votes.least_gain} if votes.stop == "gain" else {}


def _place(run: Run, counts: RowCounts | None = None) -> dict[str, int]:
    """Which tier of a cascade a run is; of its rows, how many it was not asked about."""
    if run.tier is None:
        return {}
    place = {"tier": run.tier.number, "tiers": run.tier.count}
    return place if counts is None else place | {NOT_ASKED: counts.statuses[NOT_ASKED]}


def _spent(budget: RunBudget, counts: RowCounts, canaries: RowCounts, seconds: float) -> RunBudget:
    """The budget with what a run has spent, canaries included."""
    both = (counts, canaries)
    tokens = (
        sum(each.prompt_tokens for each in both),
        sum(each.cached_tokens for each in both),
        sum(each.output_tokens for each in both),
    )
    return budget.after(sum(each.judgments for each in both), seconds, tokens)
