"""TRL: DPO with or without pictures, and reward models of texts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.export.datasets_features import IMAGES, MESSAGES, with_features
from pipeline.export.labeled_example import Answer, Example
from pipeline.export.trainer_format import Layout, Shape, TrainerFormat
from pipeline.pairs.contents import Message

_FACTS = [("pair_id", pa.string()), ("confidence", pa.float64())]
_PART = pa.struct([("type", pa.string()), ("text", pa.string())])
_IN_PARTS = pa.list_(pa.struct([("role", pa.string()), ("content", pa.list_(_PART))]))
_MARGIN = ("margin", pa.float64())
_SOFT = ("p_chosen", pa.float64())
_SOFT_TRAINER = "soft_dpo.py"
_SOFT_DPO = (
    ": `SoftDPOTrainer` of `soft_dpo.py`, in this folder, takes the place of `DPOTrainer`, and its "
    "loss is the cross-entropy to each row's probability, in place of any smoothing"
)
_SOFT_REWARD = "; a loss of your own can"


class TrlDpo(TrainerFormat):
    """``DPOTrainer``: prompt, chosen and rejected as messages, and the prompt's pictures.

    Contents are plain texts where all pictures stand before the user's first words: TRL itself
    puts them there. Otherwise contents are parts of ``type`` and ``text``, one of type ``image``
    for each picture: with a field ``image``, a null of it would count as one more picture.
    """

    name = "trl-dpo"
    trainer = "TRL DPOTrainer"
    images = True
    media = ("inline", "references")
    soft = True

    def schema(self, shape: Shape) -> pa.Schema:
        messages = _IN_PARTS if shape.in_place else MESSAGES
        columns = [(name, messages) for name in ("prompt", "chosen", "rejected")]
        columns += [("images", IMAGES)] * shape.images  # without pictures TRL takes no such column
        columns += [*_FACTS, *[_MARGIN] * shape.margin, *[_SOFT] * shape.soft]
        return with_features(pa.schema(columns))

    def rows(self, example: Example, shape: Shape) -> list[dict[str, Any]]:
        row: dict[str, Any] = {
            "prompt": _in_parts(example.prompt) if shape.in_place else example.turns,
            "chosen": [_message(example.chosen)],
            "rejected": [_message(example.rejected)],
            "pair_id": example.pair_id,
            "confidence": example.confidence,
        }
        if shape.in_place:
            answers = {"chosen": example.chosen, "rejected": example.rejected}
            for name, each in answers.items():
                row[name] = _in_parts([{"role": "assistant", "content": each.content}])
        row |= {"images": list(example.images)} if shape.images else {}  # a null is no empty list
        return [row | _weights(example, shape)]

    def beside(self, layout: Layout) -> dict[str, bytes]:
        if not layout.shape.soft:
            return {}
        return {_SOFT_TRAINER: Path(__file__).with_name(_SOFT_TRAINER).read_bytes()}

    def usage(self, layout: Layout) -> str:
        vision = (
            "\n\nSet `max_length=None`: the default of 1,024 tokens can cut the tokens of a "
            "picture, which then fails."
            if layout.shape.images
            else ""
        )
        options = ["max_length=None"] * layout.shape.images
        smoothing = ""
        if layout.smoothing is not None:
            options.insert(0, f'loss_type="robust", label_smoothing={layout.smoothing:g}')
            smoothing = (
                "\n\n`label_smoothing` does nothing with TRL's default loss (`sigmoid`): take "
                "`robust` with the ε above."
            )
        return (
            "```python\n"
            "from datasets import load_dataset\n"
            "from trl import DPOConfig, DPOTrainer\n\n"
            f"data = load_dataset({_arguments(layout)})\n"
            f"args = DPOConfig({''.join(f'{option}, ' for option in options)}…)\n"
            'DPOTrainer(model, args=args, train_dataset=data["train"], processing_class=…)\n'
            f"```{smoothing}{vision}{_soft(layout, _SOFT_DPO)}"
        )


class TrlReward(TrainerFormat):
    """``RewardTrainer``: whole conversations, their last turn chosen or rejected, and a margin."""

    name = "trl-reward"
    trainer = "TRL RewardTrainer"
    soft = True

    def schema(self, shape: Shape) -> pa.Schema:
        columns = [(name, MESSAGES) for name in ("chosen", "rejected")]
        columns += [*[_MARGIN] * shape.margin, *_FACTS, *[_SOFT] * shape.soft]
        return with_features(pa.schema(columns))

    def rows(self, example: Example, shape: Shape) -> list[dict[str, Any]]:
        row: dict[str, Any] = {
            "chosen": [*example.turns, _message(example.chosen)],
            "rejected": [*example.turns, _message(example.rejected)],
            "pair_id": example.pair_id,
            "confidence": example.confidence,
        }
        return [row | _weights(example, shape)]

    def usage(self, layout: Layout) -> str:
        margin = (
            "`margin` is the judge's mean score of the chosen response less that of the rejected "
            "one, on the judge's scale; the loss asks rewards to differ by it, so divide it if "
            "that is more than you want, or remove the column."
            if layout.shape.margin
            else "There is no `margin`: this judge chooses options and gives no scores."
        )
        return (
            "```python\n"
            "from datasets import load_dataset\n"
            "from trl import RewardConfig, RewardTrainer\n\n"
            f"data = load_dataset({_arguments(layout)})\n"
            'RewardTrainer(model, args=RewardConfig(…), train_dataset=data["train"])\n'
            f"```\n\n{margin}{_soft(layout, _SOFT_REWARD)}"
        )


def _in_parts(messages: Sequence[Message]) -> list[dict[str, Any]]:
    return [
        {
            "role": each["role"],
            "content": [
                {name: part[name] for name in ("type", "text")} for part in each["content"]
            ],
        }
        for each in messages
    ]


def _message(answer: Answer) -> dict[str, str]:
    return {"role": "assistant", "content": answer.text}


def _weights(example: Example, shape: Shape) -> dict[str, Any]:
    margin = {"margin": example.margin} if shape.margin else {}
    return margin | ({"p_chosen": example.p_chosen} if shape.soft else {})


def _soft(layout: Layout, how: str) -> str:
    if not layout.shape.soft:
        return ""
    return (
        "\n\n`p_chosen` is the calibrated probability that people prefer the chosen response. TRL "
        f"itself reads no such column{how}."
    )


def _arguments(layout: Layout) -> str:
    tiers = sorted({tier for tier, _ in layout.files if tier})
    return '"FOLDER"' + (f', "{tiers[0]}"' if tiers else "")
