"""The portable reference engine: ``generate`` of a Hugging Face model, one reply at a time."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from PIL.Image import Image
from transformers import AutoImageProcessor, AutoModelForImageTextToText, AutoVideoProcessor

from pipeline.engines.chat_layout import ChatRenderer
from pipeline.engines.engine import (
    Chat,
    Rendered,
    Reply,
    Sampling,
    Scalar,
    Score,
    merged_args,
    model_path,
)
from pipeline.engines.engine_config import EngineConfig
from pipeline.engines.reward_checkpoint import RewardCheckpoint
from pipeline.engines.rope_positions import Grid, positions
from pipeline.engines.scalar_head import HeadWeights
from pipeline.engines.slot_reading import read_reply
from pipeline.judging.endings import Watch
from pipeline.judging.judge_config import JudgeConfig
from pipeline.judging.soft_verdicts import MOST_TOKENS
from pipeline.media.clip import Clip, frames_of
from pipeline.media.model_sizes import FRAMES_A_PATCH
from pipeline.runtime.errors import EngineStartError


class TransformersEngine:
    """A Hugging Face model; ``generate`` runs in one thread beside the event loop."""

    at_once = 1

    def __init__(
        self, judge: JudgeConfig, engine: EngineConfig, scalar: Scalar | None = None
    ) -> None:
        """Loads the model and what makes tensors of pictures and clips.

        Args:
            judge: the judge.
            engine: how it is run.
            scalar: of a reward model; None of one that replies.

        Raises:
            EngineStartError: transformers refuses the model, or a reward model has no head.
        """
        self._renderer = ChatRenderer(judge)
        self._head = None if scalar is None else RewardCheckpoint(judge.model, scalar).head
        path, revision = model_path(judge.model.name), judge.model.revision
        options: dict[str, Any] = {"revision": revision, "trust_remote_code": False}
        try:
            pictures: Any = AutoImageProcessor  # untyped in transformers
            self._pictures = pictures.from_pretrained(path, **options)
            videos: Any = AutoVideoProcessor
            self._videos = videos.from_pretrained(path, cap_pixels_per_frame=False, **options)
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
        self._factor = judge.media.factor
        self._image_token = int(self._model.config.image_token_id)
        self._video_token = int(self._model.config.video_token_id)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="transformers")

    def render(self, chat: Chat) -> Rendered:
        """Lays out a chat with the model's own template."""
        return self._renderer.render(chat)

    async def reply(self, request_id: str, prompt: Rendered, sampling: Sampling) -> Reply:
        """Replies to one prompt; a cancelled call still runs to its end in its thread."""
        loop = asyncio.get_running_loop()
        run = functools.partial(loop.run_in_executor, self._thread)
        reply, written = await run(self._generate, prompt, sampling)
        if not sampling.soft or reply.finish_reason != "stop":
            return reply

        async def following(begun: Sequence[int]) -> dict[int, float]:
            return await run(self._likeliest, prompt, begun)

        decode = self._renderer.decode
        return replace(
            reply, slot=await read_reply(reply.text, written, sampling, decode, following)
        )

    def close(self) -> None:
        """Ends the thread."""
        self._thread.shutdown(cancel_futures=True)

    async def score(self, request_id: str, prompt: Rendered) -> Score:
        """Scores one prompt; a cancelled call still runs to its end in its thread.

        Raises:
            EngineStartError: the judge is no reward model.
        """
        if self._head is None:
            raise EngineStartError("this engine was started to reply, and not to score")
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._score, prompt, self._head)

    @torch.inference_mode()
    def _score(self, prompt: Rendered, head: HeadWeights) -> Score:
        inputs = self._inputs(prompt)
        hidden = self._model.model(**inputs).last_hidden_state[0, -1]
        return Score(head.score(hidden), inputs["input_ids"].shape[1], cached_tokens=0)

    def _inputs(self, prompt: Rendered) -> dict[str, Any]:
        ids, grids = self.expand(prompt)
        inputs: dict[str, Any] = {"input_ids": torch.tensor([ids])}
        inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
        # One row of indices for the mask, three rows of positions: (4, 1, tokens).
        indices = torch.arange(len(ids))[None]
        inputs["position_ids"] = torch.cat([indices, torch.from_numpy(positions(grids))])[:, None]
        inputs |= self._media(prompt.chat)
        return {name: value.to(self._model.device) for name, value in inputs.items()}

    @torch.inference_mode()
    def _likeliest(self, prompt: Rendered, written: Sequence[int]) -> dict[int, float]:
        """The log-probabilities of the likeliest tokens behind what is written of a reply."""
        inputs = self._inputs(replace(prompt, token_ids=(*prompt.token_ids, *written)))
        logits = self._model(**inputs).logits[0, -1].float()
        most = torch.log_softmax(logits, -1).topk(min(MOST_TOKENS, len(logits)))
        return dict(zip(most.indices.tolist(), most.values.tolist(), strict=True))

    @torch.inference_mode()
    def _generate(self, prompt: Rendered, sampling: Sampling) -> tuple[Reply, list[int]]:
        """A reply, and its tokens."""
        inputs = self._inputs(prompt)
        start = inputs["input_ids"].shape[1]
        greedy = sampling.temperature == 0
        how: dict[str, Any] = {"do_sample": not greedy}
        if not greedy:
            torch.manual_seed(sampling.seed)
            how |= {"temperature": sampling.temperature, "top_p": sampling.top_p, "top_k": 0}
        watch = Watch(sampling.ending) if sampling.ending else None
        output = self._model.generate(
            **inputs,
            max_new_tokens=sampling.max_tokens,
            eos_token_id=self._renderer.stop_token_ids,
            repetition_penalty=1.0,  # vLLM's default
            stopping_criteria=[lambda ids, _: self._over(ids[0, start:], sampling, watch)],
            **how,
        )
        new = output[0, start:].tolist()
        text = self._renderer.decode(new)
        cut = sampling.ending.cut(text) if sampling.ending else None
        ended = cut is not None or len(new) < sampling.max_tokens
        ended = ended or (bool(new) and new[-1] in self._renderer.stop_token_ids)
        reply = Reply(
            text=cut or text,
            finish_reason="stop" if ended else "length",
            prompt_tokens=start,
            output_tokens=len(new),
            cached_tokens=0,
        )
        return reply, new

    def _over(self, written: torch.Tensor, sampling: Sampling, watch: Watch | None) -> torch.Tensor:
        """Whether the one reply has its verdict, or has gone on behind one for too long."""
        ending, over = sampling.ending, False
        if ending and watch:
            text = self._renderer.decode(written.tolist())
            over = ending.cut(text) is not None
            over = over or (ending.watched and watch.over(text, len(written)))
        return torch.tensor([over], device=written.device)

    def expand(self, prompt: Rendered) -> tuple[list[int], list[Grid]]:
        """The prompt's ids with every placeholder repeated for its tokens, and their grids."""
        media: dict[int, Iterator[Image | Clip]] = {
            self._image_token: iter(prompt.chat.images),
            self._video_token: iter(prompt.chat.clips),
        }
        ids: list[int] = []
        grids: list[Grid] = []
        for token in prompt.token_ids:
            grids.append(self._grid(next(media[token])) if token in media else Grid())
            ids += [token] * grids[-1].tokens
        return ids, grids

    def _grid(self, part: Image | Clip) -> Grid:
        if not isinstance(part, Clip):
            return Grid(1, part.height // self._factor, part.width // self._factor)
        frame = part.frames[0]
        # In single precision, as the processor hands it to vLLM.
        seconds = float(np.float32(FRAMES_A_PATCH / part.fps))
        return Grid(
            len(part.frames) // FRAMES_A_PATCH,
            frame.height // self._factor,
            frame.width // self._factor,
            seconds * self._model.config.vision_config.tokens_per_second,
        )

    def _media(self, chat: Chat) -> dict[str, Any]:
        """Pixels and grids, as the model's own processors make them; resized already."""
        how: dict[str, Any] = {"do_resize": False, "return_tensors": "pt"}
        inputs: dict[str, Any] = {}
        if chat.images:
            inputs |= self._pictures(list(chat.images), **how)
        if chat.clips:
            clips = [frames_of(clip) for clip in chat.clips]
            inputs |= self._videos(clips, do_sample_frames=False, return_metadata=False, **how)
        return inputs
