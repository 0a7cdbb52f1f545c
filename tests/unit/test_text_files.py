"""JSON, CSV and TSV as tables: text as it was written."""

from __future__ import annotations

import csv
import gzip
import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.ingest import csv_tables, json_array, text_files
from pipeline.ingest.source_files import SourceConfig, open_source
from pipeline.pairs.arrow_values import values_of
from pipeline.pairs.contents import text_part
from pipeline.pairs.known_layouts import known_layout
from pipeline.pairs.mapped_rows import to_pairs
from pipeline.runtime.errors import ConfigError, InputError

DEEP = '{"a":' + "[" * 100_000
DEEP_OBJECTS = '{"a":' * 300 + "1" + "}" * 300
WIDE = ",".join(f"c{number}" for number in range(10_001))
LFS = "version https://git-lfs.github.com/spec/v1"


def rows_of(path: Path, **more: Any) -> list[dict[str, Any]]:
    source = open_source(SourceConfig(path=str(path), **more))
    tables = list(source.tables())
    values = [[values_of(table[name]) for name in table.column_names] for table in tables]
    return [
        dict(zip(table.column_names, row, strict=True))
        for table, columns in zip(tables, values, strict=True)
        for row in zip(*columns, strict=True)
    ]


def packed(data: bytes, ending: str) -> bytes:
    if ending == ".gz":
        return gzip.compress(data)
    if not ending:
        return data
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(data)
    return bytes(sink.getvalue())


@pytest.mark.parametrize("ending", ["", ".gz", ".zst"])
@pytest.mark.parametrize("kind", [".csv", ".TSV", ".jsonl", ".Json", ".ndjson"])
def test_text_stays_as_written(tmp_path: Path, kind: str, ending: str) -> None:
    rows: list[dict[str, Any]] = [
        {"id": "007", "prompt": "None", "day": "2024-01-02", "more": "1.50"},
        {"id": "1e3", "prompt": "NA", "day": "2024-01-02T03:04:05Z", "more": None},
        {"id": "x", "prompt": 'two\nlines, "quoted"', "day": "true", "more": "nan"},
    ]
    text = io.StringIO()
    if kind in (".csv", ".TSV"):
        writer = csv.DictWriter(text, list(rows[0]), delimiter="," if kind == ".csv" else "\t")
        writer.writeheader()
        writer.writerows(rows)
    elif kind == ".Json":
        json.dump(rows, text)
    else:
        text.write("".join(json.dumps(row) + "\n" for row in rows))
    path = tmp_path / f"data{kind}{ending}"
    path.write_bytes(packed(text.getvalue().encode(), ending))
    assert rows_of(path) == rows
    assert rows_of(tmp_path) == rows


