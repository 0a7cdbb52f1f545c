"""Pairs of one prompt are begun together; nothing else about them changes."""

from __future__ import annotations

import asyncio
import itertools
import random
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pipeline.labeling.pair_turns import PairTurns, prompt_keys
from pipeline.parts.part_files import read_part
from pipeline.store.object_store import Store
from tests.judging import Row, pairs_of, runner, scripted, text_pair, unit
from tests.shards import pair


def begun(slots: int, arrivals: list[list[int]]) -> list[int]:
    """In which order rows are begun that arrive in batches, each a key; as numbers of arrival."""
    order: list[int] = []

    async def run() -> None:
        turns, open_gate = PairTurns(slots), asyncio.Event()

        async def one(number: int, key: int) -> None:
            async with turns.turn(str(key).encode()):
                order.append(number)
                await open_gate.wait()

        numbers = itertools.count()
        async with asyncio.TaskGroup() as group:
            for batch in arrivals:
                for key in batch:
                    group.create_task(one(next(numbers), key))
                await asyncio.sleep(0)
            open_gate.set()

    asyncio.run(run())
    return order


def test_rows_of_a_prompt_follow_the_first_of_it_from_whichever_unit() -> None:
    assert begun(1, [[1, 2, 1, 3], [2, 1, 4]]) == [0, 2, 5, 1, 4, 3, 6]


def test_without_a_prompt_in_common_rows_are_begun_as_they_come() -> None:
    assert begun(3, [[1, 2, 3, 4, 5], [6, 7]]) == list(range(7))


def test_a_common_prompt_keeps_no_other_row_waiting_for_long() -> None:
    order = begun(1, [[1, 2, 3, *[1] * 200]])
    assert [order.index(1), order.index(2)] == [33, 66]


@given(
    st.integers(1, 5),
    st.lists(st.lists(st.integers(0, 4), max_size=30), max_size=4),
    st.integers(0, 2**16),
)
def test_every_row_has_its_turn_and_no_more_than_the_slots_at_once(
    slots: int, arrivals: list[list[int]], seed: int
) -> None:
    chance = random.Random(seed)
    done: list[int] = []
    most = held = 0

    async def run() -> list[Any]:
        nonlocal most
        turns = PairTurns(slots)

        async def one(number: int, key: int) -> None:
            nonlocal held, most
            async with turns.turn(bytes([key])):
                held += 1
                most = max(most, held)
                try:
                    for _ in range(chance.randrange(3)):
                        await asyncio.sleep(0)
                finally:
                    held -= 1
                done.append(number)

        tasks: list[asyncio.Task[None]] = []
        for batch in arrivals:
            tasks += [asyncio.create_task(one(len(tasks) + n, key)) for n, key in enumerate(batch)]
            await asyncio.sleep(0)
            for task in tasks:
                if chance.random() < 0.1:
                    task.cancel()
        return await asyncio.gather(*tasks, return_exceptions=True)

    ended = asyncio.run(run())
    assert sorted(done) == [n for n, each in enumerate(ended) if each is None]
    assert held == 0
    assert most <= slots


def test_keys_tell_questions_and_media_apart_and_nothing_else() -> None:
    def picture(data: bytes | None, path: str | None = None) -> list[Row]:
        return [{"bytes": data, "path": path}]

    rows = [
        pair(0, prompt="Same?", images=picture(b"x" * 9_000)),
        pair(1, prompt="Same?", images=picture(b"x" * 9_000), response_a={"text": "another"}),
        pair(2, prompt="Same?", images=picture(b"x" * 9_001)),
        pair(3, prompt="Same?", images=picture(None, "a.png")),
        pair(4, prompt="Same?", images=picture(None, "b.png")),
        pair(5, prompt="Another?", images=picture(b"x" * 9_000)),
        pair(6, prompt=None, images=None),
    ]
    keys = prompt_keys(pairs_of(rows))
    assert keys[0] == keys[1]
    assert len(set(keys)) == 6


def ranked(prompts: int) -> list[Row]:
    """Six pairs a prompt, far apart."""
    return [
        text_pair(prompt) | {"pair_id": f"{prompt}-{number}", "response_a": {"text": f"{number}"}}
        for number in range(6)
        for prompt in range(prompts)
    ]


def committed(tmp_path: Path, rows: list[Row], one_by_one: bool) -> list[Row]:
    """The rows of the part, begun side by side or one after the other."""
    judge, engine = scripted({}, max_num_seqs=1 if one_by_one else 64)
    store = Store(str(tmp_path))
    asyncio.run(runner(judge, store).run(unit(0, len(rows)), pairs_of(rows)))
    (key,) = [entry.key for entry in store.list("parts")]
    if one_by_one:
        asked = [user.split("?")[0] for user in engine.events]
        groups = [key for key, _ in itertools.groupby(asked)]
        assert len(groups) == len(set(groups))  # each prompt's requests are side by side
    return [row | {"judged_at": None} for row in read_part(store, key).to_pylist()]


def test_a_part_is_the_same_in_whichever_order_its_rows_were_begun(tmp_path: Path) -> None:
    rows = ranked(5)
    together = committed(tmp_path / "a", rows, one_by_one=True)
    assert together == committed(tmp_path / "b", rows, one_by_one=False)
    assert [row["row"] for row in together] == list(range(30))
