"""The result of a unit, as counts that are small enough to send to the driver."""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from pipeline.labeling.worker_activity import Work
from pipeline.parts.units import Unit
from schemas.labels import BY_GOLD


@dataclass
class RowCounts:
    """Counts over rows of labels v2; those of several units add up.

    Attributes:
        run_id: only this run's own votes are counted.
        reused: rows that an earlier run has judged, and this one has not.
        by_gold: rows that nobody needs to judge, since a person has decided them.
        votes: by outcome, unparseable ones included.
    """

    run_id: str
    reused: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    votes: Counter[str] = field(default_factory=Counter)
    prompt_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    by_gold: int = 0

    @property
    def pairs(self) -> int:
        """Rows counted."""
        return self.statuses.total()

    @property
    def judgments(self) -> int:
        """Votes counted, unparseable ones included."""
        return self.votes.total()

    def add_rows(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Adds rows of labels v2: their status, reason, votes and run."""
        self.statuses.update(str(row["status"]) for row in rows)
        self.reasons.update(str(row["reason"]) for row in rows if row["reason"])
        self.by_gold += sum(row["decided_by"] == BY_GOLD for row in rows)
        own = [row for row in rows if row["run_id"] == self.run_id]
        self.reused += len(rows) - len(own)
        votes = (vote for row in own for vote in row["votes"] if vote["run_id"] == self.run_id)
        for vote in votes:
            self.votes[str(vote["outcome"])] += 1
            self.prompt_tokens += vote["prompt_tokens"]
            self.output_tokens += vote["output_tokens"]
            self.cached_tokens += vote["cached_tokens"]

    def add(self, other: RowCounts) -> None:
        """Adds other counts of the same run to this one."""
        self.reused += other.reused
        self.by_gold += other.by_gold
        self.statuses += other.statuses
        self.reasons += other.reasons
        self.votes += other.votes
        self.prompt_tokens += other.prompt_tokens
        self.output_tokens += other.output_tokens
        self.cached_tokens += other.cached_tokens


@dataclass(frozen=True)
class UnitResult:
    """The result of one unit.

    Attributes:
        seconds: from the unit's arrival at its worker to its commit.
        corpus: which of the run's inputs the unit belongs to.
        deaths: earlier attempts at the unit that were lost with their worker.
        work: what its worker did, for this unit and others, since its last unit result.
    """

    unit: Unit
    counts: RowCounts
    seconds: float
    corpus: int = 0
    deaths: int = 0
    work: Work = field(default_factory=Work)


def unit_result_table(result: UnitResult) -> pa.Table:
    """A unit result as the one-row table that a worker yields."""
    return pa.table({"unit_result": pa.array([pickle.dumps(result)], pa.binary())})


def unit_results_of(table: pa.Table) -> list[UnitResult]:
    """The unit results of a table made of :func:`unit_result_table` rows."""
    return [pickle.loads(data) for data in table["unit_result"].to_pylist()]
