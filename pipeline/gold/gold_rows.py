"""Pairs that have gold in the input itself, with their media, one at a time."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from pipeline.pairs.contents import media_of, question_parts
from pipeline.pairs.input_config import InputConfig
from pipeline.pairs.isolated_reading import open_groups, readable_shards
from pipeline.pairs.shard_writer import ShardConfig, ShardWriter
from pipeline.pairs.shards import open_input
from pipeline.store.object_store import Store
from schemas.pairs import GOLD_VALUES, PAIRS_V2

_ROWS, _BYTES = 256, 128 * 2**20  # of a window


@dataclass(frozen=True)
class GoldRow:
    """A row of pairs v2, media included.

    Attributes:
        place: its shard, relative to the input root, and its number in it.
    """

    place: tuple[str, int]
    pair: dict[str, Any]


def has_gold(pair: Mapping[str, Any], about: str) -> bool:
    """Whether a human has judged the row in a way that verdicts about it can be measured against.

    Args:
        pair: the row.
        about: what verdicts are about: a ``pair``, a ``score`` or a ``ranking``.
    """
    if about != "pair":
        return bool(pair["gold_scores"]) and None not in pair["gold_scores"]
    return pair["gold"] in GOLD_VALUES


def gold_rows(
    input_uri: str,
    config: InputConfig,
    about: str,
    note: Callable[[str], None] = lambda text: None,
) -> Iterator[GoldRow]:
    """Every row whose gold verdicts about such rows can be measured against, in input order.

    Shards that cannot be read are noted and left out.

    Raises:
        InputError: the input has no shard.
        StorageError: the store fails.
    """
    source, prefix = open_input(input_uri)
    for entry in readable_shards(source, prefix, config.read_seconds, note):
        where = (entry.key, entry.size, config.mapping(), config.read_seconds)
        groups = open_groups(source, *where)
        number = 0
        for group in range(groups.count):
            for table in groups.read(group):
                for pair in table.select(PAIRS_V2.names).to_pylist():
                    if has_gold(pair, about):
                        yield GoldRow((entry.key, number), pair)
                    number += 1


def windows(rows: Iterable[GoldRow]) -> Iterator[list[GoldRow]]:
    """The rows in lists of about the same size, which bounds what is in memory."""
    window: list[GoldRow] = []
    held = 0
    for row in rows:
        window.append(row)
        pictures = media_of(question_parts(row.pair), "image")
        held += sum(len(item["bytes"] or b"") for item in pictures if item)
        if len(window) >= _ROWS or held >= _BYTES:
            yield window
            window, held = [], 0
    if window:
        yield window


def write_first(rows: Iterator[GoldRow], limit: int, output: str) -> None:
    """Writes the first ``limit`` gold pairs as shards; the same pairs give the same shards.

    Raises:
        StorageError: the store fails.
    """
    with ShardWriter(Store(output), "first", ShardConfig()) as writer:
        for window in windows(itertools.islice(rows, limit)):
            writer.add(pa.Table.from_pylist([row.pair for row in window], schema=PAIRS_V2))
