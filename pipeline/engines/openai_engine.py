"""A judge behind a server that speaks OpenAI's chat protocol: vLLM, SGLang, or a hosted one."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import re
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from PIL.Image import Image

from pipeline.engines.endpoint import Endpoint
from pipeline.engines.engine import Chat, ChatPart, Rendered, Reply, Sampling
from pipeline.engines.engine_config import EngineConfig
from pipeline.engines.once_a_picture import OnceAPicture
from pipeline.engines.stated_logprobs import read_stated
from pipeline.judging.judge_config import JudgeConfig
from pipeline.judging.soft_verdicts import MOST_TOKENS, SlotReading, SoftReader
from pipeline.runtime.errors import ConfigError, EndpointError, EngineStartError, RowRejected

_PROBE_TOKENS = 16  # some servers take no less
_JOINER = "\u2060"  # word joiner: not seen, and no part of any special token
# What chat templates of known models take for something else than text. A server encodes texts
# with its special tokens switched on, so that a candidate could end its own turn.
_LIVE = re.compile(
    r"<(?=[|\uff5c][^\s<>]{1,60}[|\uff5c]>)"
    r"|<(?=/?(?:s|tool_call|tool_response|start_of_turn|end_of_turn|bos|eos"
    r"|pad|unk|mask|image|video|audio|IMG_CONTEXT|start_of_image|end_of_image|img|box|ref|quad"
    r"|fim_[a-z]+)>)"
    r"|\[(?=/?(?:INST|IMG|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS)\])"
)


@dataclass(frozen=True)
class Request(Rendered):
    """A chat as a server takes it.

    Attributes:
        messages: JSON: the system text, and the user's turn with pictures as ``data:`` URIs.
    """

    messages: bytes = b"[]"


class ChatRequests:
    """Lays chats out as requests; the server counts their tokens."""

    def __init__(self, judge: JudgeConfig, engine: EngineConfig) -> None:
        """Takes how clips and reply prefixes are sent.

        Raises:
            ConfigError: the judge needs a prefix and the server continues none.
        """
        self._as_video = engine.endpoint.clips == "video"
        self._pngs = OnceAPicture(_png)
        if judge.sampling.reply_prefix and not engine.endpoint.continues:
            raise ConfigError(
                "judge.sampling.reply_prefix needs a server that continues a message: set "
                "engine.endpoint.continues if it does (vLLM and SGLang), or no prefix"
            )

    def render(self, chat: Chat) -> Request:
        """Lays out a chat; marks in texts that a template could take for its own are broken."""
        content = [part for each in chat.parts for part in self._parts(each)]
        messages: list[dict[str, Any]] = [{"role": "user", "content": content}]
        if chat.system:
            messages.insert(0, {"role": "system", "content": chat.system})
        if chat.reply_prefix:
            messages.append({"role": "assistant", "content": chat.reply_prefix})
        return Request((), 0, chat, json.dumps(messages).encode())

    def _parts(self, part: ChatPart) -> list[dict[str, Any]]:
        if isinstance(part, str):
            return [{"type": "text", "text": inert(part)}]
        if isinstance(part, Image):
            return [self._picture(part)]
        if not self._as_video:
            return [self._picture(frame) for frame in part.frames]
        frames = ",".join(map(self._pngs.of, part.frames))
        url = f"data:video/jpeg;base64,{frames}"
        return [{"type": "video_url", "video_url": {"url": url}}]

    def _picture(self, image: Image) -> dict[str, Any]:
        url = f"data:image/png;base64,{self._pngs.of(image)}"
        return {"type": "image_url", "image_url": {"url": url}}


class OpenAIEngine:
    """A server; requests are sent by one event loop, without a GPU."""

    def __init__(self, judge: JudgeConfig, engine: EngineConfig) -> None:
        """Asks the server whether it serves the judge's model, and takes its parameters.

        Raises:
            EngineStartError: it does not.
            EndpointError: it refuses the key, or cannot be reached.
            ConfigError: the judge needs what it cannot do.
        """
        self._requests = ChatRequests(judge, engine)
        self._model, self._endpoint_config = judge.model.name, engine.endpoint
        self._timeout_s = engine.request_timeout_s
        self._continued = bool(judge.sampling.reply_prefix)
        self.at_once = engine.max_num_seqs
        _run(self._check(judge))
        self._endpoint = Endpoint(engine.endpoint, self._timeout_s)
        self._loop: asyncio.AbstractEventLoop | None = None

    def render(self, chat: Chat) -> Rendered:
        """Lays out a chat as a request."""
        return self._requests.render(chat)

    async def reply(self, request_id: str, prompt: Rendered, sampling: Sampling) -> Reply:
        """Replies to one prompt.

        The server writes until its model stops: what follows the verdict is cut off here.

        Raises:
            RowRejected: the server refuses this one request.
            TimeoutError: it does not answer this one in time.
            EndpointError: it refuses or fails requests whatever they hold.
        """
        self._loop = asyncio.get_running_loop()
        assert isinstance(prompt, Request)
        answer = await self._endpoint.post("/chat/completions", self._body(prompt, sampling))
        reply = self._read(answer)
        cut = sampling.ending.cut(reply.text) if sampling.ending else None
        slot = await self._read_slot(answer, reply, cut or reply.text, sampling)
        return replace(reply, text=reply.text if cut is None else cut, slot=slot)

    async def _read_slot(
        self, answer: dict[str, Any], reply: Reply, text: str, sampling: Sampling
    ) -> SlotReading | None:
        slot = sampling.soft.locate(text) if sampling.soft else None
        if slot is None or reply.finish_reason != "stop":
            return None
        stated = _stated_logprobs(answer)
        if not stated:
            raise EndpointError(
                f"{self._endpoint_config.url}: a reply without the log-probabilities that were "
                "asked for (choices[0].logprobs.content): set judge.sampling.soft_votes to false, "
                "or take a server that gives them"
            )
        message = answer["choices"][0]["message"].get("content") or ""
        how = (sampling.temperature, sampling.top_p)
        return await read_stated(slot, reply.text, _plain(message), stated, *how)

    def close(self) -> None:
        """Closes the connections."""
        loop = self._loop
        if loop is not None and loop.is_running():
            asyncio.run_coroutine_threadsafe(self._endpoint.close(), loop)
        elif loop is not None and not loop.is_closed():
            loop.run_until_complete(self._endpoint.close())

    def _body(self, request: Request, sampling: Sampling) -> bytes:
        config = self._endpoint_config
        fields: dict[str, Any] = {
            **config.extra,
            "model": self._model,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            config.length_field: sampling.max_tokens,
        }
        if sampling.soft:
            fields |= {"logprobs": True, "top_logprobs": MOST_TOKENS}
        if config.seeds and sampling.temperature > 0:
            fields["seed"] = sampling.seed
        if self._continued:
            fields |= {"continue_final_message": True, "add_generation_prompt": False}
        if config.clips == "video" and request.chat.clips:
            fields["media_io_kwargs"] = {"video": {"num_frames": -1}}
        # The messages are JSON already: megabytes of pictures that other threads have encoded.
        return json.dumps(fields).encode()[:-1] + b', "messages": ' + request.messages + b"}"

    def _read(self, answer: dict[str, Any]) -> Reply:
        """The reply in an answer; one without any choice is empty: a provider's filter withheld it.

        Raises:
            EndpointError: the answer is of another model, or holds no reply.
        """
        served = answer.get("model")
        if isinstance(served, str) and not _is_model(served, self._model):
            raise EndpointError(
                f"{self._endpoint_config.url}: asked for {self._model!r}, answered by {served!r}: "
                "set judge.model.name to the model that it serves"
            )
        try:
            choice = answer["choices"][0] if answer["choices"] != [] else {"message": {}}
            text = _text(choice["message"])
        except (KeyError, TypeError, AttributeError) as error:
            raise EndpointError(
                f"{self._endpoint_config.url}: an answer without choices[0].message "
                f"({type(error).__name__}: {error}): is it an OpenAI-compatible server?"
            ) from error
        usage = answer.get("usage")
        return Reply(
            text=text,
            finish_reason=choice.get("finish_reason"),
            prompt_tokens=_count(usage, "prompt_tokens"),
            output_tokens=_count(usage, "completion_tokens"),
            cached_tokens=_count(usage, "prompt_tokens_details", "cached_tokens"),
        )

    async def _check(self, judge: JudgeConfig) -> None:
        """Asks for the model list and for one token, with the parameters of real requests."""
        endpoint = Endpoint(self._endpoint_config, self._timeout_s)
        try:
            await served_model(endpoint, self._model)
            how = Sampling(judge.sampling.temperature, judge.sampling.top_p, _PROBE_TOKENS, 0)
            if judge.sampling.soft_votes:
                how = replace(how, soft=SoftReader(judge.declared_format, 1))
            probe = self._requests.render(Chat("", ("Answer with one word.",)))
            answer = await endpoint.post("/chat/completions", self._body(probe, how))
            self._read(answer)
            if how.soft and not _stated_logprobs(answer):
                raise EngineStartError(
                    f"{self._endpoint_config.url}: its replies come without log-probabilities "
                    "(choices[0].logprobs.content), which judge.sampling.soft_votes needs: set it "
                    "to false, or take a server that gives them"
                )
        except RowRejected as refused:
            raise EngineStartError(
                f"{self._endpoint_config.url}: {refused.detail}; its parameters are those of "
                "engine.endpoint (seeds, continues, extra) and judge.sampling"
            ) from refused
        finally:
            await endpoint.close()


def inert(text: str) -> str:
    """Text in which no mark of a chat template is left whole; people see no difference."""
    return _LIVE.sub(lambda found: found[0] + _JOINER, text)


async def served_model(endpoint: Endpoint, model: str) -> dict[str, Any]:
    """What a server says of a model in its list.

    Raises:
        EngineStartError: it does not list the model.
    """
    listed = (await endpoint.get("/models")).get("data")
    models = {
        each["id"]: each
        for each in (listed if isinstance(listed, list) else ())
        if isinstance(each, dict) and isinstance(each.get("id"), str)
    }
    if model not in models:
        names = ", ".join(sorted(models)[:10]) or "none"
        raise EngineStartError(
            f"engine.endpoint: the server does not serve judge.model.name {model!r}; it lists "
            f"{names}"
        )
    return models[model]


def what_is_served(model: str, engine: EngineConfig) -> dict[str, str]:
    """What a server says that its model is, as far as it stays the same from day to day.

    Raises:
        EngineStartError: it does not list the model.
        EndpointError: it refuses the key, or cannot be reached.
    """

    async def ask() -> dict[str, Any]:
        endpoint = Endpoint(engine.endpoint, engine.request_timeout_s)
        try:
            return await served_model(endpoint, model)
        finally:
            await endpoint.close()

    said = _run(ask())
    # `created` is the time of the question in some servers.
    return {name: str(said[name]) for name in ("root", "owned_by") if said.get(name)}


def _run(asked: Coroutine[Any, Any, Any]) -> Any:
    """Runs to the end, also where an event loop runs in this thread."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, asked).result()


