"""Rows of one prompt are put side by side through files: none lost, their order kept."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.ingest.grouped_rows import _rows_of, grouped_by_prompt
from pipeline.pairs.contents import asked_by_user, pair_row, text_part
from pipeline.pairs.joined_tables import joined
from schemas.pairs import PAIRS_V2


def tables(prompts: list[list[int]]) -> list[pa.Table]:
    """Tables of rows that have these prompts; ids count them."""
    numbers = itertools.count()
    return [
        pa.Table.from_pylist(
            [
                pair_row(f"{next(numbers)}", asked_by_user(text_part(f"Q{prompt}")), [])
                for prompt in some
            ],
            PAIRS_V2,
        )
        for some in prompts
    ]


@given(
    st.lists(st.lists(st.integers(0, 9), max_size=12), max_size=5),
    st.sampled_from([1, 2_000, 2**20]),
    st.sampled_from([1, 2**20]),
)
def test_every_row_comes_once_beside_those_of_its_prompt_in_their_order(
    prompts: list[list[int]], file_bytes: int, held_bytes: int
) -> None:
    given_rows = [row for table in tables(prompts) for row in table.to_pylist()]
    made = [
        row
        for table in grouped_by_prompt(tables(prompts), file_bytes, held_bytes)
        for row in table.to_pylist()
    ]
    assert sorted(made, key=lambda row: int(row["pair_id"])) == given_rows
    asked = [(row["messages"][0]["content"][0]["text"], int(row["pair_id"])) for row in made]
    runs = [[number for _, number in run] for _, run in itertools.groupby(asked, lambda x: x[0])]
    assert len(runs) == len({prompt for prompt, _ in asked})
    assert all(run == sorted(run) for run in runs)


def test_no_row_is_on_disk_twice_while_rows_are_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    prompts = [0] * 90 + list(range(200))  # of one many, and several in each file of a level
    given_out = 0
    for table in grouped_by_prompt(tables([prompts]), file_bytes=1, held_bytes=2**20):
        files = list(tmp_path.rglob("*.arrow"))
        left = sum(rows.num_rows for file in files for rows in _rows_of(file))
        # What is given out goes from disk when the next rows are asked for.
        assert left <= len(prompts) - given_out
        assert max(len(file.relative_to(tmp_path).parts) for file in files) <= 4
        given_out += table.num_rows
    assert given_out == len(prompts)
    assert not list(tmp_path.iterdir())


@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 5)), max_size=9), st.integers(1, 99)
)
def test_joined_tables_have_the_same_rows_and_never_two_schemas(
    sizes: list[tuple[str, int]], most_bytes: int
) -> None:
    numbers = itertools.count()
    small = [pa.table({name: [next(numbers) for _ in range(size)]}) for name, size in sizes]
    whole = list(joined(small, most_bytes))
    assert [row for table in whole for row in table.to_pylist()] == [
        row for table in small for row in table.to_pylist()
    ]
    assert len(whole) <= len(small)
    assert all(table.nbytes < most_bytes + 5 * 8 for table in whole)


def test_rows_before_an_error_are_joined_and_yielded_first() -> None:
    def failing() -> Iterator[pa.Table]:
        yield from (pa.table({"n": [number]}) for number in range(3))
        raise pa.ArrowInvalid("corrupt")

    whole = joined(failing(), 2**20)
    assert next(whole).to_pydict() == {"n": [0, 1, 2]}
    with pytest.raises(pa.ArrowInvalid, match="corrupt"):
        next(whole)
