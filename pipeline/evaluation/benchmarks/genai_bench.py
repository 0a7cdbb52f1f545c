"""GenAI-Bench (arXiv 2406.04485): pairs of generated images, edited images and videos.

Schema read in the hub set's card (TIGER-Lab/GenAI-Bench: configurations image_generation,
image_edition and video_generation) and in ``inference.py`` of github.com/TIGER-AI-Lab/GenAI-Bench,
which counts a label right if it is the human's one of four votes. Videos are given as addresses:
their files are looked up by name in a folder.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.evaluation.benchmarks.benchmark import Benchmark, BenchmarkPart, metadata_of
from pipeline.evaluation.benchmarks.published import ANY_LEAD, FLEX_JUDGE, Published, Setting
from pipeline.judging.judge_config import CandidateKind
from pipeline.pairs.arrow_layouts import is_text

_GOLD = {
    "column": "vote_type",
    "values": {"leftvote": "a", "rightvote": "b", "tievote": "tie", "bothbad_vote": "tie"},
}
_SQUARE = {"judge.media.square": 448}
_CLIPS = {
    "judge.media.video.max_videos": 2,
    "judge.media.video.fps": 1.0,
    "judge.media.video.max_pixels": 224 * 224,
}
_SINGLE, _SEVEN = "one vote", "majority of seven votes"


def _candidates(names: frozenset[str], kind: str, left: str, right: str) -> dict[str, Any]:
    a = {kind: left, **({"model": "left_model"} if "left_model" in names else {})}
    b = {kind: right, **({"model": "right_model"} if "right_model" in names else {})}
    return {"response_a": a, "response_b": b, "gold": _GOLD}


def _image_columns(names: frozenset[str], part: BenchmarkPart) -> dict[str, Any]:
    return {
        "prompt": "prompt",
        "source": {"const": part.name},
        **_candidates(names, "images", "left_image", "right_image"),
        **metadata_of(names, "vote_type"),
    }


def _edit_columns(names: frozenset[str], part: BenchmarkPart) -> dict[str, Any]:
    return {
        "prompt": "instruction",
        "images": "source_image",
        "source": {"const": part.name},
        **_candidates(names, "images", "left_output_image", "right_output_image"),
        **metadata_of(names, "vote_type"),
    }


def _video_columns(names: frozenset[str], part: BenchmarkPart) -> dict[str, Any]:
    return {
        "prompt": "prompt",
        "source": {"const": part.name},
        **_candidates(names, "videos", "left_video", "right_video"),
        **metadata_of(names, "vote_type"),
    }


def _edit_table(table: pa.Table, part: BenchmarkPart) -> pa.Table:
    """One text of the instruction and of what the two pictures should show, as the paper asks."""
    texts = [
        table[name].cast(pa.string())
        for name in ("instruct_prompt", "source_prompt", "target_prompt")
    ]
    joined = pc.binary_join_element_wise(
        texts[0],
        pc.binary_join_element_wise("The source image shows: ", texts[1], ""),
        pc.binary_join_element_wise("The edited image should show: ", texts[2], ""),
        "\n\n",
        null_handling="skip",
    )
    empty = pc.fill_null(pc.equal(pc.utf8_length(texts[0]), 0), True)  # then there is no prompt
    return table.append_column("instruction", pc.if_else(empty, None, joined))


def _video_table(table: pa.Table, part: BenchmarkPart) -> pa.Table:
    for name in ("left_video", "right_video"):
        column = table[name]
        if is_text(column.type):
            file = pc.replace_substring_regex(column.cast(pa.string()), r"^.*/([^/]+)$", r"\1")
            table = table.set_column(table.column_names.index(name), name, file)
    return table


def _setting(candidates: CandidateKind, pairs: int, media: dict[str, Any]) -> Setting:
    """How the authors' ``test/genai_bench_vllm.py`` asks, and ``test/evaluate.py`` counts."""
    return Setting(
        settings={
            **FLEX_JUDGE.settings,
            "judge.candidates": candidates,
            "judge.format": "pairwise_options",
            "judge.votes.min_votes": 8,
            "judge.votes.max_votes": 8,
            "policy.threshold": ANY_LEAD,
            "policy.tie_threshold": ANY_LEAD,
            **media,
        },
        other={
            **FLEX_JUDGE.other,
            "orders": ("both, equally often", "seven votes, always left before right"),
            "majority": (
                "a tie where most votes call one, of whichever kind; else the side with more",
                "the option with most votes, of four",
            ),
            "a reply without a verdict": (
                "asked again; in the end quarantined, never right",
                "never right; of an unknown option: both are bad",
            ),
        },
        pairs=pairs,
    )


def _task(
    task: str, config: str, candidates: CandidateKind, published: tuple[float, float], **more: Any
) -> Benchmark:
    name = f"genai-bench-{task}"
    return Benchmark(
        name=name,
        title=f"GenAI-Bench, {config.replace('_', ' ')}",
        hub_id="TIGER-Lab/GenAI-Bench",
        parts=(BenchmarkPart(name, "test_v1", config, hints=(config, "test_v1")),),
        options=True,
        candidates=candidates,
        published=(
            Published("four_way_of_votes", None, published[0], note=_SINGLE),
            Published("four_way", None, published[1], note=_SEVEN),
        ),
        **more,
    )


GENAI_IMAGE = _task(
    "image",
    "image_generation",
    "image",
    (0.4332, 0.4634),
    required=("prompt", "left_image", "right_image", "vote_type"),
    columns=_image_columns,
    setting=_setting("image", 1_735, _SQUARE),
)
GENAI_EDIT = _task(
    "edit",
    "image_edition",
    "edit",
    (0.4741, 0.5419),
    required=(
        "source_prompt",
        "target_prompt",
        "instruct_prompt",
        "source_image",
        "left_output_image",
        "right_output_image",
        "vote_type",
    ),
    columns=_edit_columns,
    prepare=_edit_table,
    setting=_setting("edit", 919, _SQUARE),
)
GENAI_VIDEO = _task(
    "video",
    "video_generation",
    "video",
    (0.4478, 0.4734),
    required=("prompt", "left_video", "right_video", "vote_type"),
    columns=_video_columns,
    prepare=_video_table,
    inline=False,
    setting=_setting("video", 1_069, _CLIPS),
)
