"""Parses a judge's reply: a verdict, or the exact reason why it is not one.

A verdict counts only after the closing ``</think>``, must be all that follows it, and must stay on
the scale; whatever the reasoning quotes is inert. Nothing here has a default verdict.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from schemas.labels import Reason

THINK_END = "</think>"
_THINK_START = "<think>"
_SCORE = re.compile(
    r"\s*<answer>\s*([0-9]{1,3}(?:\.[0-9]{1,3})?)(?:\s*/\s*([0-9]{1,3}))?\s*</answer>\s*", re.ASCII
)
_OPTION = re.compile(r"\s*<answer>\s*\[\[([AB<=>\w\s]{1,40})\]\]\s*</answer>\s*", re.ASCII)
_REFUSAL = re.compile(
    r"\s*I(['\u2019]m sorry| am sorry| cannot| can['\u2019]t| am unable|['\u2019]m unable)\b", re.I
)

Option = Literal["first", "second", "both_good", "both_bad"]
_OPTIONS: dict[str, Option] = {
    "A>B": "first",
    "B<A": "first",
    "B>A": "second",
    "A<B": "second",
    "A=B=GOOD": "both_good",
    "A=B=BAD": "both_bad",
}


@dataclass(frozen=True)
class Verdict:
    """A reply's verdict about the candidates in the order shown.

    Attributes:
        scores: one for each candidate; empty where the format asks for an option.
        option: the option chosen; None where the format asks for scores.
        rationale: the reasoning before the verdict.
    """

    scores: tuple[float, ...]
    option: Option | None
    rationale: str


@dataclass(frozen=True)
class Unparseable:
    """A reply without a verdict.

    Attributes:
        reason: truncated, out_of_range, refused or malformed.
        detail: what was found instead, for people.
        rationale: the reasoning, as far as it can be recognised.
    """

    reason: Reason
    detail: str
    rationale: str


@dataclass(frozen=True)
class _Answer:
    """What follows the reasoning."""

    text: str
    rationale: str

    def unparseable(self) -> Unparseable:
        reason = Reason.REFUSED if _REFUSAL.match(self.text) else Reason.MALFORMED
        return Unparseable(reason, f"after {THINK_END}: {_excerpt(self.text)}", self.rationale)


def parse_scores(
    reply: str, finish_reason: str | None, count: int = 2, scale: tuple[int, int] = (1, 10)
) -> Verdict | Unparseable:
    """Parses a reply of scores: ``<think>…</think><answer>3</answer><answer>8</answer>``.

    Args:
        reply: the judge's text, from the start of its reasoning.
        finish_reason: as the engine reports it; ``"length"`` means that the reply was cut off.
        count: how many candidates were shown, and so how many scores are expected.
        scale: the lowest and the highest score that the prompt allows.
    """
    answer = _answer(reply, finish_reason)
    if isinstance(answer, Unparseable):
        return answer
    found: list[re.Match[str]] = []
    position = 0
    while match := _SCORE.match(answer.text, position):
        found.append(match)
        position = match.end()
    if position < len(answer.text) or len(found) != count:
        return answer.unparseable()
    low, high = scale
    if any(match[2] is not None and int(match[2]) != high for match in found):
        detail = f"expected scores out of {high}, got {_excerpt(answer.text)}"
        return Unparseable(Reason.OUT_OF_RANGE, detail, answer.rationale)
    scores = tuple(float(match[1]) for match in found)
    if not all(low <= score <= high for score in scores):
        got = ", ".join(f"{score:g}" for score in scores)
        detail = f"expected scores from {low} to {high}, got {got}"
        return Unparseable(Reason.OUT_OF_RANGE, detail, answer.rationale)
    return Verdict(scores, None, answer.rationale)


def parse_option(reply: str, finish_reason: str | None) -> Verdict | Unparseable:
    """Parses a reply of one option: ``<think>…</think><answer>[[A>B]]</answer>``.

    The options are ``A>B``, ``B>A``, ``A=B=Good`` and ``A=B=Bad``, in any case and spacing; the
    first two may be written the other way around, as ``B<A`` and ``A<B``.
    """
    answer = _answer(reply, finish_reason)
    if isinstance(answer, Unparseable):
        return answer
    match = _OPTION.fullmatch(answer.text)
    if match is None:
        return answer.unparseable()
    option = _OPTIONS.get(re.sub(r"\s", "", match[1]).upper())
    if option is None:
        listed = ", ".join(_OPTIONS)
        detail = f"expected one of {listed}, got {_excerpt(match[1])}"
        return Unparseable(Reason.OUT_OF_RANGE, detail, answer.rationale)
    return Verdict((), option, answer.rationale)


def _answer(reply: str, finish_reason: str | None) -> _Answer | Unparseable:
    reasoning, closed, answer = reply.rpartition(THINK_END)
    rationale = (reasoning if closed else reply).strip().removeprefix(_THINK_START).strip()
    if finish_reason == "length":
        return Unparseable(Reason.TRUNCATED, "the reply reached max_tokens", rationale)
    if closed:
        return _Answer(answer, rationale)
    if _REFUSAL.match(rationale):
        return Unparseable(Reason.REFUSED, _excerpt(reply), rationale)
    return Unparseable(Reason.MALFORMED, f"no {THINK_END} in the reply", rationale)


def _excerpt(text: str, limit: int = 120) -> str:
    text = text.strip()
    return repr(text if len(text) <= limit else text[:limit] + "…")
