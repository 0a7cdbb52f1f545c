"""A preview shows what the judge would be asked, and why a row would not be judged."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import ModuleType

import pytest
from rich.console import Console

from jobs import evaluate as evaluate_job
from jobs import ingest as ingest_job
from jobs import label as label_job
from jobs import preview as job
from pipeline.engines.engine_registry import layout_of
from pipeline.labeling.label_config import LabelConfig
from pipeline.labeling.preview.preview_page import preview_page
from pipeline.labeling.preview.preview_pairs import preview
from pipeline.labeling.preview.preview_text import print_preview
from pipeline.runtime.errors import InputError
from tests.judging import judge_rows, scripted, text_pair
from tests.shards import pair, picture, write_shard

SCRIPTED = LabelConfig.model_validate({"engine": {"kind": "scripted"}})
LAYOUT = layout_of(SCRIPTED.judge, SCRIPTED.engine)


@pytest.fixture
def pairs(tmp_path: Path) -> str:
    write_shard(tmp_path / "a.parquet", [pair(n, gold="a") for n in range(5)], 2)
    broken = [{"bytes": picture()[:99], "path": None}]
    write_shard(tmp_path / "b.parquet", [pair(9, images=broken), text_pair(1)])
    return str(tmp_path)


def test_it_shows_what_the_judge_is_asked(pairs: str) -> None:
    judge, engine = scripted()
    judge_rows(judge, [pair(0), pair(1)])
    found = preview(SCRIPTED, pairs, LAYOUT, 4)
    assert found.shards == 2
    assert [(each.shard, each.row) for each in found.pairs] == [
        ("a.parquet", 0),
        ("a.parquet", 1),
        ("b.parquet", 0),
        ("b.parquet", 1),
    ]
    asked = {chat.user for chat, _ in engine.asked}
    for each in found.pairs[:2]:
        assert each.chat is not None
        assert each.chat.user in asked
        assert [image.size for image in each.chat.images] == [(56, 56)]
        assert (each.order, each.gold) == ("ab", "a")
    broken = found.pairs[2]
    assert broken.chat is None
    assert str(broken.problem).startswith("media_corrupt: ")


def test_rows_by_name_and_rows_that_are_not_there(
    pairs: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found = preview(SCRIPTED, pairs, LAYOUT, 1, ["a.parquet:4", "b.parquet:1"])
    assert [each.pair_id for each in found.pairs] == ["pair-4", "pair-1"]
    given = ["--input", pairs, "--engine.kind", "scripted"]
    for name, message in (
        ("a.parquet:5", "has 5 rows, which are numbered from 0 to 4"),
        ("c:0", "expected SHARD:ROW"),
    ):
        assert job.main([*given, "--row", name]) == 2
        assert message in capsys.readouterr().err


def test_texts_of_anybody_are_shown_and_do_nothing(tmp_path: Path) -> None:
    hostile = "\x1b[2J<script>alert(1)</script>\u202eabc"
    write_shard(tmp_path / "s.parquet", [text_pair(0, hostile)])
    found = preview(SCRIPTED, str(tmp_path), LAYOUT, 1)
    page = preview_page(found)
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    written = io.StringIO()
    print_preview(found, Console(file=written, width=200))
    for shown in (page, written.getvalue()):
        assert "\x1b" not in shown
        assert "\u202e" not in shown


def test_pictures_are_in_the_page_and_in_blocks_on_a_terminal(pairs: str) -> None:
    found = preview(SCRIPTED, pairs, LAYOUT, 1)
    assert preview_page(found).count('<img src="data:image/png;base64,') == 1
    written = io.StringIO()
    terminal = Console(file=written, force_terminal=True, color_system="truecolor", width=120)
    print_preview(found, terminal)
    assert written.getvalue().count("▀") == 32 * 16


def test_as_json_lines(pairs: str, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["--input", pairs, "--engine.kind", "scripted", "-n", "2", "--log", "json"]
    assert job.main(given) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(row["shard"], row["row"], row["problem"] is None) for row in rows] == [
        ("a.parquet", 0, True),
        ("b.parquet", 0, False),
    ]


def test_columns_that_nothing_reads_are_listed(tmp_path: Path) -> None:
    write_shard(tmp_path / "s.parquet", [pair(0)])
    config = LabelConfig.model_validate(
        {"engine": {"kind": "scripted"}, "input": {"layout": "pairs", "map": {"metadata": None}}}
    )
    reads = preview(config, str(tmp_path), LAYOUT, 1).reads
    assert (reads["prompt"], reads["metadata"]) == (["messages"], [])


def test_too_few_rows_are_made_up_for_by_other_shards(pairs: str, tmp_path: Path) -> None:
    write_shard(tmp_path / "0.parquet", [])
    (tmp_path / "1.parquet").write_bytes(b"no shard")
    shown = preview(SCRIPTED, pairs, LAYOUT, 4).pairs
    assert [(each.shard, each.row, each.problem is None) for each in shown] == [
        ("1.parquet", 0, False),
        ("a.parquet", 0, True),
        ("a.parquet", 1, True),
        ("b.parquet", 0, False),
    ]
    with pytest.raises(InputError, match=r"0\.parquet has 0 rows: there is none"):
        preview(SCRIPTED, pairs, LAYOUT, 1, ["0.parquet:0"])


@pytest.mark.parametrize("command", [label_job, evaluate_job], ids=["label", "evaluate"])
def test_commands_show_what_they_would_judge(
    pairs: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: ModuleType
) -> None:
    where = ["--input", pairs, "--output", str(tmp_path / "out"), "--engine.kind", "scripted"]
    assert command.main([*where, "--preview", "2", "--log", "json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["pair_id"] for row in rows] == (
        ["pair-0", "pair-9"] if command is label_job else ["pair-0", "pair-1"]  # those with gold
    )
    assert "What is in picture 0?" in rows[0]["user"]
    assert not (tmp_path / "out").exists()
    assert command.main([*where, "--preview", "0"]) == 2
    assert "got '0', expected a number of 1 or more" in capsys.readouterr().err


def test_ingest_shows_pairs_as_they_would_be_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    row = {"q": "Which?", "one": "This.", "two": "That.", "img": "1.png"}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row))
    (tmp_path / "1.png").write_bytes(picture())
    given = ["--source", str(tmp_path / "rows.jsonl"), "--preview", "3", "--log", "text"]
    fields = {"messages": "q", "a": "one", "b": "two", "images": "img"}
    given += [word for name, text in fields.items() for word in (f"--map.{name}", text)]
    assert ingest_job.main(given) == 0
    said = capsys.readouterr().out
    assert "rows.jsonl: 1 shards\n  q: read for messages\n" in said
    for text in ("pair rows-000000000", "[picture, 56 by 56]", "Which?", "This.", "That."):
        assert text in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1.png", "rows.jsonl"]
