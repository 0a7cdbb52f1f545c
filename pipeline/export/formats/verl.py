"""verl: prompts and the better response, for reinforcement learning with rewards."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from pipeline.export.datasets_features import IMAGES, MESSAGES, with_features
from pipeline.export.labeled_example import Example
from pipeline.export.media_placeholders import placed
from pipeline.export.trainer_format import Layout, Shape, TrainerFormat

_REWARD = pa.struct([("style", pa.string()), ("ground_truth", pa.string())])
_EXTRA = pa.struct(
    [
        ("split", pa.string()),
        ("pair_id", pa.string()),
        ("rejected", pa.string()),
        ("margin", pa.float64()),
        ("confidence", pa.float64()),
    ]
)


class VerlRl(TrainerFormat):
    """Rows of ``RLHFDataset``: the ground truth is the better response; verl has no offline DPO.

    Pictures load as pictures by the features of the file: a struct whose bytes are null would fail.
    """

    name = "verl-rl"
    trainer = "verl"
    images = True
    media = ("inline", "references")

    def schema(self, shape: Shape) -> pa.Schema:
        columns = [("data_source", pa.string()), ("prompt", MESSAGES)]
        columns += [("images", IMAGES)] * shape.images
        columns += [("ability", pa.string()), ("reward_model", _REWARD), ("extra_info", _EXTRA)]
        return with_features(pa.schema(columns))

    def rows(self, example: Example, shape: Shape) -> list[dict[str, Any]]:
        row: dict[str, Any] = {
            "data_source": example.source or "pairmill",
            "prompt": placed(example.prompt),
            "ability": "preference",
            "reward_model": {"style": "model", "ground_truth": example.chosen.text},
            "extra_info": {
                "split": example.split,
                "pair_id": example.pair_id,
                "rejected": example.rejected.text,
                "margin": example.margin,
                "confidence": example.confidence,
            },
        }
        return [row | ({"images": list(example.images)} if shape.images else {})]

    def usage(self, layout: Layout) -> str:
        train = layout.of_split("train")
        files = ", ".join(f"FOLDER/{path}" for path in train[:2]) + (", …" if train[2:] else "")
        return (
            f"```sh\npython -m verl.trainer.main_ppo data.train_files='[{files}]' \\\n"
            "    data.prompt_key=prompt data.image_key=images …\n```\n\n"
            "`reward_model.ground_truth` is the better response, `extra_info.rejected` the worse "
            "one: the reward is yours to define. A tag such as `<image>` that stood in a text has "
            "a space in it (`<image >`), since every `<image>` counts as a picture."
        )
