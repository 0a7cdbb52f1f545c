"""Lays a chat out as token ids, in which no text can act as anything but text."""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from PIL.Image import Image

from pipeline.engines.engine import Chat, ChatPart, Rendered, model_path
from pipeline.engines.engine_config import EngineConfig
from pipeline.judging.judge_config import JudgeConfig
from pipeline.media.clip import Clip
from pipeline.media.images import image_tokens
from pipeline.media.videos import clip_tokens
from pipeline.runtime.errors import EngineStartError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# Of private use: in no chat template.
_SYSTEM, _TEXT, _ANSWER = "\ue000system\ue000", "\ue000text\ue000", "\ue000answer\ue000"

_MARKERS = re.compile(f"({_SYSTEM}|{_TEXT}|{_ANSWER})")

Kind = Literal["text", "image", "video"]


class ChatRenderer:
    """Renders chats with a model's own chat template.

    The template is rendered once around markers; the frame's special tokens are encoded as such,
    and real text is encoded in between with all added tokens switched off, special or not: a
    candidate that contains ``<|im_end|>``, ``<|image_pad|>`` or ``</think>`` contains those
    characters and nothing more. In the system text and the reply's beginning, which are the
    bundle's own, marks such as ``<think>`` stay the tokens that the model was trained with.
    """

    def __init__(self, judge: JudgeConfig) -> None:
        """Loads the tokenizer of ``judge.model``.

        Raises:
            EngineStartError: there is no such tokenizer, or it has no usable chat template.
        """
        from transformers import AutoTokenizer  # takes seconds, as it imports torch

        name = judge.model.name
        try:
            self._tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
                model_path(name), revision=judge.model.revision, trust_remote_code=False
            )
        except (OSError, ValueError) as error:
            raise EngineStartError(f"judge.model.name {name!r}: no tokenizer: {error}") from error
        # It is called from our threads: by default it would start one more a core.
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        self._factor = judge.media.factor
        backend = self._tokenizer.backend_tokenizer
        backend.no_padding()  # a checkpoint may have been saved with either
        backend.no_truncation()
        self._plain = backend.from_str(backend.to_str())
        self._plain.encode_special_tokens = True
        self._inert = backend.from_str(_all_special(backend.to_str()))
        self._inert.encode_special_tokens = True
        self._lock = threading.Lock()
        self._frames: dict[_Turns, list[list[int]]] = {}

    def render(self, chat: Chat) -> Rendered:
        """Lays out ``chat``, its pictures and clips in their order among the texts."""
        system = [] if chat.system is None else [chat.system]
        judged = [part for part in chat.parts if isinstance(part, str)]
        judged += [] if chat.answer is None else [chat.answer]
        kinds = tuple(_kind(part) for part in chat.parts)
        frame = self._frame(_Turns(chat.system is not None, kinds, chat.answer is not None))
        last = chat.reply_prefix if chat.answer is None else ""
        own = self._encode(self._plain, [*system, last])
        encoded = [*own[:-1], *self.encode(judged), own[-1]]
        ids: list[int] = []
        for between, text in zip(frame, encoded, strict=True):
            ids += between + text
        media: tuple[Image | Clip, ...] = (*chat.images, *chat.clips)
        length = len(ids) + sum(self.media_tokens(part) - 1 for part in media)
        return Rendered(tuple(ids), length, chat)

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of texts that are no part of the prompt's own: no token is added in them."""
        return self._encode(self._inert, texts)

    def _encode(self, tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
        # A batch releases Python's lock, which a single text would not; and it computes no offsets.
        encoded = tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [list(each.ids) for each in encoded]

    def media_tokens(self, part: Image | Clip) -> int:
        """How many tokens the placeholder of a picture or a clip expands to."""
        if isinstance(part, Clip):
            return clip_tokens(part, self._factor)
        return image_tokens(part, self._factor)

    @property
    def stop_token_ids(self) -> list[int]:
        """The tokens that end the assistant's turn."""
        eos = self._tokenizer.eos_token_id
        return [eos] if isinstance(eos, int) else list(eos or [])

    def decode(self, ids: Sequence[int]) -> str:
        """The text of a reply, special tokens left out."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=True))

    def _frame(self, turns: _Turns) -> list[list[int]]:
        with self._lock:
            if turns not in self._frames:
                self._frames[turns] = self._make_frame(turns)
            return self._frames[turns]

    def _make_frame(self, turns: _Turns) -> list[list[int]]:
        """The token ids before, between and after the texts of the turns, in their order."""
        kinds = turns.user
        content: list[dict[str, Any]] = [
            {"type": kind} | ({"text": _TEXT} if kind == "text" else {}) for kind in kinds
        ]
        messages: list[dict[str, Any]] = [
            # Templates of text-only models take a plain text and no list of parts.
            {"role": "user", "content": _TEXT if kinds == ("text",) else content},
        ]
        if turns.system:
            messages.insert(0, {"role": "system", "content": _SYSTEM})
        if turns.answer:
            messages.append({"role": "assistant", "content": _ANSWER})
        text = self._tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=not turns.answer
        )
        pieces = _MARKERS.split(str(text))
        expected = [*([_SYSTEM] if turns.system else ()), *([_TEXT] * kinds.count("text"))]
        expected += [_ANSWER] if turns.answer else []
        if pieces[1::2] != expected:
            raise EngineStartError(
                "the model's chat template drops, repeats or reorders a turn; expected a template "
                f"that shows {', '.join(turns.names)} in order"
            )
        frame = pieces[::2]
        encode = self._tokenizer.backend_tokenizer.encode
        return [list(encode(part, add_special_tokens=False).ids) for part in frame]


@dataclass(frozen=True)
class _Turns:
    """The turns of a chat, without their texts: whether there is one, and the user's parts."""

    system: bool
    user: tuple[Kind, ...]
    answer: bool

    @property
    def names(self) -> list[str]:
        shown = {"system": self.system, "user": True, "assistant": self.answer}
        return [name for name, is_shown in shown.items() if is_shown]


def layout_of_model(judge: JudgeConfig, _: EngineConfig) -> ChatRenderer:
    """The layout of any engine that takes token ids."""
    return ChatRenderer(judge)


def _all_special(tokenizer: str) -> str:
    """A tokenizer's file in which every added token is a special one, which can be switched off."""
    stated = json.loads(tokenizer)
    for token in stated["added_tokens"]:
        token["special"] = True
    return json.dumps(stated)


def _kind(part: ChatPart) -> Kind:
    if isinstance(part, str):
        return "text"
    return "video" if isinstance(part, Clip) else "image"