def test_an_empty_quoted_field_is_empty_text(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('\ufeffid,text\n1,""\n2,\n', encoding="utf-8")
    assert rows_of(tmp_path) == [{"id": "1", "text": ""}, {"id": "2", "text": None}]


def test_a_key_that_comes_late_is_a_column(tmp_path: Path) -> None:
    rows = [{"id": n} for n in range(200)] + [{"id": 200, "image": "a.jpg"}]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    source = open_source(SourceConfig(path=str(tmp_path)))
    assert source.schema.names == ["id", "image"]
    got = rows_of(tmp_path)
    assert got == [{"id": n, "image": None} for n in range(200)] + rows[200:]


def test_values_of_several_kinds_stay_as_they_are(tmp_path: Path) -> None:
    rows = [
        {"id": 7, "content": "hello", "info": {"n": [1, "x"]}},
        {"id": "07", "content": [{"type": "text"}], "info": {"n": None, "m": True}},
        {"id": 2**70, "content": None, "info": None},
    ]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    assert rows_of(tmp_path) == rows


def test_one_object_by_ids(tmp_path: Path) -> None:
    rows = {"x": {"prompt": "p"}, "7": {"prompt": "q"}}
    (tmp_path / "a.json").write_text(json.dumps(rows), encoding="utf-8")
    expected = [{"key": "x", "prompt": "p"}, {"key": "7", "prompt": "q"}]
    assert rows_of(tmp_path, keyed=True) == expected
    (tmp_path / "a.json").write_text(json.dumps({"x": 1}), encoding="utf-8")
    with pytest.raises(InputError, match="'x': expected a JSON object, got int"):
        rows_of(tmp_path, keyed=True)


def test_whole_numbers_among_fractions_stay_whole(tmp_path: Path) -> None:
    rows = [
        {"id": 1, "x": 0.5, "info": {"n": [7, 2]}},
        {"id": 2.5, "x": 1.5, "info": {"n": [0.5]}},
        {"id": True, "x": 2.0, "info": None},
    ]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    assert str(rows_of(tmp_path)) == str(rows)
    assert next(open_source(SourceConfig(path=str(tmp_path))).tables()).schema.field("x").type == (
        pa.float64()
    )


def test_text_in_some_rows_and_objects_in_others_are_read_row_by_row(tmp_path: Path) -> None:
    said = [{"role": "user", "content": "Why?"}]
    answers: list[Any] = ["plain", {"role": "assistant", "content": "said"}, 7, {"odd": 1}]
    rows = [{"prompt": said if n % 2 else "Why?", "chosen": answer, "rejected": "no"}
            for n, answer in enumerate(answers)]  # fmt: skip
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    (table,) = open_source(SourceConfig(path=str(tmp_path))).tables()
    pairs = to_pairs(known_layout("trl").mapping, table, list("wxyz")).to_pylist()
    assert [each["messages"][0]["content"][0]["text"] for each in pairs] == ["Why?"] * 4
    chosen = [each["candidates"] and each["candidates"][0]["content"] for each in pairs]
    assert chosen == [[text_part("plain")], [text_part("said")], None, None]
    assert [bool(each["defect"]) for each in pairs] == [False, False, True, True]
    assert "got the number 7, expected a text" in pairs[2]["defect"]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.jsonl", '{"id": 1}\n{"id": \n', "a.jsonl: line 2: no JSON"),
        ("a.jsonl", '{"id": 1}\n7\n', "a.jsonl: line 2: expected a JSON object, got int"),
        ("a.json", '[{"id": 1}, 7]', "a.json: item 1: expected a JSON object, got int"),
        ("a.json", '[{"id": 1}, {"id": 2', r"a.json: item 1: no JSON \(.*, at the end of the file"),
        ("a.json", '[{"id": 1}, {"id": 2}', r"a.json: item 1: no JSON \(it is cut off"),
        (
            "a.json",
            '[{"id": 1}, {"id": 2}\n',
            "a.json: item 1: expected .* got the end of the file",
        ),
        (
            "a.json",
            '[{"id": 1} {"id": 2}]',
            "a.json: item 0: expected ',' or ']' behind it, got '{'",
        ),
        ("a.json", '[{"id": 1}]\n[]', "a.json: expected one array and nothing else, got '\\['"),
        ("a.json", '[{"id": nothing}' + 64 * " ", r"a.json: item 0: no JSON \(Expecting value\)"),
        ("a.jsonl", DEEP, "a.jsonl: line 1: nested too deeply"),
        ("a.json", f"[{DEEP}]", "a.json: item 0: no JSON .maximum recursion depth"),
        ("a.jsonl", DEEP_OBJECTS, "a.jsonl: its columns are nested too deeply"),
        ("a.csv", "id,text\n1,2,3\n", "a.csv: CSV parse error: Row #2: Expected 2 columns, got 3"),
        ("a.csv", "id,text,id\n1,2,3\n", "a.csv: two columns are called 'id'"),
        ("a.csv", WIDE, "a.csv: its first line has 10,001 columns or more"),
        ("a.csv", 'id,text\n1,"open\n2,x\n', "a.csv: a quote is never closed"),
        ("a.csv", 'id,text\n1,x\n2,"open', "a.csv: a quote is never closed"),
        ("a.csv", f"{LFS}\noid sha256:00\n", "a.csv: a Git LFS pointer: run git lfs pull"),
        ("a.jsonl.gz", f"{LFS}\noid sha256:00\n", "a.jsonl.gz: a Git LFS pointer: run git lfs"),
    ],
)
def test_what_is_no_text_of_its_kind_is_named(
    tmp_path: Path, name: str, text: str, message: str
) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        rows_of(tmp_path)


@pytest.mark.parametrize(
    ("name", "encoding", "message"),
    [
        ("a.csv", "latin-1", "not UTF-8 .*iconv -f WINDOWS-1252 -t UTF-8 converts it"),
        ("a.csv", "utf-16", "its text is UTF-16, expected UTF-8: iconv -f UTF-16 -t UTF-8"),
        ("a.jsonl", "utf-16", "its text is UTF-16, expected UTF-8: iconv -f UTF-16 -t UTF-8"),
        ("a.jsonl", "latin-1", "line 1: no JSON .'utf-8' codec can't decode byte 0xe4"),
        ("a.json", "latin-1", "its text is not UTF-8: invalid continuation byte"),
    ],
)
def test_text_of_another_encoding_is_refused_with_what_to_do(
    tmp_path: Path, name: str, encoding: str, message: str
) -> None:
    text = {
        ".csv": "id,text\n1,spät\n",
        ".jsonl": '{"text": "spät"}',
        ".json": '[{"text": "spät"}]',
    }
    (tmp_path / name).write_text(text[Path(name).suffix], encoding=encoding)
    with pytest.raises(InputError, match=message):
        rows_of(tmp_path)


