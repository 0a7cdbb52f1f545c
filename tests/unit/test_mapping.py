"""Mappings by expression: what is read, what is missing, what an odd value costs."""

from __future__ import annotations

import datetime
import decimal
import json
import uuid
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from pipeline.pairs.contract_checks import with_defects_kept
from pipeline.pairs.mapped_rows import pair_of, to_pairs
from pipeline.pairs.mapping_config import MappingConfig
from pipeline.pairs.pair_mapping import PairMapping
from pipeline.pairs.row_groups import GroupReader
from pipeline.runtime.errors import ConfigError
from pipeline.store.object_store import Store
from schemas.pairs import PAIRS, PAIRS_V2
from tests.shards import as_v1, pair, response

Row = dict[str, Any]
BASE = {"pair_id": "id", "messages": '`"q"`', "a": '`"x"`', "b": '`"y"`'}


def mapping(**expressions: str | None) -> PairMapping:
    """A mapping of other fields beside some that always fit."""
    return MappingConfig(map=BASE | expressions).mapping()


def one(expressions: Row, **columns: Any) -> tuple[Row, list[str]]:
    found, problems = pair_of(mapping(**expressions), {"id": "1"} | columns)
    return as_v1(found), problems


def test_a_conversation_of_objects_without_messages_is_not_whole() -> None:
    assert one({"source": "whole(m)"}, m=[{"role": []}])[1] == []
    assert one({"source": "whole(m)"}, m=[{"role": []}])[0]["source"] == "false"


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (pa.array([7], pa.int8()), "7"),
        (pa.array(["007"]), "007"),
        (pa.array([decimal.Decimal("7.10")]), "7.10"),
        (pa.array([decimal.Decimal("12345678901234567890123")]), "12345678901234567890123"),
        (pa.array(["x"]).dictionary_encode(), "x"),
        (pa.array(["x"], pa.string_view()), "x"),
        (pa.array([datetime.date(2024, 1, 31)]), "2024-01-31"),
        (
            pa.ExtensionArray.from_storage(
                pa.uuid(), pa.array([uuid.UUID(int=7).bytes], pa.binary(16))
            ),
            "00000000-0000-0000-0000-000000000007",
        ),
    ],
    ids=lambda value: str(getattr(value, "type", "")),
)
@pytest.mark.parametrize("layout", [None, "pairs"])
def test_ids_as_written(value: pa.Array, written: str, layout: str | None) -> None:
    row = {k: v for k, v in pair(0).items() if k not in ("pair_id", "images")}
    table = pa.Table.from_pylist([row], pa.schema([f for f in PAIRS if f.name in row]))
    if layout is None:
        pairs = to_pairs(mapping(), pa.table({"id": value}))
    else:
        pairs = to_pairs(PairMapping(), table.append_column("pair_id", value))
    assert pairs["defect"].to_pylist() == [None]
    assert pairs["pair_id"].to_pylist() == [written]


@pytest.mark.parametrize(
    ("expressions", "columns", "got"),
    [
        ({"gold": "winner(x, y)"}, {"x": 9, "y": "2.5"}, "a"),
        ({"gold": "winner(x, y)"}, {"x": 1, "y": 9}, "b"),
        ({"gold": "winner(x, `0.5`)"}, {"x": 0.5}, "tie"),
        ({"gold": "winner(x, y)"}, {"x": None, "y": 9}, None),
        ({"gold": "winner(json(x), y)"}, {"x": "NaN", "y": 9}, None),
        ({"gold": "winner_of_ranks(x)"}, {"x": [1, 2]}, "a"),
        ({"gold": "winner_of_ranks(x)"}, {"x": [1, 0]}, "b"),
        ({"gold": "winner_of_ranks(x)"}, {"x": [2, 2]}, "tie"),
        ({"gold": "winner_of_ranks(x)"}, {"x": [1, None]}, None),
        ({"gold": "one_hot(x, y, z)"}, {"x": 0, "y": 0, "z": 1}, "tie"),
        ({"gold": "one_hot(x, y)"}, {"x": "0", "y": "1"}, "b"),
        ({"gold": 'recode(x, `{"true": "a"}`)'}, {"x": True}, "a"),
        ({"gold": 'recode(x, `{"1": "a"}`)'}, {"x": 1.0}, "a"),
        ({"gold": 'recode(majority(x), `{"1": "a"}`)'}, {"x": [1, 1, 2]}, "a"),
        ({"gold": "majority(x)"}, {"x": ["a", "b"]}, None),
    ],
)
def test_gold(expressions: Row, columns: Row, got: str | None) -> None:
    found, problems = one(expressions, **columns)
    assert (problems, found["gold"]) == ([], got)


