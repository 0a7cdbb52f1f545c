"""vLLM's AsyncLLM, which loads the model's processor of pictures while its engine core starts.

vLLM loads that processor with the first picture, while all other requests wait; with a vocabulary
of 152,000 words it takes 4 s on a machine with an H200, in which nothing else is done. The engine
core, another process, needs some 15 s to start, in which this process only waits for it.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from vllm.v1.engine.async_llm import AsyncLLM

_LAST = "output_processor"  # what AsyncLLM (0.26 to 0.32) makes last before it starts the core


class EarlyProcessor(AsyncLLM):
    """An AsyncLLM whose processor of pictures is loaded beside its engine core."""

    _loading: Future[None] | None = None

    def __setattr__(self, name: str, value: Any) -> None:
        """Begins to load the processor when the engine core is about to be started."""
        super().__setattr__(name, value)
        if name == _LAST:
            pool = ThreadPoolExecutor(1, "picture-processor")
            self._loading = pool.submit(self._load)
            pool.shutdown(wait=False)

    def finish_loading(self) -> None:
        """Returns once the processor is loaded.

        Raises:
            TypeError, ValueError, OSError, RuntimeError: the model has none that can be loaded.
        """
        if self._loading is None:
            self._load()
        else:
            self._loading.result()

    def _load(self) -> None:
        if (pictures := self.renderer.mm_processor) is not None:
            pictures.info.get_hf_processor()
