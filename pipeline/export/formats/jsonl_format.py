"""Plain JSON lines that hold everything, for readers without a format of their own."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from pipeline.export.datasets_features import MESSAGES
from pipeline.export.labeled_example import Answer, Example, Medium
from pipeline.export.media_placeholders import PLACES, placed
from pipeline.export.trainer_format import Layout, Shape, TrainerFormat
from schemas.labels import CRITERION

_URIS = pa.list_(pa.string())
_RESPONSE = pa.struct(
    [
        ("text", pa.string()),
        ("images", _URIS),
        ("videos", _URIS),
        ("model", pa.string()),
        ("score", pa.float64()),
    ]
)
_FACTS = ("p_a", "p_a_raw", "position_consistent", "n_votes", "tie_kind", "rationale")


class Jsonl(TrainerFormat):
    """One object a pair, ties and media of candidates included."""

    name = "jsonl"
    trainer = "anything that reads JSON lines"
    suffix = "jsonl"
    candidates = frozenset({"text", "image", "edit", "video"})
    images = True
    videos = True
    media = ("files", "references", "inline")
    inline_videos = True
    ties = True
    soft = True
    label_columns = (*_FACTS, "criteria")

    def schema(self, shape: Shape) -> pa.Schema:
        return pa.schema(
            [
                ("pair_id", pa.string()),
                ("label_id", pa.string()),
                ("prompt", MESSAGES),
                ("images", _URIS),
                ("videos", _URIS),
                ("response_a", _RESPONSE),
                ("response_b", _RESPONSE),
                ("status", pa.string()),
                ("preference", pa.string()),
                ("chosen", pa.string()),
                ("rejected", pa.string()),
                ("confidence", pa.float64()),
                ("margin", pa.float64()),
                ("p_a", pa.float64()),
                ("p_a_raw", pa.float64()),
                ("position_consistent", pa.bool_()),
                ("n_votes", pa.int64()),
                ("tie_kind", pa.string()),
                ("rationale", pa.string()),
                ("source", pa.string()),
                *[("p_chosen", pa.float64()), ("p_of_own_gold", pa.bool_())] * shape.soft,
                *[("criteria", pa.list_(CRITERION))] * shape.criteria,
            ]
        )

    def rows(self, example: Example, shape: Shape) -> list[dict[str, Any]]:
        label = example.label
        row: dict[str, Any] = {
            "pair_id": example.pair_id,
            "prompt": placed(example.prompt) if shape.in_place else example.turns,
            "images": uris(example.images, "image"),
            "videos": uris(example.videos, "video"),
            "response_a": _response(example.answers[0]),
            "response_b": _response(example.answers[1]),
            "chosen": None if example.tie else example.chosen.text,
            "rejected": None if example.tie else example.rejected.text,
            "confidence": example.confidence,
            "margin": example.margin,
            "source": example.source,
        }
        columns = ("label_id", "status", "preference", *_FACTS, *["criteria"] * shape.criteria)
        soft = {"p_chosen": example.p_chosen, "p_of_own_gold": example.own_gold}
        soft = soft if shape.soft else {}
        return [row | {name: label[name] for name in columns} | soft]

    def usage(self, layout: Layout) -> str:
        return (
            "One JSON object a line: `prompt` (messages), `images` and `videos` that it is about, "
            "both responses, `preference` (`a`, `b`, or null of a tie), `chosen` and `rejected` "
            "texts, `confidence`, `margin` (mean score of the chosen response less that of the "
            "rejected one) and the judge's `rationale`. Paths are relative to this folder."
            + " `criteria` has both responses' mean scores by each criterion."
            * layout.shape.criteria
            + PLACES * layout.shape.in_place
        )


def uris(media: Sequence[Medium], kind: str) -> list[str]:
    """Media as texts: their paths, or data URIs of what is inline."""
    return [each["path"] if each["bytes"] is None else _inline(each, kind) for each in media]


def _inline(medium: Medium, kind: str) -> str:
    return f"data:{kind}/*;base64,{base64.b64encode(medium['bytes']).decode()}"


def _response(answer: Answer) -> dict[str, Any]:
    return {
        "text": answer.text,
        "images": uris(answer.images, "image"),
        "videos": uris(answer.videos, "video"),
        "model": answer.model,
        "score": answer.score,
    }
