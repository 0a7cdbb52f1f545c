"""The configuration of a labeling job.

What can change a verdict stands under ``judge`` and is fingerprinted; everything else (speed,
resources, thresholds) can change without re-judging a pair.
"""

from __future__ import annotations

from typing import Any, Self

from pydantic import Field, model_validator

from pipeline.aggregation.policy import PolicyConfig
from pipeline.engines.engine_config import EngineConfig
from pipeline.engines.engine_registry import engine_kind
from pipeline.judging.judge_config import JudgeConfig
from pipeline.pairs.input_config import InputConfig
from pipeline.runtime.config_file import Frozen
from pipeline.store.lease import TTL_S

# Settings of workers that concern the cluster and the end of a job, whichever judge runs.
_OF_THE_JOB = {
    *("local_cpus", "local_object_store_mb", "local_metrics_port"),
    *("cluster_without_token", "stop_seconds"),
}


class WorkersConfig(Frozen):
    """The pool of judge actors, and the size of a private Ray on a single machine."""

    min: int = Field(default=1, ge=1)
    """Least judge actors in the pool."""
    max: int = Field(default=1, ge=1)
    """Most judge actors in the pool."""
    gpus: float = Field(default=1, ge=0)
    """GPUs that each actor reserves: ``engine.tensor_parallel_size`` of them at least, or a part of
    one that it shares with others, such as 0.5.
    """
    cpus: float = Field(default=0, ge=0)
    """CPUs that each actor reserves."""
    read_cpus: float = Field(default=0.5, gt=0)
    """What each reader task reserves."""
    max_deaths: int = Field(default=2, ge=1)
    """After so many deaths of its worker a unit is isolated, and split until the row that kills
    is found (see ``pipeline.labeling.unit_runner``).
    """
    max_start_failures: int = Field(default=3, ge=0)
    """How many workers in a row may fail to start before the run ends."""
    local_cpus: int | None = None
    """CPUs of the private Ray instance that starts where no cluster is given; by default all."""
    local_object_store_mb: int = Field(default=1_024, ge=80)
    """MiB of its object store, in shared memory."""
    local_metrics_port: int | None = Field(default=None, ge=1, le=65_535)
    """Where it exports metrics for Prometheus, on loopback; by default it exports none."""
    cluster_without_token: bool = False
    """Whether a Ray cluster (``RAY_ADDRESS``, ``ray job submit``) may be used that asks nobody for
    a token: whoever reaches its ports can run code with this job's credentials.
    """
    wave_units: int = Field(default=100_000, ge=1)
    """Most units planned into one Ray Data execution (bounds the driver's memory)."""
    stop_seconds: float = Field(default=90, ge=0)
    """Time limit after SIGTERM to judge and commit the pairs in flight; the next run does the
    rest. Must be less than the delay before SIGKILL (``RAY_JOB_STOP_WAIT_TIME_S``, systemd's
    ``TimeoutStopSec``).
    """

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min > self.max:
            raise ValueError(f"workers.min {self.min} > workers.max {self.max}")
        return self


class QuarantineConfig(Frozen):
    """How much may be quarantined before the job ends with exit code 4."""

    max_fraction: float = Field(default=0.05, ge=0, le=1)
    """Most quarantined rows of a run, as a share of those judged."""
    max_shards: int = Field(default=0, ge=0)
    """Most shards that cannot be read."""


class TierConfig(Frozen):
    """A judge, how its votes are counted, and what it runs on."""

    judge: JudgeConfig = JudgeConfig()
    policy: PolicyConfig = PolicyConfig()
    engine: EngineConfig = EngineConfig()
    workers: WorkersConfig = WorkersConfig()

    @model_validator(mode="before")
    @classmethod
    def _no_gpu_for_a_server(cls, given: Any) -> Any:
        """A judge at a server takes a core of ours and no GPU, unless the user says otherwise."""
        sections = [given.get(name, {}) for name in ("engine", "workers")]
        if not all(isinstance(section, dict) for section in sections):
            return given  # sections that are made already state every value
        engine, workers = sections
        kind = engine.get("kind")
        if not isinstance(kind, str) or engine_kind(kind).gpu:
            return given
        return {**given, "workers": {"gpus": 0, "cpus": 1, **workers}}

    @model_validator(mode="after")
    def _enough_gpus(self) -> Self:
        needed = self.engine.tensor_parallel_size
        if needed > 1 and 0 < self.workers.gpus < needed:  # one GPU may be shared by engines
            raise ValueError(
                f"engine.tensor_parallel_size {needed} needs workers.gpus {needed}, "
                f"got {self.workers.gpus:g}"
            )
        return self


class CascadeConfig(Frozen):
    """Judges that are asked before ``judge``; a list of them alone is read as ``judges``."""

    judges: tuple[TierConfig, ...] = ()
    """In order of cost, each with sections ``judge``, ``policy``, ``engine`` and ``workers``. What
    the policy of one labels or calls a tie is not asked of those after it. ``judge``, beside
    ``cascade``, is the last: it is asked what all others leave open. A list in place of ``cascade``
    is read as these; nothing else of it can be set then.
    """
    side_by_side: bool = False
    """Whether all judges work at the same time, each in a pool of its own (``workers``): a unit is
    asked of a later judge as soon as those before it have committed it. False lets them work one
    after the other, as samples and runs with a budget do anyway. Two on one GPU have
    ``workers.gpus: 0.5`` and their shares of its memory (``engine.args.gpu_memory_utilization``).
    """

    explain: bool = False
    """Whether the last judge is asked about pairs, too, that a judge which writes nothing (a reward
    model) has labelled with the confidence that exports ask for (``export.selection``). Its
    rationale stands beside the label where its verdict is the same; the label does not change.
    """

    @model_validator(mode="before")
    @classmethod
    def _judges_alone(cls, given: Any) -> Any:
        return {"judges": given} if isinstance(given, list | tuple) else given


class LabelConfig(TierConfig):
    """The whole configuration of ``pairmill label``."""

    cascade: CascadeConfig = CascadeConfig()
    input: InputConfig = InputConfig()
    quarantine: QuarantineConfig = QuarantineConfig()
    progress_seconds: float = Field(default=10, gt=0)
    """Seconds between two reports of progress where there is no live bar."""
    lease_s: float = Field(default=TTL_S, gt=0)
    """Whatever writes to an output holds its lease. A run that has not renewed it for so many
    seconds counts as dead, so that another may write.
    """

    @model_validator(mode="after")
    def _one_cluster(self) -> Self:
        """All tiers run on one Ray, and end together: ``workers`` above says how."""
        for number, tier in enumerate(self.cascade.judges, 1):
            if stray := sorted(_OF_THE_JOB & tier.workers.model_fields_set):
                raise ValueError(
                    f"cascade, judge {number}: workers.{stray[0]} is of the whole job: set it "
                    "under workers, beside cascade"
                )
        return self

    @property
    def tiers(self) -> tuple[Self, ...]:
        """Each judge's run as a configuration without a cascade, in order of cost."""
        shared = {name: getattr(self.workers, name) for name in _OF_THE_JOB}
        alone = self.model_copy(update={"cascade": CascadeConfig()})
        before = (
            alone.model_copy(
                update={
                    "judge": tier.judge,
                    "policy": tier.policy,
                    "engine": tier.engine,
                    "workers": tier.workers.model_copy(update=shared),
                }
            )
            for tier in self.cascade.judges
        )
        return (*before, alone)
