"""vLLM's AsyncLLM, whose engine core starts while this process loads tokenizers and processors.

vLLM loads a tokenizer and what renders prompts, starts its engine core, waits for it, and loads the
model's processor of pictures with the first one. With a vocabulary of 152,000 words each of these
takes seconds, on a machine with an H200 ten together, and the engine core needs none of them.

Only for engine cores that come from a fork server: this starts one from a thread, and a process is
not forked safely while another thread of it runs.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from vllm import AsyncEngineArgs
from vllm.usage.usage_lib import UsageContext
from vllm.v1.engine import async_llm
from vllm.v1.engine.async_llm import AsyncLLM
from vllm.v1.executor import Executor

from pipeline.runtime.replaced import replaced


class EarlyCore(AsyncLLM):
    """An AsyncLLM whose engine core starts first."""

    def __init__(self, arguments: AsyncEngineArgs, meanwhile: Callable[[], object]) -> None:
        """Starts an engine core, and loads all else that there is to load until it is ready.

        Args:
            arguments: vLLM's.
            meanwhile: what else is to be done until then.

        Raises:
            Exception: as ``AsyncLLM.from_engine_args`` and ``meanwhile`` do; no core is left then.
        """
        config = arguments.create_engine_config(UsageContext.ENGINE_CONTEXT)
        how = {
            "vllm_config": config,
            "executor_class": Executor.get_class(config),
            "log_stats": not arguments.disable_log_stats,
        }
        client = vars(async_llm)["EngineCoreClient"]
        with ThreadPoolExecutor(1, "engine-core") as pool:
            starting = pool.submit(client.make_async_mp_client, **how)
            begun = _Begun(starting, lambda: load_processor(self))
            try:
                meanwhile()
                with replaced(async_llm, "EngineCoreClient", begun):
                    super().__init__(**how, log_requests=arguments.enable_log_requests)
            except BaseException:
                if starting.exception() is None:
                    starting.result().shutdown()
                raise


class _Begun:
    """In place of the class by which AsyncLLM starts its engine core: one that has been started."""

    def __init__(self, starting: Future[Any], meanwhile: Callable[[], None]) -> None:
        self._starting, self._meanwhile = starting, meanwhile

    def make_async_mp_client(self, **_given: Any) -> Any:
        self._meanwhile()
        return self._starting.result()


def load_processor(llm: AsyncLLM) -> None:
    """Loads a model's processor of pictures, if it has one.

    Raises:
        TypeError, ValueError, OSError, RuntimeError: it cannot be loaded.
    """
    if (pictures := llm.renderer.mm_processor) is not None:
        pictures.info.get_hf_processor()
