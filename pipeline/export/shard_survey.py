"""The first look at a shard: whether it is still what was labelled, and which rows are exported.

Reads labels, and of the pairs only those columns that the selection asks about.
"""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.export.examples import prompt_number
from pipeline.export.export_config import ExportConfig
from pipeline.export.format_registry import TRAINER_FORMATS
from pipeline.export.prompt_cap import RECORD
from pipeline.export.selection_rules import SIMILAR, label_reasons, length_sign, near_identical
from pipeline.export.snapshot_labels import ShardLabels
from pipeline.pairs.columns import ColumnMapping
from pipeline.pairs.narrow_mapping import NarrowMapping
from pipeline.pairs.row_groups import GroupReader
from pipeline.pairs.shards import read_footer
from pipeline.runtime.digest import digest
from pipeline.store.object_store import Entry, Store

_LABEL_COLUMNS = (
    *("status", "confidence", "position_consistent", "scores"),
    *("preference", "label_id"),
)
Bools = NDArray[np.bool_]
Row = dict[str, Any]


@dataclass(frozen=True)
class ShardJob:
    """One shard to look at.

    Attributes:
        number: its place in the manifest.
        entry: as the input has it now.
        content: what it was when it was labelled.
        rows: how many rows it had.
        labels: where its labels are.
    """

    number: int
    entry: Entry
    content: str
    rows: int
    labels: ShardLabels


@dataclass
class Survey:
    """What was found in a shard.

    Attributes:
        changed: whether it is another one than when it was labelled; nothing else is known then.
        groups: rows and bytes of its row groups.
        kept: which rows are exported so far.
        longer, shorter: which better responses are the longer or the shorter ones, if asked.
        dropped: labels by reason.
        images, videos: whether the prompt of a kept row is about some.
        records: of ``prompt_cap.RECORD``, the rows numbered within the shard.
    """

    number: int
    kept: Bools
    longer: Bools
    shorter: Bools
    changed: bool = False
    groups: list[tuple[int, int]] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)
    images: bool = False
    videos: bool = False
    records: NDArray[np.void] = field(default_factory=lambda: np.zeros(0, RECORD))


@dataclass(frozen=True)
class Surveyor:
    """Looks at shards.

    Attributes:
        output_uri: where snapshots are.
        input_uri: the root of the shards.
    """

    output_uri: str
    input_uri: str
    columns: ColumnMapping
    config: ExportConfig

    def look(self, job: ShardJob) -> Survey:
        """Looks at one shard.

        Raises:
            InputError: labels and pairs do not fit together.
            StorageError: a store fails.
        """
        source = Store(self.input_uri)
        none = np.zeros(job.rows, np.bool_)
        found = Survey(job.number, none, none.copy(), none.copy())
        if source.content_key(job.entry) != job.content:
            found.changed = True
            return found
        footer = read_footer(source, job.entry)
        infos = [footer.row_group(number) for number in range(footer.num_row_groups)]
        found.groups = [(info.num_rows, info.total_byte_size) for info in infos]
        labels = self._by_labels(job, found)
        if found.kept.any():
            self._by_texts(source, job, found, labels)
            format_ = TRAINER_FORMATS[self.config.format]
            found.images = format_.images and self._any(source, job, found, "images")
            found.videos = format_.videos and self._any(source, job, found, "videos")
        return found

    def _by_labels(self, job: ShardJob, found: Survey) -> pa.Table:
        """Applies the rules about labels; returns the labels that pass."""
        labels = job.labels.read(Store(self.output_uri), _LABEL_COLUMNS)
        reasons = label_reasons(labels, TRAINER_FORMATS[self.config.format], self.config.selection)
        counted = pc.value_counts(reasons.drop_null()).to_pylist()
        found.dropped += Counter({each["values"]: each["counts"] for each in counted})
        kept = labels.filter(reasons.is_null())
        found.kept[kept["row"].to_numpy()] = True
        return kept

    def _by_texts(self, source: Store, job: ShardJob, found: Survey, labels: pa.Table) -> None:
        """Applies the rules about texts, and notes what later ones need."""
        selection = self.config.selection
        capped = selection.max_per_prompt is not None
        compared = selection.max_similarity is not None or selection.balance_length
        needed = {"prompt", "messages"} if capped else set()
        needed |= {"response_a", "response_b"} if compared else set()
        if capped and selection.prompt_identity == "text_and_media":
            needed |= {"images", "videos"}
        if not needed:
            return
        of_row = {label["row"]: label for label in labels.to_pylist()}
        records = []
        for number, pair in self._kept_pairs(source, job, found, needed):
            label = of_row[number]
            if compared and not self._compare(found, number, pair, label["preference"]):
                continue
            if capped:
                with_media = selection.prompt_identity == "text_and_media"
                prompt = prompt_number(pair, self.config.seed, with_media)
                draw = int(digest("cap", str(self.config.seed), label["label_id"])[:16], 16)
                records.append((prompt, draw, number))
        found.records = np.array(records, RECORD)

    def _compare(self, found: Survey, number: int, pair: Row, preference: str | None) -> bool:
        """Looks at the two responses of a row; whether it stays."""
        responses = [pair["response_a"], pair["response_b"]]
        first, second = (response["text"] or "" for response in responses)
        media = any(response["images"] or response["videos"] for response in responses)
        alike = self.config.selection.max_similarity
        if alike is not None and not media and near_identical(first, second, alike):
            found.kept[number] = False
            found.dropped[SIMILAR] += 1
            return False
        if preference is not None:
            sign = length_sign(first, second) * (1 if preference == "a" else -1)
            found.longer[number], found.shorter[number] = sign > 0, sign < 0
        return True

    def _any(self, source: Store, job: ShardJob, found: Survey, kind: str) -> bool:
        """Whether the prompt of any kept row is about pictures, or videos."""
        return any(pair[kind] for _, pair in self._kept_pairs(source, job, found, {kind}))

    def _kept_pairs(
        self, source: Store, job: ShardJob, found: Survey, only: Collection[str]
    ) -> Iterator[tuple[int, Row]]:
        """The kept rows with some of their columns, each with its number."""
        columns = NarrowMapping.of(self.columns, only)
        groups = GroupReader(source.open(job.entry.key, job.entry.size), columns)
        start = 0
        for group in range(groups.count):
            stop = start + groups.rows(group)
            if found.kept[start:stop].any():
                for pairs in groups.read(group):
                    inside = np.flatnonzero(found.kept[start : start + len(pairs)])
                    rows = pairs.select(sorted(only)).take(pa.array(inside)).to_pylist()
                    yield from zip((start + inside).tolist(), rows, strict=True)
                    start += len(pairs)
            start = stop


@dataclass(frozen=True)
class SurveyStage:
    """The surveyor as Ray Data calls it: jobs in, surveys out, one at a time."""

    surveyor: Surveyor
    __name__: str = "survey"

    def __call__(self, batch: pa.Table) -> Iterator[pa.Table]:
        for data in batch["task"].to_pylist():
            survey = self.surveyor.look(pickle.loads(data))
            yield pa.table({"result": pa.array([pickle.dumps(survey)], pa.large_binary())})
