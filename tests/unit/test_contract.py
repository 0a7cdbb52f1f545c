"""A table is exactly of its contract, or it is refused."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.contract import VERSION_KEY, ContractError, differences, table_of, versioned
from schemas.labels import LABELS, LABELS_V1
from schemas.pairs import PAIRS, PAIRS_V2
from tests.shards import pair

SMALL = versioned("small/v1", pa.schema([("name", pa.string()), ("count", pa.int32())]))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"name": "x"}, r"row 0: missing columns \['count'\], unknown \[\]"),
        ({"name": "x", "count": 1, "more": 2}, r"missing columns \[\], unknown \['more'\]"),
        ({"name": 7, "count": 1}, "small/v1"),
        ({"name": "x", "count": "1"}, "small/v1"),
        ({"name": "x", "count": 2**40}, "small/v1"),
    ],
)
def test_a_row_that_does_not_fit(row: dict[str, object], message: str) -> None:
    with pytest.raises(ContractError, match=message):
        table_of([row], SMALL)


@given(st.lists(st.tuples(st.none() | st.text(), st.none() | st.integers(-(2**31), 2**31 - 1))))
def test_rows_that_fit_come_back(values: list[tuple[str | None, int | None]]) -> None:
    rows: list[dict[str, object]] = [{"name": name, "count": count} for name, count in values]
    table = table_of(rows, SMALL)
    assert table.schema.equals(SMALL, check_metadata=True)
    assert table.to_pylist() == rows


def test_pairs_come_back() -> None:
    rows: list[dict[str, Any]] = [
        pair(0),
        pair(1, metadata=[{"key": "k", "value": "v"}], gold="tie"),
    ]
    assert table_of(rows, PAIRS).to_pylist() == rows


@pytest.mark.parametrize(
    ("got", "lines"),
    [
        (SMALL, []),
        (pa.schema(reversed(list(SMALL))), []),
        (SMALL.remove(0), ["column 'name' is missing (expected string)"]),
        (SMALL.set(1, pa.field("count", pa.int64())), ["column 'count' is int64, expected int32"]),
        (
            SMALL.append(pa.field("more", pa.bool_())),
            ["column 'more' is not part of the contract"],
        ),
    ],
)
def test_differences(got: pa.Schema, lines: list[str]) -> None:
    assert differences(got, SMALL) == lines


@pytest.mark.parametrize(
    ("schema", "name"),
    [
        (PAIRS, b"pairs/v1"),
        (PAIRS_V2, b"pairs/v2"),
        (LABELS_V1, b"labels/v1"),
        (LABELS, b"labels/v2"),
    ],
)
def test_contracts_say_their_version(schema: pa.Schema, name: bytes) -> None:
    assert schema.metadata[VERSION_KEY] == name
