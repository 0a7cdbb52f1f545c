"""A vote: one reply of the judge about the candidates of a row, and how it was asked for.

Candidates are named by letters: a pair's are ``a`` and ``b``, those of a ranking ``a``, ``b``,
``c`` and so on. An order is the candidates' letters in the order in which the judge saw them.
"""

from __future__ import annotations

import hashlib
import string
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from pipeline.judging.parsing import Criteria, Unparseable, Verdict
from pipeline.judging.renderings import Rendering
from schemas.labels import VERDICT, VOTE

LETTERS = string.ascii_lowercase
_STORED = (
    "order",
    "seed",
    "option",
    "outcome",
    "finish_reason",
    "rationale",
    "prompt_tokens",
    "output_tokens",
    "cached_tokens",
    "run_id",
    "superseded",
    "cut_text",
    "soft_a",
    "weight",
)


@dataclass(frozen=True, kw_only=True)
class Vote:
    """One reply of the judge: its verdict, or why it has none.

    Attributes:
        order: the candidates in the order shown, such as ``"ba"``.
        outcome: ``VERDICT``, or the Reason why the reply could not be parsed.
        scores: one for each candidate, whatever the order; empty without scores.
        option: ``"a"``, ``"b"``, ``"tie"``, ``"both_good"`` or ``"both_bad"``; None without one.
        criteria: each criterion's name and scores, as ``scores`` are.
        prompt_tokens: length of the prompt, media included, in tokens.
        cached_tokens: how many of them the engine served from its prefix cache.
        run_id: the run that asked; None in votes of labels v1.
        superseded: whether a later vote takes its place, so that it counts no more.
        cut_text: what followed the verdict in the reply; None where nothing is known of it.
        rendering: the versions of what the judge was shown; None in votes of labels v1.
        soft_a: how likely the reply was to prefer ``a``, where it prefers one; None where that was
            not read, and of ties.
        weight: how many sampled votes a soft one counts for, as the judge had it; None is one.
    """

    order: str
    seed: int
    outcome: str
    scores: tuple[float, ...] = ()
    option: str | None = None
    criteria: Criteria = ()
    finish_reason: str | None = None
    rationale: str = ""
    detail: str = ""
    prompt_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    run_id: str | None = None
    superseded: bool = False
    cut_text: str | None = None
    rendering: Rendering | None = None
    soft_a: float | None = None
    weight: float | None = None

    @property
    def parsed(self) -> bool:
        """Whether the reply was a verdict."""
        return self.outcome == VERDICT

    @property
    def margin(self) -> float | None:
        """Score of ``a`` less that of ``b``; None unless there are two scores."""
        return self.scores[0] - self.scores[1] if len(self.scores) == 2 else None

    @property
    def choice(self) -> str | None:
        """``"a"``, ``"b"`` or ``"tie"`` by this vote alone; None unless it is about a pair."""
        if self.option is not None:
            return self.option if self.option in ("a", "b") else "tie"
        if self.margin is None:
            return None
        return "tie" if self.margin == 0 else "a" if self.margin > 0 else "b"

    @property
    def share_a(self) -> float:
        """How much of a parsed vote about a pair is for ``a``; one half of a tie."""
        if self.soft_a is not None:
            return self.soft_a
        return {"a": 1.0, "tie": 0.5, "b": 0.0}[str(self.choice)]

    def between(self, first: int, second: int) -> Vote:
        """A vote about several candidates as a vote about two of them."""
        shown = [self.order.index(LETTERS[index]) for index in (first, second)]
        scores = (self.scores[first], self.scores[second]) if self.scores else ()
        criteria = tuple((name, (each[first], each[second])) for name, each in self.criteria)
        order = "ab" if shown[0] < shown[1] else "ba"
        return replace(self, order=order, scores=scores, criteria=criteria, soft_a=None)

    def as_row(self) -> dict[str, Any]:
        """The vote as labels v2 stores it."""
        score_a, score_b = (*self.scores[:2], None, None)[:2]
        row: dict[str, Any] = dict.fromkeys(field.name for field in VOTE)
        row |= {name: getattr(self, name) for name in _STORED}
        return row | {
            "score_a": score_a,
            "score_b": score_b,
            "scores": list(self.scores) if len(self.scores) > 2 else None,
            "criteria": criteria_rows(self.criteria),
            "choice": self.choice,
            "rendering": asdict(self.rendering) if self.rendering else None,
        }

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Vote:
        """The vote that labels v2 stores as ``row``; ``detail`` is not stored."""
        scores = row["scores"] or [s for s in (row["score_a"], row["score_b"]) if s is not None]
        stored = {name: row[name] for name in _STORED}
        stored["superseded"] = bool(row["superseded"])
        rendering = Rendering.from_row(row["rendering"])
        criteria = tuple((each["name"], tuple(each["scores"])) for each in row["criteria"] or ())
        return cls(scores=tuple(scores), criteria=criteria, rendering=rendering, **stored)