@pytest.mark.parametrize(
    ("expressions", "columns", "problem"),
    [
        ({"gold": "winner_of_ranks(x)"}, {"x": [9, 1]}, "got the list [9, 1], expected ranks from"),
        ({"gold": "winner_of_ranks(x)"}, {"x": [1, 2, 3]}, "expected two ranks"),
        ({"gold": "winner(x, x)"}, {"x": "N/A"}, "got the text 'N/A', expected a number"),
        ({"gold": "winner(x, x)"}, {"x": True}, "got the boolean true, expected a number"),
        ({"gold": "one_hot(x, y)"}, {"x": 1, "y": 1}, "got 2 flags that are set, expected one"),
        ({"gold": "one_hot(x, y)"}, {"x": 7, "y": 0}, "expected flags of 0 and 1"),
        ({"gold": "x"}, {"x": "A"}, "gold (x): got the text 'A', expected a, b, tie or null"),
        ({"gold": 'recode(x, `{"A": "a"}`)'}, {"x": "C"}, "got the text 'C', expected one of A"),
        ({"gold_scores": "scores_of_ranks(x)"}, {"x": [10, 1]}, "expected ranks from 1 to 2"),
        ({"messages": "x"}, {"x": 7}, "messages (x): got the number 7, expected a conversation"),
        ({"messages": "x"}, {"x": [{"role": "robot", "content": "q"}]}, "the role 'robot'"),
        ({"messages": "json(x)"}, {"x": "{"}, "got the text '{', expected a text of JSON"),
        ({"messages": "turns(x)"}, {"x": "Hi"}, "expected a text of turns"),
        ({"a": "x"}, {"x": True}, "a (x): got the boolean true, expected a text"),
        ({"a": "x"}, {"x": {"answer": "y"}}, "expected a candidate"),
        ({"images": "x"}, {"x": 1.5}, "got the number 1.5, expected media"),
        ({"images": "x"}, {"x": {"bytes": 1, "path": None}}, "expected media"),
        ({"pair_id": "x"}, {"x": 1.5}, "got the number 1.5, expected a text or an integer"),
        ({"metadata": "x"}, {"x": "hi"}, "got the text 'hi', expected an object"),
        ({"pair_id": "x"}, {"x": {"n": [memoryview(b"1")]}}, "got the object {'n': [bytes]}, exp"),
        ({"candidates": "[x, x]", "gold_scores": "[x]"}, {"x": "1"}, "got 1 gold scores, expec"),
        ({"source": "length(x)"}, {"x": None}, "length()"),
    ],
)
def test_an_odd_value_is_named(expressions: Row, columns: Row, problem: str) -> None:
    _, problems = one(expressions, **columns)
    assert len(problems) == 1
    assert problem in problems[0]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a..b", "is no JMESPath expression"),
        ("last_user()", "last_user takes 1 arguments, got 0"),
        ("lastuser(m)", "there is no function lastuser"),
        ("join()", "join takes 1 arguments or more"),
        ("map(&foo(@), x)", "there is no function foo"),
    ],
)
def test_expressions_that_no_row_fits_are_refused(text: str, problem: str) -> None:
    with pytest.raises(ValidationError, match="messages: ") as refusal:
        MappingConfig(map={"messages": text})
    assert problem in str(refusal.value)


def test_names_that_mean_nothing_are_refused() -> None:
    with pytest.raises(ValidationError, match="mesages: there is no such field; did you mean"):
        MappingConfig(map={"mesages": "x"})
    with pytest.raises(ValidationError, match=r"layout 'sharegtp': expected one of .*sharegpt\?"):
        MappingConfig(layout="sharegtp")
    with pytest.raises(ConfigError, match="only proposes"):
        MappingConfig(layout="auto").mapping()


SCHEMA = pa.schema(
    [
        ("id", pa.int64()),
        ("info", pa.struct([("clips", pa.list_(pa.string())), ("big", pa.binary())])),
        ("said", pa.list_(pa.struct([("who", pa.string()), ("what", pa.string())]))),
        ("image", pa.binary()),
        ("prompt", pa.string()),
        ("gold", pa.string()),
    ]
)


