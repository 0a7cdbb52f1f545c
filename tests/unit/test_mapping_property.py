"""Mappings of any rows: what fits is kept, what does not costs its row, and nothing else."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pyarrow as pa
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.pairs.arrow_values import values_of
from pipeline.pairs.contents import shown_text, text_of
from pipeline.pairs.contract_checks import row_problems
from pipeline.pairs.conversations import Unfit, content, shown
from pipeline.pairs.known_layouts import known_layout, layout_names
from pipeline.pairs.mapped_rows import pair_of, to_pairs
from pipeline.pairs.mapping_config import MappingConfig
from pipeline.pairs.mapping_functions import FUNCTIONS, PairFunctions
from pipeline.pairs.pair_fields import READ
from pipeline.pairs.pair_mapping import PairMapping
from pipeline.pairs.placing import place
from schemas.pairs import MEDIA, PAIRS
from tests.shards import as_v1

Row = dict[str, Any]

TEXT = st.text(max_size=6) | st.sampled_from(["<image>", "a<image>b", "<video>\n", "\n\nHuman: x"])
SCALARS = st.none() | st.booleans() | st.integers(-3, 9) | st.floats(width=32) | TEXT
NAMES = st.sampled_from(
    ["role", "from", "content", "value", "type", "text", "image", "url", "bytes", "path", "model"]
)
ROLES = st.sampled_from(["user", "human", "gpt", "assistant", "system", "tool", "narrator", None])
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(NAMES, inner, max_size=3)
        | st.fixed_dictionaries({"role": ROLES, "content": inner})
    ),
    max_leaves=12,
)
OTHERS = (
    ("chosen", "rejected", "conversations", "image", "responses", "generations", "ranking"),
    ("output_1", "output_2", "instruction", "preference", "winner", "conversation_a"),
    ("conversation_b", "score_chosen", "score_rejected"),
)
COLUMNS = st.sampled_from([*PAIRS.names, *(name for names in OTHERS for name in names)])
ROWS = st.dictionaries(COLUMNS, VALUES, max_size=8)


@given(ROWS, st.sampled_from(layout_names()))
def test_any_row_is_read_or_named(row: Row, layout: str) -> None:
    pair, problems = pair_of(known_layout(layout).mapping, row)
    assert list(pair) == READ.names
    assert all(isinstance(problem, str) and problem for problem in problems)
    try:
        pa.Table.from_pylist([pair], READ).validate(full=True)
    except UnicodeEncodeError:
        assert "\\ud" in json.dumps(pair)  # half a character, which costs its row


@given(st.data())
def test_functions_answer_or_refuse(data: st.DataObject) -> None:
    ours = [name for name in vars(PairFunctions) if name.startswith("_func_")]
    name = data.draw(st.sampled_from(sorted(ours))).removeprefix("_func_")
    count = len(FUNCTIONS.FUNCTION_TABLE[name]["signature"])
    arguments = data.draw(st.lists(VALUES, min_size=count, max_size=count))
    with contextlib.suppress(Unfit):
        getattr(FUNCTIONS, f"_func_{name}")(*arguments)


@example([{"n": "", "l": []}])
@example([{"n": float("nan"), "l": ["x"]}, {"n": float("-inf"), "l": []}])
@given(st.lists(st.fixed_dictionaries({"n": SCALARS, "l": st.lists(TEXT, max_size=2)}), max_size=5))
def test_one_odd_value_costs_its_row(rows: list[Row]) -> None:
    mapping = MappingConfig(
        map={"pair_id": "'1'", "messages": "n", "a": "l[0]", "b": "l[1]", "gold": "null"}
    ).mapping()
    texts = [json.dumps(row["n"]) for row in rows]
    odd = pa.ExtensionArray.from_storage(pa.json_(), pa.array(texts, pa.string()))
    table = pa.table({"n": odd, "l": pa.array([row["l"] for row in rows], pa.list_(pa.string()))})
    pairs = to_pairs(mapping, table.select(["n", "l"])).to_pylist()
    for row, pair in zip(rows, pairs, strict=True):
        fits = isinstance(row["n"], str) or row["n"] is None or row["n"] != row["n"]
        said = f"messages (n): got {shown(row['n'])}, expected a conversation"
        assert fits != str(pair["defect"]).startswith(said)
        if isinstance(row["n"], str) and "<" not in row["n"]:
            assert as_v1(pair)["prompt"] == (row["n"] or None)  # an empty text asks nothing
        first = pair["candidates"][0] or {"content": None}
        assert text_of(first["content"]) == (row["l"][0] or None if row["l"] else None)


PARTS = st.lists(st.sampled_from(["text", "<image>", "more", "<video>"]), max_size=6)


@given(PARTS, st.integers(0, 4), st.integers(0, 4))
def test_media_stand_in_their_order(pieces: list[str], images: int, videos: int) -> None:
    held = {"image": [f"i{n}" for n in range(images)], "video": [f"v{n}" for n in range(videos)]}
    text = "".join(pieces)
    counts = {kind: text.count(f"<{kind}>") for kind in held}
    try:
        (placed,) = place([content(text)], held)
    except Unfit:
        assert any(counts[kind] not in (0, len(held[kind])) and held[kind] for kind in held)
        return
    for kind in held:
        assert [each[kind] for each in placed if each["type"] == kind] == held[kind]
    written = shown_text(placed)
    if all(counts[kind] == len(held[kind]) for kind in held):
        assert written == text
    if not text:
        assert [each["type"] for each in placed] == ["image"] * images + ["video"] * videos


TYPES: list[tuple[pa.DataType, st.SearchStrategy[Any]]] = [
    (pa.string(), TEXT),
    (pa.large_string(), TEXT),
    (pa.string_view(), TEXT),
    (pa.int8(), st.integers(-9, 9)),
    (pa.float64(), st.floats(allow_nan=False)),
    (pa.bool_(), st.booleans()),
]


@st.composite
def arrays(draw: st.DrawFn, depth: int = 2) -> tuple[pa.DataType, st.SearchStrategy[Any]]:
    """An Arrow type and the values it holds."""
    kind, values = draw(st.sampled_from(TYPES))
    for _ in range(draw(st.integers(0, depth))):
        inner = st.none() | values
        form = draw(st.sampled_from(["list", "large", "view", "fixed", "struct", "map"]))
        if form == "struct":
            kind, values = pa.struct([("x", kind)]), st.fixed_dictionaries({"x": inner})
        elif form == "map":
            kind = pa.map_(pa.string(), kind)
            values = st.dictionaries(st.text(max_size=2), inner, max_size=2)
        elif form == "fixed":
            kind, values = pa.list_(kind, 2), st.lists(inner, min_size=2, max_size=2)
        else:
            make = {"list": pa.list_, "large": pa.large_list, "view": pa.list_view}[form]
            kind, values = make(kind), st.lists(inner, max_size=3)
    return kind, st.none() | values


@given(st.data())
def test_values_of_any_arrow_type(data: st.DataObject) -> None:
    kind, strategy = data.draw(arrays())
    values = data.draw(st.lists(strategy, max_size=5))
    array = pa.array(values, kind)
    start, stop = sorted(data.draw(st.integers(0, len(values))) for _ in range(2))
    assert values_of(array.slice(start, stop - start)) == values[start:stop]


V1_TEXTS = st.sampled_from([None, "", "t", "two\n", "<image>", "a <image>\nb", "<video>x", "é"])
PATHS: list[Row | None] = [{"bytes": None, "path": path} for path in ("p", "", None)]
V1_MEDIA = st.sampled_from([None, [], None, [{"bytes": b"x", "path": None}], [*PATHS, None]])
V1_TURNS = st.none() | st.fixed_dictionaries({"role": ROLES, "content": V1_TEXTS})
V1_RESPONSES = st.none() | st.fixed_dictionaries(
    {
        "text": V1_TEXTS,
        "images": V1_MEDIA,
        "videos": V1_MEDIA,
        "model": st.sampled_from([None, "m"]),
    }
)
# Mostly ordinary rows, so that both ways of reading have some of most batches.
V1_ROWS = st.fixed_dictionaries(
    {
        "pair_id": st.sampled_from(["1", "", None]),
        "prompt": st.sampled_from(["q", "q"]) | V1_TEXTS,
        "messages": st.none() | st.lists(V1_TURNS, max_size=3),
        "images": V1_MEDIA,
        "videos": V1_MEDIA,
        "response_a": V1_RESPONSES,
        "response_b": V1_RESPONSES,
        "candidates": st.none() | st.none() | st.lists(V1_RESPONSES, max_size=3),
        "gold": st.sampled_from([None, "a", "tie"]),
        "gold_scores": st.none() | st.none() | st.lists(st.none() | st.floats(0, 1), max_size=3),
        "metadata": st.none() | st.just([{"key": "k", "value": "v"}]),
    }
)


@given(st.lists(V1_ROWS, max_size=5), st.integers(0, 2), st.booleans())
def test_ordinary_rows_of_pairs_v1_are_read_as_single_ones_are(
    rows: list[Row], skipped: int, shown_media: bool
) -> None:
    table = pa.Table.from_pylist([dict.fromkeys(PAIRS.names) | row for row in rows], PAIRS)
    assert_read_as_single_rows(PairMapping(media=shown_media), table.slice(skipped))


TEXT_ROWS = st.fixed_dictionaries(
    {
        **dict.fromkeys(("id", "x", "y"), st.sampled_from(["words", "words", ""]) | V1_TEXTS),
        "q": st.sampled_from(["q", "q"]) | TEXT,
        "number": st.sampled_from([0.5, None]),  # no id
        "nothing": st.none(),
        "medium": st.sampled_from([{"bytes": b"1", "path": None}] * 2 + [*PATHS, None]),
    }
)
TEXT_MAPS = [
    {"pair_id": "id", "messages": "q", "candidates": "[x, y]"},
    {"pair_id": "number", "messages": "q", "a": "x", "b": "y", "gold": "y", "source": "id"},
    {"messages": "[q]", "candidates": "[x, y, q]", "gold_scores": "[number]"},
    {"messages": "q", "images": "x", "a": "x", "candidates": "[y]"},
    {"messages": "q || x", "a": "none", "b": "y", "pair_id": "[id]", "source": "[x, y]"},
    {"messages": "(whole(q) && turns(q) || q)", "a": "y", "b": "[y, x][1]", "gold": "'tie'"},
    {"messages": "[q, x][1]", "a": "x && y", "b": "none || 'said'", "source": "type(x)"},
    {"messages": "q", "a": "x", "b": "y", "gold": "x == `null` && 'a' || y != 'b' && 'b' || q"},
    {"messages": "q", "images": "none", "a": "x", "b": "y", "gold": "winner(none, number)"},
    {"messages": "q", "images": "[medium]", "videos": "id", "a": "x", "b": "y"},
    {"messages": "q", "images": "none || medium", "a": "x", "b": "y", "pair_id": "medium"},
    {"messages": "q", "videos": "[medium, medium]", "a": "x", "b": "type(medium)"},
    {"messages": "medium", "images": "[[medium]][0]", "a": "medium", "b": "y"},
    {"messages": "q", "images": "nothing", "a": "[x, y][2]", "b": "x == y", "gold": "x"},
]


@given(st.lists(TEXT_ROWS, max_size=5), st.integers(0, 2), st.sampled_from(TEXT_MAPS))
def test_columns_of_texts_are_read_as_single_texts_are(
    rows: list[Row], skipped: int, fields: dict[str, str]
) -> None:
    kinds = {"q": pa.large_string(), "number": pa.float64(), "nothing": pa.null(), "medium": MEDIA}
    columns = {
        name: pa.array([row[name] for row in rows], kinds.get(name, pa.string()))
        for name in ("id", "q", "x", "y", *kinds)
    }
    mapping = MappingConfig(map=fields).mapping()
    assert_read_as_single_rows(mapping, pa.table(columns).slice(skipped))


@given(st.lists(TEXT_ROWS, max_size=5), st.sets(st.sampled_from(["prompt", "image", "scores"])))
def test_texts_of_a_layout_are_read_as_single_texts_are(rows: list[Row], there: set[str]) -> None:
    def column(name: str) -> pa.Array:
        return pa.array([row[name] for row in rows], pa.float64() if name == "number" else None)

    columns = {"chosen": column("x").cast(pa.string()), "rejected": column("y").cast(pa.string())}
    if "prompt" in there:
        columns["prompt"] = column("q").cast(pa.string())
    if "image" in there:
        columns["image"] = column("nothing")
    if "scores" in there:
        columns |= dict.fromkeys(("score_chosen", "score_rejected"), column("number"))
    assert_read_as_single_rows(known_layout("trl").mapping, pa.table(columns))


def assert_read_as_single_rows(mapping: PairMapping, table: pa.Table) -> None:
    pairs = to_pairs(mapping, table)
    pairs.validate(full=True)
    for pair, row in zip(pairs.to_pylist(), table.to_pylist(), strict=True):
        read, problems = pair_of(mapping, row)
        one = pa.Table.from_pylist([read], READ)
        if not problems:
            columns = {name: one[name].combine_chunks() for name in READ.names}
            read["defect"] = row_problems(columns)[0].as_py()
        assert pair == one.to_pylist()[0] | {"defect": "; ".join(problems) or read["defect"]}
