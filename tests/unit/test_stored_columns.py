"""Columns under their own names: pairs v1 and v2 in any of Arrow's layouts."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from pipeline.pairs.contents import asked_by_user, media_part, pair_row, text_part
from pipeline.pairs.mapped_rows import to_pairs
from pipeline.pairs.pair_mapping import PairMapping
from pipeline.pairs.stored_columns import stored_column
from schemas.pairs import PAIRS, PAIRS_V2
from tests.shards import as_v1

Row = dict[str, Any]


def pairs_row(**changes: object) -> Row:
    response = {"text": "t", "images": None, "videos": None, "model": None}
    row = {"pair_id": "1", "prompt": "p", "response_a": response, "response_b": response}
    return dict.fromkeys(PAIRS.names) | row | changes


def read(table: pa.Table) -> list[Row]:
    """The rows as they are in memory, written as pairs v1."""
    return [as_v1(row) for row in to_pairs(PairMapping(), table).to_pylist()]


def pairs_table(*rows: Row) -> pa.Table:
    return pa.Table.from_pylist(list(rows), PAIRS)


def foreign(**columns: pa.Array) -> pa.Table:
    """A small table that an otherwise empty mapping reads, with some columns replaced."""
    table = pairs_table(pairs_row())
    for name, array in columns.items():
        table = (
            table.set_column(table.schema.names.index(name), name, array)
            if name in table.schema.names
            else table.append_column(name, array)
        )
    return table


def test_pairs_v1_passes_through_unmapped() -> None:
    table = pairs_table(
        pairs_row(images=[{"bytes": b"x", "path": None}], metadata=[{"key": "k", "value": "v"}])
    )
    assert read(table) == [row | {"defect": None} for row in table.to_pylist()]
    assert PairMapping().needed(table.schema) == PAIRS.names


LARGE, VIEW, NULL = pa.large_string(), pa.string_view(), pa.null()
CODES = pa.dictionary(pa.int32(), LARGE)
PICTURE = pa.struct([("path", LARGE), ("bytes", pa.large_binary())])
LAYOUTS: list[tuple[str, pa.DataType]] = [
    *[(name, kind) for name in ("pair_id", "prompt", "gold") for kind in (LARGE, VIEW, CODES)],
    ("prompt", pa.dictionary(pa.int8(), VIEW)),
    ("images", pa.list_(PICTURE)),
    ("images", pa.large_list(PICTURE)),
    ("images", pa.list_(pa.struct([("bytes", pa.binary_view()), ("path", NULL)]))),
    ("messages", pa.large_list(pa.struct([("content", CODES), ("role", VIEW)]))),
    ("metadata", pa.large_list(pa.struct([("value", VIEW), ("key", CODES)]))),
    *[("metadata", pa.map_(kind, kind)) for kind in (pa.string(), LARGE)],
    ("response_a", pa.struct([("model", CODES), ("images", pa.list_(PICTURE)), ("text", LARGE)])),
    ("response_a", pa.struct([(name, NULL) for name in ("text", "images", "videos", "model")])),
    ("response_a", pa.struct([pa.field("text", VIEW, nullable=False)])),
    *[(name, NULL) for name in PAIRS.names],
    *[(name, pa.list_(NULL)) for name in ("messages", "images", "videos", "metadata")],
]


@pytest.mark.parametrize(("name", "kind"), LAYOUTS, ids=str)
def test_other_layouts_of_pairs_v1_are_read_unmapped(name: str, kind: pa.DataType) -> None:
    cells: Row = {
        "images": [{"bytes": b"x", "path": None}],
        "messages": [{"role": "user", "content": "hi"}],
        "metadata": [{"key": "k", "value": "v"}],
        "response_a": {"text": "t", "images": [{"bytes": b"x", "path": "p"}], "model": "m"},
    }
    cell = cells.get(name, "a")
    if kind in (NULL, pa.list_(NULL)):
        cell = None if kind == NULL else []
    elif name == "response_a":
        cell = {f.name: None if f.type == NULL else cell[f.name] for f in kind}
    if pa.types.is_dictionary(kind):
        array = pa.DictionaryArray.from_arrays([0, None], pa.array([cell], kind.value_type))
    else:
        array = pa.array([[("k", "v")] if pa.types.is_map(kind) else cell, None], kind)
    expected = pairs_table(pairs_row(**{name: cell}), pairs_row(**{name: None}))
    stored = expected.set_column(PAIRS.names.index(name), name, array)
    assert PairMapping().check(stored.schema) == []
    for start, rows in ((0, 2), (1, 1), (0, 0)):
        to_pairs(PairMapping(), stored.slice(start, rows)).validate(full=True)
        assert read(stored.slice(start, rows)) == read(expected.slice(start, rows))


V2 = pair_row(
    "1",
    asked_by_user(media_part("image", {"bytes": b"abcd", "path": "p"}), text_part("Which?")),
    [[text_part("x")], [media_part("video", {"bytes": None, "path": "q"})]],
    gold="a",
    metadata=[{"key": "k", "value": "v"}],
)
PART = pa.struct([("text", VIEW), ("type", CODES), ("video", PICTURE), ("image", PICTURE)])
TURNS = pa.large_list(pa.struct([("content", pa.list_(PART)), ("role", LARGE)]))


def test_pairs_v2_pass_through_in_any_layout_and_share_their_bytes() -> None:
    plain = pa.Table.from_pylist([V2], PAIRS_V2)
    (expected,) = to_pairs(PairMapping(), plain).to_pylist()
    assert expected == V2 | {"hashed_question": None, "hashed_answers": None, "defect": None}
    stored = pa.array([V2["messages"]] * 2, TURNS)[1:]
    table = plain.set_column(plain.column_names.index("messages"), "messages", stored)
    pairs = to_pairs(PairMapping(), table)
    assert pairs.to_pylist() == [expected]
    before, after = (
        array.flatten().field("content").flatten().field("image").field("bytes").buffers()[2]
        for array in (stored, pairs["messages"].chunk(0))
    )
    assert after.address == before.address


def test_absent_optional_columns_become_nulls() -> None:
    table = pairs_table(pairs_row()).select(["response_b", "pair_id", "response_a", "prompt"])
    assert read(table) == read(pairs_table(pairs_row()))


def test_a_slice_far_into_a_large_buffer_is_narrowed() -> None:
    far = 2**31 + 10
    data = bytearray(16)
    offsets = pa.array([far - 4, far], pa.int64()).buffers()[1]
    # Only the last bytes of the value buffer exist: an address `far` before them stands in for
    # a buffer of more than 2 GiB, of which nothing else is ever read.
    tail = pa.py_buffer(data)
    data[:4] = b"tail"
    base = pa.foreign_buffer(tail.address - (far - 4), far, tail)
    array = pa.LargeBinaryArray.from_buffers(pa.large_binary(), 1, [None, offsets, base])
    assert stored_column(array, pa.binary()).to_pylist() == [b"tail"]
    table = pairs_table(pairs_row()).drop_columns("images").append_column("images", array)
    assert read(table)[0]["images"] == [{"bytes": b"tail", "path": None}]


def test_all_missing_columns_are_named_at_once() -> None:
    schema = pa.schema([("query", pa.string())])
    problems = PairMapping().check(schema)
    assert [line.split(" is missing")[0] for line in problems] == [
        "required column 'pair_id'",
        "required column 'prompt' or 'messages'",
        "required column 'response_a' or 'candidates'",
        "required column 'response_b' or 'candidates'",
    ]
    assert all(line.endswith("columns there: query") for line in problems)


def test_row_problems_name_the_first_thing_wrong() -> None:
    empty: Row = {"text": "", "images": [], "videos": None, "model": "m"}
    picture = {
        "text": None,
        "images": [{"bytes": b"x", "path": None}],
        "videos": None,
        "model": None,
    }
    table = pairs_table(
        pairs_row(),
        pairs_row(pair_id=None, gold="?"),
        pairs_row(pair_id=""),
        pairs_row(prompt=""),
        pairs_row(prompt=None, messages=[{"role": "user", "content": "hi"}]),
        pairs_row(response_a=empty),
        pairs_row(response_b=None),
        pairs_row(response_b=picture, gold="tie"),
        pairs_row(gold="A"),
    )
    assert to_pairs(PairMapping(), table)["defect"].to_pylist() == [
        None,
        "pair_id is null or empty",
        "pair_id is null or empty",
        "there is no question: messages hold nothing",
        None,
        "candidate a has neither text nor media",
        "candidate b has neither text nor media",
        None,
        "gold is not a, b, tie or null: A",
    ]
    v2 = pa.Table.from_pylist([V2 | {"gold": "A"}, V2 | {"candidates": []}, V2], PAIRS_V2)
    assert to_pairs(PairMapping(), v2)["defect"].to_pylist() == [
        "gold is not a, b, tie or null: A",
        None,
        None,
    ]


def test_a_column_that_is_read_and_there_twice_is_named() -> None:
    again = [
        pa.field("prompt", pa.string()),
        pa.field("note", pa.int8()),
        pa.field("note", pa.int8()),
    ]
    doubled = pa.schema([*PAIRS, *again])
    assert PairMapping().check(doubled) == ["two columns are called 'prompt': rename or remove one"]
    assert PairMapping().check(pa.schema([*PAIRS, *again[1:]])) == []
