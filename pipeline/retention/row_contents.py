"""What pairs are whose rows have rubrics of their own: the hash of their label is of both.

The same pair under another rubric has another hash, and no label states the pair's own: it follows
from the pair, in the input.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from pipeline.judging.row_rubrics import asked_hash, stored_rubric
from pipeline.media.media_store import MediaStore
from pipeline.media.pair_contents import PairContents
from pipeline.pairs.input_config import InputConfig
from pipeline.pairs.isolated_reading import rows_at
from pipeline.pairs.shards import list_shards, open_input
from pipeline.runtime.errors import InputError, RowRejected
from pipeline.runtime.faults import UNREADABLE_FILE

_MEDIUM_BYTES = 2**28
Row = Mapping[str, Any]


def is_asked(label: Row, contents: Iterable[str]) -> bool:
    """Whether a label with a row's own rubric is about one of some pairs, by their own hashes."""
    rubric = stored_rubric(label["rubric"])
    return any(asked_hash(content, rubric) == label["pair_hash"] for content in contents)


def contents_of(input_uri: str, columns: InputConfig, labels: Sequence[Row]) -> dict[str, str]:
    """The pairs' own hashes, by the hash of their labels, as far as the input has them still.

    Args:
        input_uri: the pairs.
        columns: how they are read.
        labels: with rows' own rubrics.

    Raises:
        StorageError: the input cannot be reached.
    """
    found: dict[str, str] = {}
    by_shard: dict[str, list[Row]] = defaultdict(list)
    for label in labels:
        by_shard[label["shard"]].append(label)
    source, prefix = open_input(input_uri)
    media = MediaStore((*columns.media_roots, source.uri), _MEDIUM_BYTES)
    with suppress(InputError):  # no shard is left
        for entry in list_shards(source, prefix):
            wanted = {int(label["row"]): label for label in by_shard[entry.key]}
            with suppress(*UNREADABLE_FILE):
                how = (columns.mapping(), columns.read_seconds)
                for number, pair in rows_at(source, entry, wanted, *how):
                    content = _content(pair, media)
                    if content is not None and is_asked(wanted[number], [content]):
                        found[wanted[number]["pair_hash"]] = content
    return found


def _content(pair: Row, media: MediaStore) -> str | None:
    if not pair["messages"] or not pair["candidates"]:
        return None  # another row by now
    try:
        return PairContents.of(pair, media).pair_hash
    except RowRejected:
        return None
