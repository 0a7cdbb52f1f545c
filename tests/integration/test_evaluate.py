"""``jobs.evaluate`` as a whole, on the scripted engine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from pipeline.aggregation.calibration_cards import put_calibration
from pipeline.store.object_store import Store
from tests.calibrations import calibration
from tests.evaluating import config_for, gold_pairs, report_of, run, value
from tests.labeling import contents, forbid_ray, write_config
from tests.shards import labels_of, pair, write_shard
from tests.without_charts import draw_no_charts

FIGURES = {
    "bias",
    "calibration",
    "confidence",
    "confusion",
    "controls",
    "margin",
    "risk_coverage",
    "votes",
}


@pytest.mark.usefixtures("without_ray")
def test_gold_pairs_with_every_control(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = gold_pairs(40)
    rows[7]["images"] = None
    rows[8]["gold"] = None
    write_shard(tmp_path / "gold/a.parquet", rows[:25])
    write_shard(tmp_path / "gold/b.parquet", rows[25:])
    config, output = config_for(tmp_path, model), tmp_path / "out"
    controls = [f"--control={n}" for n in ("blank-image", "shuffled-image", "swap-text")]
    command = ("--config", config, "--input", tmp_path / "gold", "--output", output, *controls)

    outcome = run(*command)

    assert outcome.exit_code == 0, outcome.error
    report, folder = report_of(output, "gold")
    right = sum((n % 5 != 4) for n in range(40) if n != 8) / 39
    assert report["pairs"] == 39
    assert value(report, "accuracy") == pytest.approx(right)
    estimate = report["overall"]["accuracy"]
    assert estimate["low"] < right < estimate["high"]
    assert sum(map(sum, report["curves"]["confusion"])) == 39
    assert {
        name: each["accuracy"]["rows"] for name, each in report["slices"]["source"].items()
    } == {
        "set-0": 19,
        "set-1": 20,
    }
    assert report["slices"]["format"] == {"pairwise_scores/text": report["overall"]}

    # The scripted engine reads texts only: pictures cannot matter to it, and candidates do.
    blank, shuffled, swap = report["controls"]
    assert (blank["pairs"], blank["left_out"]) == (38, {"without pictures": 1})
    assert (shuffled["pairs"], swap["pairs"]) == (38, 39)
    for control in (blank, shuffled):
        assert control["figures"]["accuracy_difference"]["value"] == 0
        assert "nothing shows that the judge looks" in control["warning"]
    assert (swap["figures"]["flipped"]["value"], swap["warning"]) == (1, None)
    assert outcome.output.count("WARNING") == 2
    assert "accuracy, ties, abstained and quarantined wrong" in outcome.output
    assert str(folder) in outcome.output

    text = (folder / "evaluation.md").read_text()
    assert "## Confusion" in text
    assert "Control blank-image: 38 pairs; 1 without pictures left out" in text
    assert {file.stem for file in (folder / "figures").glob("*.png")} == FIGURES
    assert {file.stem for file in (folder / "figures").glob("*.svg")} == FIGURES
    for name in FIGURES:
        assert f"(figures/{name}.png)" in text
        with Image.open(folder / f"figures/{name}.png") as picture:
            assert picture.size == (900, 600)

    # Nothing is judged twice, and nothing starts.
    draw_no_charts(monkeypatch)
    forbid_ray(monkeypatch)
    monkeypatch.setattr("pipeline.labeling.cluster.ray_session.ray_session", _refuse)
    parts = contents(output, "parts")
    again = run(*command)
    assert again.exit_code == 0, again.error
    assert contents(output, "parts") == parts
    assert report_of(output, "gold")[0] == report


def _refuse(*arguments: object) -> None:
    raise AssertionError("Ray was asked for")


@pytest.mark.usefixtures("without_ray", "without_charts")
def test_a_limit_and_labels_under_another_policy(tmp_path: Path, model: Path) -> None:
    write_shard(tmp_path / "gold/s.parquet", gold_pairs(30))
    (tmp_path / "gold/a.parquet").write_bytes(b"PAR1, and no footer")
    config, output = config_for(tmp_path, model), tmp_path / "out"
    command = ("--config", config, "--input", tmp_path / "gold", "--output", output)

    outcome = run(*command, "--limit", 6)
    assert outcome.exit_code == 0
    assert "gold/a.parquet: left out: corrupt footer" in outcome.error
    report, _ = report_of(output, "gold-first-6")
    assert (report["pairs"], value(report, "coverage")) == (6, 4 / 6)
    assert len(labels_of(output)) == 6

    # Two votes are not enough for a stricter policy: the same votes, and now nothing is decided.
    assert run(*command, "--limit", 6, "--set", "policy.threshold=0.9").exit_code == 0
    report, _ = report_of(output, "gold-first-6")
    assert (value(report, "coverage"), len(labels_of(output))) == (0, 6)

    # A calibration in the judge's card is used, and said.
    judge_id = report["judge"]["judge_id"]
    put_calibration(Store(str(output)), calibration(judge_id, (0.0, 0.0, 0.0)))
    assert run(*command, "--limit", 6).exit_code == 0
    report, _ = report_of(output, "gold-first-6")
    assert report["judge"]["calibrated_on"] == 100
    assert report["curves"]["calibration"]["stated"] == [0.5]
    assert any("calibrated on 100 gold pairs" in warning for warning in report["warnings"])


@pytest.mark.usefixtures("without_ray", "without_charts")
def test_too_many_quarantined_pairs_are_reported_and_end_with_their_exit_code(
    tmp_path: Path, model: Path
) -> None:
    rows = gold_pairs(10)
    for number in (2, 3):
        rows[number]["prompt"] = "unreadable"
    write_shard(tmp_path / "gold/s.parquet", rows)
    (tmp_path / "gold/t.parquet").write_bytes(b"PAR1, and no footer")
    config = config_for(tmp_path, model, engine={"script": {"faults": {"unreadable": "malformed"}}})

    command = ("--config", config, "--input", tmp_path / "gold", "--output", tmp_path / "out")
    outcome = run(*command, "--quarantine.max_shards", 1)

    assert outcome.exit_code == 4
    assert "2 of 10 rows are quarantined (malformed 2)" in outcome.error
    report, _ = report_of(tmp_path / "out", "gold")
    assert value(report, "quarantined") == 0.2
    assert report["quarantined_by_reason"] == {"malformed": 2}
    assert "2 of 10 rows are quarantined" in report["warnings"][0]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--benchmark", "mmlu"], "'mmlu' is not known; known are vl-rewardbench"),
        (["--benchmark", "mllm-as-a-judge-pair"], "give its path with --data"),
        (["--benchmark", "vl-rewardbench", "--data", "nowhere"], "no such file or folder"),
        (["--input", "gold", "--data", "x"], "--data is of a benchmark"),
        (["--input", "gold", "--control", "blur"], "control 'blur' is not known"),
        (["--input", "gold", "--limit", "0"], "--limit: got 0, expected at least 1"),
        (["--input", "gold", "--name", "../x"], "--name: got '../x'"),
        (["--input", "nothing-here"], "no *.parquet, *.pq there"),
        (["--input", "gold", "--set", "judge.format=options"], "judge.format"),
    ],
)
def test_what_cannot_be_done_is_reported_before_anything_starts(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    forbid_ray(monkeypatch)
    monkeypatch.setattr("pipeline.labeling.cluster.ray_session.ray_session", _refuse)
    write_shard(tmp_path / "gold/s.parquet", gold_pairs(3))
    config = config_for(tmp_path, model)

    outcome = run("--config", config, "--output", tmp_path / "out", *arguments)

    assert outcome.exit_code == 2
    assert said in outcome.error


@pytest.mark.usefixtures("without_ray")
def test_gold_of_another_kind_is_an_error_that_says_which_is_needed(
    tmp_path: Path, model: Path
) -> None:
    rows = [pair(n, candidates=None, gold_scores=[1.0, 2.0]) for n in range(2)]
    write_shard(tmp_path / "gold/s.parquet", rows)
    config = config_for(tmp_path, model, quarantine={"max_fraction": 1})

    outcome = run("--config", config, "--input", tmp_path / "gold", "--output", tmp_path / "out")

    assert outcome.exit_code == 2
    assert "2 labelled pairs have gold, none of them in gold," in outcome.error


@pytest.mark.usefixtures("without_ray", "without_charts")
def test_a_rubric_is_compared_with_none_on_the_same_gold(tmp_path: Path, model: Path) -> None:
    write_shard(tmp_path / "gold.parquet", gold_pairs(24))
    criteria = [{"name": n, "text": "?"} for n in ("Right", "Full", "Kind", "Short")]
    rubric = {"bundle": "rubric-json", "allow_experimental": True, "rubric": {"criteria": criteria}}
    mine = write_config(tmp_path / "mine.yaml", model, {"judge": rubric})
    none, output = config_for(tmp_path, model), tmp_path / "out"
    command = ("--input", tmp_path / "gold.parquet", "--output", output, "--config", mine)

    outcome = run(*command, "--against", none)

    assert outcome.exit_code == 0, outcome.error
    found = [json.loads(f.read_text()) for f in output.glob("evaluations/gold/*/evaluation.json")]
    (report,) = found
    against = report["against"]
    assert (against["pairs"], against["verdict"]) == (24, "not shown to differ")
    assert against["figures"]["accuracy_gain"] == {"value": 0, "low": 0, "high": 0, "rows": 24}
    assert "WARNING the rubric is not shown to beat none: " in outcome.output
    assert list(report["criteria"]) == ["Right", "Full", "Kind", "Short"]
    right = report["criteria"]["Right"]
    assert right["criterion_missing"]["value"] == 0
    assert right["criterion_winner"]["value"] > right["criterion_loser"]["value"]

    # The other one by its id, which judges nothing again.
    parts = contents(output, "parts")
    again = run(*command, "--against", against["judge_id"][:12])
    assert again.exit_code == 0, again.error
    assert report_of(output, "gold")[0]["against"] == against
    assert contents(output, "parts") == parts
    ranking = write_config(tmp_path / "other.yaml", model, {"judge": {"format": "batch_ranking"}})
    refused = run(*command, "--against", ranking)
    assert (refused.exit_code, "expected one of pairs" in refused.error) == (2, True)