def criteria_rows(criteria: Criteria) -> list[dict[str, Any]] | None:
    """Criteria as labels v2 stores them; null where there are none."""
    return [{"name": name, "scores": list(scores)} for name, scores in criteria] or None


def mapped_back(read: Verdict | Unparseable, order: str) -> dict[str, Any]:
    """A reply's verdict in terms of the candidates, as fields of a :class:`Vote`.

    Args:
        read: the parsed reply, about the candidates in the order shown.
        order: that order.
    """
    if isinstance(read, Unparseable):
        return {"outcome": read.reason, "detail": read.detail, "rationale": read.rationale}
    shown = dict(zip(order, read.scores, strict=False))
    named: dict[str | None, str] = {"first": order[0], "second": order[-1]}
    criteria = ((name, dict(zip(order, each, strict=True))) for name, each in read.criteria)
    return {
        "outcome": VERDICT,
        "scores": tuple(shown[letter] for letter in sorted(shown)),
        "criteria": tuple(
            (name, tuple(each[letter] for letter in sorted(each))) for name, each in criteria
        ),
        "option": named.get(read.option, read.option),
        "rationale": read.rationale,
    }


def joined(order: str, votes: Sequence[Vote]) -> Vote:
    """One vote of replies about a candidate each, in that order; without a verdict if one has none.

    Args:
        order: the candidates.
        votes: one for each of them.
    """
    first, *rest = votes
    if not rest:
        return first
    failed = next((vote for vote in votes if not vote.parsed), None)
    outcome = VERDICT if failed is None else failed.outcome
    by_letter = sorted(votes, key=lambda vote: vote.order)
    criteria = zip(*(vote.criteria for vote in by_letter), strict=True) if failed is None else ()
    return replace(
        first,
        order=order,
        outcome=outcome,
        detail="" if failed is None else f"of candidate {failed.order}: {failed.detail}",
        scores=() if failed else tuple(score for vote in by_letter for score in vote.scores),
        criteria=tuple(
            (each[0][0], tuple(score for _, scores in each for score in scores))
            for each in criteria
        ),
        finish_reason=(failed or votes[-1]).finish_reason,
        rationale="\n\n".join(f"[{vote.order}] {vote.rationale}" for vote in votes),
        prompt_tokens=sum(vote.prompt_tokens for vote in votes),
        output_tokens=sum(vote.output_tokens for vote in votes),
        cached_tokens=sum(vote.cached_tokens for vote in votes),
    )


def softened(vote: Vote, first: float | None, weight: float) -> Vote:
    """A vote for a side as a soft one; a tie, and what is no verdict, as it is.

    Args:
        vote: about a pair.
        first: how likely the reply was to prefer the candidate shown first; None: not known.
        weight: how many sampled votes it counts for.
    """
    if first is None or vote.choice not in ("a", "b"):
        return vote
    soft_a = first if vote.order == "ab" else 1 - first
    return replace(vote, soft_a=soft_a, weight=weight)


def vote_seed(pair_hash: str, number: int) -> int:
    """The sampling seed of a pair's vote ``number``: the same in every run and sharding."""
    return int.from_bytes(_hash(f"{pair_hash}/{number}")[:4], "big") >> 1  # as all engines accept


def round_orders(count: int, round_number: int, pair_hash: str) -> tuple[str, ...]:
    """The orders of one swap-balanced round.

    Two candidates are shown in both orders; more of them in a permutation and its reverse, so
    that each precedes each other equally often. The first round starts with the order of
    the row, later ones with a permutation that depends on the pair alone.
    """
    letters = LETTERS[:count]
    if count == 1:
        return (letters,)
    if count > 2 and round_number > 0:
        letters = "".join(sorted(letters, key=lambda x: _hash(f"{pair_hash}/{round_number}/{x}")))
    return (letters, letters[::-1])


def standing(votes: Sequence[Vote]) -> list[Vote]:
    """The votes that count: those of which no later one takes the place."""
    return [vote for vote in votes if not vote.superseded]


def parsed_of(votes: Sequence[Vote]) -> list[Vote]:
    """The votes that are evidence: they count, and their replies were verdicts."""
    return [vote for vote in standing(votes) if vote.parsed]


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
