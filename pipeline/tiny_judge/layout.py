"""What the judge is shown: the canonical prompt as token ids, and the picture's grid.

The prompt text is the product's own (``pipeline.core.prompts``), so that the judge is
trained on exactly what it is served.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from tokenizers import Tokenizer

from pipeline.core import pixels
from pipeline.core.prompts import load_prompt
from pipeline.tiny_judge import MAX_PIXELS, MIN_PIXELS
from pipeline.tiny_judge.scenes import Size

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
FACTOR: Final = 28
"""Pixels along the side of a merged token: patches of 14, merged two by two."""

PROMPT: Final = load_prompt("pairwise_scores")


def user_text(question: str, answer_1: str, answer_2: str) -> str:
    """The user turn after the picture, as the product fills it in."""
    return "\n\n" + PROMPT.fill(question=question, answer_1=answer_1, answer_2=answer_2)


def fit(size: Size) -> Size:
    """Width and height of a picture as it is served: within the bounds, in multiples of 28."""
    return pixels.fit(*size, factor=FACTOR, min_pixels=MIN_PIXELS, max_pixels=MAX_PIXELS)


@dataclass(frozen=True)
class Layout:
    """Turns texts into the token ids of a judge's prompt and reply.

    Every piece between special tokens is encoded on its own with special tokens inert, so text
    cannot add turns or pictures.
    """

    tokenizer: Tokenizer

    @classmethod
    def load(cls, folder: Path) -> "Layout":
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

    def prefix(self) -> list[int]:
        """Ids before the picture: constant, ends with ``<|vision_start|>``."""
        start, end = self.special("<|im_start|>"), self.special("<|im_end|>")
        return [
            start,
            *self.text(f"system\n{PROMPT.system}"),
            end,
            *self.text("\n"),
            start,
            *self.text("user\n"),
            self.special("<|vision_start|>"),
        ]

    def suffix(self, question: str, answer_1: str, answer_2: str) -> list[int]:
        """Ids after the picture, up to where the reply starts."""
        text = self.text(user_text(question, answer_1, answer_2))
        return [self.special("<|vision_end|>"), *text, *self._turn]

    @cached_property
    def _turn(self) -> list[int]:
        start, end = self.special("<|im_start|>"), self.special("<|im_end|>")
        return [end, *self.text("\n"), start, *self.text("assistant\n")]

    def reply(self, text: str) -> list[int]:
        """Ids of a reply with its end of turn."""
        return [*self.text(text), self.special("<|im_end|>")]
