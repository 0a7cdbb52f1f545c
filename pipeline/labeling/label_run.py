"""One labeling run: plan, judge, reconcile, and its record under the output root."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from pipeline.aggregation.calibration_cards import read_calibration
from pipeline.engines.model_version import model_version
from pipeline.judging.judge_cards import judge_card, write_card
from pipeline.labeling.attempts import Starts
from pipeline.labeling.canaries import Canaries, plan_canaries
from pipeline.labeling.canary_config import CanaryConfig
from pipeline.labeling.committed_shards import CommittedShard
from pipeline.labeling.dataflow import judge_shards, plan_shards_by_tasks
from pipeline.labeling.judge_actor import RunSpec
from pipeline.labeling.label_config import LabelConfig
from pipeline.labeling.plan import Plan, make_plan
from pipeline.labeling.progress import RunProgress
from pipeline.labeling.published_shards import PublishedShards, nothing_published
from pipeline.labeling.ray_recorder import RayRecorder
from pipeline.labeling.ray_session import ray_session
from pipeline.labeling.reconcile import check_coverage, check_quarantine
from pipeline.labeling.retries import Retries
from pipeline.labeling.run_metrics import RunMetrics
from pipeline.labeling.shard_planner import ShardPlan, ShardPlanner, map_threads
from pipeline.labeling.unit_result import RowCounts
from pipeline.pairs.shards import open_input
from pipeline.runtime.logs import logging_of
from pipeline.runtime.reporter import Reporter
from pipeline.runtime.steps import Step, new_run_id, unrecorded
from pipeline.runtime.stop import Stop
from pipeline.store.object_store import Store
from schemas.labels import Reason, Status

_MANY_SHARDS = 256  # from here on their footers are read by Ray tasks, not by threads


@dataclass(frozen=True)
class Run:
    """A planned run.

    Attributes:
        retries: the rows that it tries again, and its run id.
        card: the judge card; ``card["judge_id"]`` is the judge's fingerprint.
    """

    retries: Retries
    card: dict[str, Any]
    plan: Plan
    config: LabelConfig
    input_uri: str
    output: Store
    canaries: Canaries | None

    @property
    def run_id(self) -> str:
        """The run's identity; begins with its time."""
        return self.retries.run_id

    @property
    def canary_rows(self) -> int:
        """How many canaries it judges."""
        return self.canaries.plan.rows_to_do if self.canaries else 0


@dataclass(frozen=True)
class RunResult:
    """What a run did.

    Attributes:
        judge_id: the judge's fingerprint.
        tally: counts over the rows it judged.
        judging_seconds: from the beginning of its first unit to its last commit.
        canaries: counts over its canaries.
        shards: the paths of all shards that it planned.
    """

    judge_id: str
    tally: RowCounts
    judging_seconds: float
    canaries: RowCounts
    shards: frozenset[str]


def label(
    config: LabelConfig,
    input_uri: str,
    output_uri: str,
    reporter: Reporter,
    *,
    dry_run: bool,
    retries: frozenset[Reason] = frozenset(),
    run_id: str | None = None,
    canary: CanaryConfig | None = None,
    read_published: Callable[[Store], PublishedShards] = nothing_published,
    step: Step = unrecorded,
    stop: Stop | None = None,
) -> RunResult:
    """Labels every pair under ``input_uri`` that this judge has not labelled yet.

    Args:
        config: the job's configuration.
        input_uri: a folder of shards, or one shard; a local path or ``s3://``.
        output_uri: where parts, judge card and the run's record go.
        reporter: told of the plan, the progress and the result.
        dry_run: only plan.
        retries: rows that are quarantined for one of these reasons are judged again.
        run_id: the run's identity; a new one by default.
        canary: gold pairs to be judged among the others, if there are any others to judge.
        read_published: finds what of the output is published; such shards cost no look at their
            footers, and keep their labels where they were only moved.
        step: told of the steps ``plan`` and ``label``.
        stop: asked between steps, and while pairs are judged, whether to end.

    Returns:
        Counts over the rows judged by this run, and how long judging took.

    Raises:
        StoppedError: ``stop`` was asked before everything was labelled.
        PairmillError: with the exit code of the job (see ``pipeline.runtime.errors``).
    """
    stop = stop or Stop()
    card = judge_card(config.judge, model_version(config.judge.model), config.engine.kind)
    output = Store(output_uri)
    with ExitStack() as session:

        def spread(planner: ShardPlanner, shards: Sequence[CommittedShard]) -> Iterable[ShardPlan]:
            if len(shards) < _MANY_SHARDS:
                return map_threads(planner, shards)
            session.enter_context(ray_session(config.workers))
            return plan_shards_by_tasks(planner, shards)

        again, judge_id = Retries(retries, run_id or new_run_id()), card["judge_id"]
        reporter = reporter.of_run(again.run_id)
        session.enter_context(logging_of(again.run_id, logging.WARNING))
        with step("plan") as detail:
            how = (config.input, config.judge, judge_id, spread, again, read_published(output))
            plan = make_plan(input_uri, output, *how)
            of_run = (config, output, again.run_id, judge_id, reporter)
            canaries = plan_canaries(canary, *of_run) if plan.units else None
            source = open_input(input_uri)[0].uri
            run = Run(again, card, plan, config, source, output, canaries)
            detail.update({"judge_id": judge_id, **plan.summary(), "canaries": run.canary_rows})
            reporter.event("plan", {**detail, "judge_id": judge_id[:16]})
            for shard in plan.bad_shards:
                reporter.note(f"unreadable shard, left out: {shard.entry.key}: {shard.defect}")
        if dry_run:
            return RunResult(judge_id, RowCounts(run.run_id), 0, RowCounts(run.run_id), plan.paths)
        with step("label") as detail:
            stop.check("nothing is judged yet")
            # First of all, so that an output that cannot be written starts nothing; also without
            # rows, since what is published of none has a judge too.
            write_card(output, card)
            if plan.units:
                session.enter_context(ray_session(config.workers))
            return _execute(run, reporter, detail, stop)


