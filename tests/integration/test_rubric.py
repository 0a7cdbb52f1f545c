"""A rubric of four criteria from pairs to labels, reports and exports; rows with their own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from jobs import export, publish
from pipeline.snapshots.quality.measure_snapshot import read_quality
from pipeline.store.object_store import Store
from tests.labeling import run_job, write_config
from tests.nights import run_nightly
from tests.publishing import live_rows
from tests.shards import pair, response, write_shard

pytestmark = pytest.mark.usefixtures("without_charts")

FOUR = ("Accuracy", "Detail", "Tone", "Safety")
RUBRIC = {
    "criteria": [{"name": name, "text": f"about {name}"} for name in FOUR],
    "metadata": "rubric",
}
OWN = json.dumps([{"name": "Style", "text": "terse"}])
ROWS, OF_OWN, BROKEN = 24, 5, 6


@pytest.mark.usefixtures("without_ray")
def test_four_criteria_from_pairs_to_an_export(tmp_path: Path, model: Path) -> None:
    source, output = tmp_path / "in", tmp_path / "out"
    rows = []
    for number in range(ROWS):
        texts = {"response_a": response("score=7 Tone=1"), "response_b": response("score=5 Tone=4")}
        rows.append(pair(number, images=None, gold="a", **texts))
    rows[OF_OWN]["metadata"] = [{"key": "rubric", "value": OWN}]
    rows[BROKEN]["metadata"] = [{"key": "rubric", "value": "{"}]
    write_shard(source / "a.parquet", rows)
    judge = {"bundle": "rubric-json", "allow_experimental": True, "rubric": RUBRIC}
    config = write_config(tmp_path / "c.yaml", model, {"judge": judge})

    night = run_nightly(config, source, output)
    assert night.exit_code == 0, night.error

    store = Store(str(output))
    labels = {row["row"]: row for row in live_rows(store)}
    (bad,) = live_rows(store, "quarantine")
    assert (bad["row"], bad["reason"]) == (BROKEN, "bad_row")
    assert labels[0]["scores"] == [5.5, 4.75]
    assert [each["name"] for each in labels[0]["criteria"]] == list(FOUR)
    assert (labels[0]["rubric"], labels[OF_OWN]["rubric"]) == (None, f'{{"criteria": {OWN}}}')
    assert {row["preference"] for row in labels.values()} == {"a"}

    quality = read_quality(store, night.event("published")["snapshot"])
    assert quality is not None
    tone, style = quality.criteria["Tone"], quality.criteria["Style"]
    assert (tone.rows, tone.winner, tone.loser, tone.gold_agreement) == (ROWS - 2, 1, 4, 0)
    assert (style.rows, style.winner, style.equal) == (1, 7, 0)
    (page,) = output.glob("runs/*/report.html")
    assert "Criteria of the rubric" in page.read_text()

    # Other weights label again on a CPU: rows without such a criterion stay as they were.
    heavy = ("--config", str(config), "--input", str(source), "--output", str(output))
    again = run_job(publish.main, [*heavy, "--policy.weights", "{Tone: 9}"])
    assert again.exit_code == 0, again.error
    labels = {row["row"]: row for row in live_rows(store)}
    assert [labels[n]["preference"] for n in (0, OF_OWN)] == ["b", "a"]
    assert labels[0]["scores"] == pytest.approx([2.5, 4.25])

    made = run_job(export.main, ["--output", str(output), "--format", "jsonl"])
    assert made.exit_code == 0, made.error
    (file,) = output.glob("exports/*/jsonl/train-00000.jsonl")
    (line,) = {json.dumps(json.loads(each)["criteria"]) for each in file.read_text().splitlines()
               if json.loads(each)["pair_id"] == rows[0]["pair_id"]}  # fmt: skip
    assert json.loads(line)[2] == {"name": "Tone", "scores": [1.0, 4.0]}
