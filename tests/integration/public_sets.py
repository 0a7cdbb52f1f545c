"""Rows in the exact schemas of public preference sets, and what ingest must make of them."""

from __future__ import annotations

import json
import random
from typing import Any

import datasets
from datasets import Features, List, Value

from schemas.pairs import PAIRS

Row = dict[str, Any]

TEXT = Value("string")
VL_REWARDBENCH = Features(
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
        "meta": TEXT,
        "human_error_analysis": List(TEXT),
        "ground_truth": TEXT,
    }
)
RLAIF_V = Features(
    {
        "ds_name": TEXT,
        "image": datasets.Image(),
        "question": TEXT,
        "chosen": TEXT,
        "rejected": TEXT,
        "origin_dataset": TEXT,
        "origin_split": TEXT,
        "idx": TEXT,
        "image_path": TEXT,
    }
)


def picture(seed: int) -> Row:
    """An image as stored; its bytes decode to nothing, so that only a copy can return them."""
    return {"bytes": random.Random(seed).randbytes(50 + 7 * seed), "path": f"{seed}.jpg"}


def vl_rewardbench_row(index: int) -> Row:
    ranks = [[0, 1], [1, 0], [0, 0]][index % 3]
    return {
        "id": f"RLAIF-V-{index}",
        "query": f"What is in picture {index}? {{braces}} <|im_end|>\n",
        "response": [f"first {index}", f"second é {index}"],
        "image": picture(index) if index % 5 else None,
        "human_ranking": ranks,
        "models": ["model-x", "model-y"] if index % 2 else [],
        "judge": None,
        "rationale": "because",
        "query_source": ["RLAIF-V", "WildVision", None][index % 3],
        "meta": "{}",
        "human_error_analysis": ["existence"],
        "ground_truth": None,
    }


def vl_rewardbench_pair(row: Row) -> Row:
    models = row["models"] or [None, None]
    responses = [
        {"text": text, "images": None, "videos": None, "model": model}
        for text, model in zip(row["response"], models, strict=True)
    ]
    first, second = row["human_ranking"]
    return dict.fromkeys([*PAIRS.names, "defect"]) | {
        "pair_id": row["id"],
        "prompt": row["query"],
        "messages": None,
        "images": None if row["image"] is None else [row["image"]],
        "videos": None,
        "response_a": responses[0],
        "response_b": responses[1],
        "gold": "a" if first < second else "b" if second < first else "tie",
        "source": "vl-rewardbench",
        "metadata": [{"key": k, "value": row[k]} for k in ("query_source", "ground_truth")],
    }


def rlaif_v_row(index: int) -> Row:
    return {
        "ds_name": "RLAIF-V",
        "image": picture(index),
        "question": f"Describe {index}.",
        "chosen": f"good {index}",
        "rejected": f"bad {index}",
        "origin_dataset": "COCO",
        "origin_split": json.dumps({"model": "OmniLMM-12B", "type": "detail_description"}),
        "idx": str(index),
        "image_path": f"llava/{index}.jpg",
    }


def rlaif_v_pair(row: Row, number: int) -> Row:
    a, b = (
        {"text": row[name], "images": None, "videos": None, "model": None}
        for name in ("chosen", "rejected")
    )
    kept = ("idx", "image_path", "origin_dataset", "origin_split")
    return dict.fromkeys([*PAIRS.names, "defect"]) | {
        "pair_id": f"rlaif-v-{number:09d}",
        "prompt": row["question"],
        "images": [row["image"]],
        "response_a": a,
        "response_b": b,
        "gold": "a",
        "source": "RLAIF-V",
        "metadata": [{"key": name, "value": row[name]} for name in kept],
    }
