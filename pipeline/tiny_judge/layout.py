"""What the judge is shown: the canonical prompt as token ids, and the picture's grid.

The prompt text is the product's own (``core/prompts/pairwise_scores``), so that the judge is
trained on exactly what it is served.
"""

import math
import re
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Final

from tokenizers import Tokenizer

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

_PROMPTS: Final = Path(__file__).parents[1] / "core" / "prompts" / "pairwise_scores"
_FIELD: Final = re.compile(r"\{(question|answer_1|answer_2)\}")


@cache
def _read(name: str) -> str:
    return (_PROMPTS / name).read_text(encoding="utf-8")


def system_text() -> str:
    """The canonical system prompt for pairwise scores."""
    return _read("system.txt")


def user_text(question: str, answer_1: str, answer_2: str) -> str:
    """The user turn after the picture, filled in one pass so that braces in the text stay text."""
    fields = {"question": question, "answer_1": answer_1, "answer_2": answer_2}
    return "\n\n" + _FIELD.sub(lambda match: fields[match[1]], _read("user.txt"))


def fit(size: Size, min_pixels: int = MIN_PIXELS, max_pixels: int = MAX_PIXELS) -> Size:
    """Size after Qwen's ``smart_resize``: multiples of 28 within the bounds, aspect nearly kept.

    Args:
        size: Width and height in pixels.
        min_pixels: Lower bound of the area.
        max_pixels: Upper bound of the area.

    Returns:
        Width and height in pixels.
    """
    width, height = size
    fitted = [max(FACTOR, round(side / FACTOR) * FACTOR) for side in size]
    if fitted[0] * fitted[1] > max_pixels:
        shrink = math.sqrt(width * height / max_pixels)
        fitted = [max(FACTOR, math.floor(side / shrink / FACTOR) * FACTOR) for side in size]
    elif fitted[0] * fitted[1] < min_pixels:
        grow = math.sqrt(min_pixels / (width * height))
        fitted = [math.ceil(side * grow / FACTOR) * FACTOR for side in size]
    return fitted[0], fitted[1]


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
            *self.text(f"system\n{system_text()}"),
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
