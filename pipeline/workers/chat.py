"""Lays a chat out as token ids, in which no text can act as anything but text."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from PIL.Image import Image
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from pipeline.core.config import JudgeConfig
from pipeline.core.errors import EngineStartError
from pipeline.workers.engine import Chat, Rendered, model_path

_SYSTEM, _USER = "\ue000system\ue000", "\ue000user\ue000"  # private-use: in no chat template


class ChatRenderer:
    """Renders chats with a model's own chat template.

    The template is rendered once around stand-ins; the frame's special tokens are encoded as
    such, and real text is encoded in between with special tokens switched off: a candidate that
    contains ``<|im_end|>`` or ``<|image_pad|>`` contains those characters and nothing more.
    """

    def __init__(self, judge: JudgeConfig) -> None:
        """Loads the tokenizer of ``judge.model``.

        Raises:
            EngineStartError: there is no such tokenizer, or it has no usable chat template.
        """
        name = judge.model.name
        try:
            self._tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
                model_path(name), revision=judge.model.revision, trust_remote_code=False
            )
        except (OSError, ValueError) as error:
            raise EngineStartError(f"judge.model.name {name!r}: no tokenizer: {error}") from error
        self._factor = judge.media.factor
        self._inert = self._tokenizer.backend_tokenizer.from_str(
            self._tokenizer.backend_tokenizer.to_str()
        )
        self._inert.encode_special_tokens = True
        self._lock = threading.Lock()
        self._frames: dict[int, list[list[int]]] = {}

    def render(self, chat: Chat) -> Rendered:
        """Lays out ``chat``; pictures come first, as Flex-Judge was trained."""
        before, between, after = self._frame(len(chat.images))
        user = f"\n\n{chat.user}" if chat.images else chat.user
        ids = [*before, *self.encode(chat.system), *between, *self.encode(user), *after]
        ids += self.encode(chat.reply_prefix)
        length = len(ids) + sum(self.image_tokens(image) - 1 for image in chat.images)
        return Rendered(tuple(ids), chat.images, length, chat)

    def encode(self, text: str) -> list[int]:
        """Token ids of plain text, special tokens switched off."""
        return list(self._inert.encode(text, add_special_tokens=False).ids)

    def image_tokens(self, image: Image) -> int:
        """How many tokens a picture's placeholder expands to."""
        return (image.width // self._factor) * (image.height // self._factor)

    @property
    def stop_token_ids(self) -> list[int]:
        """The tokens that end the assistant's turn."""
        eos = self._tokenizer.eos_token_id
        return [eos] if isinstance(eos, int) else list(eos or [])

    def decode(self, ids: Sequence[int]) -> str:
        """The text of a reply, special tokens left out."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=True))

    def _frame(self, n_images: int) -> list[list[int]]:
        with self._lock:
            if n_images not in self._frames:
                self._frames[n_images] = self._make_frame(n_images)
            return self._frames[n_images]

    def _make_frame(self, n_images: int) -> list[list[int]]:
        content: list[dict[str, Any]] = [{"type": "image"} for _ in range(n_images)]
        content.append({"type": "text", "text": _USER})
        messages: list[dict[str, Any]] = [
            {"role": "system", "content": _SYSTEM},
            {"role": "user", "content": content if n_images else _USER},
        ]
        text = self._tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True
        )
        before, system, rest = str(text).partition(_SYSTEM)
        between, user, after = rest.partition(_USER)
        if not system or not user:
            raise EngineStartError(
                "the model's chat template drops or reorders the system or the user turn; "
                "expected a template that shows both in order"
            )
        encode = self._tokenizer.backend_tokenizer.encode
        return [
            list(encode(part, add_special_tokens=False).ids) for part in (before, between, after)
        ]
