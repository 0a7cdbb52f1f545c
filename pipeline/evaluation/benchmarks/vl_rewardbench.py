"""VL-RewardBench (arXiv 2411.17451): pairs of answers about a picture.

Schema read in the hub set's card (MMInstruction/VL-RewardBench, Parquet: id, query, response,
image, human_ranking, models, …); categories in ``cal.py`` of
github.com/vl-rewardbench/VL_RewardBench, which takes them from the prefix of the id.
"""

from __future__ import annotations

import re
from typing import Any

from pipeline.evaluation.benchmarks.benchmark import Benchmark, BenchmarkPart, Row, metadata_of
from pipeline.evaluation.benchmarks.published import FLEX_JUDGE, Published, Setting
from pipeline.evaluation.pair_measures import metadata

# By the id up to its first dash or underscore; every other id is VLFeedback's: general.
_CATEGORY = {
    "RLAIF": "hallucination",
    "RLHF": "hallucination",
    "hallucination": "hallucination",
    "mathverse": "reasoning",
    "mmmu": "reasoning",
    "wildvision": "general",
}


def _columns(names: frozenset[str], part: BenchmarkPart) -> dict[str, Any]:
    models = [{"model": f"models[{index}]"} if "models" in names else {} for index in (0, 1)]
    return {
        "prompt": "query",
        "images": "image",
        "response_a": {"text": "response[0]", **models[0]},
        "response_b": {"text": "response[1]", **models[1]},
        "gold": {"ranking": "human_ranking"},
        "source": "query_source" if "query_source" in names else {"const": "vl-rewardbench"},
        **metadata_of(names, "id", "ground_truth"),
    }


def _categories(pair: Row) -> tuple[str, ...]:
    prefix = re.split("[-_]", metadata(pair)["id"] or "")[0]
    return (_CATEGORY.get(prefix, "general"),)


VL_REWARDBENCH = Benchmark(
    name="vl-rewardbench",
    title="VL-RewardBench",
    hub_id="MMInstruction/VL-RewardBench",
    parts=(BenchmarkPart("vl-rewardbench"),),
    required=("id", "query", "response", "image", "human_ranking"),
    columns=_columns,
    categories=_categories,
    # One reply a pair, the order drawn at random: right as often as one of ours of both orders.
    published=(
        Published("accuracy_of_votes", None, 0.4860, 0.363),
        Published("accuracy_of_votes", "general", 0.4611),
        Published("accuracy_of_votes", "hallucination", 0.4339),
        Published("accuracy_of_votes", "reasoning", 0.6287),
    ),
    setting=Setting(
        settings={
            **FLEX_JUDGE.settings,
            "judge.candidates": "text",
            "judge.format": "pairwise_scores",
            "judge.votes.min_votes": 2,
            "judge.votes.max_votes": 2,
        },
        other={
            **FLEX_JUDGE.other,
            "orders": ("both, equally often", "one vote, its order drawn at random"),
        },
        pairs=1_250,
    ),
)