def test_only_what_is_mapped_is_read() -> None:
    made = MappingConfig(
        map={
            "pair_id": "id",
            "videos": "info.clips",
            "messages": "said[-1].what",
            "a": "said[0].who",
        }
    ).mapping()
    assert made.check(SCHEMA) == []
    assert made.needed(SCHEMA) == ["id", "info.clips", "said"]
    assert made.uses(SCHEMA)["said"] == ["messages", "a"]
    assert made.unread(SCHEMA) == ["image", "prompt"]
    assert made.narrowed(["pair_id"]).needed(SCHEMA) == ["id"]
    assert MappingConfig(map={"messages": "keys(@)"}).mapping().needed(SCHEMA) == SCHEMA.names


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("gone", "column 'gone' is missing; there are: id, info"),
        ("imag", "did you mean image?"),
        ("info.clip", "field 'clip' is missing; there are: clips, big; did you mean clips?"),
        ("said[0].whom", "field 'whom' is missing; there are: who, what"),
        ("said[].whom", "field 'whom' is missing"),
        ("said[?whom == 'x'].what | [0]", "field 'whom' is missing"),
        ("id.x", "id: got int64, expected a field 'x'"),
        ("id[0]", "id: got int64, expected a list"),
        ("gone || also_gone", "column 'also_gone' is missing"),
        ("join([prompt, gone])", "column 'gone' is missing"),
    ],
)
def test_names_that_are_not_there_are_listed(expression: str, problem: str) -> None:
    (found,) = [each for each in mapping(source=expression).check(SCHEMA) if problem in each]
    assert found.startswith(f"source ({expression}): ")


def test_a_map_without_a_question_or_candidates_is_refused() -> None:
    made = MappingConfig(map={"pair_id": "id", "messages": "prompt"}).mapping()
    nothing = "there is nothing to judge"
    assert made.check(SCHEMA) == [f"map: no expression gives a or b or candidates: {nothing}"]
    made = MappingConfig(map={"a": "prompt", "b": None}).mapping()
    assert made.check(SCHEMA) == [f"map: no expression gives messages: {nothing}"]


def test_either_of_two_columns_will_do() -> None:
    assert mapping(source="gone || prompt", images="image || images").check(SCHEMA) == []


def test_a_field_can_be_unmapped() -> None:
    row = pair(0) | {"metadata": [{"key": "k", "value": "v"}], "gold": "a"}
    unmapped = MappingConfig(
        layout="pairs", map={"images": None, "metadata": None, "gold": None}
    ).mapping()
    table = pa.Table.from_pylist([row], PAIRS)
    found = as_v1(to_pairs(unmapped, table).to_pylist()[0])
    assert (found["images"], found["metadata"], found["gold"]) == (None, None, None)
    assert found["prompt"] == row["prompt"]
    assert set(PAIRS.names) - set(unmapped.needed(PAIRS)) == {"images", "metadata", "gold"}


def test_names_are_matched_under_the_layout_pairs_alone() -> None:
    row = {"id": "1", "gold": "a", "images": ["x.png"], "metadata": {"k": "v"}}
    found, problems = pair_of(mapping(), row)
    assert (problems, found["gold"], as_v1(found)["images"], found["metadata"]) == (
        [],
        None,
        None,
        None,
    )


def test_media_keep_their_bytes_and_places() -> None:
    parts = [{"type": "text", "text": "one"}, {"type": "image"}, {"type": "text", "text": "two"}]
    table = pa.table(
        {"id": ["1"], "said": [[{"role": "user", "content": parts}]], "pictures": [[b"\xff\x00"]]}
    )
    pairs = as_v1(to_pairs(mapping(messages="said", images="pictures"), table).to_pylist()[0])
    assert pairs["defect"] is None
    assert pairs["prompt"] == "one<image>two"
    assert pairs["images"] == [{"bytes": b"\xff\x00", "path": None}]


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ("text", ("text", None)),
        ({"role": "assistant", "content": "text"}, ("text", None)),
        ([{"from": "gpt", "value": "text"}], ("text", None)),
        ({"text": "text", "model": "m"}, ("text", None)),
        (
            {"content": [{"type": "text", "text": "te"}, {"type": "text", "value": "xt"}]},
            ("text", None),
        ),
        ({"type": "image_url", "image_url": {"url": "x.png"}}, (None, ["x.png"])),
        ([{"type": "image", "image": "x.png"}, "text"], ("text", ["x.png"])),
        ({"text": "<image>text", "images": ["x.png"]}, ("text", ["x.png"])),
        ({"text": "te<image>xt", "images": [{"path": "x.png"}]}, ("te<image>xt", ["x.png"])),
        ([{"role": "assistant", "content": "A"}, {"role": "user", "content": "B"}],
         ("Assistant: A\n\nUser: B", None)),
    ],
)  # fmt: skip
def test_forms_of_a_candidate(item: Any, expected: tuple[str | None, list[str] | None]) -> None:
    found, problems = one({"a": "x"}, x=item)
    assert problems == []
    images = found["response_a"]["images"]
    assert (found["response_a"]["text"], images and [each["path"] for each in images]) == expected


