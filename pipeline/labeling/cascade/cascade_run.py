"""A run of a cascade: each judge, in order of cost, is asked about what those before leave open.

Every tier is a labeling run of its own judge, with parts of its own, under one lease and one run
id: its rows, budget, canaries, record and repeat runs are those of any run. The record of the last
tier is that of the run; those before it have theirs beside it. Tiers run one after another, or all
at the same time (``cascade.side_by_side``): parts and votes are the same.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from typing import Any, TypeVar

from pipeline.aggregation.calibration_cards import read_calibration
from pipeline.judging.judge_cards import KnownJudge
from pipeline.labeling.cascade.side_by_side import judge_side_by_side, pools_fit
from pipeline.labeling.label_config import LabelConfig, WorkersConfig
from pipeline.labeling.label_run import RunResult, check_decides, identified, label
from pipeline.labeling.open_rows import EarlierTier, OpenRows
from pipeline.labeling.planned_run import Run, plan_run
from pipeline.labeling.run_request import RunRequest, Tier
from pipeline.runtime.errors import ConfigError
from pipeline.runtime.logs import logging_of
from pipeline.runtime.reporter import Reporter
from pipeline.runtime.steps import Step
from pipeline.store.lease import Lease
from pipeline.store.object_store import Store
from pipeline.store.writer_lease import writer_lease

Config = TypeVar("Config", bound=LabelConfig)


def label_tiers(
    config: LabelConfig,
    input_uri: str,
    output_uri: str,
    reporter: Reporter,
    request: RunRequest,
    *,
    lease: Lease | None = None,
    explained_from: float = 0.0,
) -> list[RunResult]:
    """Labels every pair under ``input_uri`` by all judges of a configuration.

    Args:
        config: the job's configuration; without a cascade it has one judge.
        request: what the run is asked to do; all judges together may spend its budget.
        explained_from: with ``cascade.explain``, the least confidence of labels that are explained.

    The other arguments, and what is raised, are those of :func:`pipeline.labeling.label_run.label`.

    Returns:
        The result of each judge, in order of cost: ``judge`` of the configuration is the last.

    Raises:
        ConfigError: a judge would settle nothing or everything, or is there twice.
    """
    where = (input_uri, output_uri, reporter)
    if not config.cascade.judges:
        return [label(config, *where, request, lease=lease)]
    output = Store(output_uri)
    tiers = [identified(tier, output, reporter) for tier in config.tiers]
    check_cascade(tiers, output)
    explains = explained_from if config.cascade.explain else None
    done: list[RunResult] = []
    with ExitStack() as held:
        if lease is None and not request.dry_run:
            of_run = (request.run_id, config.lease_s, reporter, request.stop)
            lease = held.enter_context(writer_lease(output, *of_run))
        alone = request.dry_run or request.sample or request.budget.limited
        if config.cascade.side_by_side and lease is not None and not alone:
            return _side_by_side(tiers, output, where, request, lease, explains)
        for number, (judged_by, known) in enumerate(tiers, 1):
            rule = _open_rows(tiers, number, output, explains, whole=not request.dry_run)
            shards = done[0].shards if done else None
            tier = Tier(number, len(tiers), known, rule if done else None, shards)
            asked = replace(
                request,
                step=_of_tier(request.step, tier),
                budget=done[-1].budget if done else request.budget,
            )
            done.append(label(judged_by, *where, asked, lease=lease, tier=tier))
    return done


def _side_by_side(
    tiers: Sequence[tuple[LabelConfig, KnownJudge]],
    output: Store,
    where: tuple[str, str, Reporter],
    request: RunRequest,
    lease: Lease,
    explains: float | None,
) -> list[RunResult]:
    """Plans all tiers, each by what those before have to do, and judges them together."""
    input_uri, _, reporter = where
    reporter, pools = reporter.of_run(request.run_id), _all_workers(tiers)
    for judged_by, known in tiers:
        check_decides(judged_by, known, output)
    runs: list[Run] = []
    with ExitStack() as session:
        session.enter_context(logging_of(request.run_id, logging.WARNING))
        for number, (judged_by, known) in enumerate(tiers, 1):
            tier = Tier(number, len(tiers), known)
            if runs:
                rule = _open_rows(tiers, number, output, explains)
                shards = runs[0].plan.versions
                before = [task for run in runs for task in run.plan.tasks]
                tier = replace(tier, open_rows=rule, shards=shards, before=before)
            asked = replace(request, step=_of_tier(request.step, tier))
            about = (judged_by, known, input_uri, output, reporter.of_tier(number), asked)
            runs.append(plan_run(*about, session, epoch=lease.epoch, tier=tier, pools=pools))
        return _judge_together(runs, pools, reporter, session)


def _judge_together(
    runs: Sequence[Run], pools: WorkersConfig, reporter: Reporter, session: ExitStack
) -> list[RunResult]:
    """Judges what all tiers have planned, each on workers of its own."""
    at_once, busy = True, [run for run in runs if run.plan.units]
    if busy:
        from pipeline.labeling.cluster.ray_session import ray_session  # Ray takes seconds to load

        session.enter_context(ray_session(pools, reporter))
        at_once = pools_fit(runs)
        if not at_once:
            reporter.note(
                "cascade.side_by_side: the pools of all judges do not fit on the nodes that "
                "are up: each starts once the judges before it have committed pairs"
            )
    others = [tuple(each.config.workers for each in busy if each is not run) for run in runs]
    runs = [replace(run, beside=beside) for run, beside in zip(runs, others, strict=True)]
    return judge_side_by_side(runs, reporter, at_once=at_once)


def _open_rows(
    tiers: Sequence[tuple[LabelConfig, KnownJudge]],
    number: int,
    output: Store,
    explains: float | None,
    *,
    whole: bool = True,
) -> OpenRows:
    """The rule of the ``number``-th tier; the last one explains."""
    own = explains if number == len(tiers) else None
    before = earlier_tiers(tiers[: number - 1], output)
    return OpenRows.of(output, before, whole=whole, explains=own)


def _all_workers(tiers: Sequence[tuple[LabelConfig, KnownJudge]]) -> WorkersConfig:
    """What the pools of all tiers together may reserve, as one worker of a private Ray."""
    pools = [config.workers for config, _ in tiers]
    gpus = sum(pool.max * pool.gpus for pool in pools)
    return pools[-1].model_copy(update={"min": 1, "max": 1, "gpus": gpus})


def earlier_tiers(
    tiers: Sequence[tuple[LabelConfig, KnownJudge]], output: Store
) -> list[EarlierTier]:
    """What decides the votes of some tiers today: their policies and calibrations."""
    return [
        EarlierTier.of(
            known.judge_id, config.judge, config.policy, read_calibration(output, known.judge_id)
        )
        for config, known in tiers
    ]


def check_cascade(tiers: Sequence[tuple[LabelConfig, KnownJudge]], output: Store) -> None:
    """Refuses a cascade of which a judge cannot do its part.

    Raises:
        ConfigError: with what to do.
    """
    ids = [known.judge_id for _, known in tiers]
    for number, (config, known) in enumerate(tiers, 1):
        name = f"cascade, judge {number} ({known.judge_id[:16]})"
        if known.judge_id in ids[: number - 1]:
            raise ConfigError(
                f"{name}: it is judge {ids.index(known.judge_id) + 1}, too: asked again about "
                "what it leaves open it says the same; expected each judge once"
            )
        if config.judge.declared_format.about != "pair":
            raise ConfigError(
                f"{name}: got the format {config.judge.format}, expected judges of pairs: a "
                "cascade decides preferences"
            )
        if number == len(tiers):
            continue
        if config.policy.max_error is not None:
            raise ConfigError(
                f"{name}: policy.max_error is of the labels of all judges: set it under policy, "
                "beside cascade; a judge before the last has policy.min_confidence"
            )
        reward = config.judge.declared_format.family == "reward"
        if reward and read_calibration(output, known.judge_id) is None:
            raise ConfigError(
                f"{name}: a reward model that is not calibrated settles no pair: what a gap of "
                "its scores is worth is not known. Label gold pairs with it alone (a configuration "
                "with it as judge and without cascade), fit a calibration (pairmill calibrate), "
                "then run the cascade"
            )


def _of_tier(step: Step, tier: Tier) -> Step:
    """Steps named after the tier; those of the last one are those of the run."""

    def named(name: str) -> AbstractContextManager[dict[str, Any]]:
        return step(name if tier.last else f"{name} by judge {tier.number}")

    return named
