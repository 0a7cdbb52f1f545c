"""A pair with its label, as trainer formats receive it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.aggregation.ranking import Ranking
from pipeline.pairs.contents import Message, Part, leading, media_of, opening, text_of
from schemas.labels import BY_GOLD, Status

Medium = Mapping[str, Any]  # {"bytes": …, "path": …}, as it is exported
Turn = dict[str, str]  # role, and content as a text

_SIDES = {"a": ("a", "b"), "b": ("b", "a")}


@dataclass(frozen=True)
class Answer:
    """One response.

    Attributes:
        letter: which of the pair it is.
        content: its texts and media, the latter as they are exported.
        score: the judge's mean score; None if it gives no scores.
    """

    letter: str
    content: Sequence[Part]
    model: str | None = None
    score: float | None = None

    @property
    def text(self) -> str:
        """Its texts."""
        return text_of(self.content) or ""

    @property
    def images(self) -> list[Medium]:
        """Its pictures."""
        return exported_media(self.content, "image")

    @property
    def videos(self) -> list[Medium]:
        """Its clips."""
        return exported_media(self.content, "video")


@dataclass(frozen=True)
class Example:
    """One row.

    Attributes:
        prompt: the conversation so far, which ends with the user, in parts; media as they are
            exported.
        answers: in the order of the pair.
        label: the row of the snapshot.
        split: ``train`` or ``validation``.
        tier: ``""`` where there are none.
        ranking: of the answers, in formats that hold rankings.
        own_gold: whether people's answer about it, in input or gold set, may have fitted
            ``p_chosen``.
        p_a_unseen: the probability of ``a`` by a fit that has not seen it, if there is one.
    """

    pair_id: str
    prompt: Sequence[Message]
    answers: Sequence[Answer]
    label: Mapping[str, Any] = field(repr=False)
    source: str | None = None
    split: str = "train"
    tier: str = ""
    ranking: Ranking | None = None
    own_gold: bool = False
    p_a_unseen: float | None = None

    @property
    def turns(self) -> list[Turn]:
        """The texts of the prompt, without its media."""
        return [
            {"role": each["role"], "content": text_of(each["content"]) or ""}
            for each in self.prompt
        ]

    @property
    def images(self) -> list[Medium]:
        """The pictures of the prompt, in reading order."""
        return [m for each in self.prompt for m in exported_media(each["content"], "image")]

    @property
    def videos(self) -> list[Medium]:
        """The clips of the prompt."""
        return [m for each in self.prompt for m in exported_media(each["content"], "video")]

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
    def by_gold(self) -> bool:
        """Whether the label is a person's own answer: there was nothing for a judge to compare."""
        return bool(self.label.get("decided_by") == BY_GOLD)

    @property
    def confidence(self) -> float | None:
        """The probability that the label is right; None where a single response is scored."""
        value: float | None = self.label["confidence"]
        return value

    @property
    def p_chosen(self) -> float | None:
        """The calibrated probability that people prefer the chosen response, a tie being one half.

        None of a tie, and of labels without a calibration; 1 where people have said so.
        """
        return self._p_chosen(self.label["p_a"] if self.p_a_unseen is None else self.p_a_unseen)

    @property
    def p_stated(self) -> float | None:
        """The same as the label has it, whatever it was fitted to."""
        return self._p_chosen(self.label["p_a"])

    def _p_chosen(self, p_a: float | None) -> float | None:
        preferred = self.label["preference"]
        if self.by_gold and preferred is not None:
            return 1.0
        if p_a is None or preferred is None:
            return None
        return float(p_a if preferred == "a" else 1 - p_a)

    @property
    def margin(self) -> float | None:
        """Mean score of the chosen response less that of the rejected one; 0 where people chose."""
        gap = 0.0 if self.by_gold else self.label["margin"]
        if gap is None or self.tie:
            return None
        return float(gap if self.label["preference"] == "a" else -gap)

    def _side(self, index: int) -> Answer:
        letter = _SIDES[self.label["preference"]][index]
        return self.answers["ab".index(letter)]


def confidence_of(label: Mapping[str, Any]) -> float:
    """The least confidence that selections may ask of a label: a person's own answer has any."""
    return 1.0 if label["decided_by"] == BY_GOLD else label["confidence"] or 0.0


def exported_media(content: Sequence[Part], kind: str) -> list[Medium]:
    """The pictures or the clips of a content."""
    return [medium for medium in media_of(content, kind) if medium is not None]


def media_lead(messages: Sequence[Message]) -> bool:
    """Whether no medium of a prompt stands elsewhere than before the user's first words."""
    first = opening(messages)
    rests = [each["content"] for number, each in enumerate(messages) if number != first]
    rests.append(leading(messages[first]["content"])[1])
    return all(part["type"] == "text" for parts in rests for part in parts)
