"""ms-swift: messages that end with the better response, and the worse one beside them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from pipeline.export.datasets_features import MESSAGES, with_features
from pipeline.export.labeled_example import Answer, Example, Medium
from pipeline.export.media_placeholders import placed, with_placeholders
from pipeline.export.trainer_format import Layout, Shape, TrainerFormat
from schemas.pairs import MEDIA

_PATHS = pa.list_(pa.string())


class MsSwift(TrainerFormat):
    """The one trainer that takes pictures and videos as responses.

    There the worse response comes as whole messages with all their media: as a text it would be
    the placeholder of a picture, equal to the better one, which ms-swift refuses.
    """

    name = "ms-swift"
    trainer = "ms-swift"
    candidates = frozenset({"text", "image", "edit", "video"})
    images = True
    videos = True
    media = ("inline", "files", "references")  # files need ROOT_IMAGE_DIR to be found

    def schema(self, shape: Shape) -> pa.Schema:
        media = {}
        if _pictures(shape):
            media["images"] = _PATHS if shape.media == "files" else pa.list_(MEDIA)
        if _clips(shape):
            media["videos"] = _PATHS
        columns: list[tuple[str, pa.DataType]] = [("messages", MESSAGES)]
        if shape.candidates == "text":
            columns += [("rejected_response", pa.string()), *media.items()]
        else:
            rejected = [(f"rejected_{name}", kind) for name, kind in media.items()]
            columns += [("rejected_messages", MESSAGES), *media.items(), *rejected]
        facts = [*[("margin", pa.float64())] * shape.margin, ("pair_id", pa.string())]
        schema = pa.schema([*columns, *facts, ("confidence", pa.float64())])
        return with_features(schema, pictures=False)

    def rows(self, example: Example, shape: Shape) -> list[dict[str, Any]]:
        prompt = placed(example.prompt)
        chosen, rejected = example.chosen, example.rejected
        row: dict[str, Any] = {
            "messages": [*prompt, _message(chosen)],
            **self._media(example, chosen, shape, ""),
            "pair_id": example.pair_id,
            "confidence": example.confidence,
        }
        if shape.candidates == "text":
            row["rejected_response"] = _message(rejected)["content"]
        else:
            row["rejected_messages"] = [*prompt, _message(rejected)]
            row |= self._media(example, rejected, shape, "rejected_")
        return [row | ({"margin": example.margin} if shape.margin else {})]

    def usage(self, layout: Layout) -> str:
        train = [f"FOLDER/{path}" for path in layout.of_split("train")]
        more = " …" if len(train) > 1 else ""
        smoothing = ""
        if layout.smoothing is not None:
            smoothing = f" --loss_type robust --label_smoothing {layout.smoothing:g}"
        by_path = layout.shape.media == "files" or _clips(layout.shape)
        return (
            "```sh\n"
            + "export ROOT_IMAGE_DIR=FOLDER  # where paths of media begin\n" * by_path
            + f"swift rlhf --rlhf_type dpo{smoothing} \\\n"
            f"    --dataset {train[0] if train else 'FOLDER/train-00000.parquet'}{more} …\n```\n\n"
            "Reward models (`--rlhf_type rm`) use `margin`, which is on the judge's scale. A tag "
            "such as `<image>` that stood in a text has a space in it (`<image >`), since every "
            "`<image>` counts as a picture."
        )

    def _media(
        self, example: Example, answer: Answer, shape: Shape, prefix: str
    ) -> dict[str, list[Any]]:
        found: dict[str, list[Any]] = {}
        if _pictures(shape):
            images = [*example.images, *answer.images]
            found[f"{prefix}images"] = _paths(images) if shape.media == "files" else images
        if _clips(shape):
            found[f"{prefix}videos"] = _paths([*example.videos, *answer.videos])
        return found


def _message(answer: Answer) -> dict[str, str]:
    return {"role": "assistant", "content": with_placeholders(answer.content)}


def _pictures(shape: Shape) -> bool:
    return shape.images or shape.candidates in ("image", "edit")


def _clips(shape: Shape) -> bool:
    return shape.videos or shape.candidates == "video"


def _paths(media: Sequence[Medium]) -> list[Any]:
    return [medium["path"] for medium in media]