def test_several_columns_json_and_a_rubric_of_the_row() -> None:
    found, problems = one(
        {
            "messages": "join([x, y])",
            "metadata": "{rubric: z, level: n, none: gone}",
            "candidates": "json(c)[].answer",
        },
        x="Do it", y="", z={"1": "bad"}, n=3,
        c='[{"answer": "p"}, {"answer": "q"}, {"answer": "r"}]',
    )  # fmt: skip
    assert (problems, found["prompt"]) == ([], "Do it")
    assert {e["key"]: e["value"] for e in found["metadata"]} == {
        "rubric": '{"1": "bad"}', "level": "3", "none": None,
    }  # fmt: skip
    assert [each["text"] for each in found["candidates"]] == ["p", "q", "r"]


def test_folders_are_columns(tmp_path: Path) -> None:
    shard = tmp_path / "source=web%20pages" / "gold=__HIVE_DEFAULT_PARTITION__" / "a.parquet"
    shard.parent.mkdir(parents=True)
    row = {k: v for k, v in pair(0).items() if k not in ("source", "gold")}
    table = pa.Table.from_pylist([row], pa.schema([f for f in PAIRS if f.name in row]))
    pq.write_table(table, shard)
    (entry,) = Store(str(tmp_path)).list()
    for made in (PairMapping(), MappingConfig(layout="pairs", map={"source": "source"}).mapping()):
        reader = GroupReader(Store(str(tmp_path)), entry.key, entry.size, made)
        (found,) = next(reader.read(0)).to_pylist()
        assert (found["source"], found["gold"], found["defect"]) == ("web pages", None, None)


