"""A judge's prompt: the texts of its bundle, filled in one pass."""

from __future__ import annotations

import re
import string
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

_PLACEHOLDER = re.compile(r"\{([A-Za-z_]\w*)\}")
_MOST = len(string.ascii_uppercase)  # candidates that letters can name
Media = TypeVar("Media")


@dataclass(frozen=True)
class Prompt:
    """A system text and the templates of the user's turn.

    Attributes:
        system: instructions: what to judge and how to answer; None where there is no such turn.
        user: the user's turn around ``{context}``, ``{question}`` and ``{answers}``.
        answer: one candidate among the answers: ``{answer}``, and its name as ``{assistant}``,
            ``{n}`` or ``{letter}``.
        rubric: the text of ``{rubric}``.
    """

    system: str | None
    user: str
    answer: str
    rubric: str = ""

    def with_rubric(self, text: str) -> Prompt:
        """The same prompt with a rubric's text wherever it says ``{rubric}``."""
        system = self.system and self.system.replace("{rubric}", text)
        return replace(self, system=system, rubric=text)

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
        for place, answer in enumerate(answers):
            blocks += ["\n\n"] if blocks else []
            blocks += _fill(self.answer, {**_names(place, len(answers)), "answer": answer})
        values: dict[str, Sequence[str | Media]] = {
            "context": context,
            "question": [question] if isinstance(question, str) else question,
            "answers": blocks,
            "rubric": [self.rubric],
        }
        return _joined(_fill(self.user, values))

    @property
    def own_turn(self) -> bool:
        """Whether the answer is no part of the user's turn: it is the assistant's own."""
        return "{answers}" not in self.user

    @property
    def shows_media(self) -> bool:
        """Whether media that a question begins with are shown."""
        return "{context}" in self.user

    def assistants(self, answer: Sequence[str]) -> str:
        """The assistant's turn that is one candidate's texts."""
        return "".join(_fill(self.answer, {**_names(0, 1), "answer": answer}))

    def own_words(self, count: int) -> str:
        """The prompt's own words in a turn that shows so many candidates."""
        return "".join(map(str, self.fill([], "", [[]] * count)))

    def answers_of(self, turn: str) -> list[str]:
        """The candidates' texts in a turn that was laid out so (of the scripted engine)."""
        turn = turn.removesuffix(self.user.partition("{answers}")[2])
        before, _, behind = self.answer.partition("{answer}")
        heads = ["".join(_fill(before, _names(place, 2))) for place in range(_MOST)]
        if heads[0] not in turn:
            heads = ["".join(_fill(before, _names(0, 1)))]
        found: list[str] = []
        while heads and heads[0] in turn:
            turn = turn.partition(heads.pop(0))[2]
            text = turn.partition(f"\n\n{heads[0]}")[0] if heads else turn
            found.append(text.removesuffix(behind))
        return found


def check_texts(prompt: Prompt, *, reward: bool = False, rubric: bool = False) -> None:
    """Checks that the texts of a prompt show everything, and ask for nothing unknown.

    Args:
        prompt: the texts, their rubric not filled in.
        reward: whether they are a reward model's, whose answer may be the assistant's own turn.
        rubric: whether replies have scores for the criteria of a rubric.

    Raises:
        ValueError: with the placeholder that is missing or unknown.
    """
    shown = any("{rubric}" in text for text in (prompt.system or "", prompt.user))
    if rubric != shown:
        raise ValueError(
            "no text of the prompt has {rubric}: the judge would not see what it is to score "
            "(crit: rubric)"
            if rubric
            else "a text of the prompt has {rubric}, and the format takes none (crit: rubric)"
        )
    for name, text, needed, known in (
        (
            "user",
            prompt.user,
            {"question"} if reward else {"question", "answers"},
            {"context", "question", "answers", "rubric"},
        ),
        ("answer", prompt.answer, {"answer"}, {"answer", "assistant", "n", "letter"}),
    ):
        found = set(_PLACEHOLDER.findall(text))
        if missing := sorted(needed - found):
            raise ValueError(f"the {name} text of the prompt lacks {{{missing[0]}}}")
        if unknown := sorted(found - known):
            listed = ", ".join(f"{{{each}}}" for each in sorted(known))
            raise ValueError(
                f"the {name} text of the prompt has {{{unknown[0]}}}, expected some of {listed}"
            )


def _names(place: int, count: int) -> dict[str, Sequence[str]]:
    """How a prompt may name the candidate shown at a place."""
    number = f"{place + 1}"
    assistant = f"Assistant {number}" if count > 1 else "Assistant"
    letter = string.ascii_uppercase[place]
    return {"assistant": [assistant], "n": [number], "letter": [letter]}


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
