"""The price of a vote that a run takes over from those before it, by ``votes.budget_per_pair``.

A record of the output keeps, for each judge, what the rounds of its last run were expected to gain
(``pipeline.aggregation.vote_price``) and the highest price that was ever asked by. What sets the
price is written by runs that have judged everything, so that the command that goes on after one
that was ended asks by the same price. Rows of earlier runs stay settled however low a later price
is: they are open only where a round gains the highest one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pipeline.aggregation.vote_price import Offers
from pipeline.judging.judge_config import JudgeConfig
from pipeline.judging.votes import Vote
from pipeline.labeling.planning.reopening import counted_votes, votes_of
from pipeline.parts.commit import committed_rows
from pipeline.parts.units import Unit
from pipeline.store.object_store import Store
from pipeline.store.stored_records import read_record
from schemas.records import Record

_LOOKED_AT = 32  # units of a run
_COLUMNS = ("row", "status", "run_id", "rubric", "votes")


@dataclass(frozen=True)
class VotePrices(Record):
    """What a judge's price follows from.

    Attributes:
        highest: the highest price that its rows were asked by.
        offers: the rounds that its last run offered, and where that was small those before it.
    """

    highest: float = 0.0
    offers: Offers = field(default_factory=Offers)


@dataclass(frozen=True)
class CarriedPrice:
    """The price of a run with a budget.

    Attributes:
        known: of the runs before.
        price: by which it asks.
    """

    output: Store
    judge_id: str
    known: VotePrices
    price: float

    @classmethod
    def of(cls, output: Store, judge_id: str, judge: JudgeConfig) -> CarriedPrice | None:
        """The price that a run begins with; None where no budget sets it.

        Raises:
            InputError: the record is damaged.
            StorageError: the store fails.
        """
        budget, asked_once = judge.votes.budget_per_pair, judge.declared_format.family == "reward"
        if budget is None or asked_once:
            return None
        known = read_record(output, _key(judge_id), VotePrices) or VotePrices()
        return cls(output, judge_id, known, known.offers.price(budget))

    @property
    def settled_at(self) -> float:
        """Rows of earlier runs are settled where a round gains less."""
        return max(self.price, self.known.highest)

    def judge(self, judge: JudgeConfig) -> JudgeConfig:
        """The judge that asks by this price."""
        votes = judge.votes.model_copy(update={"price": self.price})
        return judge.model_copy(update={"votes": votes})

    def begin(self) -> None:
        """Stores that rows are asked by this price, if none were asked by one as high."""
        if self.settled_at > self.known.highest:
            self._store(replace(self.known, highest=self.settled_at))

    def end(self, units: Sequence[Unit], judge: JudgeConfig, run_id: str) -> None:
        """Stores what the rounds of a run gained, by some of its units.

        Args:
            units: that the run has judged.
            judge: that it was judged by.
            run_id: the run; only rows that it began count.
        """
        some = units[:: max(1, len(units) // _LOOKED_AT)]
        rows = [
            row
            for unit in some
            for row in committed_rows(self.output, self.judge_id, unit, _COLUMNS)
        ]
        begun = list(_begun(rows, judge, run_id))
        offers = Offers.of(judge.declared_format, begun, judge.votes)
        if offers.pairs:
            now = offers.with_earlier(self.known.offers)
            self._store(VotePrices(self.settled_at, now))

    def _store(self, record: VotePrices) -> None:
        self.output.put(_key(self.judge_id), record.to_json())


def _begun(
    rows: Sequence[dict[str, Any]], judge: JudgeConfig, run_id: str
) -> Iterator[Sequence[Vote]]:
    for row in rows:
        votes = votes_of(row)
        if votes and {vote.run_id for vote in votes} == {run_id}:
            yield counted_votes(judge, votes, row["rubric"])


def _key(judge_id: str) -> str:
    return f"prices/{judge_id[:16]}.json"
