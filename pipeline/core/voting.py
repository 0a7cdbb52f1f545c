"""From votes to a label: which votes a pair still needs, and what its votes say together."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from schemas.labels import VERDICT, Reason, Status

ORDERS = ("ab", "ba")


@dataclass(frozen=True, kw_only=True)
class Vote:
    """One reply of the judge about a pair: its verdict, or why it has none.

    Attributes:
        order: which response the judge saw first, ``"ab"`` or ``"ba"``.
        score_a: the score of response_a whatever the order, or None if the reply is unreadable.
        outcome: ``VERDICT``, or the Reason why the reply could not be read.
        prompt_tokens: length of the prompt, media included, in tokens.
        cached_tokens: how many of them the engine served from its prefix cache.
    """

    order: str
    seed: int
    outcome: str
    score_a: float | None = None
    score_b: float | None = None
    finish_reason: str | None = None
    rationale: str = ""
    detail: str = ""
    prompt_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0

    @property
    def readable(self) -> bool:
        """Whether the reply was a verdict."""
        return self.outcome == VERDICT

    @property
    def margin(self) -> float:
        """score_a - score_b; only of a readable vote."""
        if self.score_a is None or self.score_b is None:
            raise ValueError(f"an unreadable vote ({self.outcome}) has no margin")
        return self.score_a - self.score_b

    @property
    def choice(self) -> str | None:
        """``"a"``, ``"b"`` or ``"tie"`` by this vote alone; None if it is unreadable."""
        if not self.readable:
            return None
        return "tie" if self.margin == 0 else "a" if self.margin > 0 else "b"

    def as_row(self) -> dict[str, object]:
        """The vote as labels v1 stores it."""
        row = asdict(self)
        del row["detail"]
        return row | {"choice": self.choice}


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What the votes of a pair say together (see labels v1 for the fields)."""

    status: Status
    preference: str | None = None
    reason: Reason | None = None
    detail: str | None = None
    p_a_raw: float | None = None
    margin: float | None = None
    confidence: float | None = None
    position_consistent: bool | None = None
    rationale: str | None = None


def vote_seed(pair_hash: str, number: int) -> int:
    """The sampling seed of a pair's vote ``number``: the same in every run and sharding."""
    digest = hashlib.sha256(f"{pair_hash}/{number}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1  # 31 bits: what every engine accepts


def next_orders(votes: Sequence[Vote], max_votes: int) -> tuple[str, ...]:
    """The orders still to be asked: those without a readable vote, while the budget lasts."""
    missing = [o for o in ORDERS if not any(v.readable and v.order == o for v in votes)]
    return tuple(missing[: max(0, max_votes - len(votes))])


def decide(votes: Sequence[Vote]) -> Decision:
    """Decides a pair: both orders must agree, or it is a tie; without both, it is quarantined.

    ``p_a_raw`` is the share of votes for response_a, ties counting half.
    """
    readable = [vote for vote in votes if vote.readable]
    if {vote.order for vote in readable} != set(ORDERS):
        failed = next(vote for vote in reversed(votes) if not vote.readable)
        tried = f"{len(votes) - len(readable)} of {len(votes)} replies unreadable"
        return Decision(
            status=Status.QUARANTINED,
            reason=Reason(failed.outcome),
            detail=f"{tried}; last, order {failed.order}: {failed.detail}",
        )
    choices = [str(vote.choice) for vote in readable]
    p_a = sum({"a": 1.0, "tie": 0.5, "b": 0.0}[choice] for choice in choices) / len(choices)
    consistent = len(set(choices)) == 1
    labeled = consistent and choices[0] != "tie"
    return Decision(
        status=Status.LABELED if labeled else Status.TIE,
        preference=choices[0] if labeled else None,
        p_a_raw=p_a,
        margin=sum(vote.margin for vote in readable) / len(readable),
        confidence=max(p_a, 1 - p_a),
        position_consistent=consistent,
        rationale=readable[0].rationale,
    )
