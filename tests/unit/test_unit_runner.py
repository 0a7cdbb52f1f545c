"""Units are judged once, and the row that kills its worker is found without hurting others."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from pipeline.labeling.read_pairs import Pairs
from pipeline.labeling.unit_runner import MAX_AFTER_DEATH
from pipeline.runtime.errors import EngineDeadError
from pipeline.store.object_store import Store
from tests.judging import JUDGE_ID, Row, pairs_of, runner, scripted, text_pair, unit
from tests.shards import labels_of

DIES = {"faults": {"KILLER": "die"}}


@pytest.fixture
def output(tmp_path: Path) -> Store:
    return Store(str(tmp_path))


def rows(count: int, *killers: int) -> Pairs:
    return pairs_of([text_pair(n, "KILLER" if n in killers else "") for n in range(count)])


def until_done(output: Store, pairs: Pairs, stop: int, most_deaths: int) -> int:
    """Begins the unit again with a fresh worker after every death, as Ray does."""
    for deaths in range(most_deaths + 1):
        worker = runner(scripted(DIES)[0], output)
        try:
            result = asyncio.run(worker.run(unit(0, stop), pairs))
        except EngineDeadError:
            continue
        assert result.counts.pairs == stop
        return deaths
    raise AssertionError(f"not done after {most_deaths} deaths")


def reasons(output: Store) -> dict[int, str | None]:
    labels: list[Row] = labels_of(output.uri)
    assert len({label["row"] for label in labels}) == len(labels)
    return {label["row"]: label["reason"] for label in labels}


def test_a_committed_unit_is_not_judged_again(output: Store) -> None:
    first = asyncio.run(runner(scripted()[0], output).run(unit(0, 10), rows(10)))
    before = {entry.key: output.read(entry.key) for entry in output.list()}
    judge, engine = scripted()
    second = asyncio.run(runner(judge, output, "other").run(unit(0, 10), rows(10)))
    assert engine.asked == []
    assert second.counts.statuses == first.counts.statuses
    # What another run judged is there and was not paid for by this one.
    assert (first.counts.judgments, first.counts.reused) == (20, 0)
    counts = second.counts
    assert (counts.judgments, counts.output_tokens, counts.reused) == (0, 0, 10)
    assert {entry.key: output.read(entry.key) for entry in output.list()} == before


def test_a_slower_run_reports_what_the_faster_committed(output: Store) -> None:
    flipping, engine = scripted({"faults": {"Question": "flip"}})
    engine.gate.clear()

    async def race() -> tuple[int, int]:
        slow = asyncio.create_task(runner(flipping, output, "slow").run(unit(0, 6), rows(6)))
        await asyncio.sleep(0)
        fast = await runner(scripted()[0], output, "fast").run(unit(0, 6), rows(6))
        engine.gate.set()
        return fast.counts.statuses["labeled"], (await slow).counts.statuses["labeled"]

    assert asyncio.run(race()) == (4, 4)
    assert {label["run_id"] for label in labels_of(output.uri)} == {"fast"}


@pytest.mark.parametrize(("count", "killers"), [(10, {3}), (100, {99}), (20, {0, 11}), (1, {0})])
def test_the_killer_is_found_and_its_neighbours_are_labelled(
    output: Store, count: int, killers: set[int]
) -> None:
    # Two shared deaths, then alone: one for each level of pieces, two for the row by itself.
    until_done(output, rows(count, *killers), count, most_deaths=4 + 4 * len(killers))
    found = reasons(output)
    assert sorted(found) == list(range(count))
    assert {row for row, reason in found.items() if reason == "engine_killed"} == killers
    assert {row for row, reason in found.items() if reason} == killers


def test_how_many_deaths_a_killer_costs(output: Store) -> None:
    assert until_done(output, rows(64, 20), 64, most_deaths=9) == 2 + 1 + 1 + 2


def test_a_found_killer_costs_nothing_again(output: Store) -> None:
    until_done(output, rows(10, 3), 10, most_deaths=9)
    assert until_done(output, rows(10, 3), 10, most_deaths=0) == 0


def test_an_innocent_row_that_shared_its_worker_is_labelled(output: Store) -> None:
    guilty, innocent = unit(0, 1), unit(1, 2)

    async def together() -> list[object]:
        worker = runner(scripted(DIES | {"latency_s": 0.01})[0], output)
        units = [(guilty, rows(1, 0)), (innocent, rows(1))]
        # Both are begun before either reply: each of them has been there at every death.
        tasks = [asyncio.create_task(worker.run(*some)) for some in units]
        done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        for task in pending:
            task.cancel()
        return list(await asyncio.gather(*done, *pending, return_exceptions=True))

    for _ in range(8):
        asyncio.run(together())
    assert reasons(output) == {0: "engine_killed", 1: None}


def test_a_suspect_unit_has_its_worker_alone(output: Store) -> None:
    suspect, other = unit(0, 4), unit(4, 8)
    for number in range(2):
        key = f"{suspect.attempts_prefix(JUDGE_ID)}/shared/run.{number}"
        output.put(key, b"")
    judge, engine = scripted({"latency_s": 0.1})
    worker = runner(judge, output)

    async def together() -> None:
        await asyncio.gather(
            worker.run(other, pairs_of([text_pair(n, "OTHER") for n in range(4)])),
            worker.run(suspect, pairs_of([text_pair(n, "SUSPECT") for n in range(4)])),
        )

    asyncio.run(together())
    marks = ["SUSPECT" in user for user in engine.events]
    assert marks in ([True] * 16 + [False] * 16, [False] * 16 + [True] * 16)


@pytest.mark.parametrize(("dead", "together"), [(False, 8), (True, MAX_AFTER_DEATH)])
def test_units_whose_worker_died_once_are_few_at_a_time(
    output: Store, dead: bool, together: int
) -> None:
    units = [unit(number, number + 1) for number in range(8)]
    for one in units if dead else []:
        output.put(f"{one.attempts_prefix(JUDGE_ID)}/shared/run.0", b"")
    judge, engine = scripted(max_num_seqs=16)
    engine.gate.clear()
    worker = runner(judge, output)

    async def all_at_once() -> None:
        runs = (worker.run(one, rows(8).part(one.start, one.stop)) for one in units)
        tasks = [asyncio.create_task(run) for run in runs]
        while len(engine.asked) < 2 * together:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)  # for more of them to begin, if they may
        engine.gate.set()
        await asyncio.gather(*tasks)

    asyncio.run(all_at_once())
    owed, most = Counter[str](), 0
    for user in engine.events:  # of each order: when it begins, and when it ends
        owed[user] ^= 1
        most = max(most, owed.total())
    assert most == 2 * together


def test_an_interrupted_run_is_no_death(output: Store) -> None:
    for run_id in ("one", "two", "three"):  # each ended by a death that may be the driver's own
        with pytest.raises(EngineDeadError):
            asyncio.run(runner(scripted(DIES)[0], output, run_id).run(unit(0, 1), rows(1, 0)))
    healthy, _ = scripted()
    asyncio.run(runner(healthy, output, "four").run(unit(0, 1), rows(1)))
    assert reasons(output) == {0: None}


def test_rows_that_another_run_committed_in_other_units_are_not_doubled(output: Store) -> None:
    everything = rows(10)
    slow, engine = scripted()
    engine.gate.clear()

    async def both() -> None:
        whole = asyncio.create_task(runner(slow, output, "a").run(unit(0, 10), everything))
        await asyncio.sleep(0)  # the slow one has begun, and found nothing committed
        for start, stop in ((2, 4), (7, 8)):
            piece = everything.part(start, stop)
            await runner(scripted()[0], output, "b").run(unit(start, stop), piece)
        engine.gate.set()
        assert (await whole).counts.pairs == 10

    asyncio.run(both())
    labels = labels_of(output.uri)
    assert [label["row"] for label in labels] == list(range(10))
    assert [label["run_id"] for label in labels] == list("aabbaaabaa")
    assert {label["unit"] for label in labels} == {
        unit(*bounds).name for bounds in ((0, 2), (2, 4), (4, 7), (7, 8), (8, 10))
    }
