"""Every known layout on sets of its kind: the right value of every field of every row."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.pairs.known_layouts import known_layout, layout_names
from pipeline.pairs.layout_proposal import proposal, proposal_for_shard
from pipeline.pairs.mapped_rows import pair_of, to_pairs
from pipeline.pairs.mapping_config import MappingConfig
from pipeline.pairs.pair_mapping import PairMapping
from pipeline.pairs.row_groups import GroupReader
from pipeline.store.object_store import Store
from tests.shards import as_v1

Row = dict[str, Any]

FOLDER = Path(__file__).parent.parent / "layouts"
USER, ASSISTANT, SYSTEM = "user", "assistant", "system"


def rows_of(name: str) -> list[Row]:
    """The rows of a set, as JSON has them."""
    text = (FOLDER / name).read_text(encoding="utf-8")
    if name.endswith(".json"):
        rows: list[Row] = json.loads(text)
        return rows
    return [json.loads(line) for line in text.splitlines() if line]


def table_of(rows: list[Row]) -> pa.Table:
    """The rows as a table; what Arrow has no type for becomes JSON, as some writers store it."""
    columns: dict[str, pa.Array] = {}
    for name in dict.fromkeys(name for row in rows for name in row):
        values = [row.get(name) for row in rows]
        try:
            columns[name] = pa.array(values)
        except pa.ArrowInvalid:
            texts = pa.array([None if each is None else json.dumps(each) for each in values])
            columns[name] = pa.ExtensionArray.from_storage(pa.json_(), texts)
    return pa.table(columns)


def mapped(name: str, **settings: Any) -> list[Row]:
    """Every row as a pair, of which each field must fit."""
    mapping = MappingConfig(**settings).mapping()
    found = [read_by(mapping, row) for row in rows_of(name)]
    assert [problems for _, problems in found] == [[] for _ in found]
    return [pair for pair, _ in found]


def read_by(mapping: PairMapping, row: Row) -> tuple[Row, list[str]]:
    pair, problems = pair_of(mapping, row)
    return as_v1(pair), problems


def asked(pair: Row) -> Any:
    """The prompt, or role and content of each message."""
    return pair["prompt"] or [(turn["role"], turn["content"]) for turn in pair["messages"]]


def answers(pair: Row) -> tuple[str, str]:
    return (pair["response_a"]["text"], pair["response_b"]["text"])


def paths(media: list[Row] | None) -> list[str]:
    return [each["path"] for each in media or ()]


def test_trl_explicit() -> None:
    spoken, seen = mapped("trl_explicit.jsonl", layout="trl")
    assert asked(spoken) == [(SYSTEM, "Be brief."), (USER, "2+2?")]
    assert (answers(spoken), spoken["gold"], spoken["images"]) == (("4", "5"), "a", None)
    assert asked(seen) == "First this:<image>what colour is it?"
    assert (answers(seen), paths(seen["images"])) == (("Red.", "Blue."), ["red.png"])


def test_trl_implicit() -> None:
    first, second = mapped("trl_implicit.jsonl", layout="trl")
    assert asked(first) == "Is ice lighter than water?"
    assert (answers(first), first["gold"]) == (("Yes, it floats.", "No."), "a")
    assert asked(second) == [
        (USER, "Is ice lighter than water?"),
        (ASSISTANT, "Yes."),
        (USER, "And steam?"),
    ]
    assert (answers(second), second["gold"]) == (("Far lighter.", "The same."), "tie")


def test_trl_strings_of_turns() -> None:
    (pair,) = mapped("hh_strings.jsonl", layout="trl")
    assert asked(pair) == [
        (USER, "Does tea have caffeine?"),
        (ASSISTANT, "Yes."),
        (USER, "Green tea too?"),
    ]
    assert (answers(pair), pair["gold"]) == (("Yes, a little less.", "No, none."), "a")


def test_sharegpt_of_one_to_three_turns_and_a_picture() -> None:
    one, two, three, seen = mapped("sharegpt_dpo.json", layout="sharegpt")
    assert (asked(one), answers(one)) == ("Name a prime above ten.", ("Eleven.", "Twelve."))
    assert asked(two) == [(SYSTEM, "You answer in one word."), (USER, "Capital of Peru?")]
    assert answers(two) == ("Lima", "Cusco, I believe, or Lima.")
    assert asked(three) == [
        (USER, "Hi"),
        (ASSISTANT, "Hello. What is it about?"),
        (USER, "Is 91 prime?"),
    ]
    assert answers(three) == ("No, 7 times 13.", "Yes.")
    assert (asked(seen), paths(seen["images"])) == ("How many squares are there?", ["squares.png"])
    assert [pair["gold"] for pair in (one, two, three, seen)] == ["a"] * 4


def test_openai_parts() -> None:
    (pair,) = mapped("openai_parts.jsonl", layout="openai")
    assert (pair["pair_id"], asked(pair)) == ("o1", "One pixel of which colour?")
    (image,) = pair["images"]
    assert image["bytes"] is None
    assert image["path"].startswith("data:image/png;base64,iVBORw0KGgo")
    assert (answers(pair), pair["gold"]) == (("Red.", "I cannot see it."), "a")


def test_ranked_pictures_and_nulls_among_them() -> None:
    three, four = mapped("ranked.json", layout="ranked")
    shown = [[paths(each["images"]) for each in pair["candidates"]] for pair in (three, four)]
    assert shown[0] == [["r1/0.png"], ["r1/1.png"], ["r1/2.png"]]
    assert shown[1] == [["r2/0.png"], ["r2/1.png"], ["r2/3.png"], ["r2/4.png"]]
    assert [pair["prompt"] for pair in (three, four)] == ["a red ball", "two dogs"]
    best, second, third = (three["gold_scores"][number] for number in (1, 0, 2))
    assert best > second > third
    best, *equal, last = four["gold_scores"]
    assert best > equal[0] == equal[1] > last


def test_alpaca_eval() -> None:
    pairs = mapped("numeric_preference.json", layout="alpaca-eval")
    assert [pair["gold"] for pair in pairs] == ["a", "b", "tie"]
    assert [asked(pair) for pair in pairs] == ["Say hello.", "Say bye.", "Say tea."]
    assert answers(pairs[1]) == ("What?", "Goodbye.")


def test_arena_one_hot() -> None:
    pairs = mapped("onehot.jsonl", layout="arena")
    assert [(p["pair_id"], p["gold"]) for p in pairs] == [("7", "a"), ("8", "b")]
    assert [answers(pair) for pair in pairs] == [("Four", "a"), ("4", "D")]


def test_arena_conversations() -> None:
    def said(answer: str) -> list[Row]:
        return [{"role": USER, "content": "Hi?"}, {"role": ASSISTANT, "content": answer}]

    row = {"question_id": "q", "model_a": "m", "conversation_a": said("A"),
           "conversation_b": said("B"), "winner": "tie (bothbad)"}  # fmt: skip
    pair, problems = read_by(known_layout("arena").mapping, row)
    assert (problems, asked(pair), answers(pair), pair["gold"]) == ([], "Hi?", ("A", "B"), "tie")
    assert (pair["pair_id"], pair["response_a"]["model"]) == ("q", "m")


def test_llava() -> None:
    said = [{"from": "human", "value": "What is this?\n<image>"}]
    row = {"image": "x.png", "conversations": said, "preference": 2,
           "output_1": {"from": "llava", "value": "A"},
           "output_2": {"from": "llava", "value": "B"}}  # fmt: skip
    pair, problems = read_by(known_layout("llava").mapping, row)
    assert (problems, asked(pair)) == ([], "What is this?<image>")
    assert (answers(pair), pair["gold"], paths(pair["images"])) == (("A", "B"), "b", ["x.png"])
    pair, problems = read_by(
        known_layout("llava").mapping,
        {"image": {"bytes": b"x", "path": None}, "question": "Q?", "chosen": "", "rejected": "r"},
    )
    assert (problems, asked(pair), pair["gold"]) == ([], "Q?", "a")
    assert pair["images"] == [{"bytes": b"x", "path": None}]


def test_a_placeholder_without_its_picture_is_never_judged() -> None:
    row = {"conversations": [{"from": "human", "value": "<image>What is this?"}],
           "chosen": {"from": "gpt", "value": "A"},
           "rejected": {"from": "gpt", "value": "B"}}  # fmt: skip
    _, (problem,) = read_by(known_layout("sharegpt").mapping, row)
    assert "got 0 images, expected 1" in problem
    for images in (None, [], ["x.png", "y.png"]):
        _, (problem,) = read_by(known_layout("sharegpt").mapping, row | {"images": images})
        count = len(images or ())
        assert f"got {count} images, expected 1" in problem
    stated = MappingConfig(layout="sharegpt", map={"images": None}).mapping()
    pair, problems = read_by(stated, row)
    assert (problems, pair["prompt"]) == ([], "<image>What is this?")


def test_score_pairs_by_a_map() -> None:
    pairs = mapped(
        "score_pairs.json",
        map={
            "messages": "question",
            "a": "answer_a",
            "b": "answer_b",
            "gold": "winner(score[0], score[1])",
        },
    )
    assert [pair["gold"] for pair in pairs] == ["a", "b", "tie"]
    assert asked(pairs[0]) == "Is a whale a fish?"


def test_annotators_by_a_map_and_an_odd_value_costs_its_row() -> None:
    codes = '`{"1": "a", "2": "b", "0": "tie"}`'
    mapping = MappingConfig(
        map={
            "pair_id": "idx",
            "messages": "join([instruction, input])",
            "a": "response1",
            "b": "response2",
            "gold": f"recode(majority([annotator1, annotator2, annotator3]), {codes})",
        }
    ).mapping()
    found = [read_by(mapping, row) for row in rows_of("annotators.json")]
    assert [pair["gold"] for pair, _ in found] == ["a", "b", "a"]
    assert [asked(p) for p, _ in found] == ["Translate to French\nthe cat", "Is it true?",
                                            "Count\na b"]  # fmt: skip
    assert [len(problems) for _, problems in found] == [0, 1, 0]
    assert found[1][1][0].startswith("a (response1): got the boolean true, expected a text")


@pytest.mark.parametrize(
    ("name", "proposed"),
    [
        ("trl_explicit.jsonl", "trl"),
        ("trl_implicit.jsonl", "trl"),
        ("hh_strings.jsonl", "trl"),
        ("sharegpt_dpo.json", "sharegpt"),
        ("openai_parts.jsonl", "openai"),
        ("ranked.json", "ranked"),
        ("numeric_preference.json", "alpaca-eval"),
        ("onehot.jsonl", "arena"),
        ("score_pairs.json", None),
    ],
)
def test_a_layout_is_proposed_with_its_reasons(
    tmp_path: Path, name: str, proposed: str | None
) -> None:
    rows = rows_of(name)
    pq.write_table(table_of(rows), tmp_path / "in.parquet")
    store = Store(str(tmp_path))
    (entry,) = store.list()
    text = proposal_for_shard(store, entry, 300)
    if proposed is None:
        assert "no known layout" in text
        return
    assert f"proposed layout: {proposed} ({len(rows)} of {len(rows)} rows fit)" in text
    assert "row 0 reads:" in text
    assert text.endswith(f"set input.layout to {proposed}")


def test_pairs_are_proposed_as_what_they_are() -> None:
    row = {"pair_id": "1", "prompt": "q", "response_a": {"text": "x"}, "response_b": {"text": "y"}}
    assert "proposed layout: pairs (1 of 1" in proposal(pa.Table.from_pylist([row]), "here")


def test_every_layout_says_what_it_is() -> None:
    assert layout_names() == sorted(
        ["pairs", "trl", "sharegpt", "openai", "llava", "ranked", "alpaca-eval", "arena"]
    )
    for name in layout_names():
        layout = known_layout(name)
        assert layout.doc
        MappingConfig(layout=name, map=layout.expressions)  # every expression can be evaluated


@pytest.mark.parametrize(
    ("name", "layout"),
    [("trl_explicit.jsonl", "trl"), ("sharegpt_dpo.json", "sharegpt"), ("ranked.json", "ranked")],
)
def test_rows_out_of_arrow_are_those_of_json(name: str, layout: str) -> None:
    mapping = known_layout(layout).mapping
    table = table_of(rows_of(name))
    ids = [str(number) for number in range(len(table))] if mapping.makes_ids(table.schema) else None
    pairs = to_pairs(mapping, table, ids)
    assert pairs["defect"].null_count == len(table)
    expected = [pair_of(mapping, row)[0] for row in rows_of(name)]
    if ids:
        expected = [pair | {"pair_id": id_} for pair, id_ in zip(expected, ids, strict=True)]
    assert pairs.to_pylist() == expected


def pairs_of(layout: str, *rows: Row) -> list[Row]:
    """Rows in a layout, all of which fit."""
    found = [read_by(known_layout(layout).mapping, row) for row in rows]
    assert [problems for _, problems in found] == [[] for _ in found]
    return [pair for pair, _ in found]


def test_prompts_in_turns_end_where_the_answer_begins() -> None:
    prompt = "\n\nHuman: Hi\n\nAssistant: Hello\n\nHuman: Why?\n\nAssistant: "
    turns = [(USER, "Hi"), (ASSISTANT, "Hello"), (USER, "Why?")]
    trl = {"prompt": prompt, "chosen": "Because.", "rejected": "No."}
    ranked = {"prompt": prompt, "generations": ["x", "y", "z"], "ranking": [1, 2, 3]}
    assert [asked(pairs_of("trl", trl)[0]), asked(pairs_of("ranked", ranked)[0])] == [turns] * 2


def test_an_answer_that_is_empty_in_a_text_of_turns() -> None:
    """HH-RLHF has such: both conversations are the same until then."""
    begun = "\n\nHuman: Hi"
    (pair,) = pairs_of("trl", {"chosen": f"{begun}\n\nAssistant: Hello.",
                               "rejected": f"{begun}\n\nAssistant:"})  # fmt: skip
    assert (asked(pair), pair["gold"]) == ("Hi", "a")
    assert (pair["response_a"]["text"], pair["response_b"]["text"]) == ("Hello.", None)


@pytest.mark.parametrize("begins", [("user",), ("system", "user")])
def test_conversations_stored_as_objects_of_lists(begins: tuple[str, ...]) -> None:
    """As `datasets` stores a sequence of objects."""
    texts = ["Be brief.", "Q"][-len(begins) :]

    def said(text: str, *before: str) -> Row:
        return {"role": [*before, "assistant"], "content": [*texts[: len(before)], text]}

    explicit = {"prompt": {"role": list(begins), "content": texts}}
    for row in (
        {"chosen": said("good", *begins), "rejected": said("bad", *begins)},
        explicit | {"chosen": said("good"), "rejected": said("bad")},
    ):
        (pair,) = pairs_of("trl", row)
        assert (asked(pair), answers(pair)) == (
            "Q" if len(begins) == 1 else list(zip(begins, texts, strict=True)),
            ("good", "bad"),
        )
    uneven = {"prompt": {"role": ["user"], "content": ["Q", "R"]}}
    _, problems = read_by(
        MappingConfig(layout="trl").mapping(), uneven | {"chosen": "x", "rejected": "y"}
    )
    assert "expected lists of one length" in problems[0]


def test_sets_without_the_ids_that_a_layout_names(tmp_path: Path) -> None:
    rows = [{"messages": [{"role": "user", "content": "Q"}], "responses": ["x", "y"]}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    store, mapping = Store(str(tmp_path)), MappingConfig(layout="openai").mapping()
    groups = GroupReader(store, "a.parquet", (tmp_path / "a.parquet").stat().st_size, mapping)
    (pair,) = next(iter(groups.read(0))).to_pylist()
    assert (pair["pair_id"], pair["defect"]) == ("a.parquet#0", None)
    assert groups.read_ids(0) == ["a.parquet#0"]


def test_a_verdict_about_the_first_round_is_asked_about_that_alone() -> None:
    """MT-Bench: both rows have both rounds of the conversations, and say which was judged."""

    def said(name: str) -> list[Row]:
        texts = ["Q", f"{name}1", "R", f"{name}2"]
        return [{"role": (USER, ASSISTANT)[n % 2], "content": t} for n, t in enumerate(texts)]

    row: Row = {"conversation_a": said("x"), "conversation_b": said("y")}
    first, both = pairs_of(
        "arena",
        row | {"winner": "model_b", "turn": 1},
        row | {"winner": "tie (inconsistent)", "turn": 2},
    )
    assert (asked(first), answers(first), first["gold"]) == ("Q", ("x1", "y1"), "b")
    assert (asked(both), both["gold"]) == ("Q", "tie")
    assert answers(both)[0] == "Assistant: x1\n\nUser: R\n\nAssistant: x2"
    _, problems = read_by(MappingConfig(layout="arena").mapping(), row | {"turn": 3})
    assert "got the number 3, expected one of its 2 rounds" in problems[0]


def test_arena_with_the_texts_of_all_turns() -> None:
    votes = {"winner_model_a": 0, "winner_model_b": 1, "winner_tie": 0}
    said = {"prompt": ["Q", "R"], "response_a": ["A", "B"], "response_b": ["A", "C"]}
    (lists, in_json, differ) = pairs_of(
        "arena",
        said | votes,
        {name: json.dumps(texts) for name, texts in said.items()} | votes,
        said | {"response_a": ["other", None]} | votes,
    )
    for pair in (lists, in_json):
        assert asked(pair) == [(USER, "Q"), (ASSISTANT, "A"), (USER, "R")]
        assert (answers(pair), pair["gold"]) == (("B", "C"), "b")
    assert asked(differ) == "Q"  # what follows is each side's own
    assert answers(differ)[1] == "Assistant: A\n\nUser: R\n\nAssistant: C"
    _, problems = read_by(known_layout("arena").mapping, said | {"prompt": ["Q"]} | votes)
    assert "got 1 questions and 2 answers, expected as many" in problems[0]


@pytest.mark.parametrize("layout", ["trl", "sharegpt"])
def test_nobody_prefers_a_candidate_that_is_not_there(layout: str) -> None:
    row = {"prompt": "Q", "conversations": [{"from": "human", "value": "Q"}]}
    sides = [("c", "r"), ("c", None), (None, "r"), ("", "r")]
    rows = [row | {"chosen": chosen, "rejected": rejected} for chosen, rejected in sides]
    assert [pair["gold"] for pair in pairs_of(layout, *rows)] == ["a", None, None, "a"]
