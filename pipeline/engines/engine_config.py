"""The settings under ``engine``: how the judge is run; none of them changes a verdict."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from pipeline.runtime.config_file import Frozen

# Engine arguments that change verdicts: they belong to `judge`, where they are fingerprinted.
VERDICT_ARGS = frozenset(
    (
        "model",
        "tokenizer",
        "revision",
        "tokenizer_revision",
        "dtype",
        "quantization",
        "max_model_len",
        "kv_cache_dtype",
        "hf_overrides",
        "hf_config_path",
        "limit_mm_per_prompt",
        "mm_processor_kwargs",
        "seed",
        "enable_lora",
        "lora_modules",
        "speculative_config",
        "chat_template",
        "generation_config",
        "logits_processors",
        "load_format",
        "trust_remote_code",
    )
)


class EngineConfig(Frozen):
    """How the judge is run; nothing here changes a verdict."""

    kind: Literal["vllm", "transformers", "scripted"] = "vllm"
    """``vllm`` (CPU and GPU), ``transformers`` (portable reference) or ``scripted`` (tests)."""
    tensor_parallel_size: int = Field(default=1, ge=1)
    """GPUs that one engine spreads the model over; ``workers.gpus`` must allow them."""
    max_num_seqs: int = Field(default=256, ge=1)
    """Most replies generated at once."""
    prefill_group: int = Field(default=0, ge=0)
    """VLLM admits waiting requests in batches once so many sequence slots are free; 0 = a 32nd
    of ``max_num_seqs``, 1 = one by one, as vLLM does by default.
    """
    args: dict[str, Any] = Field(default_factory=dict)
    """Further engine arguments for speed, such as ``gpu_memory_utilization``."""
    env: dict[str, str] = Field(default_factory=dict)
    """Environment variables of the engine's process."""
    request_timeout_s: float = Field(default=600, gt=0)
    """A reply that takes longer is aborted and counts as unparseable."""
    decode_threads: int = Field(default=0, ge=0)
    """Threads beside the engine for media and tokenisation; 0 = one for each core of the
    worker's share of its node (on a node of 8 GPUs, an eighth), less two; at least one.
    """
    decode_bytes: int = Field(default=2**30, ge=1)
    """Memory that these threads use for decoding at once; what needs more is decoded alone. It
    does not count the files, nor the pictures of pairs that wait for the engine.
    """
    units_in_flight: int = Field(default=0, ge=0)
    """Units that one worker judges at once, so that the next ones fill the engine while the last
    replies of those before are still being written; 0 = as many as it takes, within the
    object store and the worker's share of the units.
    """
    script: dict[str, Any] = Field(default_factory=dict)
    """The scripted engine's plan (tests only)."""

    @model_validator(mode="after")
    def _group_fits(self) -> Self:
        if self.prefill_group > self.max_num_seqs:
            raise ValueError(
                f"prefill_group {self.prefill_group} is more than max_num_seqs "
                f"{self.max_num_seqs}: so many sequence slots are never free"
            )
        return self

    @model_validator(mode="after")
    def _speed_only(self) -> Self:
        if wrong := sorted(VERDICT_ARGS & self.args.keys()):
            raise ValueError(
                f"{wrong} can change verdicts: set them under judge.model (or judge.model.args)"
            )
        return self
