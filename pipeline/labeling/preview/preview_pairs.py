"""Reads a few pairs and lays their prompts out, as a worker does, without an engine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from pipeline.engines.engine import Chat, Layout
from pipeline.labeling.label_config import LabelConfig
from pipeline.labeling.prompting import Prompting
from pipeline.labeling.read_pairs import READ_ROW, Pairs
from pipeline.media.media_store import MediaStore
from pipeline.pairs.pair_mapping import PairMapping
from pipeline.pairs.row_groups import GroupReader
from pipeline.pairs.shard_columns import ShardColumns
from pipeline.pairs.shards import list_shards, open_input, open_shard
from pipeline.runtime.errors import InputError, RowRejected
from pipeline.store.object_store import Entry, Store


@dataclass(frozen=True)
class PreviewedPair:
    """One row, as the judge will see it.

    Attributes:
        shard, row: where it is.
        pair_id, source, gold: of the row; gold is a person's answer, or None.
        chat: what the judge is shown first; None of a row that it is not asked about.
        tokens: length of that prompt, media included.
        order: the candidates in the order shown.
        problem: why the row would be quarantined, or None.
    """

    shard: str
    row: int
    pair_id: str | None
    source: str | None
    gold: str | None
    chat: Chat | None = None
    tokens: int = 0
    order: str = ""
    problem: str | None = None


@dataclass(frozen=True)
class Preview:
    """What an input will be read as.

    Attributes:
        shards: how many there are.
        reads: the fields that each column of the first shard is read for; columns that nothing
            reads have none.
        pairs: the chosen rows.
    """

    input_uri: str
    shards: int
    reads: dict[str, list[str]]
    pairs: tuple[PreviewedPair, ...]


def preview(
    config: LabelConfig, input_uri: str, layout: Layout, count: int, rows: Sequence[str] = ()
) -> Preview:
    """Previews rows of an input.

    Args:
        config: the job's configuration.
        input_uri: a folder of shards, or one shard.
        layout: lays prompts out as the configured engine would.
        count: how many rows, the first ones of shards spread evenly over the input; no more where
            ``rows`` names some.
        rows: rows by name, ``SHARD:ROW`` with the shard's path and the row's number from 0.

    Raises:
        InputError: there is no such shard or row, or a shard does not fit the mapping.
        StorageError: the input cannot be reached.
    """
    source, prefix = open_input(input_uri)
    entries = {entry.key: entry for entry in list_shards(source, prefix)}
    mapping = config.input.mapping()
    wanted = [_named(name, entries, source) for name in rows] or _spread(entries, count)
    media = MediaStore((*config.input.media_roots, source.uri), config.judge.media.max_bytes)
    prompting = Prompting(layout, config.judge, media)
    first = next(iter(entries.values()))
    return Preview(
        source.path(prefix),
        len(entries),
        mapping.uses(_schema(source, first, mapping)),
        tuple(
            _previewed(prompting, entry.key, number, row)
            for entry, numbers in wanted
            for number, row in _rows(source, entry, mapping, numbers)
        ),
    )


def _previewed(prompting: Prompting, shard: str, number: int, row: dict[str, Any]) -> PreviewedPair:
    about = (shard, number, row["pair_id"], row["source"], row["gold"])
    try:
        prepared = prompting.prepare(prompting.identify(row))
    except RowRejected as rejected:
        return PreviewedPair(*about, problem=f"{rejected.reason}: {rejected.detail}")
    order, prompt = next(iter(prepared.prompts.items()))
    return PreviewedPair(*about, chat=prompt.chat, tokens=prompt.length, order=order)


def _named(name: str, entries: dict[str, Entry], source: Store) -> tuple[Entry, range]:
    shard, _, row = name.rpartition(":")
    if shard not in entries or not row.isdigit():
        shown = ", ".join(list(entries)[:5])
        raise InputError(
            f"--row {name}: expected SHARD:ROW, a shard of {source.uri} and the number of a row "
            f"from 0, such as {next(iter(entries))}:0; shards there: {shown}"
        )
    return entries[shard], range(int(row), int(row) + 1)


def _spread(entries: dict[str, Entry], count: int) -> list[tuple[Entry, range]]:
    every = list(entries.values())
    chosen = min(count, len(every))
    bounds = [count * number // chosen for number in range(chosen + 1)]
    return [
        (every[number * len(every) // chosen], range(bounds[number + 1] - bounds[number]))
        for number in range(chosen)
    ]


def _rows(
    source: Store, entry: Entry, mapping: PairMapping, numbers: range
) -> Iterator[tuple[int, dict[str, Any]]]:
    groups = GroupReader(source, entry.key, entry.size, mapping)
    start = 0
    for group in range(groups.count):
        stop = start + groups.rows(group)
        if numbers.start < stop and start < numbers.stop:
            for table in groups.read(group):
                pairs = Pairs(table.to_struct_array().combine_chunks().cast(READ_ROW))
                for offset in range(len(pairs)):
                    if start + offset in numbers:
                        yield start + offset, pairs[offset]
                start += len(pairs)
                if start >= numbers.stop:
                    return
        start = stop
    if numbers.start >= start > 0 and numbers.start:
        raise InputError(f"{source.path(entry.key)}: no row {numbers.start}, it has {start} rows")


def _schema(source: Store, entry: Entry, mapping: PairMapping) -> pa.Schema:
    try:
        schema = ShardColumns(entry.key, open_shard(source, entry).schema_arrow).schema
    except (pa.ArrowException, UnicodeDecodeError) as error:
        cause = str(error).strip().splitlines()[0]
        raise InputError(f"{source.path(entry.key)}: corrupt footer: {cause}") from error
    if problems := mapping.check(schema):
        raise InputError(f"{source.path(entry.key)}: " + "; ".join(problems))
    return schema
