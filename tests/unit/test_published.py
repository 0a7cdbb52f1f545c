"""How published results were obtained, and what a run does otherwise."""

from __future__ import annotations

import pytest

from pipeline.evaluation.benchmarks import BENCHMARKS
from pipeline.evaluation.benchmarks.published import JUDGE, differences
from pipeline.labeling.label_config import LabelConfig
from pipeline.runtime.config_file import load_config

WITH_RESULTS = [name for name, benchmark in BENCHMARKS.items() if benchmark.published]


def test_results_are_known_of() -> None:
    assert WITH_RESULTS == [
        "vl-rewardbench",
        "mllm-as-a-judge-pair",
        "mllm-as-a-judge-score",
        "mllm-as-a-judge-batch",
        "mj-bench",
        "genai-bench-image",
        "genai-bench-edit",
        "genai-bench-video",
    ]


@pytest.mark.parametrize("name", WITH_RESULTS)
def test_as_published_leaves_what_no_setting_makes_alike(name: str) -> None:
    benchmark = BENCHMARKS[name]
    config = load_config(LabelConfig, None, benchmark.setting.overrides())

    benchmark.check_judge(config.judge)
    left = differences(benchmark.setting, config, benchmark.setting.pairs or 1)
    assert {each.alike_with for each in left} == {
        "nothing",
        "judge.prompt: their texts as files",
    }
    assert {each.what for each in left} >= {"prompt", "a reply without a verdict", "engine"}


@pytest.mark.parametrize(
    ("name", "format_", "temperature", "top_p", "square", "votes"),
    [  # as in the scripts of github.com/jongwooko/flex-judge
        ("vl-rewardbench", "pairwise_scores", 0.6, 0.95, None, 2),
        ("mj-bench", "pairwise_scores", 0.6, 0.95, 336, 2),
        ("mllm-as-a-judge-pair", "pairwise_scores", 0.4, 0.8, 448, 4),
        ("mllm-as-a-judge-score", "single_score", 0.4, 0.8, 448, 3),
        ("genai-bench-edit", "pairwise_options", 0.6, 0.95, 448, 8),
        ("genai-bench-video", "pairwise_options", 0.6, 0.95, None, 8),
    ],
)
def test_the_settings_of_published_results(
    name: str,
    format_: str,
    temperature: float,
    top_p: float,
    square: int | None,
    votes: int,
) -> None:
    config = load_config(LabelConfig, None, BENCHMARKS[name].setting.overrides())

    sampling = config.judge.sampling
    assert (sampling.temperature, sampling.top_p) == (temperature, top_p)
    assert (config.judge.format, config.judge.media.square) == (format_, square)
    assert (config.judge.votes.min_votes, config.judge.votes.max_votes) == (votes, votes)
    assert config.policy.undecided == "tie"


def test_what_differs_is_named_with_what_makes_it_alike() -> None:
    config = load_config(
        LabelConfig, None, ["judge.model.name=other/judge", "judge.sampling.temperature=0"]
    )
    found = differences(BENCHMARKS["vl-rewardbench"].setting, config, 20)
    stated = {each.what: (each.here, each.published, each.alike_with) for each in found}

    assert stated["judge.sampling.temperature"] == ("0.0", "0.6", "--as-published")
    assert stated["judge.model.name"] == ("other/judge", JUDGE, "judge.model.name")
    assert stated["pairs"] == ("20", "1,250", "all pairs of that release of the data")
    assert stated["orders"][2] == "nothing"
    assert "judge.sampling.top_p" not in stated
