"""NeMo-RL: a context and two completions by rank."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from pipeline.export.datasets_features import MESSAGES
from pipeline.export.labeled_example import Answer, Example
from pipeline.export.trainer_format import Layout, Shape, TrainerFormat

_COMPLETION = pa.struct([("rank", pa.int64()), ("completion", MESSAGES)])


class NemoRl(TrainerFormat):
    """``PreferenceDataset``: the lower rank is the better one, and equal ranks are refused."""

    name = "nemo-rl"
    trainer = "NeMo-RL"
    suffix = "jsonl"

    def schema(self, shape: Shape) -> pa.Schema:
        completions = ("completions", pa.list_(_COMPLETION))
        facts = [("pair_id", pa.string()), ("confidence", pa.float64())]
        return pa.schema([("context", MESSAGES), completions, *facts])

    def rows(self, example: Example, shape: Shape) -> list[dict[str, Any]]:
        return [
            {
                "context": example.turns,
                "completions": [_ranked(0, example.chosen), _ranked(1, example.rejected)],
                "pair_id": example.pair_id,
                "confidence": example.confidence,
            }
        ]

    def usage(self, layout: Layout) -> str:
        return (
            "```yaml\ndata:\n  train:\n    dataset_name: PreferenceDataset\n"
            "    data_path: FOLDER/train-00000.jsonl\n"
            "  validation:\n    dataset_name: PreferenceDataset\n"
            "    data_path: FOLDER/validation-00000.jsonl\n```\n\n"
            "With several files, join them (`cat FOLDER/train-*.jsonl`)."
        )


def _ranked(rank: int, answer: Answer) -> dict[str, Any]:
    return {"rank": rank, "completion": [{"role": "assistant", "content": answer.text}]}
