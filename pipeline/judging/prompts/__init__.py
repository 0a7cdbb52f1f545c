"""The judge's prompts: text files beside this module, filled in one pass and hashed.

A folder for each kind of candidate (``text``, ``image``, ``edit``, ``video``) holds the layout of
the user's turn (``user.txt``, ``answer.txt``) and one system text for each judging format.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeVar

_PLACEHOLDER = re.compile(r"\{(\w+)\}")
Media = TypeVar("Media")


@dataclass(frozen=True)
class Prompt:
    """A system text and the templates of the user's turn.

    Attributes:
        system: instructions: what to judge and how to answer.
        user: the user's turn around ``{context}``, ``{question}`` and ``{answers}``.
        answer: one candidate among the answers: ``{assistant}`` and ``{answer}``.
    """

    system: str
    user: str
    answer: str

    def fill(
        self,
        context: Sequence[Media],
        question: str | Sequence[str | Media],
        answers: Sequence[Sequence[str | Media]],
    ) -> tuple[str | Media, ...]:
        """Lays out the user's turn in one pass: braces inside a value are not filled.

        Args:
            context: media that the question begins with.
            question: the user's question or prompt, with the media that stand within it.
            answers: for each candidate, in the order shown, its media and texts.

        Returns:
            Texts and media in turn; no two texts follow each other, and none is empty.
        """
        blocks: list[str | Media] = []
        for number, answer in enumerate(answers, start=1):
            name = f"Assistant {number}" if len(answers) > 1 else "Assistant"
            blocks += ["\n\n"] if blocks else []
            blocks += _fill(self.answer, {"assistant": [name], "answer": answer})
        values: dict[str, Sequence[str | Media]] = {
            "context": context,
            "question": [question] if isinstance(question, str) else question,
            "answers": blocks,
        }
        return _joined(_fill(self.user, values))


@cache
def load_prompt(format_: str, candidates: str) -> Prompt:
    """Loads a prompt, such as that of ``"pairwise_scores"`` over ``"text"`` candidates."""
    folder = Path(__file__).parent / candidates
    system, user, answer = (
        (folder / f"{name}.txt").read_text(encoding="utf-8") for name in (format_, "user", "answer")
    )
    return Prompt(system, user, answer)


def _fill(template: str, values: Mapping[str, Sequence[str | Media]]) -> list[str | Media]:
    pieces = _PLACEHOLDER.split(template)  # text, name, text, name, …, text
    filled: list[str | Media] = []
    for index, piece in enumerate(pieces):
        filled += values[piece] if index % 2 else [piece]
    return filled


def _joined(parts: Iterable[str | Media]) -> tuple[str | Media, ...]:
    joined: list[str | Media] = []
    for part in parts:
        if isinstance(part, str) and joined and isinstance(joined[-1], str):
            joined[-1] += part
        elif part != "":
            joined.append(part)
    if joined and isinstance(joined[0], str):  # without a context, without its gap
        joined[0] = joined[0].lstrip("\n")
    return tuple(joined)
