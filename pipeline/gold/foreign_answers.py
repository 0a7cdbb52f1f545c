"""Answers as other tools have them: whose, about which pair, and in which words."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from pipeline.runtime.errors import ConfigError, InputError
from schemas.gold import ANSWERS, Answer

# What exported tasks call the answers; `first` and `second` are by the order in which they are
# shown there, which each task states.
FIRST, SECOND = "first", "second"
WORDS = (FIRST, SECOND, "tie", "cannot_say")
QUESTION, NOTE = "preference", "note"  # the names of the question and of its free text
_SHOWN_FAULTS = 3


@dataclass(frozen=True)
class ForeignAnswer:
    """One person's answer about one pair.

    Attributes:
        annotator: as the tool names them.
        word: what they chose, in the tool's words.
        pair_hash, pair_id: which pair; one of them is there.
        shown: the order of the candidates that ``first`` and ``second`` mean.
    """

    annotator: str
    word: str
    answered_at: str
    pair_hash: str | None = None
    pair_id: str | None = None
    shown: Literal["ab", "ba"] | None = None
    note: str = ""


@dataclass
class ReadAnswers:
    """What a file of a tool holds.

    Attributes:
        answers: those that can be read.
        unread: what cannot, by reason; skipped tasks too.
    """

    answers: list[ForeignAnswer] = field(default_factory=list)
    unread: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Words:
    """How a tool's words and names are read.

    Attributes:
        answers: their words for ours (``ANSWERS``, ``first``, ``second``).
        annotators: their names for ours.
    """

    answers: Mapping[str, str] = field(default_factory=dict)
    annotators: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, answers: str | None, annotators: str | None) -> Words:
        """Reads two objects of JSON, as options give them.

        Raises:
            ConfigError: they are none, or name answers that there are not.
        """
        made = cls(_mapping(answers, "--words"), _mapping(annotators, "--annotators"))
        known = (*ANSWERS, FIRST, SECOND)
        if wrong := sorted(set(made.answers.values()) - set(known)):
            raise ConfigError(f"--words: got {wrong[0]!r}, expected one of {', '.join(known)}")
        return made

    def annotator(self, found: ForeignAnswer) -> str:
        """Their name."""
        return self.annotators.get(found.annotator, found.annotator)

    def answer(self, found: ForeignAnswer, tool: str) -> Answer | None:
        """The answer, sides those of the pair; None where the word is not known."""
        word = self.answers.get(found.word, found.word)
        if word in (FIRST, SECOND):
            word = (found.shown or "ab")[(FIRST, SECOND).index(word)]
        if word not in ANSWERS:
            return None
        side = cast("Literal['a', 'b', 'tie', 'cannot_say']", word)
        return Answer(side, found.answered_at, tool, found.note, found.shown)


def unknown_words(found: Iterable[ForeignAnswer], words: Words) -> None:
    """Refuses answers in words that are not known, with all of them.

    Raises:
        InputError: there are some.
    """
    unknown = Counter(each.word for each in found if words.answer(each, "") is None)
    if unknown:
        shown = ", ".join(f"{word!r} ({n})" for word, n in unknown.most_common(_SHOWN_FAULTS))
        raise InputError(
            f"{unknown.total()} answers are in words that are not known: {shown}; expected "
            f"{', '.join((*ANSWERS, FIRST, SECOND))}, or say what they mean, such as "
            '--words \'{"Left is better": "first"}\''
        )


def json_list(data: bytes, where: str) -> list[dict[str, Any]]:
    """The objects of a file that is a JSON list of them, or has one a line.

    Raises:
        InputError: it is neither.
    """
    text = data.decode("utf-8", "replace").strip()
    try:
        found = json.loads(text) if text.startswith("[") else [*map(json.loads, text.splitlines())]
    except ValueError as error:
        raise InputError(f"{where}: not JSON ({error}); expected a list of objects") from error
    if not found or not all(isinstance(each, dict) for each in found):
        raise InputError(f"{where}: {len(found)} entries, expected a list of objects")
    return cast("list[dict[str, Any]]", found)


def _mapping(text: str | None, option: str) -> dict[str, str]:
    if text is None:
        return {}
    try:
        found = json.loads(text)
    except ValueError as error:
        raise ConfigError(f"{option}: not JSON ({error})") from error
    if not isinstance(found, dict) or not all(isinstance(each, str) for each in found.values()):
        raise ConfigError(f"{option}: got {text!r}, expected a JSON object of texts")
    return {str(name): value for name, value in found.items()}
