"""A truth value for every row of a corpus, a bit each: 120 MiB for a billion rows."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pipeline.export import selection_rules as rules
from pipeline.export.export_config import ExportConfig
from pipeline.export.export_flow import map_tasks
from pipeline.export.export_parts import Balance, ExportRange
from pipeline.export.prompt_cap import PromptCap
from pipeline.export.shard_survey import ShardJob, Survey, Surveyor, SurveyStage
from pipeline.export.snapshot_labels import LABELED, shard_labels
from pipeline.runtime.errors import InputError
from pipeline.store.object_store import Entry
from schemas.labels import Status
from schemas.manifest import MISSING, Manifest


class RowBits:
    """Bits by row number, all false at first."""

    def __init__(self, rows: int) -> None:
        self._bytes = np.zeros(-(-rows // 8), np.uint8)

    def set(self, start: int, values: NDArray[np.bool_]) -> None:
        """Sets the rows from ``start`` on that are true in ``values``."""
        rows = start + np.flatnonzero(values)
        np.bitwise_or.at(self._bytes, rows >> 3, (1 << (rows & 7)).astype(np.uint8))

    def clear(self, rows: NDArray[np.int64]) -> None:
        """Makes rows false."""
        np.bitwise_and.at(self._bytes, rows >> 3, (~(1 << (rows & 7))).astype(np.uint8))

    def get(self, start: int, stop: int) -> NDArray[np.bool_]:
        """The values of rows ``[start, stop)``."""
        first = start >> 3
        bits = np.unpackbits(self._bytes[first : -(-stop // 8)], bitorder="little")
        return bits[start - 8 * first : stop - 8 * first].astype(np.bool_)

    def count(self, also: RowBits | None = None) -> int:
        """How many rows are true, here and in ``also``."""
        both = self._bytes if also is None else self._bytes & also._bytes
        return int(np.bitwise_count(both).sum())


_SHOWN = 20
_ANOTHER = "it is another one than when it was labelled"


@dataclass
class Selected:
    """What is exported, as far as labels and texts decide it.

    Attributes:
        kept: which rows, numbered through all shards of the manifest.
        groups: rows and bytes of the row groups of each shard, by its number.
        dropped: rows by reason.
        images, videos: whether the prompt of a kept row is about some.
        balance: how the balance of lengths thins them out further, if it does.
    """

    kept: RowBits
    groups: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    dropped: Counter[str] = field(default_factory=Counter)
    images: bool = False
    videos: bool = False
    balance: Balance | None = None


class Selection:
    """Selects rows of one snapshot."""

    def __init__(
        self, manifest: Manifest, entries: Sequence[Entry], config: ExportConfig, surveyor: Surveyor
    ) -> None:
        """Binds a snapshot to the shards that are there now."""
        self._manifest, self._config, self._surveyor = manifest, config, surveyor
        sizes = (shard.rows for shard in manifest.shards)
        self._starts = list(itertools.accumulate(sizes, initial=0))
        self._problems: dict[int, str] = {}
        self.jobs = list(self._find({entry.key: entry for entry in entries}))

    def run(self, step: Callable[[str, int, int], None]) -> Selected:
        """Looks at all shards.

        Args:
            step: told what is done, how much of it, and of how much.

        Raises:
            InputError: shards are not what they were, or no row passes.
            StorageError: a store fails.
        """
        self._check()
        found = Selected(RowBits(self._manifest.rows))
        longer, shorter = (RowBits(self._manifest.rows) for _ in range(2))
        most = self._config.selection.max_per_prompt
        with ExitStack() as stack:
            cap = stack.enter_context(PromptCap(most)) if most is not None else None
            results = map_tasks(self.jobs, SurveyStage(self._surveyor))
            for done, survey in enumerate(results, 1):
                self._add(survey, found, longer, shorter)
                if cap is not None:
                    survey.records["row"] += self._starts[survey.number]
                    cap.add(survey.records)
                step("shards", done, len(self.jobs))
            self._check()
            for rows in cap.beyond() if cap is not None else ():
                found.kept.clear(rows)
                found.dropped[rules.OVER_CAP] += len(rows)
        found.dropped += self._without_label()
        found.balance = self._balance(found.kept.count(longer), found.kept.count(shorter))
        return found

    def rows(self, selected: Selected) -> Iterator[ExportRange]:
        """What is exported of each shard, in order."""
        for job in self.jobs:
            if (groups := selected.groups.get(job.number)) is not None:
                start = self._starts[job.number]
                yield ExportRange(job, groups, selected.kept.get(start, start + job.rows))

    def _find(self, entries: Mapping[str, Entry]) -> Iterator[ShardJob]:
        """The shards that are what they were, as far as a listing can tell."""
        places = zip(self._manifest.shards, shard_labels(self._manifest), strict=True)
        for number, (shard, labels) in enumerate(places):
            entry = entries.get(shard.path)
            if not shard.rows:
                continue
            if entry is None:
                self._problems[number] = "it is gone"
            elif entry.size != shard.bytes or entry.etag not in (None, shard.content):
                self._problems[number] = _ANOTHER
            else:
                yield ShardJob(number, entry, shard.content, shard.rows, labels)

    def _add(self, survey: Survey, found: Selected, longer: RowBits, shorter: RowBits) -> None:
        if survey.changed:
            self._problems[survey.number] = _ANOTHER
            return
        start = self._starts[survey.number]
        found.groups[survey.number] = survey.groups
        found.dropped += survey.dropped
        found.images |= survey.images
        found.videos |= survey.videos
        found.kept.set(start, survey.kept)
        longer.set(start, survey.longer)
        shorter.set(start, survey.shorter)

    def _check(self) -> None:
        if not self._problems or self._config.changed_shards == "drop":
            return
        shards = self._manifest.shards
        lines = [f"{shards[n].path}: {why}" for n, why in sorted(self._problems.items())]
        more = f"\n  and {len(lines) - _SHOWN} more" if len(lines) > _SHOWN else ""
        shown = "\n  ".join(lines[:_SHOWN])
        raise InputError(
            f"{len(lines)} shards of {self._surveyor.input_uri} are not what snapshot "
            f"{self._manifest.snapshot_id} was made of, so that its labels are not of their "
            f"rows:\n  {shown}{more}\nlabel and publish again, restore them, or export without "
            "their rows (export.changed_shards=drop)"
        )

    def _without_label(self) -> Counter[str]:
        """Rows that are dropped without being looked at."""
        shards, counts = self._manifest.shards, self._manifest.counts
        changed = sum(shards[n].counts[status] for n in self._problems for status in LABELED)
        dropped = {
            rules.QUARANTINED: counts[Status.QUARANTINED],
            rules.MISSING: counts[MISSING],
            rules.SHARD_CHANGED: changed,
        }
        return Counter({reason: count for reason, count in dropped.items() if count})

    def _balance(self, longer: int, shorter: int) -> Balance | None:
        if not self._config.selection.balance_length or longer == shorter:
            return None
        if not longer or not shorter:
            raise InputError(
                "export.selection.balance_length: of the selected rows, "
                f"{longer} better responses are the longer ones and {shorter} the shorter ones: "
                "there is nothing to balance with; leave it out"
            )
        if longer > shorter:
            return Balance(1, shorter / longer)
        return Balance(-1, longer / shorter)
