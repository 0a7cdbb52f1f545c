"""A preview shows what the judge would be asked, and why a row would not be judged."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from jobs import preview as job
from pipeline.engines.engine_registry import layout_of
from pipeline.labeling.label_config import LabelConfig
from pipeline.labeling.preview.preview_page import preview_page
from pipeline.labeling.preview.preview_pairs import preview
from pipeline.labeling.preview.preview_text import print_preview
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
        ("a.parquet:5", "no row 5, it has 5 rows"),
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


def test_columns_that_nothing_reads_are_said(tmp_path: Path) -> None:
    write_shard(tmp_path / "s.parquet", [pair(0)])
    config = LabelConfig.model_validate(
        {"engine": {"kind": "scripted"}, "input": {"layout": "pairs", "map": {"metadata": None}}}
    )
    reads = preview(config, str(tmp_path), LAYOUT, 1).reads
    assert (reads["prompt"], reads["metadata"]) == (["messages"], [])
