"""Columns under their own names: pairs v1 in any of Arrow's layouts, read without a loop."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from pipeline.pairs.contract_checks import row_problems
from pipeline.pairs.mapped_rows import to_pairs
from pipeline.pairs.pair_mapping import PairMapping
from schemas.pairs import MEDIA, PAIRS

Row = dict[str, Any]


def pairs_row(**changes: object) -> Row:
    response = {"text": "t", "images": None, "videos": None, "model": None}
    row = {"pair_id": "1", "prompt": "p", "response_a": response, "response_b": response}
    return dict.fromkeys(PAIRS.names) | row | changes


def read(table: pa.Table) -> pa.Table:
    return to_pairs(PairMapping(), table).select(PAIRS.names)


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
    assert read(table).equals(table)
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
        mapped = read(stored.slice(start, rows))
        mapped.validate(full=True)
        assert mapped.to_pylist() == expected.slice(start, rows).to_pylist()


def test_media_of_another_layout_share_their_bytes() -> None:
    kind = pa.struct([("text", LARGE), ("images", pa.large_list(PICTURE))])
    row = {"text": "t", "images": [{"path": "p", "bytes": b"abcd"}]}
    stored = pa.array([row, row], kind)
    mapped = read(foreign(response_a=stored[1:]))["response_a"].chunk(0)
    before, after = (a.field("images").values.field("bytes") for a in (stored, mapped))
    assert after.to_pylist() == [b"abcd"]
    assert after.buffers()[2].address == before.buffers()[2].address


def test_absent_optional_columns_become_nulls() -> None:
    table = pairs_table(pairs_row()).select(["response_b", "pair_id", "response_a", "prompt"])
    assert read(table).to_pylist() == pairs_table(pairs_row()).to_pylist()


def test_media_bytes_are_shared_with_the_input() -> None:
    pictures = pa.array([{"bytes": b"abcd", "path": "p"}, {"bytes": b"efgh", "path": "q"}], MEDIA)
    table = pairs_table(*[pairs_row()] * 2).drop_columns("images")
    table = table.append_column("images", pictures)
    mapped = read(table.slice(1))["images"].chunk(0)
    assert mapped.to_pylist() == [[{"bytes": b"efgh", "path": "q"}]]
    assert (
        mapped.values.field("bytes").buffers()[2].address == pictures.field(0).buffers()[2].address
    )


def test_values_hidden_under_null_lists_are_dropped() -> None:
    values = pa.array([b"a", b"hidden", b"c"])
    hiding = pa.ListArray.from_arrays(
        pa.array([0, 1, 2, 3], pa.int32()), values, mask=pa.array([False, True, False])
    )
    table = pairs_table(*[pairs_row()] * 3).drop_columns("images")
    mapped = read(table.append_column("images", hiding))
    column = mapped["images"].chunk(0)
    assert column.values.field("bytes").to_pylist() == [b"a", b"c"]
    assert column.offsets.to_pylist() == [0, 1, 1, 2]
    assert [items and items[0]["bytes"] for items in column.to_pylist()] == [b"a", None, b"c"]


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
    table = pairs_table(pairs_row()).drop_columns("images").append_column("images", array)
    mapped = read(table)
    assert mapped["images"].to_pylist() == [[{"bytes": b"tail", "path": None}]]


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
    assert row_problems(pa.concat_tables([table.slice(0, 3), table.slice(3)])).to_pylist() == [
        None,
        "pair_id is null or empty",
        "pair_id is null or empty",
        "neither prompt nor messages holds anything",
        None,
        "response_a has neither text nor media",
        "response_b has neither text nor media",
        None,
        "gold is not a, b, tie or null: A",
    ]
    assert len(row_problems(table.slice(0, 0))) == 0
