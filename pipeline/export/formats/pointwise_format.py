"""Single responses with their mean scores: for reward models by regression, and best of N."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from pipeline.export.datasets_features import IMAGES, MESSAGES, with_features
from pipeline.export.labeled_example import Answer, Example
from pipeline.export.media_placeholders import PLACES, placed
from pipeline.export.trainer_format import Layout, Shape, TrainerFormat

_PATHS = pa.list_(pa.string())
_CRITERIA = pa.list_(pa.struct([("name", pa.string()), ("score", pa.float64())]))


class Pointwise(TrainerFormat):
    """A row for each response of a pair, or for each candidate of a judge that scores or ranks."""

    name = "pointwise"
    trainer = "anything that learns scores of single responses"
    holds = "scores"
    candidates = frozenset({"text", "image", "edit", "video"})
    images = True
    videos = True
    media = ("inline", "references")
    ties = True
    label_columns = ("n_votes", "criteria")

    def schema(self, shape: Shape) -> pa.Schema:
        columns: list[tuple[str, pa.DataType]] = [("prompt", MESSAGES)]
        columns += [("images", IMAGES)] * shape.images + [("videos", _PATHS)] * shape.videos
        columns += [("response", pa.string())]
        columns += [("response_images", IMAGES)] * (shape.candidates in ("image", "edit"))
        columns += [("response_videos", _PATHS)] * (shape.candidates == "video")
        return with_features(
            pa.schema(
                [
                    *columns,
                    ("score", pa.float64()),
                    ("rank", pa.int64()),  # from 0; equal scores have the same
                    ("candidate", pa.string()),
                    ("model", pa.string()),
                    ("pair_id", pa.string()),
                    ("n_votes", pa.int64()),
                    ("confidence", pa.float64()),
                    *[("criteria", _CRITERIA)] * shape.criteria,
                ]
            )
        )

    def rows(self, example: Example, shape: Shape) -> list[dict[str, Any]]:
        return [self._row(example, answer, shape) for answer in example.answers]

    def usage(self, layout: Layout) -> str:
        return (
            "`score` is the mean of the judge's scores of a response over its parseable votes, on "
            "the judge's scale; `rank` orders the responses of one `pair_id`, the best being 0. "
            "Scores of different prompts are comparable only as far as the judge is."
            + " `criteria` has its mean score by each criterion." * layout.shape.criteria
            + PLACES * layout.shape.in_place
        )

    def _row(self, example: Example, answer: Answer, shape: Shape) -> dict[str, Any]:
        score = answer.score or 0.0
        row: dict[str, Any] = {
            "prompt": placed(example.prompt) if shape.in_place else example.turns,
            "response": answer.text,
            "score": score,
            "rank": sum((other.score or 0.0) > score for other in example.answers),
            "candidate": answer.letter,
            "model": answer.model,
            "pair_id": example.pair_id,
            "n_votes": example.label["n_votes"],
            "confidence": example.confidence,
        }
        if shape.criteria:
            place = "abcdefghij".index(answer.letter)
            scores = example.label["criteria"] or ()
            row["criteria"] = [{"name": c["name"], "score": c["scores"][place]} for c in scores]
        if shape.images:
            row["images"] = list(example.images)
        if shape.videos:
            row["videos"] = [video["path"] for video in example.videos]
        if shape.candidates in ("image", "edit"):
            row["response_images"] = list(answer.images)
        if shape.candidates == "video":
            row["response_videos"] = [video["path"] for video in answer.videos]
        return row
