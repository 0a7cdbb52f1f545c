"""Reads a judge's reply: a verdict, or the exact reason why it is none.

A verdict counts only after the closing ``</think>``, must be all that follows it, and must keep
to the scale; whatever the reasoning quotes is inert. Nothing here has a default verdict.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from schemas.labels import Reason

PARSER_VERSION = "pairwise_scores/1"  # part of the judge's fingerprint: raise it with any change

THINK_END = "</think>"
_THINK_START = "<think>"
_SCORE = r"<answer>\s*([0-9]{1,3}(?:\.[0-9]{1,3})?)(?:\s*/\s*([0-9]{1,3}))?\s*</answer>"
_TWO_SCORES = re.compile(rf"\s*{_SCORE}\s*{_SCORE}\s*", re.ASCII)
_REFUSAL = re.compile(
    r"\s*I(['\u2019]m sorry| am sorry| cannot| can['\u2019]t| am unable|['\u2019]m unable)\b", re.I
)


@dataclass(frozen=True)
class Verdict:
    """The scores of the first and the second answer shown, and the reasoning before them."""

    score_1: float
    score_2: float
    rationale: str


@dataclass(frozen=True)
class Unreadable:
    """A reply that is not a verdict.

    Attributes:
        reason: truncated, out_of_range, refused or malformed.
        detail: what was found instead, for people.
        rationale: the reasoning, as far as it can be told apart.
    """

    reason: Reason
    detail: str
    rationale: str


def parse_scores(
    reply: str, finish_reason: str | None, scale: tuple[int, int] = (1, 10)
) -> Verdict | Unreadable:
    """Parses a pairwise-scores reply: ``<think>…</think><answer>3</answer><answer>8</answer>``.

    Args:
        reply: the judge's text, from the start of its reasoning.
        finish_reason: the engine's word; ``"length"`` means that the reply was cut off.
        scale: the lowest and the highest score that the prompt allows.
    """
    reasoning, closed, answer = reply.rpartition(THINK_END)
    rationale = (reasoning if closed else reply).strip().removeprefix(_THINK_START).strip()
    if finish_reason == "length":
        return Unreadable(Reason.TRUNCATED, "the reply reached max_tokens", rationale)
    if not closed:
        if _REFUSAL.match(rationale):
            return Unreadable(Reason.REFUSED, _excerpt(reply), rationale)
        return Unreadable(Reason.MALFORMED, f"no {THINK_END} in the reply", rationale)
    match = _TWO_SCORES.fullmatch(answer)
    if match is None:
        reason = Reason.REFUSED if _REFUSAL.match(answer) else Reason.MALFORMED
        return Unreadable(reason, f"after {THINK_END}: {_excerpt(answer)}", rationale)
    low, high = scale
    scores = float(match[1]), float(match[3])
    if any(out_of is not None and int(out_of) != high for out_of in (match[2], match[4])):
        detail = f"expected scores out of {high}, got {_excerpt(answer)}"
        return Unreadable(Reason.OUT_OF_RANGE, detail, rationale)
    if not all(low <= score <= high for score in scores):
        detail = f"expected scores from {low} to {high}, got {scores[0]:g} and {scores[1]:g}"
        return Unreadable(Reason.OUT_OF_RANGE, detail, rationale)
    return Verdict(*scores, rationale)


def _excerpt(text: str, limit: int = 120) -> str:
    text = text.strip()
    return repr(text if len(text) <= limit else text[:limit] + "…")
