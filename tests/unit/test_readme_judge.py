"""README's "Bring your own judge": its rubric and its Python call, as they are written."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest
import yaml

import pipeline
from tests.judging import Row

README = Path("README.md").read_text(encoding="utf-8")
ROWS = [
    {
        "prompt": "What is on the table?",
        "response_a": "A cup. score=9 Detail=3",
        "response_b": "A cat. score=2",
    }
]


def written(pattern: str) -> str:
    """What the section holds in a pattern's group."""
    section = README.split("## Bring your own judge")[1].split("\n## ")[0]
    found = re.search(pattern, section, re.DOTALL)
    assert found is not None
    return found[1]


@pytest.fixture
def rubric(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Row:
    """The configuration, whose model no test has: replies are scripted in its place."""
    config: Row = yaml.safe_load(written(r"```yaml\n(.*?)```"))
    config["judge"]["model"] = {"name": "tiny-judge"}
    config["engine"] = {"kind": "scripted"}
    (tmp_path / "rubric.yaml").write_text(yaml.safe_dump(config))
    monkeypatch.chdir(tmp_path)
    return config


@pytest.mark.usefixtures("rubric")
def test_the_python_call_labels_rows_by_the_rubric() -> None:
    call = written(r"`(pipeline\.judge\([^`]*\))`")
    (label,) = eval(call, {"pipeline": pipeline, "rows": ROWS})
    assert (label["preference"], label["n_votes"]) == ("a", 2)
    expected = [("Accuracy", [9.0, 2.0]), ("Detail", [3.0, 2.0])]
    assert [(each["name"], each["scores"]) for each in label["criteria"]] == expected
    assert label["scores"] == [7.0, 2.0]  # Accuracy counts twice


def test_it_runs_in_a_notebook_where_an_event_loop_runs_already(rubric: Row) -> None:
    async def cell() -> list[Row]:
        return pipeline.judge(ROWS, rubric)

    assert asyncio.run(cell())[0]["preference"] == "a"
