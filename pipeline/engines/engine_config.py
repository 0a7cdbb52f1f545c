"""The settings under ``engine``: how the judge is run; none of them changes a verdict."""

from __future__ import annotations

from typing import Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from pipeline.runtime.config_file import Frozen, without_secret_names

# Arguments of vLLM's engine (0.26 to 0.32) that are known to concern speed and resources alone.
# Whatever else there is may change verdicts, or run somebody's code: it belongs to `judge.model`.
SPEED_ARGS = frozenset(
    (
        "gpu_memory_utilization",
        "kv_cache_memory_bytes",
        "swap_space",
        "cpu_offload_gb",
        "block_size",
        "enable_prefix_caching",
        "enable_chunked_prefill",
        "max_num_batched_tokens",
        "max_num_partial_prefills",
        "max_long_partial_prefills",
        "long_prefill_token_threshold",
        "async_scheduling",
        "scheduling_policy",
        "stream_interval",
        "enforce_eager",
        "max_cudagraph_capture_size",
        "cudagraph_capture_sizes",
        "cuda_graph_sizes",
        "compilation_config",
        "optimization_level",
        "distributed_executor_backend",
        "pipeline_parallel_size",
        "disable_custom_all_reduce",
        "max_parallel_loading_workers",
        "safetensors_load_strategy",
        "use_tqdm_on_load",
        "download_dir",
        "mm_processor_cache_gb",
        "mm_processor_cache_type",
        "mm_encoder_tp_mode",
        "skip_mm_profiling",
        "disable_log_stats",
        "enable_log_requests",
        "enable_sleep_mode",
        "shutdown_timeout",
    )
)
# The same for environment variables, by how they begin.
SPEED_ENV = (
    *("OMP_", "MKL_", "CUDA_VISIBLE_", "CUDA_DEVICE_", "CUDA_MODULE_", "CUDA_CACHE_", "NCCL_"),
    *("GLOO_", "TORCHINDUCTOR_CACHE_", "TORCHINDUCTOR_COMPILE_THREADS", "TRITON_CACHE_"),
    "TORCHDYNAMO_DISABLE",
    *("PYTORCH_CUDA_ALLOC_", "PYTORCH_ALLOC_", "MALLOC_", "HF_HOME", "HF_HUB_"),
    *("XDG_CACHE_", "TMPDIR", "TOKENIZERS_PARALLELISM", "VLLM_CPU_KVCACHE_SPACE"),
    *("VLLM_CPU_OMP_", "VLLM_CPU_NUM_OF_", "VLLM_CACHE_ROOT", "VLLM_CONFIG_ROOT", "VLLM_LOGGING_"),
    *("VLLM_LOG_", "VLLM_CONFIGURE_LOGGING", "VLLM_NO_USAGE_", "VLLM_DO_NOT_TRACK"),
    *("VLLM_HOST_IP", "VLLM_PORT", "VLLM_WORKER_MULTIPROC_", "VLLM_ENABLE_V1_MULTIPROCESSING"),
    *("VLLM_ENGINE_ITERATION_", "VLLM_RPC_", "VLLM_EXECUTE_MODEL_", "VLLM_SLEEP_WHEN_IDLE"),
    *(
        "VLLM_DISABLE_COMPILE_CACHE",
        "VLLM_USE_V2_MODEL_RUNNER",
        "VLLM_SKIP_P2P_CHECK",
        "VLLM_MM_INPUT_CACHE_",
    ),
)
# Fields of a chat request that we set, or that change what a server replies.
VERDICT_FIELDS = frozenset(
    (
        "model",
        "messages",
        "temperature",
        "top_p",
        "top_k",
        "min_p",
        "max_tokens",
        "max_completion_tokens",
        "seed",
        "logprobs",
        "top_logprobs",
        "stop",
        "n",
        "stream",
        "tools",
        "response_format",
        "frequency_penalty",
        "presence_penalty",
        "repetition_penalty",
        "logit_bias",
        "reasoning_effort",
        "chat_template_kwargs",
        "mm_processor_kwargs",
        "continue_final_message",
        "add_generation_prompt",
    )
)


