"""The first reading of a shard: whether it is what was labelled, and which rows are exported.

Reads the labels, and of the pairs only those columns that the selection needs.
"""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.export import export_rules as rules
from pipeline.export.export_config import ExportConfig
from pipeline.export.export_parts import GoldCounts, SetEnds
from pipeline.export.formats.format_registry import TRAINER_FORMATS
from pipeline.export.held_out import HeldOut
from pipeline.export.joined_rows import Row, kept_pairs, rows_of
from pipeline.export.labeled_example import media_lead
from pipeline.export.labeled_shards import LabeledShard
from pipeline.export.prompt_cap import RECORD
from pipeline.export.ranked_rows import set_key
from pipeline.pairs.contents import candidate_texts
from pipeline.pairs.isolated_reading import outline_of
from pipeline.pairs.pair_mapping import PairMapping
from pipeline.pairs.prompts import cluster_number
from pipeline.pairs.shard_columns import ShardColumns
from pipeline.pairs.shards import of_one_version
from pipeline.runtime.digest import digest
from pipeline.store.content_keys import ContentKeys
from pipeline.store.object_store import Store
from schemas.labels import BY_GOLD

_LABEL_COLUMNS = (
    *("status", "confidence", "position_consistent", "scores"),
    *("preference", "label_id", "decided_by", "pair_hash", "cluster", "p_a"),
)


@dataclass
class Survey:
    """What was found in a shard.

    Attributes:
        number: of the shard.
        kept: which rows are exported, as far as one shard can tell.
        changed: whether its content is not what was labelled; nothing else is known then.
        groups: rows and bytes of its row groups.
        sets: of each of these, the ranked sets of its first and its last kept row, if rankings are
            exported.
        dropped: labels by reason.
        longer, shorter: kept rows whose better response is the longer or the shorter one, if the
            selection compares responses.
        images, videos: whether the prompt of a kept row has any, if the format holds them.
        in_place: whether some of these stand elsewhere than before the user's first words.
        gold: of each prompt, pairs of gold sets that would be exported if they were not held out.
        records: of ``prompt_cap.RECORD``, the rows numbered within the shard, if there is a cap.
    """

    number: int
    kept: NDArray[np.bool_]
    changed: bool = False
    groups: list[tuple[int, int]] = field(default_factory=list)
    sets: list[SetEnds] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)
    longer: int = 0
    shorter: int = 0
    images: bool = False
    videos: bool = False
    in_place: bool = False
    gold: GoldCounts = field(default_factory=dict)
    records: NDArray[np.void] = field(default_factory=lambda: np.zeros(0, RECORD))