def test_a_csv_file_of_a_header_has_no_rows(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,text\n", encoding="utf-8")
    assert open_source(SourceConfig(path=str(tmp_path))).schema.names == ["id", "text"]
    assert rows_of(tmp_path) == []


def test_a_line_without_an_end_is_refused_before_memory_is_full(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(text_files, "MOST_JSON", 2**20)
    monkeypatch.setattr(csv_tables, "_BLOCK", 2**20)

    def endless(start: bytes) -> pa.NativeFile:
        return pa.CompressedInputStream(pa.BufferReader(packed(start.ljust(2**23), ".gz")), "gzip")

    with pytest.raises(InputError, match="line 2: longer than"):
        list(text_files.json_tables(endless(b"\n{")))
    with pytest.raises(InputError, match="a row is longer than 1 MiB: is a quote never closed"):
        list(csv_tables.csv_tables(lambda: endless(b'id,text\n1,"'), ","))
    with pytest.raises(InputError, match="no line in its first 1 MiB: is it CSV"):
        list(csv_tables.csv_tables(lambda: endless(b"id,text"), ","))


def test_many_columns_and_an_array_in_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"id": n} | {f"c{n}-{k}": "é" * k for k in range(400)} for n in range(4)]
    (tmp_path / "a.json").write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")
    names = dict.fromkeys(name for row in rows for name in row)
    whole = [{name: row.get(name) for name in names} for row in rows]
    assert rows_of(tmp_path) == whole
    pq.write_table(pa.Table.from_pylist(whole), tmp_path / "b.parquet")
    assert rows_of(tmp_path / "b.parquet") == whole
    monkeypatch.setattr(json_array, "_CHUNK", 7)
    text = io.BytesIO((tmp_path / "a.json").read_bytes()[1:])
    items = [value for value, _ in json_array.array_items(io.BufferedReader(text))]
    assert items == rows


_TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\x00\r"), min_size=1)


@given(st.lists(st.tuples(_TEXT, _TEXT), min_size=1, max_size=8))
def test_any_csv_text_comes_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]]
) -> None:
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerows([("a", "b"), *rows])
    path = tmp_path_factory.mktemp("in") / "a.csv"
    path.write_text(text.getvalue(), encoding="utf-8", newline="")
    assert rows_of(path) == [{"a": a, "b": b} for a, b in rows]


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("xyz"), inner),
    max_leaves=6,
)


@given(st.lists(st.fixed_dictionaries({"id": st.text("ab0"), "v": _JSON}), min_size=1, max_size=5))
def test_any_json_is_one_row_each_with_its_text(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]]
) -> None:
    path = tmp_path_factory.mktemp("in") / "a.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    source = open_source(SourceConfig(path=str(path)))
    got = [v for table in source.tables() for v in values_of(table["id"])]
    assert got == [row["id"] for row in rows]


def test_files_in_any_case_with_names_like_patterns_are_read_once(tmp_path: Path) -> None:
    for number, name in enumerate(["a[1].parquet", "a1.PARQUET", "p?.pq", "pq.parquet"]):
        pq.write_table(pa.table({"n": [number]}), tmp_path / name)
    for name in ("_a.parquet", "_temporary/x.parquet"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        pq.write_table(pa.table({"n": [9]}), tmp_path / name)
    assert sorted(row["n"] for row in rows_of(tmp_path)) == [0, 1, 2, 3]
    assert rows_of(tmp_path / "p?.pq") == [{"n": 2}]
    assert [row["n"] for row in rows_of(tmp_path / "a*")] == [1, 0]
    one = rows_of(Path("parquet"), data_files=str(tmp_path / "a[1].parquet"))
    assert one == [{"n": 0}]
    (tmp_path / "b.csv").write_text("n\n1\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="files of one kind; got csv, parquet"):
        rows_of(tmp_path)


@pytest.mark.parametrize("ending", [".parquet", ".jsonl.zst", ".csv"])
def test_folders_are_columns_of_any_kind_of_file(tmp_path: Path, ending: str) -> None:
    for language in ("de", "__HIVE_DEFAULT_PARTITION__"):
        path = tmp_path / f"lang={language}" / f"x{ending}"
        path.parent.mkdir()
        if ending == ".parquet":
            pq.write_table(pa.table({"q": ["1"]}), path)
        else:
            path.write_bytes(b"q\n1\n" if ending == ".csv" else packed(b'{"q": "1"}\n', ".zst"))
    assert rows_of(tmp_path) == [{"q": "1", "lang": None}, {"q": "1", "lang": "de"}]


def test_large_rows_stream(tmp_path: Path) -> None:
    """Rows of 24 MiB, nested: 64 of them at a time would not fit one Arrow array."""
    kind = pa.list_(pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
    size = 24 * 2**20
    with pq.ParquetWriter(tmp_path / "a.parquet", pa.schema([("images", kind)])) as writer:
        rows = [[{"bytes": bytes([n]) * size, "path": str(n)}] for n in range(6)]
        writer.write_table(pa.table({"images": pa.array(rows, kind)}), row_group_size=6)
    source = open_source(SourceConfig(path=str(tmp_path)))
    tables = []
    for table in source.tables():
        assert table.nbytes <= 64 * 2**20
        tables += [row[0]["path"] for row in table["images"].to_pylist()]
    assert tables == [str(n) for n in range(6)]


def test_a_column_of_parquet_that_is_there_twice_is_named(tmp_path: Path) -> None:
    doubled = pa.Table.from_arrays([pa.array([1]), pa.array([2])], ["id", "id"])
    pq.write_table(doubled, tmp_path / "a.parquet")
    with pytest.raises(InputError, match=r"a\.parquet: two columns are called 'id'"):
        open_source(SourceConfig(path=str(tmp_path)))