def test_rows_without_ids_are_called_by_their_places(tmp_path: Path) -> None:
    rows = [{"q": f"q{n}", "good": "x", "bad": "y"} for n in range(5)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet", row_group_size=2)
    (entry,) = Store(str(tmp_path)).list()
    made = MappingConfig(map={"messages": "q", "a": "good", "b": "bad"}).mapping()
    reader = GroupReader(Store(str(tmp_path)), entry.key, entry.size, made)
    ids = [id_ for group in range(reader.count) for t in reader.read(group)
           for id_ in t["pair_id"].to_pylist()]  # fmt: skip
    assert ids == [f"a.parquet#{n}" for n in range(5)]
    assert [id_ for group in range(reader.count) for id_ in reader.read_ids(group)] == ids


def test_what_a_mapping_could_not_read_stays_a_defect_in_new_shards() -> None:
    table = pa.table({"id": ["1", "2"], "x": pa.array(["ok", None])})
    odd = pa.ExtensionArray.from_storage(pa.json_(), pa.array(['"fine"', "7"]))
    pairs = to_pairs(mapping(images="x"), table.set_column(1, "x", odd))
    assert [bool(each) for each in pairs["defect"].to_pylist()] == [False, True]
    kept = with_defects_kept(pairs)
    assert kept.schema.equals(PAIRS_V2, check_metadata=True)
    again = to_pairs(PairMapping(), kept)
    assert again["defect"].to_pylist() == pairs["defect"].to_pylist()


def test_half_a_character_costs_its_row() -> None:
    table = pa.table({"id": ["1", "2"], "x": ['"fine"', json.dumps("\ud800")]})
    pairs = [as_v1(each) for each in to_pairs(mapping(messages="json(x)"), table).to_pylist()]
    assert (pairs[0]["prompt"], pairs[0]["defect"]) == ("fine", None)
    assert pairs[1]["prompt"] is None
    assert pairs[1]["defect"].startswith("messages: ")


OLD: list[tuple[Row, Row, Row]] = [
    ({"prompt": "q"}, {"q": "Why?"}, {"prompt": "Why?"}),
    ({"prompt": {"const": "it's `q`"}}, {}, {"prompt": "it's `q`"}),
    ({"response_a": "x[1]"}, {"x": ["p", "q"]}, {"response_a": response("q")}),
    ({"response_a": "x.y"}, {"x": {"y": "q"}}, {"response_a": response("q")}),
    ({"response_a": "x.y"}, {"x.y": "whole"}, {"response_a": response("whole")}),
    (
        {"response_a": {"text": "odd name", "model": {"const": "m"}}},
        {"odd name": "t"},
        {"response_a": response("t", model="m")},
    ),
    ({"gold": {"ranking": "r"}}, {"r": [1, 0]}, {"gold": "b"}),
    ({"gold": {"column": "c", "values": {True: "a", False: None}}}, {"c": True}, {"gold": "a"}),
    ({"gold": {"const": "a"}}, {}, {"gold": "a"}),
    ({"metadata": {"fields": {"k k": "n", "c": {"const": "x"}}}}, {"n": 7},
     {"metadata": [{"key": "k k", "value": "7"}, {"key": "c", "value": "x"}]}),
    ({"candidates": {"each": "x", "text": "t", "model": "m"},
      "gold_scores": {"each": "x", "score": ["s", "z"]}},
     {"x": [{"t": "p", "m": "n", "s": "4", "z": 2}, {"t": "q", "m": None, "s": "N/A", "z": 1}]},
     {"response_a": response("p", model="n"), "response_b": response("q"),
      "gold_scores": [3.0, None]}),
    ({"candidates": {"each": "x", "text": "t"}, "gold_scores": {"each": "x", "score": "s"}},
     {"x": {"t": ["p", "q"], "s": [1, 2]}},
     {"response_a": response("p"), "response_b": response("q"), "gold_scores": [1.0, 2.0]}),
    ({"candidates": ["x", {"text": "y", "model": "x"}], "gold_scores": ["s", "s"]},
     {"x": "p", "y": "q", "s": 5},
     {"response_a": response("p"), "response_b": response("q", model="p"),
      "gold_scores": [5.0, 5.0]}),
    ({"images": "x", "gold": None}, {"x": ["p.png"], "gold": "a"},
     {"images": [{"bytes": None, "path": "p.png"}], "gold": None}),
]  # fmt: skip


@pytest.mark.parametrize(("columns", "row", "expected"), OLD)
def test_older_mappings_still_work(columns: Row, row: Row, expected: Row) -> None:
    given = {"pair_id": "1", "prompt": "p", "response_a": "x", "response_b": "y"}
    if "prompt" in columns:
        del given["prompt"]
    made = MappingConfig(columns=columns).mapping()
    found, problems = pair_of(made, given | row)
    assert problems == []
    assert {name: as_v1(found)[name] for name in expected} == expected


@pytest.mark.parametrize(
    "columns",
    [{"promt": "x"}, {"gold": {"column": "x", "value": {}}}, {"response_a": {"model": "only"}},
     {"prompt": ""}, {"metadata": {"fields": {}}}, {"candidates": 7}],
)  # fmt: skip
def test_older_mappings_that_mean_nothing_are_refused(columns: Row) -> None:
    with pytest.raises(ValidationError):
        MappingConfig(columns=columns)


def test_pairs_v2_are_read_under_their_own_names() -> None:
    def part(kind: str, value: Any) -> Row:
        return {"type": kind, "text": None, "image": None, "video": None} | {kind: value}

    picture = {"bytes": b"x", "path": None}
    asked = [part("text", "Is it "), part("image", picture), part("text", " or not?")]
    row = dict.fromkeys(PAIRS_V2.names) | {
        "pair_id": "1",
        "messages": [{"role": "user", "content": asked}],
        "candidates": [
            {"content": [part("text", "Yes.")], "model": "m"},
            {"content": [part("image", picture), part("text", "No.")], "model": None},
        ],
        "gold": "a",
    }
    (found,) = to_pairs(PairMapping(), pa.Table.from_pylist([row], PAIRS_V2)).to_pylist()
    assert found == row | {"hashed_question": None, "hashed_answers": None, "defect": None}
