"""Gold pairs with other pictures in the place of their own: those of the question, and of
candidates too where these are pictures.
"""

from __future__ import annotations

import hashlib
import io
import random
import textwrap
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Any

from PIL import ExifTags, Image, ImageDraw, ImageFont

from pipeline.gold.gold_rows import GoldRow
from pipeline.judging.judge_config import JudgeConfig
from pipeline.media.decoder import MediaDecoder
from pipeline.media.images import IMAGE_FORMATS
from pipeline.media.media_store import MediaStore
from pipeline.media.signatures import HEIC_FORMATS, picture_format
from pipeline.pairs.contents import Part, question_parts
from pipeline.runtime.errors import RowRejected

SEED = 20_26
_SHAPES = 12  # of a picture that shows nothing in particular
_LINES = 14  # of text that would fit onto a picture

Changed = Callable[[bytes], bytes]


class AlteredPictures:
    """Changes the pictures of rows.

    Attributes:
        left_out: rows that could not be changed, by reason.
    """

    def __init__(self, store: MediaStore, judge: JudgeConfig) -> None:
        """Binds to the store of the rows' media, and to the judge that says what is a picture."""
        self.left_out = Counter[str]()
        self._store, self._judge = store, judge
        self._decoder, self._shuffles = MediaDecoder(judge.media), 0

    def blanked(self, rows: Sequence[GoldRow]) -> Iterator[GoldRow]:
        """The rows that have pictures, each picture white."""
        return self._each(rows, white_like)

    def irrelevant(self, rows: Sequence[GoldRow]) -> Iterator[GoldRow]:
        """The rows that have pictures, each with coloured shapes that no question is about."""
        return self._each(rows, shapes_like)

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
                self.left_out["without another row's pictures to take"] += 1
                continue
            for holder, images in zip(holders, sets[other], strict=True):
                for part, image in zip(holder, images, strict=True):
                    part["image"] = image
            yield row

    def written(self, row: GoldRow, text: str, candidate: int | None) -> GoldRow | None:
        """A row with a text on its first picture; None, counted, where it has none to write on.

        Args:
            row: what is changed.
            text: what is written, in the lower part.
            candidate: whose picture; by default the question's.
        """
        for changed, (asked, *answers) in self._with_pictures([row]):
            holder = asked if candidate is None else answers[candidate] if answers else []
            if not holder:
                self.left_out["without a picture to write on"] += 1
                return None
            shown = self._decoder.image(holder[0]["image"]["bytes"])
            holder[0]["image"] = {"bytes": written_on(shown, text), "path": None}
            return changed
        return None

    def _each(self, rows: Sequence[GoldRow], change: Changed) -> Iterator[GoldRow]:
        for row, holders in self._with_pictures(rows):
            for number, holder in enumerate(holders):
                # The judge refuses candidates that are equal byte for byte; what follows a
                # picture's end changes no pixel of it.
                tail = bytes(number)
                for part in holder:
                    data = change(part["image"]["bytes"]) + tail
                    part["image"] = {"bytes": data, "path": None}
            yield row

    def _with_pictures(self, rows: Sequence[GoldRow]) -> Iterator[tuple[GoldRow, list[list[Part]]]]:
        """Copies of the rows that have pictures, and these as fetched parts, content by content."""
        for row in rows:
            pair = dict(row.pair)
            pair["messages"] = [copied(each) for each in pair["messages"] or ()]
            holders = [_pictures_of(question_parts(pair))]
            if self._judge.candidates in ("image", "edit"):
                pair["candidates"] = [copied(each) for each in pair["candidates"] or ()]
                holders += [_pictures_of(each["content"]) for each in pair["candidates"]]
            if not any(holders):
                self.left_out["without pictures"] += 1
                continue
            try:
                for part in (part for holder in holders for part in holder):
                    part["image"] = self._fetched(part["image"])
            except RowRejected:
                self.left_out["with pictures that cannot be read"] += 1
                continue
            yield GoldRow(row.place, pair), holders

    def _fetched(self, item: dict[str, Any] | None) -> dict[str, Any]:
        data = self._store.fetch(item or {"bytes": None, "path": None})
        self._decoder.image(data)
        return {"bytes": data, "path": None}


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
    size, format_ = _upright(data)
    return _encoded(Image.new("RGB", size, "white"), format_)


def shapes_like(data: bytes) -> bytes:
    """Coloured rectangles in a picture of the size and format of ``data``, as :func:`white_like`.

    The same picture gives the same rectangles, another one others.
    """
    (width, height), format_ = _upright(data)
    rng = random.Random(hashlib.sha256(data).digest())
    image = Image.new("RGB", (width, height), "gray")
    draw = ImageDraw.Draw(image)
    for _ in range(_SHAPES):
        left, right = sorted(rng.randrange(width) for _ in range(2))
        top, bottom = sorted(rng.randrange(height) for _ in range(2))
        draw.rectangle((left, top, right, bottom), tuple(rng.randbytes(3)))
    return _encoded(image, format_)


def written_on(image: Image.Image, text: str) -> bytes:
    """A picture with a text in black on white along its lower edge, as PNG."""
    size = max(8, image.height // _LINES)
    font = ImageFont.load_default(size)
    lines = textwrap.wrap(text, max(4, int(image.width / (0.55 * size))))
    top = max(0, image.height - round(1.3 * size * len(lines)))
    copy = image.convert("RGB")
    draw = ImageDraw.Draw(copy)
    draw.rectangle((0, top, image.width, image.height), "white")
    draw.multiline_text((2, top), "\n".join(lines), "black", font, spacing=size // 5)
    return _encoded(copy, "PNG")


def copied(holder: Mapping[str, Any] | None) -> dict[str, Any]:
    """A message or candidate whose parts may be changed."""
    held = holder or {"content": None, "model": None}
    return {**held, "content": [dict(part) for part in held["content"] or ()]}


def _upright(data: bytes) -> tuple[tuple[int, int], str]:
    """The size of a picture as it is seen, and the format to write others like it in."""
    if picture_format(data) in HEIC_FORMATS:
        from pipeline.media.heic import open_heic  # loads libheif

        image, _ = open_heic(data)
        return image.size, "PNG"
    with Image.open(io.BytesIO(data), formats=IMAGE_FORMATS) as opened:
        turned = opened.getexif().get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8)
        size = opened.size[::-1] if turned else opened.size
        return size, str(opened.format)


def _encoded(image: Image.Image, format_: str) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format_)
    return buffer.getvalue()


def _pictures_of(parts: Sequence[Part]) -> list[Part]:
    return [part for part in parts if part["type"] == "image"]


def _digest(sets: Sequence[Sequence[dict[str, Any]]]) -> str:
    state = hashlib.sha256()
    for images in sets:
        for item in images:
            state.update(hashlib.sha256(item["bytes"]).digest())
        state.update(b"/")
    return state.hexdigest()
