"""Python values as Arrow arrays: as pyarrow makes them, without a copy where none is needed."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.pairs.array_of import array_of
from pipeline.pairs.arrow_values import values_of
from schemas.pairs import MEDIA, PAIRS_V2

MESSAGES = PAIRS_V2.field("messages").type


def maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


media = st.fixed_dictionaries(
    {"bytes": maybe(st.binary(max_size=5)), "path": maybe(st.just("a.png"))}
)
parts = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["text", "image", "video"]),
        "text": maybe(st.text(st.characters(codec="utf-8"), max_size=3)),
        "image": maybe(media),
        "video": maybe(media),
    }
)
message = st.fixed_dictionaries(
    {"role": st.just("user"), "content": maybe(st.lists(maybe(parts), max_size=3))}
)


@given(st.lists(maybe(st.lists(maybe(message), max_size=3)), max_size=4))
def test_nested_values_are_as_pyarrow_makes_them(values: list[Any]) -> None:
    made = array_of(values, MESSAGES)
    made.validate(full=True)
    assert made.equals(pa.array(values, MESSAGES))


def test_pictures_of_a_column_are_not_copied() -> None:
    column = pa.array([{"bytes": b"12", "path": None}, None, {"bytes": b"345", "path": "p"}], MEDIA)
    made = array_of(values_of(column), MEDIA)
    assert made.equals(column)
    assert made.field("bytes").buffers()[2].address == column.field("bytes").buffers()[2].address


def test_pictures_that_lie_apart_are_joined() -> None:
    first, second = (pa.array([data]) for data in (b"12", b"345"))
    views = [*values_of(second), *values_of(first)]
    assert array_of(views, pa.binary()).to_pylist() == [b"345", b"12"]


def test_shared_pictures_outlive_their_source() -> None:
    column = pa.array([bytes([n]) * 100_000 for n in range(3)])
    made = array_of(values_of(column), pa.binary())
    del column
    assert made.to_pylist() == [bytes([n]) * 100_000 for n in range(3)]


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), pa.binary_view(), pa.binary(2)])
def test_views_of_a_slice(kind: pa.DataType) -> None:
    column = pa.array([b"ab", None, b"cd", b"ef"], kind).slice(1, 2)
    assert [each and bytes(each) for each in values_of(column)] == [None, b"cd"]


def test_a_value_that_does_not_fit() -> None:
    with pytest.raises(pa.ArrowException):
        array_of([{"bytes": 1.5, "path": None}], MEDIA)
