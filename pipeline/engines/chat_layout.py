"""Lays a chat out as token ids, in which no text can act as anything but text."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Sequence
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

_SYSTEM, _TEXT = "\ue000system\ue000", "\ue000text\ue000"  # private-use: in no chat template

Kind = Literal["text", "image", "video"]
Shape = tuple[bool, *tuple[Kind, ...]]  # whether there is a system text; the parts of the turn


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
        self._frames: dict[Shape, list[list[int]]] = {}

    def render(self, chat: Chat) -> Rendered:
        """Lays out ``chat``, its pictures and clips in their order among the texts."""
        system = [] if chat.system is None else [chat.system]
        texts = [part for part in chat.parts if isinstance(part, str)]
        frame = self._frame((bool(system), *(_kind(part) for part in chat.parts)))
        ids: list[int] = []
        own = self._encode(self._plain, [*system, chat.reply_prefix])
        encoded = [*own[:-1], *self.encode(texts), own[-1]]
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

    def _frame(self, shape: Shape) -> list[list[int]]:
        with self._lock:
            if shape not in self._frames:
                self._frames[shape] = self._make_frame(*shape)
            return self._frames[shape]

    def _make_frame(self, has_system: bool, *kinds: Kind) -> list[list[int]]:
        """The token ids before, between and after the system text and the texts of a turn.

        Without a system text of ours there is none, or what the template has of its own.
        """
        content: list[dict[str, Any]] = [
            {"type": kind} | ({"text": _TEXT} if kind == "text" else {}) for kind in kinds
        ]
        messages: list[dict[str, Any]] = [
            *([{"role": "system", "content": _SYSTEM}] if has_system else []),
            # Templates of text-only models take a plain text and no list of parts.
            {"role": "user", "content": _TEXT if kinds == ("text",) else content},
        ]
        text = self._tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True
        )
        before, system, rest = str(text).partition(_SYSTEM) if has_system else ("", "", str(text))
        frame = [*([before] if has_system else []), *rest.split(_TEXT)]
        if (has_system and not system) or len(frame) != 1 + has_system + kinds.count("text"):
            raise EngineStartError(
                "the model's chat template drops, repeats or reorders the system or the user turn; "
                "expected a template that shows both in order"
            )
        encode = self._tokenizer.backend_tokenizer.encode
        return [list(encode(part, add_special_tokens=False).ids) for part in frame]


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