def _execute(run: Run, reporter: Reporter, detail: dict[str, Any], stop: Stop) -> RunResult:
    began = time.monotonic()
    progress = RunProgress(reporter, run.run_id, run.plan.rows_to_do, run.config.progress_seconds)
    canaries = RowCounts(run.run_id)
    if run.plan.units:
        judge_id = run.card["judge_id"]
        calibration = read_calibration(run.output, judge_id)
        spec = RunSpec(
            run.config,
            calibration,
            judge_id,
            run.run_id,
            run.input_uri,
            run.output.uri,
            run.retries.reasons,
            run.canaries.corpus if run.canaries else None,
            run.plan.moved,
        )
        tasks = run.canaries.among(run.plan) if run.canaries else run.plan.tasks
        starts = Starts(run.output, judge_id, run.run_id)
        metrics = RunMetrics(RayRecorder(judge_id), run.plan.rows_to_do, starts)
        with progress, metrics:
            for result in judge_shards(tasks, spec, stop):
                metrics.count(result)
                if result.corpus:
                    canaries.add(result.tally)
                else:
                    progress.update(result)
    else:
        reporter.note("nothing to judge: every row is labelled by this judge; no engine started")
    tally, figures = progress.tally, progress.figures()
    planned = (run.plan.rows_to_do, run.canary_rows)
    seconds = time.monotonic() - began
    if (tally.pairs, canaries.pairs) != planned and stop.asked:
        record = _record(run, "stopped", tally, canaries, seconds, figures)
        _keep(run, record, reporter, detail)
        stop.check(f"{tally.pairs} of {planned[0]} pairs to do are labelled and committed")
    if (tally.pairs, canaries.pairs) != planned:
        raise AssertionError(
            f"run {run.run_id}: {planned} rows and canaries planned, {tally.pairs} and "
            f"{canaries.pairs} committed"
        )
    check_coverage(run.plan, run.output, run.card["judge_id"])
    record = _record(run, "done", tally, canaries, seconds, figures)
    _keep(run, record, reporter, detail)
    check_quarantine(run.output, record, run.config.quarantine)
    judging_s = figures["judging_s"]
    return RunResult(run.card["judge_id"], tally, judging_s, canaries, run.plan.paths)


def _keep(run: Run, record: dict[str, Any], reporter: Reporter, detail: dict[str, Any]) -> None:
    """Stores and tells a run's record."""
    run.output.put(f"runs/{run.run_id}/run.json", _json(record))
    detail.update({name: record[name] for name in ("pairs", *Status, "reused", "judging_s")})
    reporter.event(record["state"], {k: v for k, v in record.items() if k not in ("plan", "state")})


def _record(
    run: Run,
    state: str,
    tally: RowCounts,
    canaries: RowCounts,
    seconds: float,
    figures: dict[str, Any],
) -> dict[str, Any]:
    return {
        "run_id": run.run_id,
        "state": state,
        "judge_id": run.card["judge_id"],
        "input": run.input_uri,
        "output": run.output.uri,
        "seconds": round(seconds, 1),
        "judging_s": figures["judging_s"],
        "pairs_per_s": figures["pairs_per_s"],
        "pairs": tally.pairs,
        **{status: tally.statuses[status] for status in Status},
        "reused": tally.reused,
        "quarantined_by_reason": dict(tally.reasons),
        "judgments": tally.judgments,
        "prompt_tokens": tally.prompt_tokens,
        "output_tokens": tally.output_tokens,
        "cached_tokens": tally.cached_tokens,
        "canaries": canaries.pairs,
        "canary_judgments": canaries.judgments,
        "unreadable_shards": {shard.entry.key: shard.defect for shard in run.plan.bad_shards},
        "plan": run.plan.summary(),
    }


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, indent=2, sort_keys=True).encode()
