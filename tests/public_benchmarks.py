"""Benchmarks as their authors publish them, in small: files in the exact public schemas."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import datasets
import pyarrow.csv
from datasets import ClassLabel, Features, List, Value

from tests.shards import picture

Row = dict[str, Any]
TEXT = Value("string")
FEATURES = {
    "vl-rewardbench": Features(
        {
            "id": TEXT,
            "query": TEXT,
            "response": List(TEXT),
            "image": datasets.Image(),
            "human_ranking": List(Value("int64")),
            "models": List(TEXT),
            "judge": TEXT,
            "rationale": TEXT,
            "query_source": TEXT,
            "ground_truth": TEXT,
        }
    ),
    "mj-bench": Features(
        {
            "image0": datasets.Image(),
            "image1": datasets.Image(),
            "caption": TEXT,
            "label": ClassLabel(num_classes=2),
            "info": TEXT,
        }
    ),
    "genai-bench-image": Features(
        {
            "prompt": TEXT,
            "left_model": TEXT,
            "left_image": datasets.Image(),
            "right_model": TEXT,
            "right_image": datasets.Image(),
            "vote_type": TEXT,
        }
    ),
    "genai-bench-edit": Features(
        {
            "source_prompt": TEXT,
            "target_prompt": TEXT,
            "instruct_prompt": TEXT,
            "source_image": datasets.Image(),
            "left_model": TEXT,
            "left_output_image": datasets.Image(),
            "right_model": TEXT,
            "right_output_image": datasets.Image(),
            "vote_type": TEXT,
        }
    ),
    "genai-bench-video": Features(
        {
            "prompt": TEXT,
            "left_model": TEXT,
            "left_video": TEXT,
            "right_model": TEXT,
            "right_video": TEXT,
            "vote_type": TEXT,
        }
    ),
}
VOTES = ("leftvote", "rightvote", "tievote", "bothbad_vote")
VL_IDS = ("RLAIF-V-7", "mathverse_12", "wildvision-battle-3", "hallucination_pair-1", "vlf_9")


def scored(index: int) -> tuple[str, str]:
    """Two answers of which the scripted engine prefers the first, the second or neither."""
    a, b = [(9, 2), (3, 8), (5, 5)][index % 3]
    return f"Answer {index}, score={a}", f"Reply {index}, score={b}"


def image(seed: int) -> Row:
    """A picture as `datasets` stores it."""
    return {"bytes": picture(seed), "path": f"{seed}.png"}


def vl_rewardbench(index: int) -> Row:
    """Row ``index``; gold is a, b, tie in turn."""
    return {
        "id": VL_IDS[index % len(VL_IDS)],
        "query": f"What is in picture {index}?",
        "response": list(scored(index)),
        "image": image(index),
        "human_ranking": [[0, 1], [1, 0], [0, 0]][index % 3],
        "models": ["model-x", "model-y"],
        "judge": "gpt-4o",
        "rationale": None,
        "query_source": ["RLAIF-V", "mathverse", "wildvision"][index % 3],
        "ground_truth": None,
    }


def mj_bench(index: int) -> Row:
    """Row ``index``; gold is a, b in turn."""
    return {
        "image0": image(2 * index),
        "image1": image(2 * index + 1),
        "caption": f"A drawing of {index} apples",
        "label": index % 2,
        "info": "",
    }


def genai(task: str, index: int) -> Row:
    """Row ``index`` of a task: image, edit or video; all four votes in turn."""
    models = {"left_model": "SD", "right_model": "PixArt", "vote_type": VOTES[index % 4]}
    first, second = image(2 * index), image(2 * index + 1)
    if task == "image":
        return {"prompt": f"{index} cats", "left_image": first, "right_image": second, **models}
    if task == "edit":
        return {
            "source_prompt": f"{index} cats",
            "target_prompt": f"{index} dogs",
            "instruct_prompt": "Make them dogs.",
            "source_image": image(900 + index),
            "left_output_image": first,
            "right_output_image": second,
            **models,
        }
    where = "https://huggingface.co/datasets/tianleliphoebe/genai-arena-video-mp4/blob/main/dir"
    videos = {"left_video": f"{where}/l{index}.mp4", "right_video": f"{where}/r{index}.mp4"}
    return {"prompt": f"{index} cats run", **videos, **models}


def mllm(setting: str, index: int) -> Row:
    """Row ``index`` of a setting: pair, score or batch; human scores and rankings vary."""
    row: Row = {
        "id": index,
        "image_path": f"{index % 4}.png",
        "original_dataset": ["coco", "math", "chartqa"][index % 3],
        "instruction": f"Describe picture {index}.",
    }
    if setting == "pair":
        a, b = scored(index)
        both = {"answer1": {"name": "llava", "answer": a}, "answer2": {"name": "g", "answer": b}}
        return row | {"pair_id": 3 * index, **both, "human": "ABC"[index % 3]}
    if setting == "score":
        score = 1 + index % 5
        human = score if index % 2 else str(score)  # as it is published: some are text
        answer = {"name": "gpt4", "answer": f"Answer {index}, score={score}"}
        return row | {"score_id": index, **answer, "human": human}
    ranking = random.Random(index).sample("ABCD", 4)
    answers = [
        {"name": f"m{letter}", "answer": f"By {letter}, score={9 - 2 * ranking.index(letter)}"}
        for letter in "ABCD"
    ]
    return row | {"answers": answers, "human_answer": "".join(ranking)}


def multimodal_rewardbench(index: int) -> Row:
    """Row ``index``; gold is a, b in turn."""
    a, b = scored(index)
    origin, category = [("nocaps", "correctness"), ("pairs", "safety"), ("mathvista", "reasoning")][
        index % 3
    ]
    return {
        "ID": f"{origin}_{index}",
        "Text": f"Describe picture {index}.",
        "Image": f"images/{origin}/{index}.png",
        "Output1": a,
        "Output2": b,
        "Better": f"Output{1 + index % 2}",
        "Category": category,
    }


def videogen_rewardbench(index: int) -> Row:
    """Row ``index``; every dimension is A, B or same."""
    codes = ("A", "B", "same")
    return {
        "path_A": f"videos/kling/{index}.mp4",
        "path_B": f"./videos/minimax/{index}.mp4",
        "A_model": "kling",
        "B_model": "minimax",
        "prompt": f"A ball, number {index}",
        "VQ": codes[index % 3],
        "MQ": codes[(index + 1) % 3],
        "TA": codes[(index + 2) % 3],
        "Overall": codes[index % 3],
        "fps_A": 30.0,
        "num_frames_A": 153.0,
        "fps_B": 25.0,
        "num_frames_B": 141.0,
    }


def write_parquet(path: Path, rows: Sequence[Row], benchmark: str) -> None:
    """A Parquet file as the hub serves it, with `datasets`' own metadata."""
    path.parent.mkdir(parents=True, exist_ok=True)
    datasets.Dataset.from_list(list(rows), FEATURES[benchmark]).to_parquet(path)


def write_jsonl(path: Path, rows: Sequence[Row]) -> None:
    """One JSON object a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def write_json(path: Path, rows: Sequence[Row]) -> None:
    """One JSON array."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(list(rows), indent=1), encoding="utf-8")


def write_csv(path: Path, rows: Sequence[Row]) -> None:
    """A CSV file with a header."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.csv.write_csv(pyarrow.Table.from_pylist(list(rows)), path)


def write_pictures(folder: Path, names: Sequence[str]) -> None:
    """A picture of its own under each name."""
    for seed, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(seed))
