"""``jobs.evaluate`` as a whole, on the scripted engine."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from jobs.evaluate import main
from pipeline.core.config import WorkersConfig
from pipeline.core.judge_cards import put_calibration
from pipeline.core.storage import Store
from tests import public_benchmarks as made
from tests.calibrations import calibration
from tests.labeling import contents, forbid_ray, write_config
from tests.shards import labels_of, pair, write_shard
from tests.videos import numbered, video

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


@dataclass(frozen=True)
class Outcome:
    """How the job ended: exit code, standard output and standard error."""

    exit_code: int
    output: str
    error: str


def run(*arguments: object) -> Outcome:
    stdout, stderr = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
        exit_code = main([str(argument) for argument in arguments])
    return Outcome(exit_code, stdout.getvalue(), stderr.getvalue())


def report_of(output: Path, name: str) -> tuple[dict[str, Any], Path]:
    """The only report of an evaluation, and its folder."""
    (file,) = (output / "evaluations" / name).glob("*/evaluation.json")
    return json.loads(file.read_text()), file.parent


def value(report: Mapping[str, Any], figure: str) -> Any:
    return report["overall"][figure]["value"]


def config_for(tmp_path: Path, model: Path, **changes: Any) -> Path:
    return write_config(tmp_path / "judge.yaml", model, changes)


def gold_pairs(count: int) -> list[dict[str, Any]]:
    """Pairs that the judge gets right, but for every fifth, whose gold is another one."""
    better = {0: "a", 1: "b", 2: "tie"}
    rows = []
    for number in range(count):
        gold = better[(number + (number % 5 == 4)) % 3]
        rows.append(pair(number, gold=gold, source=f"set-{number % 2}"))
    return rows


@pytest.mark.usefixtures("shared_ray")
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
    forbid_ray(monkeypatch)
    monkeypatch.setattr("pipeline.assembly.evaluation.evaluate.ray_session", _refuse)
    parts = contents(output, "parts")
    again = run(*command)
    assert again.exit_code == 0, again.error
    assert contents(output, "parts") == parts
    assert report_of(output, "gold")[0] == report


def _refuse(workers: WorkersConfig) -> None:
    raise AssertionError("Ray was asked for")


@pytest.mark.usefixtures("shared_ray")
def test_a_limit_and_labels_under_another_policy(tmp_path: Path, model: Path) -> None:
    write_shard(tmp_path / "gold.parquet", gold_pairs(30))
    config, output = config_for(tmp_path, model), tmp_path / "out"
    command = ("--config", config, "--input", tmp_path / "gold.parquet", "--output", output)

    assert run(*command, "--limit", 6).exit_code == 0
    report, _ = report_of(output, "gold-first-6")
    assert (report["pairs"], value(report, "coverage")) == (6, 4 / 6)
    assert len(labels_of(output)) == 6

    # Two votes are not enough for a stricter policy: the same votes, and now nothing is decided.
    assert run(*command, "--limit", 6, "--set", "policy.threshold=0.99").exit_code == 0
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


@pytest.mark.usefixtures("shared_ray")
def test_too_many_quarantined_pairs_are_reported_and_end_with_their_exit_code(
    tmp_path: Path, model: Path
) -> None:
    rows = gold_pairs(10)
    for number in (2, 3):
        rows[number]["prompt"] = "unreadable"
    write_shard(tmp_path / "gold/s.parquet", rows)
    config = config_for(tmp_path, model, engine={"script": {"faults": {"unreadable": "malformed"}}})

    outcome = run("--config", config, "--input", tmp_path / "gold", "--output", tmp_path / "out")

    assert outcome.exit_code == 4
    assert "2 of 10 rows are quarantined (malformed 2)" in outcome.error
    report, _ = report_of(tmp_path / "out", "gold")
    assert value(report, "quarantined") == 0.2
    assert report["quarantined_by_reason"] == {"malformed": 2}
    assert "2 of 10 rows are quarantined" in report["warnings"][0]


@pytest.mark.usefixtures("shared_ray")
def test_vl_rewardbench_beside_what_was_published(tmp_path: Path, model: Path) -> None:
    rows = [made.vl_rewardbench(index) for index in range(20)]
    rows += rows[:1]  # public ids repeat: this row's answers differ
    rows[20] = rows[20] | {"response": ["other, score=1", "yet another, score=7"]}
    made.write_parquet(tmp_path / "in/test-0-of-1.parquet", rows, "vl-rewardbench")
    config, output = config_for(tmp_path, model), tmp_path / "out"

    outcome = run(
        *("--config", config, "--benchmark", "vl-rewardbench"),
        *("--data", tmp_path / "in", "--output", output, "--control", "swap-text"),
    )

    assert outcome.exit_code == 0, outcome.error
    report, _ = report_of(output, "vl-rewardbench")
    assert (report["pairs"], value(report, "accuracy")) == (21, pytest.approx(20 / 21))
    categories = report["slices"]["category"]
    assert {name: each["accuracy"]["rows"] for name, each in categories.items()} == {
        "general": 8,
        "hallucination": 9,
        "reasoning": 4,
    }
    assert value(report, "macro_accuracy") == pytest.approx((1 + 8 / 9 + 1) / 3)
    overall, *others = report["published"]
    assert (overall["flex"], overall["base"]) == (0.486, 0.363)
    assert overall["measured"] == report["overall"]["accuracy"]
    assert [entry["category"] for entry in others] == ["general", "hallucination", "reasoning"]
    assert others[1]["measured"] == categories["hallucination"]["accuracy"]
    assert "Flex-VL-7B, published" in outcome.output


@pytest.mark.usefixtures("shared_ray")
def test_genai_bench_with_options_about_images(tmp_path: Path, model: Path) -> None:
    rows = [made.genai("image", index) for index in range(12)]
    made.write_parquet(
        tmp_path / "in/image_generation/test_v1-0-of-1.parquet", rows, "genai-bench-image"
    )
    config, output = config_for(tmp_path, model), tmp_path / "out"
    command = ["--config", config, "--benchmark", "genai-bench-image", "--data", tmp_path / "in"]
    command += ["--output", output, "--control", "blank-image"]

    refused = run(*command)
    outcome = run(
        *command, "--set", "judge.format=pairwise_options", "--set", "judge.candidates=image"
    )

    assert refused.exit_code == 2
    assert "--set judge.format=pairwise_scores --set judge.candidates=image" in refused.error
    assert outcome.exit_code == 0, outcome.error
    report, _ = report_of(output, "genai-bench-image")
    assert report["overall"]["four_way"]["rows"] == 12
    assert value(report, "quarantined") == 0
    assert [entry["flex"] for entry in report["published"]] == [0.4332, 0.4634]
    # White candidates are judged, not refused as equal; the engine sees the same pixels twice.
    (blank,) = report["controls"]
    assert blank["pairs"] == 12
    white = [label for label in labels_of(output) if label["shard"].startswith("blank-image")]
    assert {label["status"] for label in white} == {"tie"}


@pytest.mark.usefixtures("shared_ray")
def test_videogen_rewardbench_reads_videos_where_they_are(tmp_path: Path, model: Path) -> None:
    rows = [made.videogen_rewardbench(index) for index in range(3)]
    made.write_csv(tmp_path / "in/videogen-rewardbench.csv", rows)
    for number, name in enumerate(row[side] for row in rows for side in ("path_A", "path_B")):
        file = tmp_path / "in" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(video([numbered(number)] * 4))
    settings = ("judge.candidates=video", "judge.media.video.max_videos=2")

    outcome = run(
        *("--config", config_for(tmp_path, model), "--benchmark", "videogen-rewardbench"),
        *("--data", tmp_path / "in", "--output", tmp_path / "out"),
        *(part for setting in settings for part in ("--set", setting)),
    )

    assert outcome.exit_code == 0, outcome.error
    report, _ = report_of(tmp_path / "out", "videogen-rewardbench")
    assert (report["pairs"], value(report, "quarantined")) == (3, 0)
    assert {name for name in report["overall"] if "with" in name} == {
        f"{dimension}_with{out}_ties"
        for dimension in ("VQ", "MQ", "TA", "Overall")
        for out in ("", "out")
    }


@pytest.mark.usefixtures("shared_ray")
def test_scores_and_rankings_of_mllm_as_a_judge(tmp_path: Path, model: Path) -> None:
    made.write_pictures(tmp_path / "in/image", [f"{n}.png" for n in range(4)])
    made.write_jsonl(tmp_path / "in/score.jsonl", [made.mllm("score", n) for n in range(15)])
    made.write_jsonl(tmp_path / "in/batch.jsonl", [made.mllm("batch", n) for n in range(9)])
    config, output = config_for(tmp_path, model), tmp_path / "out"

    for setting, format_ in (("score", "single_score"), ("batch", "batch_ranking")):
        outcome = run(
            *("--config", config, "--benchmark", f"mllm-as-a-judge-{setting}"),
            *("--data", tmp_path / "in", "--output", output),
            *("--set", f"judge.format={format_}", "--control", "shuffled-image"),
        )
        assert outcome.exit_code == 0, outcome.error

    scores, folder = report_of(output, "mllm-as-a-judge-score")
    assert (value(scores, "pearson"), value(scores, "mae")) == (pytest.approx(1), 0)
    assert value(scores, "macro_pearson") == pytest.approx(1)
    assert scores["published"][0]["measured"] == scores["overall"]["macro_pearson"]
    assert {f.stem for f in (folder / "figures").glob("*.png")} == {"controls", "scores", "votes"}
    assert scores["controls"][0]["figures"]["pearson_difference"]["value"] == pytest.approx(0)
    assert scores["controls"][0]["warning"] is not None

    ranks, folder = report_of(output, "mllm-as-a-judge-batch")
    assert (value(ranks, "edit_distance"), value(ranks, "kendall_tau")) == (0, pytest.approx(1))
    assert value(ranks, "pair_accuracy") == 1
    assert {f.stem for f in (folder / "figures").glob("*.png")} == {"controls", "rankings", "votes"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--benchmark", "mmlu"], "'mmlu' is not known; known are vl-rewardbench"),
        (["--benchmark", "mllm-as-a-judge-pair"], "name its file or folder by --data"),
        (["--benchmark", "vl-rewardbench", "--data", "nowhere"], "no such file or folder"),
        (["--input", "gold", "--data", "x"], "--data is of a benchmark"),
        (["--input", "gold", "--control", "blur"], "control 'blur' is not known"),
        (["--input", "gold", "--limit", "0"], "--limit: got 0, expected at least 1"),
        (["--input", "gold", "--name", "../x"], "--name: got '../x'"),
        (["--input", "nothing-here"], "no *.parquet there"),
        (["--input", "gold", "--set", "judge.format=options"], "judge.format"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_starts(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    forbid_ray(monkeypatch)
    monkeypatch.setattr("pipeline.assembly.evaluation.evaluate.ray_session", _refuse)
    write_shard(tmp_path / "gold/s.parquet", gold_pairs(3))
    config = config_for(tmp_path, model)

    outcome = run("--config", config, "--output", tmp_path / "out", *arguments)

    assert outcome.exit_code == 2
    assert said in outcome.error


@pytest.mark.usefixtures("shared_ray")
def test_gold_of_another_kind_is_an_error_that_says_which_is_needed(
    tmp_path: Path, model: Path
) -> None:
    rows = [pair(n, candidates=None, gold_scores=[1.0, 2.0]) for n in range(2)]
    write_shard(tmp_path / "gold/s.parquet", rows)
    config = config_for(tmp_path, model, quarantine={"max_fraction": 1})

    outcome = run("--config", config, "--input", tmp_path / "gold", "--output", tmp_path / "out")

    assert outcome.exit_code == 2
    assert "2 labelled pairs have gold, none of them in gold," in outcome.error
