"""Controls: gold pairs changed so that a judge that uses its input must change its answers.

* ``blank-image``: every picture is white. A judge that looks at them falls to chance.
* ``shuffled-image``: every row has another row's pictures. The same.
* ``swap-text``: the two candidates are swapped. Labels must follow the content.

Pictures are those of the question; of candidates too where these are pictures.
"""

from __future__ import annotations

import hashlib
import io
import random
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import pyarrow as pa
from PIL import ExifTags, Image

from pipeline.gold.gold_rows import GoldRow, gold_rows, windows
from pipeline.judging.judge_config import JudgeConfig
from pipeline.media.decoder import MediaDecoder
from pipeline.media.images import IMAGE_FORMATS
from pipeline.media.media_store import MediaStore
from pipeline.media.signatures import HEIC_FORMATS, picture_format
from pipeline.pairs.contents import Part, question_parts
from pipeline.pairs.input_config import InputConfig
from pipeline.pairs.shard_writer import ShardConfig, ShardWriter
from pipeline.pairs.shards import open_input
from pipeline.runtime.errors import ConfigError, InputError, RowRejected
from pipeline.store.object_store import Store
from schemas.pairs import PAIRS_V2

Control = Literal["blank-image", "shuffled-image", "swap-text"]
CONTROLS: tuple[Control, ...] = get_args(Control)
SEED = 20_26
_SWAPPED = {"a": "b", "b": "a"}
Change = Callable[[list[GoldRow]], Iterator[GoldRow]]


@dataclass
class ControlPairs:
    """The changed pairs of one control.

    Attributes:
        places: shard and row number of the pair that each changed pair was made of, in order.
        left_out: pairs that the control cannot change, by reason.
    """

    control: Control
    uri: str
    places: list[tuple[str, int]] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)


def check_control(control: str, judge: JudgeConfig) -> Control:
    """The control of that name.

    Raises:
        ConfigError: no control has it, or it does not apply to such a judge.
    """
    known = {name: name for name in CONTROLS}
    if control not in known:
        raise ConfigError(f"control {control!r} is not known; known are {', '.join(CONTROLS)}")
    if control == "swap-text" and judge.declared_format.about == "score":
        raise ConfigError("control swap-text: a single score is about one candidate, not two")
    return known[control]


def write_control(
    control: Control, input_uri: str, config: InputConfig, judge: JudgeConfig, output: str
) -> ControlPairs:
    """Writes the changed pairs as shards; the same input gives the same shards.

    Args:
        control: what is changed.
        input_uri: gold pairs.
        config: how they are read.
        judge: which gold its format needs, and the limits of its pictures.
        output: folder of the shards.

    Raises:
        InputError: the control can change none of the pairs.
        StorageError: the store fails.
    """
    made = ControlPairs(control, output)
    store = MediaStore((*config.media_roots, open_input(input_uri)[0].uri), judge.media.max_bytes)
    pictures = _Pictures(store, judge, made.left_out)
    changes: dict[Control, Change] = {
        "blank-image": pictures.blanked,
        "shuffled-image": pictures.shuffled,
        "swap-text": swapped,
    }
    writer = ShardWriter(Store(output), control, ShardConfig(), lambda key, size: None)
    for window in windows(gold_rows(input_uri, config, judge.declared_format.about)):
        rows = list(changes[control](window))
        made.places += [row.place for row in rows]
        writer.add(pa.Table.from_pylist([row.pair for row in rows], schema=PAIRS_V2))
    writer.close()
    if not made.places:
        why = ", ".join(f"{count} {reason}" for reason, count in made.left_out.items())
        raise InputError(f"control {control}: none of the gold pairs of {input_uri} fits ({why})")
    return made


def swapped(rows: Sequence[GoldRow]) -> Iterator[GoldRow]:
    """The rows with their candidates in reverse; gold goes with them."""
    for row in rows:
        pair = dict(row.pair)
        pair["gold"] = _SWAPPED.get(pair["gold"], pair["gold"])
        for name in ("candidates", "gold_scores"):
            pair[name] = pair[name][::-1] if pair[name] else pair[name]
        yield GoldRow(row.place, pair)


def derangement(keys: Sequence[Hashable], rng: random.Random) -> list[int | None]:
    """For each item the index of another one with another key; None without a partner.

    Every item is named at most once. Only if one key has more than half of the items are there
    any left without a partner.
    """
    groups: dict[Hashable, list[int]] = {}
    for index, key in enumerate(keys):
        groups.setdefault(key, []).append(index)
    order = list(groups.values())
    rng.shuffle(order)
    laid = [index for group in order for index in group]
    # Items of a key stand together: a shift by the largest group's size leaves every group.
    shift = max(map(len, order), default=0)
    partner: list[int | None] = [None] * len(keys)
    for place, index in enumerate(laid):
        other = laid[(place + shift) % len(laid)]
        partner[index] = other if keys[other] != keys[index] else None
    return partner


