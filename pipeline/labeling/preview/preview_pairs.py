"""Reads a few pairs and lays their prompts out, as a worker does, without an engine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.engines.engine import Chat, Layout
from pipeline.labeling.label_config import LabelConfig
from pipeline.labeling.prompting import Prompting
from pipeline.labeling.read_pairs import READ_ROW, Pairs
from pipeline.media.media_store import MediaStore
from pipeline.pairs.isolated_reading import open_groups, outline_of
from pipeline.pairs.known_layouts import AUTO
from pipeline.pairs.layout_proposal import proposal_for_shard
from pipeline.pairs.pair_mapping import PairMapping
from pipeline.pairs.shard_columns import ShardColumns
from pipeline.pairs.shards import list_shards, open_input
from pipeline.runtime.errors import ConfigError, InputError, RowRejected
from pipeline.runtime.faults import UNREADABLE_FILE, first_line
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
        ConfigError: the layout is to be proposed.
        InputError: there is no shard, or no such row.
        StorageError: the input cannot be reached.
    """
    source, prefix = open_input(input_uri)
    entries = {entry.key: entry for entry in list_shards(source, prefix)}
    if config.input.layout == AUTO:
        first = next(iter(entries.values()))
        raise ConfigError(proposal_for_shard(source, first, config.input.read_seconds))
    mapping, seconds = config.input.mapping(), config.input.read_seconds
    media = MediaStore((*config.input.media_roots, source.uri), config.judge.media.max_bytes)
    shards = _Shards(source, mapping, seconds, Prompting(layout, config.judge, media))
    if rows:
        shown = tuple(shards.named(name, entries) for name in rows)
    else:
        shown = tuple(shards.spread(list(entries.values()), count))
    return Preview(source.path(prefix), len(entries), shards.reads, shown)


@dataclass
class _Shards:
    """The shards of an input, of which some rows are previewed.

    Attributes:
        seconds: how long a footer, and each batch of rows, may take.
        reads: the fields that each column of the first shard that was read is read for.
    """

    source: Store
    mapping: PairMapping
    seconds: float
    prompting: Prompting
    reads: dict[str, list[str]] = field(default_factory=dict)

    def named(self, name: str, entries: Mapping[str, Entry]) -> PreviewedPair:
        """The row ``SHARD:ROW``."""
        shard, _, row = name.rpartition(":")
        if shard not in entries or not row.isdecimal():
            shown = ", ".join(list(entries)[:5])
            raise InputError(
                f"--row {name}: expected SHARD:ROW, a shard of {self.source.uri} and the number of "
                f"a row from 0, such as {next(iter(entries))}:0; shards there: {shown}"
            )
        found = self._first(entries[shard], range(int(row), int(row) + 1))
        if not found:
            rows = outline_of(self.source, entries[shard], self.seconds).rows
            raise InputError(
                f"--row {name}: {self.source.path(shard)} has {rows} rows"
                + (f", which are numbered from 0 to {rows - 1}" if rows else ": there is none")
            )
        return found[0]

    def spread(self, entries: Sequence[Entry], count: int) -> Iterator[PreviewedPair]:
        """The first rows of shards spread evenly; of further ones where these have too few."""
        chosen = min(count, len(entries))
        places = [number * len(entries) // chosen for number in range(chosen)]
        places += sorted(set(range(len(entries))) - set(places))
        for number, place in enumerate(places):
            fair = -(-count // max(1, chosen - number))  # of those still to be shown
            found = self._first(entries[place], range(fair))
            yield from found
            count -= len(found)
            if not count:
                return

    def _first(self, entry: Entry, numbers: range) -> list[PreviewedPair]:
        """The rows of these numbers; of a shard that cannot be read one that says why."""
        if problem := self._problem(entry):
            return [PreviewedPair(entry.key, 0, None, None, None, problem=problem)]
        groups = open_groups(self.source, entry.key, entry.size, self.mapping, self.seconds)
        start, found = 0, []
        for group in range(groups.count):
            stop = start + groups.rows(group)
            if numbers.start < stop and start < numbers.stop:
                for table in groups.read(group):
                    pairs = Pairs(table.to_struct_array().combine_chunks().cast(READ_ROW))
                    found += [
                        _previewed(self.prompting, entry.key, start + offset, pairs[offset])
                        for offset in range(len(pairs))
                        if start + offset in numbers
                    ]
                    start += len(pairs)
                    if start >= numbers.stop:
                        return found
            start = stop
        return found

    def _problem(self, entry: Entry) -> str | None:
        """Why no row of a shard can be read; notes what its columns are read for."""
        try:
            stored = outline_of(self.source, entry, self.seconds).schema
            schema = ShardColumns(entry.key, stored).schema
        except UNREADABLE_FILE as error:
            return f"corrupt footer: {first_line(error)}"
        self.reads = self.reads or self.mapping.uses(schema)
        return "; ".join(self.mapping.check(schema)) or None


def _previewed(prompting: Prompting, shard: str, number: int, row: dict[str, Any]) -> PreviewedPair:
    about = (shard, number, row["pair_id"], row["source"], row["gold"])
    try:
        prepared = prompting.prepare(prompting.identify(row))
    except RowRejected as rejected:
        return PreviewedPair(*about, problem=f"{rejected.reason}: {rejected.detail}")
    order, prompt = next(iter(prepared.prompts.items()))
    return PreviewedPair(*about, chat=prompt.chat, tokens=prompt.length, order=order)