class EndpointConfig(Frozen):
    """A server that speaks OpenAI's chat protocol, for ``engine.kind: openai``."""

    url: str | None = None
    """Where it serves, ``/v1`` included, such as ``http://judge:8000/v1``. The model that it is
    asked for is ``judge.model.name``.
    """
    key_env: str = "OPENAI_API_KEY"
    """The environment variable that holds its key; without that variable none is sent."""
    retry_s: float = Field(default=300, ge=0)
    """How long a request is tried again while the server is busy, failing or unreachable; then
    the run ends, and the same command goes on.
    """
    seeds: bool = True
    """Whether it takes a seed for each request; servers that know none refuse it."""
    continues: bool = False
    """Whether it continues an assistant's message that was begun (vLLM and SGLang do), which
    ``judge.sampling.reply_prefix`` needs.
    """
    logprobs: bool = False
    """Whether it gives log-probabilities of a reply's tokens and of the 20 likeliest others (vLLM
    and SGLang do), which ``judge.sampling.soft_votes`` needs.
    """
    length_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    """How it calls the most tokens of a reply; some hosted models take the longer name alone."""
    clips: Literal["frames", "video"] = "frames"
    """How a clip is sent: our frames as pictures, which any server takes, or as one video of
    them (vLLM).
    """
    extra: dict[str, Any] = Field(default_factory=dict)
    """Further fields of every request that change no verdict, such as ``service_tier``."""

    @field_validator("url")
    @classmethod
    def _plain(cls, url: str | None) -> str | None:
        if url is None:
            return None
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("expected http://HOST/v1 or https://HOST/v1")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError("expected no user, query or fragment: a key is read from key_env")
        return url.rstrip("/")

    @field_validator("extra")
    @classmethod
    def _ours(cls, extra: dict[str, Any]) -> dict[str, Any]:
        if wrong := sorted(VERDICT_FIELDS & extra.keys()):
            raise ValueError(f"{wrong} can change verdicts: set them under judge")
        return extra


class EngineConfig(Frozen):
    """How the judge is run; nothing here changes a verdict."""

    kind: str = "vllm"
    """``vllm`` (CPU and GPU), ``openai`` (any server of that protocol), ``transformers`` (portable
    reference), ``scripted`` (tests), or what a package installed beside this one adds.
    """
    endpoint: EndpointConfig = EndpointConfig()
    """The server of ``engine.kind: openai``."""
    tensor_parallel_size: int = Field(default=1, ge=1)
    """GPUs that one engine spreads the model over; ``workers.gpus`` must allow them."""
    max_num_seqs: int = Field(default=256, ge=1)
    """Most replies generated at once."""
    prefill_group: int = Field(default=0, ge=0)
    """VLLM admits waiting requests in batches once so many sequence slots are free; 0 = a 32nd
    of ``max_num_seqs``, 1 = one by one, as vLLM does by default.
    """
    args: dict[str, Any] = Field(default_factory=dict)
    """Further engine arguments for speed, such as ``gpu_memory_utilization``: those that are known
    to change no verdict; others under ``judge.model.args``.
    """
    env: dict[str, str] = Field(default_factory=dict)
    """Environment variables of the engine's process, such as ``VLLM_CPU_KVCACHE_SPACE``: those
    that are known to concern speed and resources alone; others under ``judge.model.env``.
    """
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
    decode_seconds: float = Field(default=300, gt=0)
    """A picture or clip that takes longer to decode is refused (``media_too_large``)."""
    units_in_flight: int = Field(default=0, ge=0)
    """Units that one worker judges at once, so that the next ones fill the engine while the last
    replies of those before are still being written; 0 = as many as it takes, within the
    object store and the worker's share of the units.
    """
    script: dict[str, Any] = Field(default_factory=dict)
    """The scripted engine's plan (tests only)."""

    @property
    def reply_limit_s(self) -> float:
        """After how long a caller gives a request up: its retries at a server are not its reply."""
        retries = self.endpoint.retry_s + self.request_timeout_s if self.endpoint.url else 0
        return self.request_timeout_s + retries

    @model_validator(mode="after")
    def _group_fits(self) -> Self:
        if self.prefill_group > self.max_num_seqs:
            raise ValueError(
                f"prefill_group {self.prefill_group} is more than max_num_seqs "
                f"{self.max_num_seqs}: so many sequence slots are never free"
            )
        return self

    @model_validator(mode="after")
    def _endpoint_named(self) -> Self:
        if self.kind == "openai" and self.endpoint.url is None:
            raise ValueError("kind openai needs endpoint.url, such as http://judge:8000/v1")
        return self

    @model_validator(mode="after")
    def _speed_only(self) -> Self:
        if wrong := sorted(self.args.keys() - SPEED_ARGS):
            raise ValueError(
                f"args {wrong} can change verdicts, or are not known not to: set them under "
                "judge.model (or judge.model.args), where they are part of the judge's identity"
            )
        without_secret_names(self.env)
        if wrong := sorted(name for name in self.env if not name.startswith(SPEED_ENV)):
            raise ValueError(
                f"env {wrong} can change verdicts, or are not known not to: set them under "
                "judge.model.env, where they are part of the judge's identity"
            )
        return self
