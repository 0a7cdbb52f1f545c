"""The index finds the newest entry of each pair, however its runs were written and merged."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.parts import index_update
from pipeline.parts.commit import commit_part, revise_part, shard_parts
from pipeline.parts.index_update import mark_asked, update_index
from pipeline.parts.label_index import open_index
from pipeline.parts.units import Unit
from pipeline.runtime.errors import StorageError
from pipeline.store.object_store import Store
from tests.judging import JUDGE_ID, Row, judge_rows, scripted, text_pair, unit


def hashed(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


@functools.cache
def judged() -> Row:
    (row,) = judge_rows(scripted()[0], [text_pair(0)])
    return row


def labels(numbers: list[int], **change: object) -> list[Row]:
    """Label rows whose pairs are known by numbers."""
    own = ({"row": place, "pair_hash": hashed(n)} for place, n in enumerate(numbers))
    return [judged() | each | change for each in own]


Part = tuple[list[int], int, int]  # numbers of pairs, their revision and their epoch


@settings(max_examples=15)
@given(
    st.lists(
        st.lists(
            st.tuples(
                st.lists(st.integers(0, 30), min_size=1, max_size=9),
                st.integers(1, 3),
                st.integers(0, 3),
            ),
            max_size=4,
        ),
        max_size=6,
    )
)
def test_the_newest_entry_is_found(updates: list[list[Part]]) -> None:
    """Of every pair, by revision, then epoch, then the order of updates and keys."""
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(index_update, "_FILE_ROWS", 8)
        store, start, expected = Store(folder), 0, dict[int, tuple[int, int, int, str, int]]()
        for turn, parts in enumerate(updates):
            for numbers, revision, epoch in parts:
                rows = Unit("s", "cd" * 32, start, start + len(numbers))
                made = labels(numbers, revision=revision, epoch=epoch)
                made = [row | {"row": start + n} for n, row in enumerate(made)]
                commit_part(store, JUDGE_ID, rows, made)
                for offset, number in enumerate(numbers):
                    entry = (revision, epoch, turn, rows.part_key(JUDGE_ID), offset)
                    expected[number] = max(expected.get(number, entry), entry)
                start = rows.stop
            update_index(store, JUDGE_ID)
        index = open_index(store, JUDGE_ID)
        for number in range(32):
            place = index.place(hashed(number))
            found = place and (place.revision, place.epoch, place.part, place.offset)
            wanted = expected.get(number)
            assert found == (wanted and (*wanted[:2], *wanted[3:]))
        assert len(list(index.part_keys())) == sum(map(len, updates))


def test_an_update_reads_only_what_is_new(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    commit_part(store, JUDGE_ID, unit(0, 2), labels([1, 2]))
    first = update_index(store, JUDGE_ID)
    assert update_index(store, JUDGE_ID).state == first.state
    (part,) = shard_parts(store, JUDGE_ID, unit(0, 2).shard_key).parts
    rows = labels([1, 2], revision=2)
    assert revise_part(store, JUDGE_ID, unit(0, 2), part, rows, "more votes")
    store.put(part.key, b"not read again")
    second = update_index(store, JUDGE_ID)
    assert (second.place(hashed(1)), first.place(hashed(1))) != (None, None)
    found = second.place(hashed(1))
    assert found is not None
    assert found.part.endswith(".2.parquet")
    assert second.state.askings == {"": 1, "more votes": 1}
    marked = mark_asked(second, store, {part.key: "more votes"})
    assert marked.state.askings == {"more votes": 2}
    assert open_index(store, JUDGE_ID).state == marked.state


def test_a_part_that_was_removed_is_in_no_later_index(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    commit_part(store, JUDGE_ID, unit(0, 2), labels([1, 2]))
    later = [row | {"row": n} for n, row in enumerate(labels([3, 4]), 2)]
    commit_part(store, JUDGE_ID, unit(2, 4), later)
    update_index(store, JUDGE_ID)
    store.delete(unit(0, 2).part_key(JUDGE_ID))
    index = update_index(store, JUDGE_ID)
    assert [index.place(hashed(number)) is not None for number in (1, 2, 3, 4)] == [
        False,
        False,
        True,
        True,
    ]


def test_a_corrupt_part_is_named_and_left_out(tmp_path: Path) -> None:
    store, notes = Store(str(tmp_path)), list[str]()
    commit_part(store, JUDGE_ID, unit(0, 2), labels([1, 2]))
    store.put(unit(2, 4).part_key(JUDGE_ID), b"PAR1")
    index = update_index(store, JUDGE_ID, notes.append)
    assert len(notes) == 1
    assert "000000002-000000004.1.parquet: corrupt part" in notes[0]
    assert index.place(hashed(1)) is not None


def test_the_row_of_the_newest_votes_is_read(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    commit_part(store, JUDGE_ID, unit(0, 2), labels([1, 2]))
    index = update_index(store, JUDGE_ID)
    row = index.find(hashed(2))
    assert row is not None
    assert (row["row"], row["pair_hash"]) == (1, hashed(2))
    assert index.find(hashed(3)) is None
    # Another hash with the same first 16 bytes is another pair.
    assert index.find(hashed(2)[:32] + "0" * 32) is None


def test_a_store_that_fails_is_not_taken_for_a_damaged_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(str(tmp_path))
    commit_part(store, JUDGE_ID, unit(0, 2), labels([1, 2]))
    update_index(store, JUDGE_ID)
    rows = [row | {"row": row["row"] + 2} for row in labels([3, 4])]
    commit_part(store, JUDGE_ID, unit(2, 4), rows)
    index = open_index(store, JUDGE_ID)

    def fail(key: str, start: int, stop: int) -> bytes:
        raise StorageError("the network is gone")

    monkeypatch.setattr(store, "read_range", fail)
    with pytest.raises(StorageError, match="the network is gone"):
        update_index(store, JUDGE_ID)
    with pytest.raises(StorageError, match="the network is gone"):
        index.find(hashed(1))
