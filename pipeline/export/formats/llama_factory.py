"""LLaMA-Factory: conversations with a better and a worse next turn, and ``dataset_info.json``."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa

from pipeline.export.datasets_features import IMAGES, with_features
from pipeline.export.labeled_example import Answer, Example
from pipeline.export.media_placeholders import escaped, placed
from pipeline.export.trainer_format import Layout, Shape, TrainerFormat

_TURN = pa.struct([("from", pa.string()), ("value", pa.string())])
_PATHS = pa.list_(pa.string())
_SPEAKERS = {"system": "system", "user": "human", "assistant": "gpt", "tool": "observation"}


class LlamaFactory(TrainerFormat):
    """``sharegpt`` with ``ranking``: an odd number of turns, then ``chosen`` and ``rejected``.

    It takes all files of a folder, so that every split has a folder of its own.
    """

    name = "llama-factory"
    trainer = "LLaMA-Factory"
    images = True
    videos = True
    media = ("files", "inline", "references")
    alternating = True
    whole_folders = True

    def schema(self, shape: Shape) -> pa.Schema:
        columns = [("conversations", pa.list_(_TURN)), ("chosen", _TURN), ("rejected", _TURN)]
        images = _PATHS if shape.media == "files" else IMAGES
        columns += [("images", images)] * shape.images + [("videos", _PATHS)] * shape.videos
        facts = [("pair_id", pa.string()), ("confidence", pa.float64())]
        return with_features(pa.schema([*columns, *facts]), pictures=False)

    def rows(self, example: Example, shape: Shape) -> list[dict[str, Any]]:
        row: dict[str, Any] = {
            "conversations": [
                {"from": _SPEAKERS[each["role"]], "value": each["content"]}
                for each in placed(example.prompt)
            ],
            "chosen": _turn(example.chosen),
            "rejected": _turn(example.rejected),
            "pair_id": example.pair_id,
            "confidence": example.confidence,
        }
        if shape.images:
            paths = shape.media == "files"
            row["images"] = [image["path"] if paths else dict(image) for image in example.images]
        if shape.videos:
            row["videos"] = [video["path"] for video in example.videos]
        return [row]

    def path(self, tier: str, split: str, number: int) -> str:
        return f"{tier and tier + '/'}{split}/{number:05d}.{self.suffix}"

    def beside(self, layout: Layout) -> dict[str, bytes]:
        columns = {"messages": "conversations", "chosen": "chosen", "rejected": "rejected"}
        columns |= {"images": "images"} if layout.shape.images else {}
        columns |= {"videos": "videos"} if layout.shape.videos else {}
        datasets = {
            dataset_name(tier, split): {
                "file_name": paths[0].rpartition("/")[0],
                "formatting": "sharegpt",
                "ranking": True,
                "columns": columns,
            }
            for (tier, split), paths in layout.files.items()
        }
        return {"dataset_info.json": json.dumps(datasets, indent=1).encode()}

    def usage(self, layout: Layout) -> str:
        names = [dataset_name(tier, split) for tier, split in layout.files]
        train = [name for name in names if name.endswith("train")]
        smoothing = layout.smoothing
        evaluated = [name for name in names if name.endswith("validation")]
        return (
            "```yaml\nstage: dpo\n"
            "dataset_dir: FOLDER\nmedia_dir: FOLDER\n"
            f"dataset: {','.join(train)}\n"
            + (f"eval_dataset: {','.join(evaluated)}\n" if evaluated else "")
            + "pref_loss: sigmoid\n"
            + ("" if smoothing is None else f"dpo_label_smoothing: {smoothing:g}\n")
            + "```\n\n"
            "Paths of media are relative to this folder. A tag such as `<image>` that stood in a "
            "text has a space in it (`<image >`), since every `<image>` counts as a picture."
        )


def dataset_name(tier: str, split: str) -> str:
    """The name of a subset in ``dataset_info.json``."""
    return "_".join(filter(None, ("pairmill", tier, split)))


def _turn(answer: Answer) -> dict[str, str]:
    return {"from": "gpt", "value": escaped(answer.text)}