def white_like(data: bytes) -> bytes:
    """A white picture of the size, as it is seen upright, and the format of ``data``; PNG of HEIC.

    Args:
        data: a picture that has been decoded before, so that it is known to be one.
    """
    buffer = io.BytesIO()
    if picture_format(data) in HEIC_FORMATS:
        from pipeline.media.heic import open_heic  # loads libheif

        image, _ = open_heic(data)
        Image.new("RGB", image.size, "white").save(buffer, "PNG")
        return buffer.getvalue()
    with Image.open(io.BytesIO(data), formats=IMAGE_FORMATS) as opened:
        turned = opened.getexif().get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8)
        size = opened.size[::-1] if turned else opened.size
        Image.new("RGB", size, "white").save(buffer, opened.format)
    return buffer.getvalue()


class _Pictures:
    """Changes the pictures of rows."""

    def __init__(self, store: MediaStore, judge: JudgeConfig, left_out: Counter[str]) -> None:
        self._store, self._judge, self._left_out = store, judge, left_out
        self._decoder, self._shuffles = MediaDecoder(judge.media), 0

    def blanked(self, rows: Sequence[GoldRow]) -> Iterator[GoldRow]:
        """The rows that have pictures, each picture white."""
        for row, holders in self._with_pictures(rows):
            for number, holder in enumerate(holders):
                # The judge refuses candidates that are equal byte for byte; what follows a
                # picture's end changes no pixel of it.
                tail = bytes(number)
                for part in holder:
                    data = white_like(part["image"]["bytes"]) + tail
                    part["image"] = {"bytes": data, "path": None}
            yield row

    def shuffled(self, rows: Sequence[GoldRow]) -> Iterator[GoldRow]:
        """The rows that have pictures, each with those of another."""
        self._shuffles += 1
        rng = random.Random(f"{SEED}/{self._shuffles}")
        readable = list(self._with_pictures(rows))
        sets = [
            [[part["image"] for part in holder] for holder in holders] for _, holders in readable
        ]
        by_count: dict[tuple[int, ...], list[int]] = {}
        for index, holders in enumerate(sets):
            by_count.setdefault(tuple(map(len, holders)), []).append(index)
        partner: dict[int, int | None] = {}
        for indices in by_count.values():
            others = derangement([_digest(sets[index]) for index in indices], rng)
            for index, other in zip(indices, others, strict=True):
                partner[index] = None if other is None else indices[other]
        for index, (row, holders) in enumerate(readable):
            other = partner[index]
            if other is None:
                self._left_out["without another row's pictures to take"] += 1
                continue
            for holder, images in zip(holders, sets[other], strict=True):
                for part, image in zip(holder, images, strict=True):
                    part["image"] = image
            yield row

    def _with_pictures(self, rows: Sequence[GoldRow]) -> Iterator[tuple[GoldRow, list[list[Part]]]]:
        """Copies of the rows that have pictures, and these as fetched parts, content by content."""
        for row in rows:
            pair = dict(row.pair)
            pair["messages"] = [_copied(each) for each in pair["messages"] or ()]
            holders = [_pictures_of(question_parts(pair))]
            if self._judge.candidates in ("image", "edit"):
                pair["candidates"] = [_copied(each) for each in pair["candidates"] or ()]
                holders += [_pictures_of(each["content"]) for each in pair["candidates"]]
            if not any(holders):
                self._left_out["without pictures"] += 1
                continue
            try:
                for part in (part for holder in holders for part in holder):
                    part["image"] = self._fetched(part["image"])
            except RowRejected:
                self._left_out["with pictures that cannot be read"] += 1
                continue
            yield GoldRow(row.place, pair), holders

    def _fetched(self, item: dict[str, Any] | None) -> dict[str, Any]:
        data = self._store.fetch(item or {"bytes": None, "path": None})
        self._decoder.image(data)
        return {"bytes": data, "path": None}


def _copied(holder: Mapping[str, Any] | None) -> dict[str, Any]:
    """A message or candidate whose parts may be changed."""
    held = holder or {"content": None, "model": None}
    return {**held, "content": [dict(part) for part in held["content"] or ()]}


def _pictures_of(parts: Sequence[Part]) -> list[Part]:
    return [part for part in parts if part["type"] == "image"]


def _digest(sets: Sequence[Sequence[dict[str, Any]]]) -> str:
    state = hashlib.sha256()
    for images in sets:
        for item in images:
            state.update(hashlib.sha256(item["bytes"]).digest())
        state.update(b"/")
    return state.hexdigest()