def _is_model(served: str, asked: str) -> bool:
    """Whether a reply is of the model asked for; hosted ones name its dated version."""
    return served == asked or served.startswith(f"{asked}-")


def _stated_logprobs(answer: dict[str, Any]) -> list[Any]:
    stated = answer["choices"][0].get("logprobs") or {}
    return list(stated.get("content") or ())


def _plain(content: Any) -> str:
    if isinstance(content, list):
        return "".join(part.get("text", "") for part in content)
    return str(content)


def _count(usage: object, *path: str) -> int:
    """A number of tokens that a server states; 0 where it states none."""
    for name in path:
        usage = usage.get(name) if isinstance(usage, dict) else None
    return usage if isinstance(usage, int) and usage > 0 else 0


def _text(message: dict[str, Any]) -> str:
    """What the model wrote; servers may part its reasoning from the rest, or name a refusal."""
    content = _plain(message.get("content") or message.get("refusal") or "")
    reasoning = message.get("reasoning") or message.get("reasoning_content")
    return f"<think>\n{reasoning}\n</think>\n\n{content}" if reasoning else content


def _png(image: Image) -> str:
    """A picture without loss: the server is to see the pixels that a local engine would."""
    file = io.BytesIO()
    image.save(file, "png", compress_level=1)
    return base64.b64encode(file.getvalue()).decode()
