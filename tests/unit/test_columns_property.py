"""The column mapping against a plain-Python reading of the same rows."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.pairs.column_readers import UNKNOWN_GOLD
from pipeline.pairs.columns import ColumnMapping
from schemas.pairs import MEDIA, PAIRS

Row = dict[str, Any]

TEXTS = st.none() | st.text(max_size=6)
ENCODED = st.none() | st.binary(max_size=6)
ITEMS = st.none() | st.fixed_dictionaries({"bytes": ENCODED, "path": TEXTS})
REVERSED = pa.struct([("path", pa.large_string()), ("bytes", pa.large_binary())])


def lists(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | st.lists(values, max_size=3)


# How a media column may be stored: its type and the values it holds.
MEDIA_FORMS: dict[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = {
    "struct": (MEDIA, ITEMS),
    "struct, other order, large": (REVERSED, ITEMS),
    "list of structs": (pa.list_(MEDIA), lists(ITEMS)),
    "large list of large structs": (pa.large_list(REVERSED), lists(ITEMS)),
    "pair of structs": (pa.list_(MEDIA, 2), st.none() | st.lists(ITEMS, min_size=2, max_size=2)),
    "binary": (pa.binary(), ENCODED),
    "large binary": (pa.large_binary(), ENCODED),
    "list of large binary": (pa.list_(pa.large_binary()), lists(ENCODED)),
    "path": (pa.string(), TEXTS),
    "path view": (pa.string_view(), TEXTS),
    "list of paths": (pa.list_(pa.string()), lists(TEXTS)),
    "null": (pa.null(), st.none()),
    "list of nulls": (pa.list_(pa.null()), lists(st.none())),
}
ENCODED_TEXT = pa.dictionary(pa.int8(), pa.string())
TEXT_TYPES = [pa.string(), pa.large_string(), pa.string_view(), ENCODED_TEXT]
LISTS_OF_TEXT = [pa.list_(pa.string()), pa.large_list(pa.large_string())]
STARS = st.none() | st.sampled_from(["5", " 2.5 ", "N/A", "", "-1", ".5", "1e3", "4."])
COMPLETIONS = pa.struct(
    [("said", pa.string()), ("by", pa.large_string()), ("stars", pa.string()), ("again", pa.int8())]
)
COMPLETION = st.none() | st.fixed_dictionaries(
    {"said": TEXTS, "by": TEXTS, "stars": STARS, "again": st.none() | st.integers(-9, 9)}
)
CODES = {"first": "a", "second": "b", "same": "tie", "unclear": None}

MAPPING = ColumnMapping.model_validate(
    {
        "pair_id": "key",
        "prompt": "question",
        "images": "picture",
        "videos": "info.clips",
        "response_a": "answers[0]",
        "response_b": {
            "text": "info.other",
            "images": "drawn",
            "videos": "pile[1]",
            "model": {"const": "m"},
        },
        "gold": {"column": "better", "values": CODES},
        "candidates": {"each": "completions", "text": "said", "model": "by"},
        "gold_scores": {"each": "completions", "score": ["stars", "again"]},
        "source": {"const": "tests"},
        "metadata": {"fields": {"q": "question", "n": "key", "fixed": {"const": "x"}}},
    }
)


@st.composite
def foreign_tables(draw: st.DrawFn) -> tuple[pa.Table, list[Row]]:
    """A chunked table cut out of a larger one, and the rows that it holds."""
    picture, clips, drawn = (draw(st.sampled_from(sorted(MEDIA_FORMS))) for _ in range(3))
    info = pa.struct(
        [("other", draw(st.sampled_from(TEXT_TYPES[:3]))), ("clips", MEDIA_FORMS[clips][0])]
    )
    columns: dict[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = {
        "key": (pa.int64(), st.none() | st.integers(-(2**63), 2**63 - 1)),
        "question": (draw(st.sampled_from(TEXT_TYPES)), TEXTS),
        "picture": MEDIA_FORMS[picture],
        "drawn": MEDIA_FORMS[drawn],
        "pile": (pa.list_(pa.binary()), lists(ENCODED)),
        "answers": (draw(st.sampled_from(LISTS_OF_TEXT)), lists(TEXTS)),
        "info": (
            info,
            st.none() | st.fixed_dictionaries({"other": TEXTS, "clips": MEDIA_FORMS[clips][1]}),
        ),
        "completions": (pa.list_(COMPLETIONS), lists(COMPLETION)),
        "better": (pa.string(), st.none() | st.sampled_from([*CODES, "a", "nonsense"])),
        "unrelated": (pa.float64(), st.none() | st.floats(allow_nan=False)),
    }
    rows = draw(
        st.lists(st.fixed_dictionaries({k: v for k, (_, v) in columns.items()}), max_size=7)
    )
    table = pa.table(
        {name: pa.array([r[name] for r in rows], kind) for name, (kind, _) in columns.items()}
    )
    start, cut, stop = sorted(draw(st.integers(0, len(rows))) for _ in range(3))
    chunks = [table.slice(start, cut - start), table.slice(cut, stop - cut)]
    return pa.concat_tables(chunks), rows[start:stop]


def items(value: Any) -> list[Row | None] | None:
    """A stored media value as the canonical list, in plain Python."""
    if value is None:
        return None
    return [item(v) for v in value] if isinstance(value, list) else [item(value)]


def item(value: Any) -> Row | None:
    match value:
        case bytes():
            return {"bytes": value, "path": None}
        case str():
            return {"bytes": None, "path": value}
        case dict():
            return {"bytes": value["bytes"], "path": value["path"]}
    return None


def at(values: list[Any] | None, index: int) -> Any:
    return values[index] if values is not None and len(values) > index else None


def gold(code: str | None) -> str | None:
    if code is None:
        return None
    return CODES[code] if code in CODES else UNKNOWN_GOLD + code


def candidate(completion: Row | None) -> Row:
    got = completion or {"said": None, "by": None}
    return {"text": got["said"], "images": None, "videos": None, "model": got["by"]}


def stars(completion: Row | None) -> float | None:
    numbers = {"5": 5.0, " 2.5 ": 2.5, "-1": -1.0, ".5": 0.5, "4.": 4.0}
    first = numbers.get((completion or {}).get("stars") or "")
    again = (completion or {}).get("again")
    return None if first is None or again is None else (first + again) / 2


def expected(row: Row) -> Row:
    completions = row["completions"]
    info = row["info"] or {"other": None, "clips": None}
    key = None if row["key"] is None else str(row["key"])
    return {
        "pair_id": key,
        "prompt": row["question"],
        "messages": None,
        "images": items(row["picture"]),
        "videos": items(info["clips"]),
        "response_a": {
            "text": at(row["answers"], 0),
            "images": None,
            "videos": None,
            "model": None,
        },
        "response_b": {
            "text": info["other"],
            "images": items(row["drawn"]),
            "videos": items(at(row["pile"], 1)),
            "model": "m",
        },
        "candidates": None if completions is None else [candidate(c) for c in completions],
        "gold": gold(row["better"]),
        "gold_scores": None if completions is None else [stars(c) for c in completions],
        "source": "tests",
        "metadata": [
            {"key": name, "value": value}
            for name, value in (("q", row["question"]), ("n", key), ("fixed", "x"))
        ],
    }


@settings(max_examples=100)
@given(foreign_tables())
def test_mapping_equals_a_plain_reading(made: tuple[pa.Table, list[Row]]) -> None:
    table, rows = made
    pairs = MAPPING.to_pairs(table)
    pairs.validate(full=True)
    assert pairs.schema.equals(PAIRS, check_metadata=True)
    assert pairs.to_pylist() == [expected(row) for row in rows]
    assert MAPPING.check(table.schema) == []
    only_needed = table.select(MAPPING.needed(table.schema))
    assert "unrelated" not in only_needed.column_names
    assert MAPPING.to_pairs(only_needed).equals(pairs)


def test_a_mapping_survives_its_own_dump() -> None:
    assert ColumnMapping.model_validate(MAPPING.model_dump(mode="json")) == MAPPING
