"""Which rows that are judged already are asked about again, and with which votes they go on.

A row is reopened where its votes no longer suffice (a larger budget or a stricter stop rule),
where what its votes were shown is shown otherwise by now (``pipeline.judging.renderings``), and
where it is quarantined and its reason is to be retried. All its votes stay; in the last two cases
they count no more. A row that may have what a run is told to render anew is looked at first. In a
cascade, a row that was not asked is opened where the judges before leave it open by now, and one
that they settle is not asked again.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Collection, Container, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import pyarrow as pa

from pipeline.aggregation.criteria_weights import weighted, weights_of, weights_of_row
from pipeline.aggregation.evidence import next_orders
from pipeline.aggregation.policy import PolicyConfig
from pipeline.judging.asking import asking_of
from pipeline.judging.judge_config import JudgeConfig, VotesConfig
from pipeline.judging.renderings import NARROW, concerns, concerns_kinds, may_have, unstated
from pipeline.judging.votes import Vote, standing
from pipeline.runtime.errors import InputError
from schemas.labels import NOT_ASKED, Reason

Why = Literal["retried", "shown_otherwise", "looked_at", "undecided", "opened"]
COLUMNS = ("row", "pair_hash", "status", "reason", "run_id", "rubric", "shown_kinds", "votes")


@dataclass(frozen=True)
class Reopening:
    """The rule of one run.

    Attributes:
        judge: the judge of the run.
        run_id: the run; what it has retried is not retried again.
        reasons: rows quarantined for one of these are retried.
        rerender: narrow kinds; rows of which none are known are looked at, and judged again if they
            have one of these.
        settled_at: the price of a round by which rows of earlier runs are open; the judge's if
            None. Prices that move from run to run open no row that was settled before.
    """

    judge: JudgeConfig
    run_id: str
    reasons: frozenset[Reason] = frozenset()
    rerender: frozenset[str] = frozenset()
    settled_at: float | None = None

    @property
    def _stop(self) -> VotesConfig:
        """When votes of earlier runs suffice."""
        if self.settled_at is None:
            return self.judge.votes
        return self.judge.votes.model_copy(update={"price": self.settled_at})

    @property
    def asking(self) -> str:
        """What parts state whose rows this run has asked about."""
        return asking_of(self.judge)

    def why(self, label: Mapping[str, Any]) -> Why | None:
        """Why a row is asked about again, if it is.

        Args:
            label: ``COLUMNS`` of labels v2.
        """
        if label["status"] == NOT_ASKED:
            return "opened"
        if label["reason"] in self.reasons and label["run_id"] != self.run_id:
            return "retried"
        votes = standing(votes_of(label))
        if not votes or label["pair_hash"] is None:
            return None
        of_v1 = unstated(videos=self.judge.media.video.max_videos > 0)
        if any(concerns(vote.rendering or of_v1) for vote in votes):
            return "shown_otherwise"
        known = label["shown_kinds"]
        if concerns_kinds(known or ()):
            return "shown_otherwise"
        seen = votes[0].rendering or of_v1
        if known is None and may_have(seen, self.rerender):
            return "looked_at"
        orders = next_orders(
            self.judge.declared_format,
            counted_votes(self.judge, votes, label["rubric"]),
            self._stop,
            len(votes[0].order),
            label["pair_hash"],
        )
        return "undecided" if orders else None

    def votes(self, label: Mapping[str, Any]) -> list[Vote] | None:
        """The votes that a row goes on with: all of them, with what counts no more.

        None of a row that is not asked about again.
        """
        why, votes = self.why(label), votes_of(label)
        if why in ("retried", "shown_otherwise", "looked_at"):
            return [replace(vote, superseded=True) for vote in votes]
        return None if why is None else votes

    def stands(self, label: Mapping[str, Any], kinds: Collection[str]) -> bool:
        """Whether a row was to be looked at alone, and has nothing that is shown otherwise.

        Args:
            label: ``COLUMNS`` of labels v2.
            kinds: the narrow kinds that the row has.
        """
        return self.why(label) == "looked_at" and self.rerender.isdisjoint(kinds)

    def pending(self, part: pa.Table, settled: Container[int] = ()) -> Counter[Why]:
        """How many rows of a part are asked about again, by why.

        Args:
            part: its ``COLUMNS``.
            settled: rows that this judge of a cascade is not asked about.
        """
        rows = (row for row in part.select(COLUMNS).to_pylist() if row["row"] not in settled)
        return Counter(why for row in rows if (why := self.why(row)))


def counted_votes(judge: JudgeConfig, votes: Sequence[Vote], rubric: str | None) -> list[Vote]:
    """Votes as the stop rule counts them: by the weights of the judge's rubric, or of the row's."""
    return weighted(
        votes,
        weights_of(judge, PolicyConfig()) if rubric is None else weights_of_row(rubric, {}),
    )


def votes_of(label: Mapping[str, Any]) -> list[Vote]:
    """The votes of a row of labels v2; those without a run are of the row's."""
    votes = [Vote.from_row(vote) for vote in label["votes"] or ()]
    return [vote if vote.run_id else replace(vote, run_id=label["run_id"]) for vote in votes]


def add_retry_option(parser: argparse.ArgumentParser) -> None:
    """Adds ``--retry-quarantined``, whose value :func:`parse_reasons` takes."""
    text = "judge quarantined rows again: those of these reasons, or all of them"
    parser.add_argument("--retry-quarantined", metavar="REASON", nargs="*", help=text)


def add_rerender_option(parser: argparse.ArgumentParser) -> None:
    """Adds ``--rerender``, whose value :func:`parse_kinds` takes."""
    text = (
        "look at rows that earlier versions judged, and judge those again that have one of\n"
        "these, such as image.alpha (infra/OPS.md)"
    )
    parser.add_argument("--rerender", metavar="KIND", nargs="+", default=[], help=text)


def parse_kinds(names: Collection[str]) -> frozenset[str]:
    """The narrow kinds named on a command line.

    Raises:
        InputError: a name is none; lists them all.
    """
    if unknown := sorted(set(names) - NARROW.keys()):
        listed = ", ".join(NARROW)
        raise InputError(f"--rerender: got {unknown[0]!r}, expected some of {listed}")
    return frozenset(names)


def parse_reasons(names: Collection[str] | None) -> frozenset[Reason]:
    """The reasons named on a command line: all of them for no name, none for None.

    Raises:
        InputError: a name is no reason; lists them all.
    """
    if names is None:
        return frozenset()
    try:
        named = frozenset(Reason(name) for name in names) or frozenset(Reason)
        return named - {Reason.FORGOTTEN}  # these are never judged again
    except ValueError as error:
        listed = ", ".join(Reason)
        raise InputError(f"--retry-quarantined: {error}; expected some of {listed}") from error
