"""The pairs of a set as people see them in other tools: texts, pictures, and an order of sides."""

from __future__ import annotations

import base64
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.gold.answers import Given
from pipeline.gold.foreign_answers import FIRST, SECOND
from pipeline.pairs.contents import question_parts, shown_text
from pipeline.pairs.input_config import InputConfig
from pipeline.pairs.isolated_reading import rows_at
from pipeline.pairs.shards import list_shards, open_input
from pipeline.runtime.digest import digest
from pipeline.runtime.errors import RowRejected
from schemas.gold import DrawnPair

# The hash of a row of pairs v2, by its content; raises RowRejected where its media are gone.
Hashed = Callable[[Mapping[str, Any]], str]


@dataclass(frozen=True)
class AskedPair:
    """A pair, and what people have said about it.

    Attributes:
        row: of pairs v2.
        shown: the order in which its candidates are shown, by a hash of set and pair.
    """

    pair: DrawnPair
    row: Mapping[str, Any]
    shown: str
    answers: Sequence[Given] = ()

    @property
    def fields(self) -> dict[str, str]:
        """The texts: the question and both candidates, a medium as ``<image>`` or ``<video>``."""
        asked = self.row["messages"]
        texts = [shown_text(each["content"]) for each in asked]
        question = (
            texts[0]
            if len(texts) == 1
            else "\n\n".join(
                f"{each['role'].capitalize()}: {text}"
                for each, text in zip(asked, texts, strict=True)
            )
        )
        by_side = [
            shown_text((self.row["candidates"]["ab".index(side)] or {}).get("content") or ())
            for side in self.shown
        ]
        return {"question": question, FIRST: by_side[0], SECOND: by_side[1]}

    @property
    def images(self) -> list[str]:
        """Its question's pictures: where they lie, or the bytes themselves as data URIs."""
        parts = [part["image"] for part in question_parts(self.row) if part["type"] == "image"]
        return [_uri(image) for image in parts if image]

    @property
    def identity(self) -> dict[str, str | None]:
        """What an answer is matched by when it comes back."""
        named = {"pair_hash": self.pair.pair_hash, "pair_id": self.pair.pair_id}
        return {**named, "shown": self.shown}

    def word(self, said: str | None) -> str:
        """An answer in the words of the exported task."""
        side = {self.shown[0]: FIRST, self.shown[1]: SECOND}
        return side.get(str(said), str(said))


@dataclass
class Found:
    """The pairs of a set that the input has.

    Attributes:
        gone: pairs that are not in the input, or whose content is another one there.
    """

    pairs: list[AskedPair] = field(default_factory=list)
    gone: list[DrawnPair] = field(default_factory=list)


def find_asked(
    name: str,
    pairs: Sequence[DrawnPair],
    given: Sequence[Given],
    input_uri: str,
    config: InputConfig,
    hashed: Hashed,
) -> Found:
    """Reads the pairs of a set where they lay.

    Args:
        name: of the set.
        pairs: of it.
        given: everybody's newest answers.
        input_uri: the input that they are in.
        config: how it is read.
        hashed: identifies a row.

    Raises:
        InputError: the input has no shards.
        StorageError: the store fails.
    """
    by_pair: dict[str, list[Given]] = defaultdict(list)
    for each in given:
        by_pair[each.pair_hash].append(each)
    source, prefix = open_input(input_uri)
    entries = {entry.key: entry for entry in list_shards(source, prefix)}
    by_shard: dict[str, list[DrawnPair]] = defaultdict(list)
    found = Found()
    for pair in pairs:
        if pair.shard in entries and pair.row is not None:
            by_shard[pair.shard].append(pair)
        else:
            found.gone.append(pair)
    for shard, wanted in sorted(by_shard.items()):
        numbers = {int(pair.row or 0) for pair in wanted}
        how = (config.mapping(), config.read_seconds)
        rows = dict(rows_at(source, entries[shard], numbers, *how))
        for pair in wanted:
            row = rows.get(int(pair.row or 0))
            if row is None or not _is(pair, row, hashed):
                found.gone.append(pair)
                continue
            shown = "ab" if int(digest(name, pair.pair_hash)[:8], 16) % 2 else "ba"
            found.pairs.append(AskedPair(pair, row, shown, by_pair[pair.pair_hash]))
    return found


def _is(pair: DrawnPair, row: Mapping[str, Any], hashed: Hashed) -> bool:
    try:
        return hashed(row) == pair.pair_hash
    except RowRejected:
        return False


def _uri(image: Mapping[str, Any]) -> str:
    if image["bytes"] is None:
        return str(image["path"])
    kind = "jpeg" if image["bytes"][:2] == b"\xff\xd8" else "png"
    return f"data:image/{kind};base64,{base64.b64encode(image['bytes']).decode()}"
