"""MJ-Bench (arXiv 2407.04842): pairs of images made for a prompt.

Schema read in ``dataset.py`` and ``inference.py`` of github.com/MJ-Bench/MJ-Bench (caption, image0,
image1, label, info; a split each for alignment, safety, quality and bias; label 0: image0 is
better) and in the card of the hub set. Quality is what the papers call artifact. Its bias split
compares a judge's scores across people and holds no preferences: name it with --split to have it.
"""

from __future__ import annotations

from typing import Any

from pipeline.evaluation.benchmarks.benchmark import (
    Benchmark,
    BenchmarkPart,
    Published,
    Row,
    metadata_of,
)

_PREFIX = "mj-bench/"
_NOTE = "a tie is wrong"
_NOTE_DECIDED = "ties left out"


def _columns(names: frozenset[str], part: BenchmarkPart) -> dict[str, Any]:
    return {
        "prompt": "caption",
        "response_a": {"images": "image0"},
        "response_b": {"images": "image1"},
        "gold": {"column": "label", "values": {0: "a", 1: "b"}},
        "source": {"const": _PREFIX + part.split},
        **metadata_of(names, "info", "category", "subcategory", "model"),
    }


def _categories(pair: Row) -> tuple[str, ...]:
    split = pair["source"].removeprefix(_PREFIX)
    return ("artifact" if split == "quality" else split,)


MJ_BENCH = Benchmark(
    name="mj-bench",
    title="MJ-Bench",
    hub_id="MJ-Bench/MJ-Bench",
    parts=tuple(
        BenchmarkPart(f"mj-bench-{split}", split, hints=(split,))
        for split in ("alignment", "safety", "quality")
    ),
    required=("caption", "image0", "image1", "label"),
    columns=_columns,
    candidates="image",
    categories=_categories,
    published=(
        Published("accuracy", "alignment", 0.5816, note=_NOTE),
        Published("accuracy_decided", "alignment", 0.5913, note=_NOTE_DECIDED),
        Published("accuracy", "safety", 0.5751, note=_NOTE),
        Published("accuracy_decided", "safety", 0.6688, note=_NOTE_DECIDED),
        Published("accuracy", "artifact", 0.8232, note=_NOTE),
        Published("accuracy_decided", "artifact", 0.8908, note=_NOTE_DECIDED),
    ),
)