@dataclass(frozen=True)
class Surveyor:
    """Reads shards for the selection.

    Attributes:
        output: where snapshots are.
        source: the root of the shards, and ``columns`` how their pairs are mapped.
        read_seconds: how long a footer, and each batch of pairs, may take.
        contents: identifies the shards' versions.
        held: what is held out.
    """

    output: Store
    source: Store
    columns: PairMapping
    read_seconds: float
    config: ExportConfig
    contents: ContentKeys
    held: HeldOut

    def survey(self, shard: LabeledShard) -> Survey:
        """Reads one shard.

        Raises:
            InputError: labels and pairs do not fit together.
            ShardChangedError: it was rewritten since it was listed.
            StorageError: a store fails.
        """
        found = Survey(shard.number, np.zeros(shard.rows, np.bool_))
        with of_one_version(self.source, shard.entry):
            if self.contents.of(shard.entry) == shard.content:
                self._read(shard, found)
            else:
                found.changed = True
        return found

    def _read(self, shard: LabeledShard, found: Survey) -> None:
        outline = outline_of(self.source, shard.entry, self.read_seconds)
        found.groups = list(outline.groups)
        labels = self._by_labels(shard, found)
        if len(labels):
            self._by_texts(shard, found, labels)
            self._by_sets(shard, found)
            stored = ShardColumns(shard.entry.key, outline.schema).schema
            self._by_media(shard, found, media=not self.columns.in_parts(stored))

    def _by_labels(self, shard: LabeledShard, found: Survey) -> pa.Table:
        """Applies the rules that concern labels; returns the labels that pass."""
        labels = shard.read_labels(self.output, _LABEL_COLUMNS)
        format_ = TRAINER_FORMATS[self.config.format]
        if shard.number in self.held.shards:
            found.dropped[rules.OUTSIDE_BOUND] += len(labels)
            labels = labels.slice(0, 0)
        found.gold = self._checked(labels)
        held = (self.held.names, self.held.benchmarks)
        reasons = rules.label_reasons(labels, format_, self.config.selection, *held)
        for each in pc.value_counts(reasons.drop_null()).to_pylist():
            found.dropped[each["values"]] = each["counts"]
        labels = labels.filter(reasons.is_null()).select(["row", "preference", "label_id"])
        found.kept[labels["row"].to_numpy()] = True
        return labels

    def _checked(self, labels: pa.Table) -> GoldCounts:
        """Pairs that are held out since people answered about them, selected as the others are."""
        selection, format_ = self.config.selection, TRAINER_FORMATS[self.config.format]
        by_text = selection.max_similarity is not None or selection.balance_length
        if not self.held.gold or format_.holds != "pairs" or by_text:
            return {}
        asked = pa.array(sorted(self.held.gold), pa.string())
        labels = labels.filter(pc.is_in(labels["pair_hash"], asked))
        reasons = rules.label_reasons(labels, format_, selection)
        found: GoldCounts = {}
        for label in rows_of(labels.filter(reasons.is_null())):
            preferred, p_a = label["preference"], label["p_a"]
            if preferred is None or label["decided_by"] == BY_GOLD:
                continue
            p = None if p_a is None else p_a if preferred == "a" else 1 - p_a
            wrong = self.held.gold[label["pair_hash"]] != preferred
            cluster = label["cluster"] or digest("alone", label["pair_hash"])
            counts = found.setdefault(str(cluster_number(cluster)), [0, 0, 0.0])
            for place, value in enumerate((1, wrong, 0.0 if p is None else 1 - p)):
                counts[place] += value
        return found

    def _by_texts(self, shard: LabeledShard, found: Survey, labels: pa.Table) -> None:
        """Applies the rules that concern texts, and records what the cap by prompt needs."""
        selection, seed = self.config.selection, self.config.seed
        capped = selection.max_per_prompt is not None
        with_media = capped and selection.prompt_identity == "text_and_media"
        compared = selection.max_similarity is not None or selection.balance_length
        needed = [*["messages"] * capped, *["candidates"] * compared]
        if not needed:
            return
        records = []
        tables = self._pairs(shard, found, needed, media=with_media)
        pairs = (row for table in tables for row in table.to_pylist())
        for label, pair in zip(rows_of(labels), pairs, strict=True):
            if compared and self._similar(pair):
                found.kept[label["row"]] = False
                found.dropped[rules.SIMILAR] += 1
                continue
            sign = rules.length_sign(pair, label["preference"]) if compared else 0
            found.longer += sign > 0
            found.shorter += sign < 0
            if capped:
                prompt = rules.prompt_number(pair, seed, with_media)
                random = rules.random_number("cap", str(seed), label["label_id"])
                records.append((prompt, random, label["row"], sign))
        found.records = np.array(records, RECORD)

    def _similar(self, pair: Row) -> bool:
        """Whether the responses are too similar to be exported; media are not compared."""
        most = self.config.selection.max_similarity
        parts = [part for each in pair["candidates"] for part in (each and each["content"]) or ()]
        if most is None or any(part["type"] != "text" for part in parts):
            return False
        first, second = (text or "" for text in candidate_texts(pair))
        return rules.near_identical(first, second, most)

    def _by_sets(self, shard: LabeledShard, found: Survey) -> None:
        """Which ranked sets the row groups begin and end with, so that no part divides a set."""
        if TRAINER_FORMATS[self.config.format].holds != "rankings":
            return
        stops = list(itertools.accumulate(rows for rows, _ in found.groups))
        found.sets = [(None, None)] * len(found.groups)
        rows = iter(np.flatnonzero(found.kept).tolist())
        for pairs in self._pairs(shard, found, ["metadata"]):
            for pair, row in zip(pairs.to_pylist(), rows, strict=False):
                group, key = bisect_right(stops, row), set_key(pair)
                first, _ = found.sets[group]
                found.sets[group] = (first or key, key)

    def _by_media(self, shard: LabeledShard, found: Survey, media: bool) -> None:
        """Which media the prompts have, of those that the format holds.

        Args:
            media: whether they must be read to know that there are some.
        """
        format_ = TRAINER_FORMATS[self.config.format]
        if not (format_.images or format_.videos):
            return
        for pairs in self._pairs(shard, found, ["messages"], media):
            for messages in _with_media(pairs["messages"]).to_pylist():
                kinds = {part["type"] for each in messages for part in each["content"]}
                found.images |= format_.images and "image" in kinds
                found.videos |= format_.videos and "video" in kinds
                found.in_place |= not media_lead(messages)

    def _pairs(
        self, shard: LabeledShard, found: Survey, only: Collection[str], media: bool = False
    ) -> Iterator[pa.Table]:
        """The kept rows with some of their columns, some rows at a time."""
        columns = self.columns.narrowed(only, media=media)
        for pairs in kept_pairs(self.source, shard, columns, found.kept, self.read_seconds):
            yield pairs.select(sorted(only))


def _with_media(messages: pa.ChunkedArray) -> pa.Array:
    """The rows whose messages hold media."""
    whole = messages.combine_chunks()
    contents = pc.list_flatten(whole)
    of_row = pc.list_parent_indices(whole)
    parts = pc.struct_field(contents, "content")
    shown = pc.not_equal(pc.struct_field(pc.list_flatten(parts), "type"), "text")
    of_part = pc.list_parent_indices(parts).filter(shown)
    return whole.take(pc.unique(of_row.take(of_part)))
