"""The first reading of a shard: whether it is what was labelled, and which rows are exported.

Reads the labels, and of the pairs only those columns that the selection needs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.export import export_rules as rules
from pipeline.export.export_config import ExportConfig
from pipeline.export.format_registry import TRAINER_FORMATS
from pipeline.export.joined_rows import Row, kept_pairs, rows_of
from pipeline.export.labeled_shards import LabeledShard
from pipeline.export.prompt_cap import RECORD
from pipeline.pairs.isolated_reading import outline_of
from pipeline.pairs.pair_mapping import PairMapping
from pipeline.store.content_keys import ContentKeys
from pipeline.store.object_store import Store

_LABEL_COLUMNS = (
    *("status", "confidence", "position_consistent", "scores"),
    *("preference", "label_id"),
)


@dataclass
class Survey:
    """What was found in a shard.

    Attributes:
        number: of the shard.
        kept: which rows are exported, as far as one shard can tell.
        changed: whether its content is not what was labelled; nothing else is known then.
        groups: rows and bytes of its row groups.
        dropped: labels by reason.
        longer, shorter: kept rows whose better response is the longer or the shorter one, if the
            selection compares responses.
        images, videos: whether the prompt of a kept row has any, if the format holds them.
        records: of ``prompt_cap.RECORD``, the rows numbered within the shard, if there is a cap.
    """

    number: int
    kept: NDArray[np.bool_]
    changed: bool = False
    groups: list[tuple[int, int]] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)
    longer: int = 0
    shorter: int = 0
    images: bool = False
    videos: bool = False
    records: NDArray[np.void] = field(default_factory=lambda: np.zeros(0, RECORD))


@dataclass(frozen=True)
class Surveyor:
    """Reads shards for the selection.

    Attributes:
        output: where snapshots are.
        source: the root of the shards, and ``columns`` how their pairs are mapped.
        contents: identifies the shards' versions.
    """

    output: Store
    source: Store
    columns: PairMapping
    config: ExportConfig
    contents: ContentKeys

    def survey(self, shard: LabeledShard) -> Survey:
        """Reads one shard.

        Raises:
            InputError: labels and pairs do not fit together.
            StorageError: a store fails.
        """
        found = Survey(shard.number, np.zeros(shard.rows, np.bool_))
        if self.contents.of(shard.entry) != shard.content:
            found.changed = True
            return found
        found.groups = list(outline_of(self.source, shard.entry).groups)
        labels = self._by_labels(shard, found)
        if len(labels):
            self._by_texts(shard, found, labels)
            format_ = TRAINER_FORMATS[self.config.format]
            found.images = format_.images and self._any(shard, found, "images")
            found.videos = format_.videos and self._any(shard, found, "videos")
        return found

    def _by_labels(self, shard: LabeledShard, found: Survey) -> pa.Table:
        """Applies the rules that concern labels; returns the labels that pass."""
        labels = shard.read_labels(self.output, _LABEL_COLUMNS)
        format_ = TRAINER_FORMATS[self.config.format]
        reasons = rules.label_reasons(labels, format_, self.config.selection)
        for each in pc.value_counts(reasons.drop_null()).to_pylist():
            found.dropped[each["values"]] = each["counts"]
        labels = labels.filter(reasons.is_null()).select(["row", "preference", "label_id"])
        found.kept[labels["row"].to_numpy()] = True
        return labels

    def _by_texts(self, shard: LabeledShard, found: Survey, labels: pa.Table) -> None:
        """Applies the rules that concern texts, and records what the cap by prompt needs."""
        selection, seed = self.config.selection, self.config.seed
        capped = selection.max_per_prompt is not None
        with_media = capped and selection.prompt_identity == "text_and_media"
        compared = selection.max_similarity is not None or selection.balance_length
        needed = [*["prompt", "messages"] * capped, *["images", "videos"] * with_media]
        needed += ["response_a", "response_b"] * compared
        if not needed:
            return
        records = []
        pairs = (row for table in self._pairs(shard, found, needed) for row in table.to_pylist())
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
        responses = [pair["response_a"], pair["response_b"]]
        if most is None or any(each["images"] or each["videos"] for each in responses):
            return False
        first, second = (response["text"] or "" for response in responses)
        return rules.near_identical(first, second, most)

    def _any(self, shard: LabeledShard, found: Survey, kind: str) -> bool:
        """Whether the prompt of any kept row has pictures, or videos."""
        return any(
            pc.any(pc.greater(pc.list_value_length(pairs[kind]), 0)).as_py()
            for pairs in self._pairs(shard, found, [kind])
        )

    def _pairs(
        self, shard: LabeledShard, found: Survey, only: Collection[str]
    ) -> Iterator[pa.Table]:
        """The kept rows with some of their columns, some rows at a time."""
        columns = self.columns.narrowed(only)
        for pairs in kept_pairs(self.source, shard, columns, found.kept):
            yield pairs.select(sorted(only))
