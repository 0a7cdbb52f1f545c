"""Counts all rows and votes of a snapshot, with gold, prompts and text lengths of its input."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from pipeline.gold.people import NOBODY, People
from pipeline.judging.bundle import Format
from pipeline.judging.judge_cards import judge_of
from pipeline.runtime.config_file import Frozen
from pipeline.runtime.errors import InputError
from pipeline.snapshots.quality.criteria_counts import of_criteria
from pipeline.snapshots.quality.gold_agreement import of_groups, of_pairs
from pipeline.snapshots.quality.input_columns import Gold, Sample, SnapshotInput
from pipeline.snapshots.quality.label_counts import (
    LABEL_COLUMNS,
    VOTE_COLUMNS,
    clusters,
    integers,
    of_lengths,
    of_prompts,
    of_rows,
    of_votes,
    texts,
)
from pipeline.snapshots.table_reader import map_row_groups
from pipeline.stats.tally import Tally
from pipeline.store.object_store import Store
from schemas.labels import Status
from schemas.manifest import Manifest

GOLD = "gold"  # the prefix of the counts of the corpus' gold
_GOLD_COLUMNS = {"pair": "gold", "score": None, "ranking": "gold_scores"}


class QualityConfig(Frozen):
    """How much is read to measure a snapshot, beside the narrow columns of all its rows."""

    gold: bool = True
    """Whether gold is read from the input's shards; only that column is, and prompts with it."""
    length_groups: int = Field(default=32, ge=0, le=10_000)
    """How many row groups of the input are read for their prompts and the lengths of their texts,
    each of another shard; the same input gives the same sample. 0 measures no length bias, and
    takes pairs of one prompt for independent.
    """
    threads: int = Field(default=4, ge=1, le=64)
    """How many row groups are read at once."""


def format_of(manifest: Manifest) -> Format:
    """The format of the judge that labelled a snapshot."""
    return judge_of(dict(manifest.judge)).declared_format


def count_rows(
    output: Store,
    manifest: Manifest,
    config: QualityConfig,
    source: SnapshotInput,
    step: Callable[[int], None],
    people: People = NOBODY,
) -> Tally:
    """The counts of a whole snapshot.

    Args:
        output: the output root.
        manifest: of the snapshot.
        config: how much is read.
        source: the shards that the snapshot was made of.
        step: called after every row group with the rows counted so far; may raise to stop.
        people: answers that count as gold of their pairs, in place of the input's.

    Raises:
        InputError: a file is corrupt, or holds other rows than the manifest says.
        StorageError: the store fails.
    """
    column = _GOLD_COLUMNS[format_of(manifest).about]
    sample = source.sample(config.length_groups, texts=column == "gold")

    def rows(table: pa.Table) -> Tally:
        tally = of_rows(table)
        for path, part in _by_shard(table):
            found = source.gold(path, column) if config.gold and column else None
            gold = None
            if found is None and column == "gold" and people:
                found = Gold.unknown(source.rows_of(path))
            if found is not None:
                gold = found.values.take(part["row"].combine_chunks())
                prompts = clusters(part, found.prompts[integers(part["row"])])
                if column == "gold":
                    gold = _with_answers(gold, part["pair_hash"], people)
                    tally.add(of_pairs(GOLD, part, gold, prompts))
                else:
                    tally.add(of_groups(GOLD, part, gold.to_pylist(), prompts))
            tally.add(of_criteria(part, gold if column == "gold" else None))
            if path in sample:
                of_texts = gold if column == "gold" else None
                tally.add(_sampled(sample[path], part, of_texts))
        return tally

    tally = Tally()
    for table, columns, count in (
        ("labels", LABEL_COLUMNS, rows),
        ("quarantine", LABEL_COLUMNS, rows),
        ("votes", VOTE_COLUMNS, of_votes),
    ):
        for part in map_row_groups(output, manifest, table, columns, count, config.threads):
            tally.add(part)
            step(_rows(tally))
    got = {status.value: tally.numbers[f"status/{status}"] for status in Status}
    expected = {status.value: manifest.counts[status] for status in Status}
    if got != expected:
        raise InputError(
            f"snapshot {manifest.snapshot_id} under {output.uri}: its files hold {got}, expected "
            f"{expected} by its manifest; remove its folder and publish again"
        )
    return tally


def _rows(tally: Tally) -> int:
    return sum(tally.numbers[f"status/{status}"] for status in Status)


def _by_shard(table: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    """The rows of each shard, which are contiguous."""
    if not len(table):
        return
    shards = table["shard"].combine_chunks().dictionary_encode()
    codes = integers(shards.indices)
    starts = [0, *(np.flatnonzero(codes[1:] != codes[:-1]) + 1).tolist(), len(codes)]
    for start, stop in itertools.pairwise(starts):
        yield str(shards.dictionary[codes[start]]), table.slice(start, stop - start)


def _with_answers(gold: pa.Array, pair_hashes: pa.ChunkedArray, people: People) -> pa.Array:
    """Gold of the input, with what people say about those pairs that they have decided."""
    if not people:
        return gold
    asked, said = (pa.array(each, pa.string()) for each in (people.gold, people.gold.values()))
    place = pc.index_in(pair_hashes.combine_chunks(), asked)
    return pc.coalesce(said.take(place), gold)


def _sampled(group: Sample, rows: pa.Table, gold: pa.Array | None) -> Tally:
    """Counts those rows that are in the sampled row group."""
    index = integers(rows["row"]) - group.start
    inside = (index >= 0) & (index < len(group.prompts))
    index, rows = index[inside], rows.filter(pa.array(inside))
    human = np.full(len(index), "") if gold is None else texts(gold)[inside]
    prompts = clusters(rows, group.prompts[index])
    tally = of_prompts(rows, prompts)
    lengths = (group.a[index], group.b[index])
    tally.add(of_lengths(*lengths, texts(rows["preference"]), human, prompts))
    return tally
