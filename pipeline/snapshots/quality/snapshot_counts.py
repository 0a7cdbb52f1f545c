"""Counts all rows and votes of a snapshot, with gold, prompts and text lengths of its input.

Counts are sums over groups of shards. Of a group whose files, shards, sample and people's answers
are those of an earlier snapshot neither labels nor input are read.
"""

from __future__ import annotations

import itertools
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from operator import itemgetter

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from pipeline.gold.people import People
from pipeline.judging.bundle import Format
from pipeline.judging.judge_cards import judge_of
from pipeline.pairs.input_config import InputConfig
from pipeline.runtime.config_file import Frozen
from pipeline.runtime.digest import digest
from pipeline.runtime.errors import InputError
from pipeline.snapshots.quality.audited_accuracy import Audit, Row
from pipeline.snapshots.quality.criteria_counts import of_criteria
from pipeline.snapshots.quality.gold_agreement import of_groups, of_pairs
from pipeline.snapshots.quality.group_tally import (
    GroupTally,
    StoredTally,
    Tallies,
    asked_pairs,
)
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
from pipeline.snapshots.table_reader import TableFile, map_files
from pipeline.stats.tally import Tally
from pipeline.store.object_store import Store
from schemas.labels import Status
from schemas.manifest import InputShard, Manifest, SnapshotFile

GOLD = "gold"  # the prefix of the counts of the corpus' gold
_GOLD_COLUMNS = {"pair": "gold", "score": None, "ranking": "gold_scores"}
_COLUMNS = {"labels": LABEL_COLUMNS, "quarantine": LABEL_COLUMNS, "votes": VOTE_COLUMNS}
_COUNTING = 2  # raise with any change to what is counted of the same rows, and of what input


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


@dataclass
class SnapshotCounts:
    """The counts of a whole snapshot.

    Attributes:
        tallies: of its groups, to be stored.
        drawn: preferences about pairs that were drawn to audit them.
        counted, reused: how many groups were read, and how many were not.
    """

    tallies: Tallies
    tally: Tally = field(default_factory=Tally)
    drawn: list[Row] = field(default_factory=list)
    counted: int = 0
    reused: int = 0


@dataclass(frozen=True)
class SnapshotCounter:
    """Counts a snapshot, group by group.

    Attributes:
        output: the output root.
        manifest: of the snapshot.
        config: how much is read.
        columns: how the corpus is read.
        source: the shards that the snapshot was made of.
        people: answers that count as gold of their pairs, in place of the input's.
        audit: what is counted to audit it.
        step: called with how many more rows are counted, after every row group; may raise to stop.
    """

    output: Store
    manifest: Manifest
    config: QualityConfig
    columns: InputConfig
    source: SnapshotInput
    people: People
    audit: Audit
    step: Callable[[int], None]

    def count(self, earlier: Iterable[Tallies]) -> SnapshotCounts:
        """Counts every group, or takes its tally from those of earlier snapshots.

        Raises:
            InputError: a file is corrupt, or holds other rows than the manifest says.
            StorageError: the store fails.
        """
        asked, groups = asked_pairs(self.people), self._groups()
        alike = [each for each in earlier if each.how == self._how and asked <= each.asked]
        known = {group.number: self._known(group, alike) for group in groups}
        counted = self._counted([group for group in groups if known[group.number] is None])
        stored: dict[str, StoredTally] = {}
        counts = SnapshotCounts(Tallies(self._how, asked, stored))
        for group in groups:
            if (found := known[group.number]) is None:
                tally = next(counted)
                counts.counted += 1
            else:
                tally = found.tally()
                counts.reused += 1
                self.step(tally.rows)
            tally.add_to(counts.tally, group.sampled)
            counts.drawn += tally.drawn
            if not self.source.unread.keys() & group.paths:  # else it is tried, and said, again
                stored[group.source] = found or StoredTally.of(group.source, tally)
        self._check(counts.tally)
        return counts

    @property
    def _column(self) -> str | None:
        return _GOLD_COLUMNS[format_of(self.manifest).about]

    @cached_property
    def _how(self) -> str:
        """Digest of what decides how a group is counted, beside the group itself."""
        read = self.columns.model_dump(mode="json")
        how = [_COUNTING, self._column, self.config.gold, read]
        return digest(json.dumps(how, sort_keys=True))

    def _groups(self) -> list[_Group]:
        """The groups that have files with rows, in order."""
        sampled = self.source.sampled(self.config.length_groups)
        files: dict[int, list[TableFile]] = defaultdict(list)
        for table in _COLUMNS:
            for file in TableFile.of_table(self.output, self.manifest, table):
                files[file.file.group].append(file)
        shards: dict[int, list[InputShard]] = defaultdict(list)
        for shard in self.manifest.shards:
            shards[shard.group].append(shard)
        groups = []
        for number in (each.number for each in self.manifest.groups if each.number in files):
            made = [(each.file.table, each.file.sha256) for each in files[number]]
            own = [(s.path, s.shard_key, s.path in self.audit.paths) for s in shards[number]]
            paths = frozenset(shard.path for shard in shards[number] if shard.rows)
            source = digest(json.dumps([made, own]))
            groups.append(_Group(number, source, paths, paths & sampled, tuple(files[number])))
        return groups

    def _known(self, group: _Group, earlier: Sequence[Tallies]) -> StoredTally | None:
        """The tally of a group, if it would be counted so now."""
        for tallies in earlier:
            found = tallies.groups.get(group.source)
            if found is not None and found.holds(group.sampled, self.people):
                return found if all(map(self.source.unchanged, group.paths)) else None
        return None

    def _counted(self, groups: Sequence[_Group]) -> Iterator[GroupTally]:
        """The tallies of groups, in order, read in threads."""
        texts = self._column == "gold"
        paths = (path for group in groups for path in sorted(group.sampled))
        sample = {path: self.source.sample(path, texts=texts) for path in paths}
        rows = _RowCounter(self, {path: each for path, each in sample.items() if each is not None})
        files = (file for group in groups for file in group.files)
        found = map_files(files, _COLUMNS, rows.count, self.config.threads)
        for group, (_, parts) in zip(groups, itertools.groupby(found, itemgetter(0)), strict=True):
            tally = GroupTally(sampled={path: Tally() for path in group.sampled})
            for _, part in parts:
                tally.add(part)
                self.step(part.rows)
            yield tally

    def _check(self, tally: Tally) -> None:
        got = {status.value: tally.numbers[f"status/{status}"] for status in Status}
        expected = {status.value: self.manifest.counts[status] for status in Status}
        if got != expected:
            raise InputError(
                f"snapshot {self.manifest.snapshot_id} under {self.output.uri}: its files hold "
                f"{got}, expected {expected} by its manifest; remove its folder and publish again"
            )


