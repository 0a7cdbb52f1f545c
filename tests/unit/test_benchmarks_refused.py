"""What benchmark loaders refuse, and what they say."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.evaluation.benchmarks import BENCHMARKS, find_benchmark
from pipeline.evaluation.benchmarks.benchmark_files import Request
from pipeline.evaluation.benchmarks.benchmark_shards import Loaded, load_benchmark
from pipeline.judging.judge_config import JudgeConfig
from pipeline.runtime.errors import ConfigError, InputError, QuarantineError
from tests import public_benchmarks as made

Row = made.Row


def load(name: str, data: object, output: Path) -> Loaded:
    """Loads a benchmark."""
    return load_benchmark(find_benchmark(name), Request(data=str(data)), str(output))


def test_missing_columns_are_named_with_those_found_and_expected(tmp_path: Path) -> None:
    rows = [{"id": 1, "instruction": "x", "image": "0.png", "answers": [], "human": "A"}]
    made.write_jsonl(tmp_path / "batch.jsonl", rows)

    with pytest.raises(InputError) as raised:
        load("mllm-as-a-judge-batch", tmp_path, tmp_path / "out")

    text = str(raised.value)
    assert "columns are missing: image_path, original_dataset" in text
    assert "found id, instruction, image, answers, human" in text
    assert "expected instruction, image_path, original_dataset, human, answers" in text


@pytest.mark.parametrize(
    ("name", "row", "said"),
    [
        (
            "mllm-as-a-judge-pair",
            made.mllm("pair", 0) | {"human": "first"},
            "got the text 'first', expected one of",
        ),
        ("mllm-as-a-judge-score", made.mllm("score", 0) | {"human": "good"}, "unknown: 'good'"),
        ("mllm-as-a-judge-score", made.mllm("score", 0) | {"human": 9}, "unknown: 9"),
        ("mllm-as-a-judge-batch", made.mllm("batch", 0) | {"human_answer": "ABC"}, "'ABC'"),
        (
            "multimodal-rewardbench",
            made.multimodal_rewardbench(0) | {"Better": "1"},
            "got the text '1', expected one of",
        ),
    ],
)
def test_a_gold_value_of_another_coding_is_named(
    tmp_path: Path, name: str, row: Row, said: str
) -> None:
    made.write_json(tmp_path / "in.json", [row])
    made.write_pictures(tmp_path, ["0.png", "images/nocaps/0.png"])

    with pytest.raises(QuarantineError, match=said):
        load(name, tmp_path / "in.json", tmp_path / "out")


def test_media_that_are_nowhere_are_named_with_the_places_looked_at(tmp_path: Path) -> None:
    made.write_jsonl(tmp_path / "in/pair.jsonl", [made.mllm("pair", 2)])

    with pytest.raises(InputError, match=r"such as '2\.png', not in .*/in/image, .*--media"):
        load("mllm-as-a-judge-pair", tmp_path / "in", tmp_path / "out")


def test_mj_bench_needs_to_know_which_perspective_a_file_is(tmp_path: Path) -> None:
    file = tmp_path / "in/part.parquet"
    made.write_parquet(file, [made.mj_bench(0)], "mj-bench")

    with pytest.raises(
        ConfigError, match=r"alignment, safety, quality, got part\.parquet: say with --split"
    ):
        load("mj-bench", file, tmp_path / "out")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("nowhere/at/all", "no such file or folder, and no hub id"),
        (".", r"2 tables fit, .* may count pairs twice: a\.csv, b\.jsonl; name one with --data"),
    ],
)
def test_data_that_cannot_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: str, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.csv").write_text("x\n1\n")
    (tmp_path / "b.jsonl").write_text("{}\n")

    with pytest.raises(ConfigError, match=said):
        load("vl-rewardbench", data, tmp_path / "out")


def test_an_unknown_benchmark_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"'mmlu' is not known; known are vl-rewardbench, .*mj-b"):
        find_benchmark("mmlu")
    with pytest.raises(ConfigError, match=r"videogen-rewardbench; did you mean mj-bench\?"):
        find_benchmark("mjbench")


def test_a_judge_of_another_format_names_the_setting_to_change() -> None:
    judge = JudgeConfig(format="pairwise_options", candidates="text")

    BENCHMARKS["vl-rewardbench"].check_judge(judge)
    with pytest.raises(ConfigError, match=r"--set judge\.format=single_score --set judge\.cand"):
        BENCHMARKS["mllm-as-a-judge-score"].check_judge(judge)
    with pytest.raises(ConfigError, match=r"judge\.format=pairwise_options .*candidates=image"):
        BENCHMARKS["genai-bench-image"].check_judge(judge)
