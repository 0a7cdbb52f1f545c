"""The configuration of a labeling job: frozen models, one YAML file, overrides on top.

What can change a verdict lives under ``judge`` and is fingerprinted; everything else (speed,
resources, thresholds) can change without a single pair being judged again.
"""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from pipeline.core.columns import ColumnMapping
from pipeline.core.engine_config import EngineConfig
from pipeline.core.frozen import Frozen
from pipeline.core.media_config import MediaConfig


class ModelConfig(Frozen):
    """Which model judges, and at which precision.

    Attributes:
        name: a Hugging Face id, a local folder, or ``tiny-judge`` (the embedded one).
        revision: the commit of a hub model; pin it, or the newest is resolved at every start.
        args: further engine arguments that can change a verdict, such as ``kv_cache_dtype``.
    """

    name: str = "jongwooko/Flex-VL-7B"
    revision: str | None = None
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    quantization: str | None = None
    max_model_len: int = Field(default=16_384, ge=64)
    args: dict[str, Any] = Field(default_factory=dict)


class SamplingConfig(Frozen):
    """How replies are sampled.

    Attributes:
        retry_temperature: used after the first round of votes when ``temperature`` is 0, since
            greedy decoding would repeat the same reply word for word.
        reply_prefix: text the reply is made to begin with: ``"<think>\\n"`` or nothing.
    """

    temperature: float = Field(default=0.2, ge=0)
    top_p: float = Field(default=0.95, gt=0, le=1)
    max_tokens: int = Field(default=4_096, ge=1)
    retry_temperature: float = Field(default=0.7, gt=0)
    reply_prefix: Literal["", "<think>\n"] = ""


class VotesConfig(Frozen):
    """How many replies a row may cost, and when they suffice (see ``pipeline.core.voting``).

    Attributes:
        min_votes, max_votes: bounds of a row's votes; unreadable replies count against the most.
        prior, margin_scale, threshold, tie_threshold: of the rule that stops asking. With the
            defaults a lead of two votes decides, and a vote with a tie beside it does not: see
            ``infra/benchmarks/votes_2026-11-25.md`` for what that saves and costs.
    """

    min_votes: int = Field(default=2, ge=1)
    max_votes: int = Field(default=8, ge=1)
    prior: float = Field(default=1.0, gt=0)
    margin_scale: float = Field(default=0.0, ge=0)
    threshold: float = Field(default=0.74, gt=0.5, lt=1)
    tie_threshold: float = Field(default=0.85, gt=0.5, lt=1)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min_votes > self.max_votes:
            raise ValueError(f"min_votes {self.min_votes} > max_votes {self.max_votes}")
        return self


class PolicyConfig(Frozen):
    """How votes become a label. Changes no vote, so it is no part of the judge: labels can be
    derived again under another policy (``python -m jobs.derive``) without an engine.

    Attributes:
        undecided: what a pair becomes that its votes do not decide.
        min_confidence: a label below this confidence becomes undecided.
        prior, margin_scale, threshold, tie_threshold: as ``judge.votes`` has them unless given.
    """

    undecided: Literal["abstain", "tie"] = "abstain"
    min_confidence: float = Field(default=0.0, ge=0, lt=1)
    prior: float | None = Field(default=None, gt=0)
    margin_scale: float | None = Field(default=None, ge=0)
    threshold: float | None = Field(default=None, gt=0.5, lt=1)
    tie_threshold: float | None = Field(default=None, gt=0.5, lt=1)


FormatName = Literal["pairwise_scores", "pairwise_options", "single_score", "batch_ranking"]
CandidateKind = Literal["text", "image", "edit", "video"]


class JudgeConfig(Frozen):
    """Everything that can change a verdict: this, whole, is the judge.

    Attributes:
        format: what the judge is asked for (see ``pipeline.core.formats``).
        candidates: what is judged: texts, images made for a prompt, images edited from a source
            image, or videos. Rows with other candidates are bad rows.
    """

    format: FormatName = "pairwise_scores"
    candidates: CandidateKind = "text"
    model: ModelConfig = ModelConfig()
    sampling: SamplingConfig = SamplingConfig()
    media: MediaConfig = MediaConfig()
    votes: VotesConfig = VotesConfig()

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.format != "single_score" and self.votes.max_votes < 2:
            raise ValueError("votes.max_votes must be at least 2: both orders are always judged")
        if self.candidates == "video" and self.media.video.max_videos == 0:
            raise ValueError("candidates: video needs media.video.max_videos of 1 or more")
        return self

    @model_validator(mode="after")
    def _room_for_prompts(self) -> Self:
        if self.sampling.max_tokens >= self.model.max_model_len:
            raise ValueError(
                f"sampling.max_tokens {self.sampling.max_tokens} leaves no room for a prompt in "
                f"model.max_model_len {self.model.max_model_len}"
            )
        return self


class InputConfig(Frozen):
    """What is read.

    Attributes:
        columns: where foreign columns hold what pairs v1 asks for.
        media_roots: URI prefixes that a pair's media paths may point into; always includes the
            input itself. Relative paths are looked up under the first of them.
        unit_rows, unit_bytes: most pairs, and about the most bytes in memory, of one unit of work.
    """

    columns: ColumnMapping = ColumnMapping()
    media_roots: tuple[str, ...] = ()
    unit_rows: int = Field(default=512, ge=1, le=4_096)
    unit_bytes: int = Field(default=64 * 2**20, ge=2**16)


class WorkersConfig(Frozen):
    """The pool of judge actors, and what Ray is given on a single machine.

    Attributes:
        min, max: the pool grows and shrinks between them.
        gpus, cpus: what each actor reserves (``gpus`` counts tensor parallelism in).
        read_cpus: what each reader task reserves.
        max_deaths: so many deaths of its worker make a unit suspect: it is split until the row
            that kills is found (see ``pipeline.workers.unit_runner``).
        max_start_failures: so many workers in a row may fail to start before the run ends.
        local_cpus, local_object_store_mb: a private Ray instance's size when no cluster is given.
        local_metrics_port: where that exports metrics for Prometheus; any free port by default.
        wave_units: most units planned into one Ray Data execution (bounds the driver's memory).
        stop_seconds: after SIGTERM, pairs in flight have so long to be judged and committed; the
            rest is left to the next run. Must be less than what whoever stops the job waits before
            SIGKILL (``RAY_JOB_STOP_WAIT_TIME_S``, systemd's ``TimeoutStopSec``).
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
