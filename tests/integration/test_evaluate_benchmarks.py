"""``jobs.evaluate`` on benchmarks in their public schemas, on the scripted engine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests import public_benchmarks as made
from tests.evaluating import config_for, report_of, run, value
from tests.shards import labels_of
from tests.videos import numbered, video


@pytest.mark.usefixtures("without_ray", "without_charts")
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
    report, folder = report_of(output, "vl-rewardbench")
    prompts = json.loads((folder / "prompts.json").read_text())
    own = [row for row in labels_of(output) if not row["shard"].startswith("swap-text")]
    assert prompts["clusters"] == sorted({row["cluster"] for row in own})
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
    assert overall["measured"] == report["overall"]["accuracy_of_votes"]
    assert value(report, "accuracy_of_votes") == pytest.approx(20 / 21)
    assert [entry["category"] for entry in others] == ["general", "hallucination", "reasoning"]
    assert others[1]["measured"] == categories["hallucination"]["accuracy_of_votes"]
    assert "Flex-VL-7B, published" in outcome.output
    differs = {each["what"]: each for each in report["differences"]}
    assert differs["judge.sampling.temperature"] == {
        "what": "judge.sampling.temperature",
        "here": "0.2",
        "published": "0.6",
        "alike_with": "--as-published",
    }
    assert differs["pairs"]["here"] == "21"
    assert "What differs from how those were obtained" in outcome.output
    (read,) = report["read"]
    assert (read["rows"], read["bad_rows"]) == (21, 0)
    assert read["source"] == str(tmp_path / "in/test-0-of-1.parquet")


@pytest.mark.usefixtures("without_ray")
def test_mj_bench_as_its_results_were_published(tmp_path: Path, model: Path) -> None:
    for split in ("alignment", "safety", "quality"):
        rows = [made.mj_bench(index) for index in range(4)]
        made.write_parquet(tmp_path / f"in/data/{split}-0-of-1.parquet", rows, "mj-bench")
    config, output = config_for(tmp_path, model), tmp_path / "out"

    outcome = run(
        *("--config", config, "--benchmark", "mj-bench", "--as-published"),
        *("--data", tmp_path / "in", "--output", output),
    )

    assert outcome.exit_code == 0, outcome.error
    report, folder = report_of(output, "mj-bench-as-published")
    (card,) = (output / "judges").glob("*.json")
    settings = json.loads(card.read_text())["identity"]["settings"]
    assert (settings["media.square"], settings["sampling.temperature"]) == (336, 0.6)
    labels = labels_of(output)
    assert {label["n_votes"] for label in labels} == {2}
    assert {label["status"] for label in labels} == {"labeled", "tie"}
    left = {each["alike_with"] for each in report["differences"]}
    assert left == {
        "nothing",
        "judge.model.name",
        "judge.prompt: their texts as files",
        "all pairs of that release of the data",
    }
    page = (folder / "evaluation.html").read_text(encoding="utf-8")
    assert "with the settings of the published results" in page
    assert page.count("data:image/png;base64,") == len(list((folder / "figures").glob("*.png")))


@pytest.mark.usefixtures("without_ray", "without_charts")
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


@pytest.mark.usefixtures("without_ray", "without_charts")
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


@pytest.mark.usefixtures("without_ray")
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
