"""A reward model in the nightly run: undecided, calibrated, published, evaluated and exported."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from jobs import calibrate, export
from pipeline.snapshots.quality.measure_snapshot import read_quality
from pipeline.store.object_store import Store
from tests.evaluating import report_of, run, value
from tests.labeling import Row, run_job, write_config
from tests.nights import run_nightly
from tests.publishing import live_rows
from tests.shards import pair, response, write_shard

ROWS = 60


def _rows() -> list[Row]:
    """Pairs of gaps from -9 to 9; people call gaps up to 1 a tie, and each tenth the other side."""
    rows = []
    for number in range(ROWS):
        gap = (number * 7) % 19 - 9
        texts = {
            "response_a": response(f"score={10 + gap}"),
            "response_b": response("other score=10"),
        }
        better = "tie" if abs(gap) <= 1 else "a" if gap > 0 else "b"
        wrong = number % 10 == 3 and better != "tie"
        gold = {"a": "b", "b": "a"}[better] if wrong else better
        rows.append(pair(number, gold=gold, **texts))
    return rows


@pytest.mark.usefixtures("without_ray", "without_charts")
def test_votes_become_labels_once_gold_says_what_a_point_is_worth(
    tmp_path: Path, model: Path
) -> None:
    source, output = tmp_path / "in", tmp_path / "out"
    rows = _rows()
    write_shard(source / "a.parquet", rows)
    config = write_config(tmp_path / "c.yaml", model, {"judge": {"bundle": "skywork-vl-reward"}})
    store, where = Store(str(output)), ("--input", source, "--output", output, "--config", config)

    night = run_nightly(config, source, output)
    assert night.exit_code == 0, night.error
    (label, *_) = live_rows(store)
    assert {row["status"] for row in live_rows(store)} == {"abstained"}
    assert "pairmill calibrate" in label["detail"]

    # Nothing is decided, and the report says why no label is right.
    evaluated = run(*where)
    assert evaluated.exit_code == 0, evaluated.error
    report, _ = report_of(output, "in")
    assert (value(report, "accuracy"), value(report, "abstained")) == (0, 1)
    assert any("pairmill calibrate fits it" in warning for warning in report["warnings"])

    done = run_job(calibrate.main, [str(each) for each in where])
    assert done.exit_code == 0, done.error

    night = run_nightly(config, source, output)
    assert night.exit_code == 0, night.error
    assert {row["run_id"] for row in live_rows(store)} == {label["run_id"]}
    labels = {row["row"]: row for row in live_rows(store)}
    for number, row in labels.items():
        gap = (number * 7) % 19 - 9
        expected = ("tie", None) if abs(gap) <= 1 else ("labeled", "a" if gap > 0 else "b")
        assert (row["status"], row["preference"]) == expected
        assert (row["margin"], row["n_votes"], row["position_consistent"]) == (gap, 1, None)
        assert (row["p_a"] > 0.5) == (gap > 0) or gap == 0
        assert row["rationale"] is None
    by_gap = sorted((row["margin"], row["p_a"]) for row in labels.values())
    assert [p for _, p in by_gap] == sorted(p for _, p in by_gap)  # within one prompt's scores
    assert all(math.isclose(p, 0.5) for gap, p in by_gap if gap == 0)
    quality = read_quality(store, night.event("published")["snapshot"])
    assert quality is not None
    assert (quality.calibrated, quality.rates["position_consistency"].n) == (True, 0)

    evaluated = run(*where)
    report, _ = report_of(output, "in")
    assert value(report, "accuracy") == sum(_right(row) for row in rows) / ROWS
    assert not any("fits it" in warning for warning in report["warnings"])

    made = run_job(export.main, ["--output", str(output), "--format", "jsonl",
                                 "--export.soft_labels", "true"])  # fmt: skip
    assert made.exit_code == 0, made.error
    files = output.glob("exports/*/*/*-00000.jsonl")
    lines = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    assert len(lines) == sum(row["status"] == "labeled" for row in labels.values())
    assert all(0.5 < line["p_chosen"] < 1 and line["margin"] >= 2 for line in lines)


def _right(row: Row) -> bool:
    """Whether people say what the scores say."""
    score = int(row["response_a"]["text"].removeprefix("score="))
    return {"a": score > 11, "b": score < 9, "tie": 9 <= score <= 11}[row["gold"]]
