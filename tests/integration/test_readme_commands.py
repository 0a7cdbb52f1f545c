"""README's commands for a table of one's own run as they are written, from table to export."""

from __future__ import annotations

import io
import json
import re
import shlex
from pathlib import Path

import pytest
from PIL import Image

from jobs.__main__ import main

ROOT = Path(__file__).parents[2]
SCRIPTED = str(ROOT / "jobs/configs/scripted.yaml")


def commands() -> list[list[str]]:
    """The words of each ``pairmill`` line under "Your own pairs", with the configuration to try."""
    section = (ROOT / "README.md").read_text(encoding="utf-8").split("## Your own pairs")[1]
    (block,) = re.findall(r"```bash\n(.*?)```", section.split("\n## ")[0], re.DOTALL)
    lines = [shlex.split(line, comments=True) for line in block.replace("\\\n", " ").splitlines()]
    calls = [words[1:] for words in lines if words[0] == "pairmill"]
    return [[SCRIPTED if word == "$config" else word for word in words] for words in calls]


def write_table(folder: Path) -> None:
    """``mine.jsonl`` with the columns of README's example row, and its pictures."""
    with (folder / "mine.jsonl").open("w", encoding="utf-8") as table:
        for number in range(24):
            Image.new("RGB", (640, 480), (10 * number, 90, 30)).save(folder / f"{number}.jpg")
            row = {
                "id": str(number),
                "question": f"What is in picture {number}?",
                "photo": f"{number}.jpg",
            }
            row |= {"first": f"A cup, score={number % 9 + 1}.", "second": "A cat, score=5."}
            better = "first" if number % 9 + 1 > 5 else "second"
            table.write(json.dumps(row | {"better": better}) + "\n")


@pytest.mark.usefixtures("without_ray")
def test_own_pairs_from_table_to_export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_table(tmp_path)
    monkeypatch.chdir(tmp_path)
    names = [words[0] for words in commands()]
    assert (names[0], names[-1]) == ("ingest", "export")
    for words in commands():
        with monkeypatch.context() as patch:
            patch.setattr("sys.stdout", io.StringIO())
            assert main(words) == 0, words
    (export,) = Path("out/labels/exports").glob("*/trl-dpo/export.json")
    record = json.loads(export.read_text(encoding="utf-8"))
    ties = sum(number % 9 + 1 == 5 for number in range(24))
    assert (record["rows"], record["dropped"]) == (24, {"tie": ties})
