"""The judge's engine on vLLM's AsyncLLM: CPU and GPU by the same code, vLLM 0.26 to 0.32.

The only module that imports vllm.
"""

from __future__ import annotations

import os
from typing import Any

from pipeline.core.config import EngineConfig, JudgeConfig
from pipeline.core.errors import ConfigError, EngineDeadError, EngineStartError, RowRejected
from pipeline.workers.chat import ChatRenderer
from pipeline.workers.engine import Chat, Rendered, Reply, Sampling, merged_args, model_path
from pipeline.workers.orphans import guard_children
from schemas.labels import Reason


class VllmEngine:
    """One AsyncLLM, which batches continuously over all requests in flight."""

    def __init__(self, judge: JudgeConfig, engine: EngineConfig) -> None:
        """Loads the model; takes seconds on a CPU and a minute on a GPU.

        Raises:
            EngineStartError: vLLM refuses the model or the arguments.
        """
        self._renderer = ChatRenderer(judge)
        self.at_once = engine.max_num_seqs
        # Read by vLLM when it is imported; this process exists for this engine alone.
        os.environ.update(engine.env)
        from vllm import AsyncEngineArgs
        from vllm.v1.engine.async_llm import AsyncLLM
        from vllm.v1.engine.exceptions import EngineDeadError as VllmDeadError

        self._vllm_dead: type[Exception] = VllmDeadError
        arguments: dict[str, Any] = {
            "model": model_path(judge.model.name),
            "revision": judge.model.revision,
            "dtype": judge.model.dtype,
            "quantization": judge.model.quantization,
            "max_model_len": judge.model.max_model_len,
            "tensor_parallel_size": engine.tensor_parallel_size,
            "max_num_seqs": engine.max_num_seqs,
            "limit_mm_per_prompt": {"image": judge.media.max_images, "video": 0},
            "disable_log_stats": True,
            **merged_args(judge, engine),
            "trust_remote_code": False,
        }
        try:
            self._llm = AsyncLLM.from_engine_args(AsyncEngineArgs(**arguments))
        except (TypeError, ValueError, OSError, RuntimeError) as error:
            raise EngineStartError(
                f"vLLM cannot start {judge.model.name!r}: {type(error).__name__}: {error}; "
                "check judge.model, engine.args and the memory there is"
            ) from error
        guard_children()

    def render(self, chat: Chat) -> Rendered:
        """Lays out a chat with the model's own template."""
        return self._renderer.render(chat)

    async def reply(self, request_id: str, prompt: Rendered, sampling: Sampling) -> Reply:
        """Replies to one prompt; cancelling the call aborts the request.

        Raises:
            EngineDeadError: the engine core died.
            RowRejected: vLLM refuses this one request.
            ConfigError: the model's processor sized a picture otherwise than ``judge.media``.
        """
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        inputs: Any = {"prompt_token_ids": list(prompt.token_ids)}
        if prompt.chat.images:
            inputs["multi_modal_data"] = {"image": list(prompt.chat.images)}
        params = SamplingParams(
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            max_tokens=sampling.max_tokens,
            seed=sampling.seed if sampling.temperature > 0 else None,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )
        final: Any = None
        try:
            async for output in self._llm.generate(inputs, params, request_id):
                final = output
        except self._vllm_dead as error:
            raise EngineDeadError(f"vLLM's engine core died: {error}") from error
        except ValueError as error:
            raise RowRejected(Reason.BAD_ROW, f"vLLM refuses the request: {error}") from error
        completion, prompt_tokens = final.outputs[0], len(final.prompt_token_ids)
        if prompt_tokens != prompt.length:
            raise ConfigError(
                f"the prompt has {prompt_tokens} tokens in the engine, {prompt.length} by "
                "judge.media: its factor or pixel bounds do not fit the model's processor"
            )
        return Reply(
            text=completion.text,
            finish_reason=completion.finish_reason,
            prompt_tokens=prompt_tokens,
            output_tokens=len(completion.token_ids),
            cached_tokens=final.num_cached_tokens or 0,
        )

    def close(self) -> None:
        """Ends the engine core and its workers."""
        self._llm.shutdown()
