"""One labeling run: plan, judge, reconcile, and store the record under the output root."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import Any

from pipeline.aggregation.calibration_cards import read_calibration
from pipeline.aggregation.reachable import check_reachable
from pipeline.engines.engine_registry import check_engine
from pipeline.judging.judge_cards import KnownJudge, write_card
from pipeline.labeling.attempts import Starts
from pipeline.labeling.known_judge import Config, known_judge
from pipeline.labeling.label_config import LabelConfig
from pipeline.labeling.planned_run import Run, plan_run
from pipeline.labeling.planning.reconcile import check_coverage, check_quarantine
from pipeline.labeling.progress import RunProgress
from pipeline.labeling.run_budget import NO_LIMITS, RunBudget
from pipeline.labeling.run_metrics import RunMetrics
from pipeline.labeling.run_record import run_record, store_record
from pipeline.labeling.run_request import RunRequest, Tier
from pipeline.labeling.run_spec import RunSpec
from pipeline.labeling.unit_result import RowCounts
from pipeline.labeling.worker_activity import Work
from pipeline.parts.index_update import mark_asked
from pipeline.parts.units import Unit
from pipeline.runtime.errors import StorageError
from pipeline.runtime.logs import logging_of
from pipeline.runtime.phases import phase
from pipeline.runtime.reporter import Reporter
from pipeline.store.lease import Lease
from pipeline.store.object_store import Store
from pipeline.store.writer_lease import writer_lease
from schemas.labels import Status

Committed = Callable[[Unit], None]


def _nobody(unit: Unit) -> None:
    """Nobody waits for units of a judge that works alone."""


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
        work: what its workers did; of one that died, nothing since its last unit result.
    """

    judge_id: str
    counts: RowCounts
    judging_seconds: float
    canaries: RowCounts
    shards: Mapping[str, str]
    plan: Mapping[str, int] = field(default_factory=dict)
    budget: RunBudget = NO_LIMITS
    work: Work = field(default_factory=Work)


def label(
    config: LabelConfig,
    input_uri: str,
    output_uri: str,
    reporter: Reporter,
    request: RunRequest,
    *,
    lease: Lease | None = None,
    tier: Tier | None = None,
) -> RunResult:
    """Labels every pair under ``input_uri`` that the judge of a configuration has not labelled yet.

    Args:
        config: the job's configuration.
        input_uri: a folder of shards, or one shard; a local path or ``s3://``.
        output_uri: where parts, judge card and the run's record go.
        reporter: receives the plan, the phases, the progress and the result.
        request: what the run is asked to do.
        lease: of the output, if the caller holds it; otherwise this takes it, except to only plan.
        tier: of a run that is one of a cascade's (``pipeline.labeling.cascade.cascade_run``).

    Returns:
        Counts over the rows judged by this run, and how long judging took.

    Raises:
        StoppedError: a stop was asked for before everything was labelled.
        BudgetSpentError: the budget was spent before everything was labelled.
        LeaseHeldError: another run writes to this output.
        LeaseLostError: the lease was lost; what is committed stays.
        PairmillError: with the exit code of the job (see ``pipeline.runtime.errors``).
    """
    output, run_id = Store(output_uri), request.run_id
    if tier is None:
        config, known = identified(config, output, reporter)
    else:
        known = tier.known
    check_decides(config, known, output)
    reporter = reporter.of_run(run_id)
    with ExitStack() as session:
        session.enter_context(logging_of(run_id, logging.WARNING))
        if lease is None and not request.dry_run:
            held = writer_lease(output, run_id, config.lease_s, reporter, request.stop)
            lease = session.enter_context(held)
        about = (config, known, input_uri, output, reporter, request, session)
        run = plan_run(*about, epoch=lease.epoch if lease else 0, tier=tier)
        if request.dry_run:
            none = RowCounts(run_id)
            of_plan = (run.plan.versions, run.plan.summary())
            return RunResult(run.card["judge_id"], none, 0, none, *of_plan)
        return judge_planned(run, reporter)


def check_decides(config: LabelConfig, known: KnownJudge, output: Store) -> None:
    """Refuses a policy under which no vote of a judge would ever become a preference.

    Raises:
        ConfigError: with what to do.
    """
    calibrated = read_calibration(output, known.judge_id) is not None
    check_reachable(config.judge, config.policy, calibrated=calibrated)


