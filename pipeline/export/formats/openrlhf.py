"""OpenRLHF: prompt, chosen and rejected as messages of text."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from pipeline.export.datasets_features import MESSAGES, with_features
from pipeline.export.labeled_example import Example
from pipeline.export.trainer_format import Layout, Shape, TrainerFormat


class OpenRlhf(TrainerFormat):
    """Its ``RewardDataset``, for DPO and reward models, with ``apply_chat_template``."""

    name = "openrlhf"
    trainer = "OpenRLHF"

    def schema(self, shape: Shape) -> pa.Schema:
        columns = [(name, MESSAGES) for name in ("prompt", "chosen", "rejected")]
        margin = [("margin", pa.float64())] * shape.margin
        facts = [("pair_id", pa.string()), ("confidence", pa.float64())]
        return with_features(pa.schema([*columns, *margin, *facts]))

    def rows(self, example: Example, shape: Shape) -> list[dict[str, Any]]:
        row: dict[str, Any] = {
            "prompt": example.turns,
            "chosen": [{"role": "assistant", "content": example.chosen.text}],
            "rejected": [{"role": "assistant", "content": example.rejected.text}],
            "pair_id": example.pair_id,
            "confidence": example.confidence,
        }
        return [row | ({"margin": example.margin} if shape.margin else {})]

    def usage(self, layout: Layout) -> str:
        return (
            "```sh\n"
            "python -m openrlhf.cli.train_dpo --data.dataset FOLDER --data.apply_chat_template \\\n"
            "    --data.prompt_key prompt --data.chosen_key chosen --data.rejected_key rejected …\n"
            "```\n\n"
            "Reward models read `margin`, which is on the judge's scale."
        )
