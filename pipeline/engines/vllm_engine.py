"""The engine on vLLM's AsyncLLM: CPU and GPU by the same code, vLLM 0.26 to 0.32.

A judge that writes runs on vLLM's generating runner, a reward model on its pooling one.

This module, those that start vLLM and the scheduler they name are all that import vllm.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import math
import os
from collections.abc import AsyncGenerator, Sequence
from typing import Any

from pipeline.engines.chat_layout import ChatRenderer
from pipeline.engines.engine import Chat, Rendered, Reply, Sampling, Scalar, Score
from pipeline.engines.engine_config import EngineConfig
from pipeline.engines.orphan_guard import OrphanGuard
from pipeline.engines.reward_checkpoint import RewardCheckpoint
from pipeline.engines.slot_reading import read_reply
from pipeline.engines.vllm_start import (
    asks_behind,
    begin_start,
    hides_metadata,
    refusals,
    start_vllm,
)
from pipeline.judging.constraint import LEAST_MEANT, Constraint
from pipeline.judging.endings import Watch
from pipeline.judging.judge_config import JudgeConfig
from pipeline.judging.soft_verdicts import MOST_TOKENS
from pipeline.media.clip import Clip, frames_of
from pipeline.runtime.errors import ConfigError, EngineDeadError, EngineStartError, RowRejected
from schemas.labels import Reason

_ALIVE_S = 2.0  # how often a request in flight looks whether its engine core is alive
_MOST_SPACES = 3  # tokens of white space before a verdict
_FIRST = -1  # the priority of a request that goes before those that wait
_NEARLY_0 = 0.01  # the lowest temperature that vLLM takes for one, and does not raise


class VllmEngine:
    """One AsyncLLM, which batches continuously over all requests in flight."""

    def __init__(
        self, judge: JudgeConfig, engine: EngineConfig, scalar: Scalar | None = None
    ) -> None:
        """Loads the model; takes seconds on a CPU and a minute on a GPU.

        Args:
            judge: the judge.
            engine: how it is run.
            scalar: of a reward model; None of one that replies.

        Raises:
            EngineStartError: vLLM refuses the model or the arguments, or the checkpoint of a
                reward model has no head that vLLM would load.
        """
        begin_start(judge, engine, scores=scalar is not None)
        self.at_once = engine.max_num_seqs
        self._reward = None if scalar is None else RewardCheckpoint(judge.model, scalar)
        self._checked: asyncio.Task[None] | None = None
        self._priorities = asks_behind(judge)
        begun = start_vllm(judge, engine, self._reward, lambda: ChatRenderer(judge))
        self._llm, self._renderer = begun
        self._guard = OrphanGuard()
        from vllm.v1.engine.exceptions import EngineDeadError as VllmDeadError

        self._vllm_dead: type[Exception] = VllmDeadError
        self._refusals = refusals()
        of_qwen = self._llm.model_config.hf_config.model_type == "qwen2_5_vl"
        self._drops_metadata = of_qwen and judge.media.video.max_videos > 0 and hides_metadata()

    def render(self, chat: Chat) -> Rendered:
        """Lays out a chat with the model's own template."""
        return self._renderer.render(chat)

    async def reply(self, request_id: str, prompt: Rendered, sampling: Sampling) -> Reply:
        """Replies to one prompt; cancelling the call aborts the request.

        Raises:
            EngineDeadError: the engine core died.
            RowRejected: vLLM refuses this one request.
            ConfigError: the model's processor resized a picture or clip against
                ``judge.media``.
        """
        if sampling.constraint is not None:
            return await self._constrained(request_id, prompt, sampling, sampling.constraint)
        first = last = await self._generate(request_id, prompt, sampling, [])
        written, text = list(first.outputs[0].token_ids), first.outputs[0].text
        prompt_tokens = len(first.prompt_token_ids)
        self._check_length(prompt, prompt_tokens)
        ending = sampling.ending
        # What looks like the end may be a quotation in the reasoning: then generate on.
        while (
            ending
            and not ending.watched
            and last.outputs[0].stop_reason in ending.texts
            and ending.cut(text) is None
        ):
            if len(written) == sampling.max_tokens:
                last.outputs[0].finish_reason = "length"
                break
            more_id = f"{request_id}-{len(written)}"
            last = await self._generate(more_id, prompt, sampling, written)
            written += last.outputs[0].token_ids
            whole = self._renderer.decode(written)
            text = ending.cut(whole) or whole
        finish = last.outputs[0].finish_reason
        return await self._replied(request_id, prompt, sampling, first, (text, written, finish))

    async def _replied(
        self,
        request_id: str,
        prompt: Rendered,
        sampling: Sampling,
        first: Any,
        wrote: tuple[str, Sequence[int], str | None],
    ) -> Reply:
        """A reply of which text, tokens and finish reason are known; its slot is read if asked."""
        text, written, finish = wrote
        slot = None
        if sampling.soft and (finish == "stop" or sampling.soft.forced):
            ask = functools.partial(self._following, request_id, prompt, sampling)
            slot = await read_reply(text, written, sampling, self._renderer.decode, ask)
        return Reply(
            text=text,
            finish_reason=finish,
            prompt_tokens=len(first.prompt_token_ids),
            output_tokens=len(written),
            cached_tokens=first.num_cached_tokens or 0,
            slot=slot,
        )

    async def _constrained(
        self, request_id: str, prompt: Rendered, sampling: Sampling, constraint: Constraint
    ) -> Reply:
        """A reply whose reasoning is free, and whose verdict is held to its grammar.

        Two requests, the second on the cached prefix of the first: a grammar costs each step in
        which it is asked, and the reasoning has most of them.
        """
        written: list[int] = []
        first: Any = None
        if constraint.behind is not None:
            stop = [constraint.behind]
            first = await self._generate(request_id, prompt, sampling, [], stop=stop)
            self._check_length(prompt, len(first.prompt_token_ids))
            reply = first.outputs[0]
            written = self._up_to(reply.text, list(reply.token_ids))
            spent = len(written) >= sampling.max_tokens
            if reply.stop_reason != constraint.behind or spent:
                finish = "length" if spent else reply.finish_reason
                wrote = (reply.text, written, finish)
                return await self._replied(request_id, prompt, sampling, first, wrote)
        name = f"{request_id}-verdict"
        meant = await self._means_verdict(request_id, prompt, sampling, written, constraint)
        if meant:
            how: dict[str, Any] = {"stop": [], "held_to": constraint.expression}
        else:
            how = {}  # what it writes instead is read as it is
        last = await self._generate(name, prompt, sampling, written, **how)
        if first is None:
            self._check_length(prompt, len(last.prompt_token_ids))
        written += last.outputs[0].token_ids
        wrote = (self._renderer.decode(written), written, last.outputs[0].finish_reason)
        return await self._replied(request_id, prompt, sampling, first or last, wrote)

    def _up_to(self, text: str, written: list[int]) -> list[int]:
        """Tokens of a text that ends within the last of them, unless only white space is behind."""
        decode = self._renderer.decode
        if not decode(written)[len(text) :].strip():
            return written
        while not text.startswith(decode(written)):
            written = written[:-1]
        (rest,) = self._renderer.encode([text[len(decode(written)) :]])
        return [*written, *rest]

    async def _means_verdict(
        self,
        request_id: str,
        prompt: Rendered,
        sampling: Sampling,
        written: Sequence[int],
        constraint: Constraint,
    ) -> bool:
        """Whether the judge is about to write a verdict by itself, at once or behind a space."""
        path: list[int] = []
        decode = self._renderer.decode
        for _ in range(_MOST_SPACES):
            found = await self._following(request_id, prompt, sampling, [*written, *path])
            begun = decode(path)
            texts = {token: decode([*path, token])[len(begun) :] for token in found}
            space = max(found, key=lambda token: found[token])
            if texts[space] and not texts[space].strip():
                path.append(space)
                continue
            likely = [(texts[token], math.exp(logprob)) for token, logprob in found.items()]
            return constraint.meant(begun, likely) >= LEAST_MEANT
        return False

    async def _following(
        self, request_id: str, prompt: Rendered, sampling: Sampling, written: Sequence[int]
    ) -> dict[int, float]:
        """The likeliest tokens behind what is written of a reply: one step on its cached prefix.

        Asked of each reply once it is written: with every token's, each step of all replies in
        flight would sort the whole vocabulary. Beside replies that have seeds it has one, too: on
        CPUs vLLM before 0.29 forgets all seeds in a step with a request that has none.
        """
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        seeded = sampling.temperature > 0
        params = SamplingParams(
            temperature=_NEARLY_0 if seeded else 0,
            seed=0 if seeded else None,
            max_tokens=1,
            logprobs=MOST_TOKENS,
            detokenize=False,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )
        inputs: Any = {
            "prompt_token_ids": [*prompt.token_ids, *written],
            **self._media(prompt.chat),
        }
        name = f"{request_id}-after-{len(written)}-{os.urandom(2).hex()}"
        first = _FIRST if self._priorities else 0
        asked = self._llm.generate(inputs, params, name, priority=first)
        found = (await self._last_output(asked)).outputs[0].logprobs
        return {token: each.logprob for token, each in found[0].items()} if found else {}

    async def _generate(
        self,
        request_id: str,
        prompt: Rendered,
        sampling: Sampling,
        written: Sequence[int],
        *,
        stop: list[str] | None = None,
        held_to: str | None = None,
    ) -> Any:
        """One run of a prompt and what is ``written`` of the reply to it, to the next ending.

        Args:
            request_id: of this run.
            prompt, sampling: as of :meth:`reply`.
            written: tokens of the reply.
            stop: texts to end at in place of the sampling's ending.
            held_to: a regular expression of what is written.
        """
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams

        inputs: Any = {
            "prompt_token_ids": [*prompt.token_ids, *written],
            **self._media(prompt.chat),
        }
        ending = sampling.ending if stop is None else None
        watch = Watch(ending) if ending and ending.watched else None
        if stop is None and ending and not watch:
            stop = list(ending.texts)
        params = SamplingParams(
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            max_tokens=sampling.max_tokens - len(written),
            seed=sampling.seed if sampling.temperature > 0 else None,
            stop=stop or None,
            include_stop_str_in_output=True,
            output_kind=RequestOutputKind.DELTA if watch else RequestOutputKind.FINAL_ONLY,
            structured_outputs=StructuredOutputsParams(regex=held_to) if held_to else None,
        )
        first = _FIRST if written and self._priorities else 0
        outputs = self._llm.generate(inputs, params, request_id, priority=first)
        return await self._last_output(outputs, watch)

    async def score(self, request_id: str, prompt: Rendered) -> Score:
        """Scores one prompt; cancelling the call aborts the request.

        The first call compares scores of probes with those of transformers; the others wait.

        Raises:
            EngineDeadError: the engine core died.
            EngineStartError: the probes' scores differ, or the judge is no reward model.
            RowRejected: vLLM refuses this one request.
            ConfigError: as of :meth:`reply`.
        """
        if self._reward is None:
            raise EngineStartError("this engine was started to reply, and not to score")
        if self._checked is None:
            self._checked = asyncio.create_task(self._check(self._reward))
        await asyncio.shield(self._checked)
        inputs = {"prompt_token_ids": list(prompt.token_ids), **self._media(prompt.chat)}
        output = await self._encode(request_id, inputs)
        self._check_length(prompt, len(output.prompt_token_ids))
        value = float(output.outputs.data)
        return Score(value, len(output.prompt_token_ids), output.num_cached_tokens or 0)

    async def _check(self, reward: RewardCheckpoint) -> None:
        probes = reward.probes(self._renderer)
        outputs = [
            await self._encode(f"probe-{number}", {"prompt_token_ids": ids})
            for number, ids in enumerate(probes)
        ]
        scores = [float(output.outputs.data) for output in outputs]
        await asyncio.to_thread(reward.check, scores, probes)

    async def _encode(self, request_id: str, inputs: Any) -> Any:
        from vllm import PoolingParams

        # Without a task it is `token_classify`: a row for each token, and no cached prefixes.
        params = PoolingParams(task="classify", use_activation=False)
        return await self._last_output(self._llm.encode(inputs, params, request_id))

    async def _last_output(self, outputs: AsyncGenerator[Any], watch: Watch | None = None) -> Any:
        """What a request ends with; its errors as ours, and a dead engine core as an error."""
        reply = asyncio.ensure_future(_last(outputs, watch))
        try:
            # vLLM 0.32 never answers a request that its engine core died under while the first
            # ones were being sent.
            while not (await asyncio.wait([reply], timeout=_ALIVE_S))[0]:
                if self._llm.errored:
                    raise EngineDeadError("vLLM's engine core died")
            return reply.result()
        except self._vllm_dead as error:
            raise EngineDeadError(f"vLLM's engine core died: {error}") from error
        except self._refusals as error:
            # What a request runs into when the core dies may come before the news of its death.
            if self._llm.errored:
                raise EngineDeadError(f"vLLM's engine core died: {_cause(error)}") from error
            detail = f"vLLM refuses the request: {_cause(error)}"
            raise RowRejected(Reason.BAD_ROW, detail) from error
        finally:
            reply.cancel()

    @staticmethod
    def _check_length(prompt: Rendered, tokens: int) -> None:
        if tokens != prompt.length:
            raise ConfigError(
                f"the prompt has {tokens} tokens in the engine, {prompt.length} by judge.media: "
                "its factor or pixel bounds do not fit the model's processor"
            )

    async def forget_prompts(self) -> None:
        """Empties all caches of prompts and media, so that a benchmark can ask the same anew."""
        await self._llm.reset_mm_cache()
        await self._llm.reset_encoder_cache()
        await self._llm.reset_prefix_cache()

    def close(self) -> None:
        """Ends the engine core and its workers."""
        self._llm.shutdown()
        self._guard.close()

    def _media(self, chat: Chat) -> dict[str, Any]:
        """Pictures and clips, each kind in the order of its placeholders."""
        media: dict[str, Any] = {}
        if chat.images:
            media["image"] = list(chat.images)
        if not chat.clips:
            return {"multi_modal_data": media} if media else {}
        metadata = [_metadata(clip) for clip in chat.clips]
        sampled = {"do_sample_frames": False}
        media["video"] = [
            (frames_of(clip), known | sampled)
            for clip, known in zip(chat.clips, metadata, strict=True)
        ]
        inputs: dict[str, Any] = {"multi_modal_data": media}
        if self._drops_metadata:
            inputs["mm_processor_kwargs"] = {"videos_kwargs": {"video_metadata": metadata}}
        return inputs


async def _last(outputs: AsyncGenerator[Any], watch: Watch | None) -> Any:
    """The last output of a request; of one that is watched, with all that it has replied.

    One that is stopped before its end is aborted. What is watched comes in pieces of some tokens
    (``stream_interval``): vLLM keeps to these for pieces alone, and would tell the whole reply so
    far with each token, for six times as much of its process's CPU.
    """
    final: Any = None
    text, written = "", list[int]()
    async with contextlib.aclosing(outputs):
        async for output in outputs:
            final = output
            if watch is None:
                continue
            reply = output.outputs[0]
            text += reply.text
            written += reply.token_ids
            reply.text, reply.token_ids = text, written
            if not output.finished and watch.over(text, len(written)):
                reply.finish_reason = "stop"  # what follows the verdict makes it malformed
                break
    return final


def _cause(error: BaseException) -> str:
    """What is behind an error: vLLM's own often has no text."""
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {error}"


def _metadata(clip: Clip) -> dict[str, Any]:
    """Metadata by which the model's processor takes all frames, at ``clip.fps``."""
    count = len(clip.frames)
    return {
        "fps": clip.fps,
        "total_num_frames": count,
        "frames_indices": list(range(count)),
        "duration": count / clip.fps,
    }