def judge_planned(run: Run, reporter: Reporter, committed: Committed = _nobody) -> RunResult:
    """Judges what a run has planned, and stores its record.

    Args:
        run: not one that only plans.
        reporter: receives the phases, the progress and the result.
        committed: is told of each unit that it commits, or piece of one, canaries aside.
    """
    with ExitStack() as session, run.request.step("label") as detail:
        run.request.stop.check("nothing is judged yet")
        # Before Ray and engines, so that an output that cannot be written starts none; also
        # without rows, since a snapshot of no rows names a judge too.
        write_card(run.output, run.card)
        if run.price is not None:
            run.price.begin()
        for planned in (run.plan, *([run.canaries.plan] if run.canaries else [])):
            planned.contents.save()
        if run.plan.units:
            from pipeline.labeling.cluster.ray_session import (
                ray_session,  # Ray takes seconds to load
            )

            session.enter_context(ray_session(run.config.workers, reporter))
        return _execute(run, reporter, detail, committed)


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
    committed: Committed,
) -> RunResult:
    stop, began = run.request.stop, time.monotonic()
    progress = RunProgress(reporter, run.run_id, run.plan.rows_to_do, run.config.progress_seconds)
    canaries, work = RowCounts(run.run_id), Work()

    def store(state: str) -> dict[str, Any]:
        seconds = time.monotonic() - began
        record = run_record(run, state, progress.counts, canaries, seconds, progress.rates())
        store_record(run, record)
        detail.update({name: record[name] for name in ("pairs", *Status, "reused", "judging_s")})
        told = {name: value for name, value in record.items() if name not in ("plan", "state")}
        reporter.event(state, told)
        return record

    if run.plan.units:
        try:
            _judge(run, progress, canaries, work, committed)
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
    check_coverage(run.plan, run.output, run.card["judge_id"], stop)
    if run.index is not None and run.plan.settled:
        mark_asked(run.index, run.output, run.checked)
    if run.price is not None:
        units = [unit for task in run.plan.tasks for unit in task.units]
        run.price.end(units, run.config.judge, run.run_id)
    record = store("done")
    check_quarantine(run.output, record, run.config.quarantine)
    of_plan = (run.plan.versions, run.plan.summary())
    spent = _spent(run.request.budget, counts, canaries, time.monotonic() - began)
    judge_id, judging_s = run.card["judge_id"], record["judging_s"]
    return RunResult(judge_id, counts, judging_s, canaries, *of_plan, spent, work)


def _judge(
    run: Run, progress: RunProgress, canaries: RowCounts, work: Work, committed: Committed
) -> None:
    """Judges all units of a run; counts its pairs in ``progress``, its canaries and work apart."""
    from pipeline.labeling.cluster.ray_recorder import RayRecorder
    from pipeline.labeling.dataflow import judge_shards  # Ray Data takes seconds to load

    judge_id, request = run.card["judge_id"], run.request
    stop, budget = request.stop, request.budget
    spec = RunSpec(
        run.config,
        read_calibration(run.output, judge_id),
        judge_id,
        run.run_id,
        run.input_uri,
        run.output.uri,
        request.retries,
        run.canaries.corpus if run.canaries else None,
        run.epoch,
        budget,
        request.rerender,
        run.tier.open_rows if run.tier else None,
        run.share,
        request.seeds_by_id,
        run.reopening.settled_at,
        run.beside,
    )
    starts = Starts(run.output, judge_id, run.run_id)
    recorder, rows = RayRecorder(judge_id), run.plan.rows_to_do
    shown = RunMetrics(recorder, rows, starts, progress.engine_starts)
    with progress, shown as metrics, budget.timed(stop):
        for result in judge_shards(run.opened or run.tasks, spec, stop):
            metrics.count(result)
            work.add(result.work)
            whole = result.counts.pairs == result.unit.rows
            if not whole and not stop.asked:
                budget.end(stop)
            if result.corpus:
                canaries.add(result.counts)
                continue
            progress.update(result)
            if whole:
                committed(result.unit)


def _spent(budget: RunBudget, counts: RowCounts, canaries: RowCounts, seconds: float) -> RunBudget:
    """The budget with what a run has spent, canaries included."""
    both = (counts, canaries)
    tokens = (
        sum(each.prompt_tokens for each in both),
        sum(each.cached_tokens for each in both),
        sum(each.output_tokens for each in both),
    )
    return budget.after(sum(each.judgments for each in both), seconds, tokens)
