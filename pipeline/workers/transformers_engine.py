"""The judge's engine on plain transformers: the model card's other path, one reply at a time.

Slow and portable: the reference that greedy vLLM replies must equal. For models of the
Qwen2.5-VL family, whose picture placeholder expands to one token per merged patch.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from transformers import AutoImageProcessor, AutoModelForImageTextToText

from pipeline.core.config import EngineConfig, JudgeConfig
from pipeline.core.errors import EngineStartError
from pipeline.workers.chat import ChatRenderer
from pipeline.workers.engine import Chat, Rendered, Reply, Sampling, merged_args, model_path


class TransformersEngine:
    """``generate`` of a Hugging Face model, in one thread beside the event loop."""

    at_once = 1

    def __init__(self, judge: JudgeConfig, engine: EngineConfig) -> None:
        """Loads model and picture processor.

        Raises:
            EngineStartError: transformers refuses the model.
        """
        self._renderer = ChatRenderer(judge)
        path, revision = model_path(judge.model.name), judge.model.revision
        options: dict[str, Any] = {"revision": revision, "trust_remote_code": False}
        try:
            processors: Any = AutoImageProcessor  # untyped in transformers
            self._pictures = processors.from_pretrained(path, **options)
            models: Any = AutoModelForImageTextToText
            self._model = models.from_pretrained(
                path, dtype=judge.model.dtype, **merged_args(judge, engine), **options
            )
        except (OSError, ValueError, TypeError) as error:
            raise EngineStartError(
                f"transformers cannot load {judge.model.name!r}: {error}; check judge.model"
            ) from error
        device = "cuda" if torch.cuda.is_available() else "cpu"
        self._model.to(device).eval()
        self._image_token = int(self._model.config.image_token_id)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="transformers")

    def render(self, chat: Chat) -> Rendered:
        """Lays out a chat with the model's own template."""
        return self._renderer.render(chat)

    async def reply(self, request_id: str, prompt: Rendered, sampling: Sampling) -> Reply:
        """Replies to one prompt; a cancelled call still runs to its end in its thread."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._generate, prompt, sampling)

    def close(self) -> None:
        """Ends the thread."""
        self._thread.shutdown(cancel_futures=True)

    @torch.inference_mode()
    def _generate(self, prompt: Rendered, sampling: Sampling) -> Reply:
        ids = self.expand(prompt)
        inputs: dict[str, Any] = {"input_ids": torch.tensor([ids])}
        inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
        if prompt.chat.images:
            # Resized already, to the judge's own bounds.
            inputs |= self._pictures(list(prompt.chat.images), do_resize=False, return_tensors="pt")
            inputs["mm_token_type_ids"] = (inputs["input_ids"] == self._image_token).int()
        greedy = sampling.temperature == 0
        how: dict[str, Any] = {"do_sample": not greedy}
        if not greedy:
            torch.manual_seed(sampling.seed)
            how |= {"temperature": sampling.temperature, "top_p": sampling.top_p, "top_k": 0}
        output = self._model.generate(
            **{name: value.to(self._model.device) for name, value in inputs.items()},
            max_new_tokens=sampling.max_tokens,
            eos_token_id=self._renderer.stop_token_ids,
            repetition_penalty=1.0,  # what vLLM does unless told otherwise
            **how,
        )
        new = output[0, len(ids) :].tolist()
        ended = bool(new) and new[-1] in self._renderer.stop_token_ids
        return Reply(
            text=self._renderer.decode(new),
            finish_reason="stop" if ended else "length",
            prompt_tokens=len(ids),
            output_tokens=len(new),
            cached_tokens=0,
        )

    def expand(self, prompt: Rendered) -> list[int]:
        """The prompt's ids with each picture's placeholder repeated for its tokens."""
        counts = iter([self._renderer.media_tokens(image) for image in prompt.chat.images])
        ids: list[int] = []
        for token in prompt.token_ids:
            ids += [token] * (next(counts) if token == self._image_token else 1)
        return ids
