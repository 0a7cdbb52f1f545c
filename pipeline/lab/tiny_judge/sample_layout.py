"""A training sample as token ids and positions, with the product's own prompts.

The texts are those of ``pipeline.judging.prompts``, laid out as by ``pipeline.engines.chat_layout``
(a test compares them), so that the judge is trained on exactly what it is served.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from pipeline.lab.tiny_judge.asked_formats import prompt_of
from pipeline.lab.tiny_judge.judging_cases import Case
from pipeline.lab.tiny_judge.scenes import Size
from pipeline.media import model_sizes as pixels
from pipeline.media.model_sizes import FRAMES_A_PATCH

SPECIAL_TOKENS: Final = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
DEFAULT_SYSTEM: Final = "You are a helpful assistant."
"""What the chat template puts before a turn without a system text."""
MIN_PIXELS: Final = 9_000
MAX_PIXELS: Final = 17_500
"""Bounds of a picture or a frame after resizing, in pixels: 12 to 21 merged tokens of 28 x 28.

The vision tower was trained on these grids only, so media must be resized within these bounds.
"""
FACTOR: Final = 28
"""Pixels along the side of a merged token: patches of 14, merged two by two."""
TOKENS_A_SECOND: Final = 1
"""Steps of the temporal position for a second of video. So few that a clip ends at the positions
of its largest side, where vLLM and transformers agree on where the text after it starts."""


def fit(size: Size) -> Size:
    """Width and height of a picture as it is served: within the bounds, in multiples of 28."""
    return pixels.fit(*size, factor=FACTOR, min_pixels=MIN_PIXELS, max_pixels=MAX_PIXELS)


@dataclass(frozen=True)
class Slot:
    """A picture or a clip in a prompt.

    Attributes:
        columns, rows: Merged tokens across and down.
        frames: None of a picture.
        fps: Frames for a second of video.
    """

    columns: int
    rows: int
    frames: int | None = None
    fps: float = 2.0

    @property
    def tokens(self) -> int:
        """Number of its placeholder tokens."""
        return self.patches * self.rows * self.columns

    @property
    def patches(self) -> int:
        """Temporal patches: one of a picture, one for two frames of a clip."""
        return 1 if self.frames is None else self.frames // FRAMES_A_PATCH

    def rope_positions(self) -> NDArray[np.int64]:
        """M-RoPE positions (3, tokens) of its tokens, from where it starts."""
        grid = np.indices((self.patches, self.rows, self.columns))
        if self.frames is not None:
            interval = TOKENS_A_SECOND * FRAMES_A_PATCH / self.fps
            grid[0] = (grid[0] * interval).astype(np.int64)
        return grid.reshape(3, -1)


@dataclass(frozen=True)
class Laid:
    """A prompt and its reply, from after the system text.

    Attributes:
        ids: Token ids, media placeholders expanded.
        rope_positions: M-RoPE positions (3, length), from the first token of the whole prompt.
        media: Where the tokens of each slot start, in order.
        reply: Where the reply starts.
    """

    ids: list[int]
    rope_positions: NDArray[np.int64]
    media: list[int]
    reply: int


@dataclass(frozen=True)
class Layout:
    """Turns cases into the token ids of a judge's prompt and reply.

    Every piece between special tokens is encoded on its own with special tokens inert, so text
    cannot add turns or pictures.
    """

    tokenizer: Tokenizer

    @classmethod
    def load(cls, folder: Path) -> Layout:
        """Read the tokenizer of a Hugging Face folder."""
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        tokenizer.encode_special_tokens = True
        return cls(tokenizer)

    def special(self, token: str) -> int:
        """Id of a special token."""
        index = self.tokenizer.token_to_id(token)
        if index is None:
            raise KeyError(f"the tokenizer has no token {token!r}")
        return int(index)

    def text(self, text: str) -> list[int]:
        """Ids of inert text."""
        return list(self.tokenizer.encode(text, add_special_tokens=False).ids)

    def prefix(self, format_: str, made_of: str) -> list[int]:
        """Ids before the user's turn: the same for all cases of a format and kind."""
        return self.prefix_of(prompt_of(format_, made_of).system or "")

    def prefix_of(self, system: str) -> list[int]:
        """Ids before the user's turn, behind a system text."""
        start, end = self.special("<|im_start|>"), self.special("<|im_end|>")
        newline = self.text("\n")
        return [
            *(start, *self.text("system\n"), *self.text(system), end, *newline),
            *(start, *self.text("user\n")),
        ]

    def lay_out(self, case: Case, slots: Sequence[Slot], order: str, start: int) -> Laid:
        """The user's turn and the reply.

        Args:
            case: What is shown.
            slots: The pictures and clips of the context, then those of the candidates as shown.
            order: The order in which the candidates are shown.
            start: Length of the prefix.
        """
        reply = [*self.text(case.reply(order)), self.special("<|im_end|>")]
        return self._laid(parts_of(case, slots, order), reply, start)

    def lay_out_answer(self, parts: Sequence[str | Slot], answer: str, start: int) -> Laid:
        """The user's turn, and an answer as the assistant's, up to the newline behind it.

        Args:
            parts: Texts, pictures and clips of the user's turn.
            answer: The answer.
            start: Length of the prefix.
        """
        ends = [self.special("<|im_end|>"), *self.text("\n")]
        return self._laid(parts, [*self.text(answer), *ends], start)

    def _laid(self, parts: Sequence[str | Slot], reply: list[int], start: int) -> Laid:
        pieces: list[list[int] | Slot] = []
        for part in parts:
            pieces += [self.text(part)] if isinstance(part, str) else [*self._framed(part)]
        pieces.append(self._turn)
        ids: list[int] = []
        media: list[int] = []
        for piece in pieces:
            if isinstance(piece, Slot):
                media.append(len(ids))
                ids += [self._pad[piece.frames is not None]] * piece.tokens
            else:
                ids += piece
        return Laid([*ids, *reply], _rope_positions([*pieces, reply], start), media, len(ids))

    def _framed(self, slot: Slot) -> tuple[list[int] | Slot, ...]:
        return [self.special("<|vision_start|>")], slot, [self.special("<|vision_end|>")]

    @cached_property
    def _pad(self) -> tuple[int, int]:
        return self.special("<|image_pad|>"), self.special("<|video_pad|>")

    @cached_property
    def _turn(self) -> list[int]:
        start, end = self.special("<|im_start|>"), self.special("<|im_end|>")
        return [end, *self.text("\n"), start, *self.text("assistant\n")]


def _rope_positions(pieces: Sequence[list[int] | Slot], start: int) -> NDArray[np.int64]:
    """M-RoPE positions as the transformers engine computes them (a test compares), but faster."""
    positions = []
    for piece in pieces:
        if isinstance(piece, Slot):
            here = piece.rope_positions()
        else:
            here = np.broadcast_to(np.arange(len(piece)), (3, len(piece)))
        positions.append(here + start)
        start = int(positions[-1].max()) + 1
    return np.concatenate(positions, axis=1)


def parts_of(case: Case, slots: Sequence[Slot], order: str) -> tuple[str | Slot, ...]:
    """The user's turn as the product fills it in, with slots instead of media."""
    given = iter(slots)
    context = [next(given) for _ in case.context]
    answers: list[list[str | Slot]] = [
        [next(given) if candidate.shown is not None else str(candidate.text)]
        for candidate in case.ordered(order)
    ]
    return prompt_of(case.format, case.made_of).fill(context, case.question, answers)
