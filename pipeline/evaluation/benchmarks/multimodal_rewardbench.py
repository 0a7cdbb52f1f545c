"""Multimodal RewardBench (arXiv 2502.14191): pairs of answers about a picture.

Schema read in the README and ``scripts/`` of github.com/facebookresearch/multimodal_rewardbench
(``data/all_data.json``, one JSON list: ID, Text, Image, Output1, Output2, Better, Category;
pictures by their path under ``data/``). Sub-categories as in ``2_get_accuracy.py``.
"""

from __future__ import annotations

from typing import Any

from pipeline.evaluation.benchmarks.benchmark import Benchmark, BenchmarkPart, Row, metadata_of
from pipeline.evaluation.pair_measures import metadata


def _columns(names: frozenset[str], part: BenchmarkPart) -> dict[str, Any]:
    return {
        "prompt": "Text",
        "images": "Image",
        "response_a": "Output1",
        "response_b": "Output2",
        "gold": {"column": "Better", "values": {"Output1": "a", "Output2": "b"}},
        "source": {"const": "multimodal-rewardbench"},
        **metadata_of(names, "ID", "Category"),
    }


def _categories(pair: Row) -> tuple[str, ...]:
    stored = metadata(pair)
    category = stored.get("Category") or "uncategorised"
    origin = (stored["ID"] or "").lower()
    if category == "safety":
        return category, "safety/bias" if origin.startswith("pairs") else "safety/toxicity"
    if category == "reasoning":
        return category, "reasoning/math" if origin.startswith("math") else "reasoning/coding"
    return (category,)


MULTIMODAL_REWARDBENCH = Benchmark(
    name="multimodal-rewardbench",
    title="Multimodal RewardBench",
    parts=(BenchmarkPart("multimodal-rewardbench", "train", hints=("all_data",)),),
    required=("ID", "Text", "Image", "Output1", "Output2", "Better"),
    columns=_columns,
    categories=_categories,
)
