"""A run begins no pair that its votes do not suffice for, and what it judged is committed."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from pipeline.labeling.run_budget import Purse, RunBudget, Spending, VotesSpentError
from pipeline.labeling.unit_result import UnitResult
from pipeline.nightly.pipeline_config import PipelineConfig
from pipeline.parts.commit import uncommitted
from pipeline.runtime.errors import BudgetSpentError, ConfigError
from pipeline.runtime.stop import Stop
from pipeline.store.object_store import Store
from schemas.labels import Reason
from tests.judging import JUDGE_ID, pairs_of, runner, scripted, text_pair, unit
from tests.shards import labels_of

ALL = frozenset(Reason)


def judged(
    output: Store, run_id: str, votes: int, rows: range, fault: str | None = None, **more: Any
) -> tuple[UnitResult, int]:
    """Judges a unit with so many votes; returns its result, and how many were asked for.

    Odd rows reply with the fault.
    """
    left = Spending(RunBudget(votes))

    async def take(wanted: int, begun: bool, usd: float) -> bool:
        return left.take(wanted, begun, usd)

    judge, engine = scripted({"faults": {"ODD": fault} if fault else {}}, max_num_seqs=4)
    judge._purse = Purse(take)
    pairs = pairs_of([text_pair(n, "ODD" if n % 2 else "") for n in rows])
    worker = runner(judge, output, run_id, **more)
    done = asyncio.run(worker.run(unit(rows.start, rows.stop), pairs))
    return done, len(engine.asked)


def test_no_pair_is_begun_beyond_the_budget(tmp_path: Path) -> None:
    output = Store(str(tmp_path))
    # Two votes for each even pair, eight for each odd one: one more of the latter was begun.
    first, asked = judged(output, "one", 16, range(20), "flip")
    labels = labels_of(output.uri)
    assert first.counts.judgments == asked == sum(len(label["votes"]) for label in labels)
    assert 16 <= asked <= 16 + 3 * 6  # later rounds of the pairs in flight
    assert 0 < first.counts.pairs == len(labels) < 20
    for left in uncommitted(output, JUDGE_ID, unit(0, 20)):
        rest, more = judged(output, "two", 1_000, range(left.start, left.stop), "flip")
        assert rest.counts.pairs == left.rows
        asked += more
    assert asked == 10 * 2 + 10 * 8
    labels = labels_of(output.uri)
    assert sorted(label["row"] for label in labels) == list(range(20))
    assert sum(len(label["votes"]) for label in labels) == 100


def test_rows_that_are_asked_about_again_keep_what_they_got(tmp_path: Path) -> None:
    output = Store(str(tmp_path))
    judged(output, "one", 1_000, range(8), "malformed")
    assert [label["reason"] for label in labels_of(output.uri)].count("malformed") == 4
    runs = 0
    while any(label["reason"] for label in labels_of(output.uri)):
        runs += 1
        done, asked = judged(output, f"again-{runs}", 2, range(8), retries=ALL)
        assert asked == 2
        assert (done.counts.pairs < 8) == (runs < 4)
    assert runs == 4
    labels = labels_of(output.uri)
    assert [(label["row"], len(label["votes"])) for label in labels] == [
        (row, 10 if row % 2 else 2) for row in range(8)
    ]


def test_dollars_of_gpus_are_time() -> None:
    config = PipelineConfig.model_validate({"budget": {"max_usd": 6}})
    with pytest.raises(ConfigError, match="nothing has a price"):
        config.run_budget()
    priced = {"budget": {"max_usd": 6}, "report": {"gpu_usd_per_hour": 3, "gpus": 4}}
    budget = PipelineConfig.model_validate(priced).run_budget()
    assert budget == RunBudget(None, 6, 12)
    assert not budget.counted
    asked = threading.Event()

    class Watched(Stop):
        def ask(self, *why: object) -> None:
            super().ask(*why)  # type: ignore[arg-type]
            asked.set()

    stop = Watched()
    with RunBudget(None, 0.01, 3_600).timed(stop):
        assert asked.wait(30)
    message = r"the budget is spent \(budget.max_usd 0.01\): half is done; the same command"
    with pytest.raises(BudgetSpentError, match=message):
        stop.check("half is done")
    assert BudgetSpentError.exit_code == 6


def test_dollars_of_tokens_are_paid_before_the_next_pair_is_begun() -> None:
    prices = {"prompt": 1, "cached": 0.5, "output": 4}
    priced = {"budget": {"max_usd": 9e-4}, "report": {"usd_per_million_tokens": prices}}
    budget = PipelineConfig.model_validate(priced).run_budget()
    assert budget.counted
    left = Spending(budget)

    async def take(votes: int, begun: bool, usd: float) -> bool:
        return left.take(votes, begun, usd)

    async def pairs() -> int:
        purse, begun = Purse(take, budget.token_price), 0
        while True:
            try:
                await purse.take(2, False)
            except VotesSpentError:
                return begun
            begun += 1
            await purse.take(2, True)
            for _ in range(4):
                purse.pay(40, 20, 5)

    # Four replies cost 4 * (20 + 10 + 20) millionths of a dollar.
    assert asyncio.run(pairs()) == 5