@dataclass(frozen=True)
class _Group:
    """One group of shards.

    Attributes:
        source: digest of everything in it that is counted.
        paths: of its shards with rows, and those of them that are ``sampled``.
        files: those with rows.
    """

    number: int
    source: str
    paths: frozenset[str]
    sampled: frozenset[str]
    files: tuple[TableFile, ...]


class _RowCounter:
    """Counts one row group; any thread may ask."""

    def __init__(self, of: SnapshotCounter, sample: Mapping[str, Sample]) -> None:
        """Counts as another does, with the sampled row groups of some shards."""
        self._of, self._sample, self._column = of, sample, of._column
        self._asked = pa.array(sorted(asked_pairs(of.people)), pa.string())

    def count(self, file: SnapshotFile, rows: pa.Table) -> tuple[int, GroupTally]:
        """The number of its group, and what is in it."""
        if file.table == "votes":
            return file.group, GroupTally([of_votes(rows)])
        audited, drawn = self._of.audit.count(rows)
        made = GroupTally([of_rows(rows)], drawn=drawn)
        made.row_groups[0].add(audited)
        asked = rows["pair_hash"].filter(pc.is_in(rows["pair_hash"], self._asked))
        made.said = {pair: self._of.people.gold.get(pair) for pair in asked.to_pylist()}
        for path, part in _by_shard(rows):
            self._add_shard(made, path, part)
        return file.group, made

    def _add_shard(self, made: GroupTally, path: str, rows: pa.Table) -> None:
        """Counts rows of one shard against gold, and those that are sampled."""
        tally, column, gold = made.row_groups[0], self._column, None
        if (found := self._gold(path)) is not None:
            gold = found.values.take(rows["row"].combine_chunks())
            prompts = clusters(rows, found.prompts[integers(rows["row"])])
            if column == "gold":
                gold = _with_answers(gold, rows["pair_hash"], self._of.people)
                tally.add(of_pairs(GOLD, rows, gold, prompts))
            else:
                tally.add(of_groups(GOLD, rows, gold.to_pylist(), prompts))
        of_texts = gold if column == "gold" else None
        tally.add(of_criteria(rows, of_texts))
        if path in self._sample:
            made.sampled[path] = _sampled(self._sample[path], rows, of_texts)

    def _gold(self, path: str) -> Gold | None:
        column, source = self._column, self._of.source
        found = source.gold(path, column) if self._of.config.gold and column else None
        if found is None and column == "gold" and self._of.people:
            return Gold.unknown(source.rows_of(path))
        return found


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
