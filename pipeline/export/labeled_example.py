"""A pair with its label, as trainer formats receive it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from schemas.labels import Status

Medium = Mapping[str, Any]  # {"bytes": …, "path": …}, as it is exported
Message = dict[str, str]

_SIDES = {"a": ("a", "b"), "b": ("b", "a")}


@dataclass(frozen=True)
class Answer:
    """One response.

    Attributes:
        letter: which of the pair it is.
        score: the judge's mean score; None if it gives no scores.
    """

    letter: str
    text: str
    images: Sequence[Medium] = ()
    videos: Sequence[Medium] = ()
    model: str | None = None
    score: float | None = None


@dataclass(frozen=True)
class Example:
    """One row.

    Attributes:
        prompt: the conversation so far; ends with the user.
        images, videos: of the prompt.
        answers: in the order of the pair.
        label: the row of the snapshot.
        split: ``train`` or ``validation``.
        tier: ``""`` where there are none.
    """

    pair_id: str
    prompt: Sequence[Message]
    images: Sequence[Medium]
    videos: Sequence[Medium]
    answers: Sequence[Answer]
    label: Mapping[str, Any] = field(repr=False)
    source: str | None = None
    split: str = "train"
    tier: str = ""

    @property
    def chosen(self) -> Answer:
        """The better response of a labeled pair."""
        return self._side(0)

    @property
    def rejected(self) -> Answer:
        """The other one."""
        return self._side(1)

    @property
    def tie(self) -> bool:
        """Whether neither is better."""
        return bool(self.label["status"] == Status.TIE)

    @property
    def confidence(self) -> float | None:
        """The probability that the label is right; None where a single response is scored."""
        value: float | None = self.label["confidence"]
        return value

    @property
    def p_chosen(self) -> float | None:
        """The calibrated probability that people prefer the chosen response, a tie being one half.

        None of a tie, and of labels without a calibration.
        """
        p_a, preferred = self.label["p_a"], self.label["preference"]
        if p_a is None or preferred is None:
            return None
        return float(p_a if preferred == "a" else 1 - p_a)

    @property
    def margin(self) -> float | None:
        """Mean score of the chosen response less that of the rejected one."""
        gap = self.label["margin"]
        if gap is None or self.tie:
            return None
        return float(gap if self.label["preference"] == "a" else -gap)

    def _side(self, index: int) -> Answer:
        letter = _SIDES[self.label["preference"]][index]
        return self.answers["ab".index(letter)]


def messages_of(pair: Mapping[str, Any]) -> list[Message]:
    """The prompt of a row as messages."""
    if pair["prompt"] and pair["prompt"].strip():
        return [{"role": "user", "content": pair["prompt"]}]
    return [{"role": each["role"], "content": each["content"]} for each in pair["messages"]]
