"""The configuration of a labeling job.

What can change a verdict stands under ``judge`` and is fingerprinted; everything else (speed,
resources, thresholds) can change without re-judging a pair.
"""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from pipeline.aggregation.policy import PolicyConfig
from pipeline.engines.engine_config import EngineConfig
from pipeline.judging.judge_config import JudgeConfig
from pipeline.pairs.input_config import InputConfig
from pipeline.runtime.config_file import Frozen


class WorkersConfig(Frozen):
    """The pool of judge actors, and the size of a private Ray on a single machine.

    Attributes:
        min, max: the pool grows and shrinks between them.
        gpus, cpus: what each actor reserves (``gpus``: all of its ``engine.tensor_parallel_size``).
        read_cpus: what each reader task reserves.
        max_deaths: after so many deaths of its worker a unit is isolated, and split until the row
            that kills is found (see ``pipeline.labeling.unit_runner``).
        max_start_failures: how many workers in a row may fail to start before the run ends.
        local_cpus, local_object_store_mb: size of a private Ray, where ``RAY_ADDRESS`` is not set.
        local_metrics_port: where a private Ray exports metrics for Prometheus; by default any free
            port.
        wave_units: most units planned into one Ray Data execution (bounds the driver's memory).
        stop_seconds: time limit after SIGTERM to judge and commit the pairs in flight; the next
            run does the rest. Must be less than the delay before SIGKILL
            (``RAY_JOB_STOP_WAIT_TIME_S``, systemd's ``TimeoutStopSec``).
    """

    min: int = Field(default=1, ge=1)
    max: int = Field(default=1, ge=1)
    gpus: float = Field(default=1, ge=0)
    cpus: float = Field(default=0, ge=0)
    read_cpus: float = Field(default=0.5, gt=0)
    max_deaths: int = Field(default=2, ge=1)
    max_start_failures: int = Field(default=3, ge=0)
    local_cpus: int | None = None
    local_object_store_mb: int = Field(default=1_024, ge=80)
    local_metrics_port: int | None = Field(default=None, ge=1, le=65_535)
    wave_units: int = Field(default=100_000, ge=1)
    stop_seconds: float = Field(default=90, ge=0)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min > self.max:
            raise ValueError(f"workers.min {self.min} > workers.max {self.max}")
        return self


class QuarantineConfig(Frozen):
    """How much may be quarantined before the job ends with exit code 4."""

    max_fraction: float = Field(default=0.05, ge=0, le=1)
    max_shards: int = Field(default=0, ge=0)


class LabelConfig(Frozen):
    """The whole configuration of ``python -m jobs.label``."""

    judge: JudgeConfig = JudgeConfig()
    policy: PolicyConfig = PolicyConfig()
    engine: EngineConfig = EngineConfig()
    input: InputConfig = InputConfig()
    workers: WorkersConfig = WorkersConfig()
    quarantine: QuarantineConfig = QuarantineConfig()
    progress_seconds: float = Field(default=10, gt=0)

    @model_validator(mode="after")
    def _enough_gpus(self) -> Self:
        needed = self.engine.tensor_parallel_size
        if 0 < self.workers.gpus < needed:
            raise ValueError(
                f"engine.tensor_parallel_size {needed} needs workers.gpus {needed}, "
                f"got {self.workers.gpus:g}"
            )
        return self
