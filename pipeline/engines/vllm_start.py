"""How vLLM is started: its engine arguments, and where 0.26 to 0.32 differ in what they take."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

from pipeline.engines.core_imports import (
    begin_imports,
    cores_from_fork_server,
    is_forked_apart,
)
from pipeline.engines.engine import merged_args, model_path
from pipeline.engines.engine_config import EngineConfig
from pipeline.engines.reward_checkpoint import RewardCheckpoint
from pipeline.judging.judge_config import JudgeConfig
from pipeline.runtime.errors import EngineStartError

Loaded = TypeVar("Loaded")

# In the environment of vLLM's engine core; not in its configuration, which compiled graphs hang on.
PREFILL_GROUP, QUESTION_SLOTS = "PAIRMILL_PREFILL_GROUP", "PAIRMILL_QUESTION_SLOTS"
_SCHEDULER = "pipeline.engines.vllm_scheduler.make_scheduler"
_WATCHED_EVERY = 64  # tokens from one look at a reply that is watched to the next
_GROUPS = 32  # groups that fill an engine, unless engine.prefill_group is set

# Clips reach the engine sampled and resized, and must stay so: by default the model's processor
# would enlarge small frames to 128 tokens. A clip of the wrong size shows in the prompt's length.
_AS_SAMPLED: dict[str, Any] = {
    "videos_kwargs": {
        "do_sample_frames": False,
        "size": {"shortest_edge": 1, "longest_edge": 2**40},
    }
}


def begin_start(judge: JudgeConfig, engine: EngineConfig, *, scores: bool) -> None:
    """Sets vLLM's environment and lets the engine core begin; call it before torch is imported.

    Args:
        judge, engine: as of :func:`start_vllm`.
        scores: whether the judge is a reward model.
    """
    group, questions = _groups(judge, engine, scores=scores)
    ours = {PREFILL_GROUP: str(group), QUESTION_SLOTS: str(questions)}
    # Read by vLLM when it is imported. This process exists for it alone.
    os.environ.update({**ours, **engine.env, **judge.model.env})
    if is_forked_apart():
        begin_imports()


def start_vllm(
    judge: JudgeConfig,
    engine: EngineConfig,
    reward: RewardCheckpoint | None,
    load: Callable[[], Loaded],
) -> tuple[Any, Loaded]:
    """Starts an engine core that has loaded a model, after :func:`begin_start`.

    Args:
        judge: the judge.
        engine: how it is run.
        reward: the checkpoint of a reward model; None of a judge that replies.
        load: loads what this process needs besides, where it can while the engine core starts.

    Returns:
        The ``AsyncLLM``, and what ``load`` has loaded.

    Raises:
        EngineStartError: vLLM refuses the model or the arguments; or as ``load`` does.
    """
    import torch

    # For its pictures alone: on a machine of 64 cores, 64 threads took seven times as long for
    # one of 448 x 448 as one thread did. A worker of Ray has one anyway.
    torch.set_num_threads(1)
    from vllm import AsyncEngineArgs
    from vllm.v1.engine.async_llm import AsyncLLM

    from pipeline.engines.early_core import EarlyCore, load_processor

    given, loaded = _arguments(judge, engine, reward), list[Loaded]()
    try:
        if is_forked_apart():
            with cores_from_fork_server():
                llm: AsyncLLM = EarlyCore(AsyncEngineArgs(**given), lambda: loaded.append(load()))
        else:
            loaded.append(load())
            llm = AsyncLLM.from_engine_args(AsyncEngineArgs(**given))
            load_processor(llm)
    except (TypeError, ValueError, OSError, RuntimeError) as error:
        raise EngineStartError(
            f"vLLM cannot start {judge.model.name!r}: {type(error).__name__}: {error}; "
            "check judge.model, engine.args and the free memory"
        ) from error
    return llm, loaded[0]


def _arguments(
    judge: JudgeConfig,
    engine: EngineConfig,
    reward: RewardCheckpoint | None,
) -> dict[str, Any]:
    from vllm import AsyncEngineArgs

    group, questions = _groups(judge, engine, scores=reward is not None)
    free = merged_args(judge, engine)
    arguments: dict[str, Any] = {
        "model": model_path(judge.model.name),
        "revision": judge.model.revision,
        "dtype": judge.model.dtype,
        "quantization": judge.model.quantization,
        "max_model_len": judge.model.max_model_len,
        "tensor_parallel_size": engine.tensor_parallel_size,
        "max_num_seqs": engine.max_num_seqs + questions,
        "limit_mm_per_prompt": {
            "image": judge.media.max_images,
            "video": judge.media.video.max_videos,
        },
        "disable_log_stats": True,
    }
    if group > 1:
        arguments["scheduler_cls"] = _SCHEDULER
    # Where nothing is generated vLLM 0.32 cannot do with it.
    if reward is None and "stream_interval" in AsyncEngineArgs.__dataclass_fields__:
        arguments["stream_interval"] = _WATCHED_EVERY
    if asks_behind(judge):
        # What is asked about a written reply must find its prefix in the cache.
        arguments["scheduling_policy"] = "priority"
    arguments |= {
        **(reward.engine_arguments(free) if reward else free),
        "mm_processor_kwargs": _AS_SAMPLED | free.get("mm_processor_kwargs", {}),
        "trust_remote_code": False,
    }
    if judge.media.video.max_videos > 0 and hides_metadata():
        # It would ask for no metadata of cached clips, and then refuse that of the others.
        arguments["mm_processor_cache_gb"] = 0
    return arguments


def _groups(judge: JudgeConfig, engine: EngineConfig, *, scores: bool) -> tuple[int, int]:
    """Requests that are admitted at a time, and slots for questions about written replies."""
    group = 1 if scores else prefill_group(engine)  # scores free their slots at once
    # Two groups of replies may end before the questions about them have their turn.
    return group, 2 * group if group > 1 and asks_behind(judge) else 0


def asks_behind(judge: JudgeConfig) -> bool:
    """Whether more is asked about a reply once it is written, before the replies that wait."""
    return judge.sampling.soft_votes or judge.sampling.constrained


def prefill_group(engine: EngineConfig) -> int:
    """How many waiting requests vLLM admits at a time; 1 leaves that to vLLM."""
    return engine.prefill_group or max(1, engine.max_num_seqs // _GROUPS)


def hides_metadata() -> bool:
    """Whether this vLLM (0.26 to 0.30) hides a clip's frame rate from Qwen2.5-VL's processor."""
    from vllm.model_executor.models.qwen2_5_vl import Qwen2_5_VLProcessingInfo

    return "get_data_parser" not in vars(Qwen2_5_VLProcessingInfo)


def refusals() -> tuple[type[Exception], ...]:
    """What vLLM raises for one request that it cannot serve, while it serves others.

    Of 0.26 a request that breaks a rule is a ValueError, and from 0.27 on an error class of its
    own; whatever else a request runs into, such as a picture that the model's processor refuses, is
    an EngineGenerateError in all of them.
    """
    from vllm import exceptions
    from vllm.v1.engine.exceptions import EngineGenerateError

    own = getattr(exceptions, "VLLMClientError", ValueError)
    return ValueError, own, EngineGenerateError
