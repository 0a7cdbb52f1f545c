"""Rankings: one row for each ranked set, its candidates the best first."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from pipeline.aggregation.ranking import Ranking
from pipeline.export.datasets_features import IMAGES, MESSAGES, with_features
from pipeline.export.labeled_example import Answer, Example
from pipeline.export.media_placeholders import PLACES, placed
from pipeline.export.trainer_format import Layout, Shape, TrainerFormat

_PATHS = pa.list_(pa.string())


class Rankings(TrainerFormat):
    """``context`` and ``completions`` by rank, as NeMo-RL has them, and what they rest on."""

    name = "rankings"
    trainer = "anything that learns from rankings"
    holds = "rankings"
    candidates = frozenset({"text", "image", "edit", "video"})
    images = True
    videos = True
    media = ("inline", "references")
    ties = True

    def schema(self, shape: Shape) -> pa.Schema:
        completion: list[tuple[str, pa.DataType]] = [("rank", pa.int64()), ("completion", MESSAGES)]
        completion += [("images", IMAGES)] * (shape.candidates in ("image", "edit"))
        completion += [("videos", _PATHS)] * (shape.candidates == "video")
        completion += [("score", pa.float64()), ("judge_score", pa.float64())]
        completion += [("candidate", pa.string()), ("model", pa.string())]
        columns: list[tuple[str, pa.DataType]] = [("context", MESSAGES)]
        columns += [("images", IMAGES)] * shape.images + [("videos", _PATHS)] * shape.videos
        columns += [("completions", pa.list_(pa.struct(completion)))]
        columns += [("unordered", _PATHS), ("contradicted", _PATHS), ("labels", pa.int64())]
        facts = [("ranked_id", pa.string()), ("confidence", pa.float64())]
        return with_features(pa.schema([*columns, *facts]))

    def rows(self, example: Example, shape: Shape) -> list[dict[str, Any]]:
        ranking = example.ranking
        if ranking is None:
            raise TypeError(f"{example.pair_id}: expected an example with a ranking")
        by_letter = {answer.letter: answer for answer in example.answers}
        best_first = [by_letter[letter] for level in ranking.levels for letter in level]
        row: dict[str, Any] = {
            "context": placed(example.prompt) if shape.in_place else example.turns,
            "completions": [_completion(each, ranking, shape) for each in best_first],
            "unordered": list(ranking.open),
            "contradicted": list(ranking.contradicted),
            "labels": example.label["labels"],
            "ranked_id": example.pair_id,
            "confidence": example.confidence,
        }
        if shape.images:
            row["images"] = list(example.images)
        if shape.videos:
            row["videos"] = [video["path"] for video in example.videos]
        return [row]

    def usage(self, layout: Layout) -> str:
        return (
            "`completions` are the candidates of one set, the best first: `rank` from 0, the same "
            "for those that are equally good or that no label orders (`unordered` names these "
            "pairs, by the letters in `candidate`). A candidate is above another where labels of "
            "pairs say so, directly or through others; candidates whose labels contradict each "
            "other are ordered by how many of these they beat, less how many beat them, and "
            "`contradicted` names the pairs whose own label says otherwise. `score` is the share "
            "of the other candidates that one is above, those of its rank counting half; "
            "`judge_score` is the mean of the judge's scores, where it gives any. `labels` is how "
            "many labels a ranking rests on, and `confidence` the least of theirs. Sets of which a "
            "candidate has no place, since labels are missing, are left out."
            + PLACES
            * layout.shape.in_place
        )


def _completion(answer: Answer, ranking: Ranking, shape: Shape) -> dict[str, Any]:
    made: dict[str, Any] = {
        "rank": ranking.rank(answer.letter),
        "completion": [{"role": "assistant", "content": answer.text}],
        "score": ranking.score(answer.letter),
        "judge_score": answer.score,
        "candidate": answer.letter,
        "model": answer.model,
    }
    if shape.candidates in ("image", "edit"):
        made["images"] = list(answer.images)
    if shape.candidates == "video":
        made["videos"] = [video["path"] for video in answer.videos]
    return made
