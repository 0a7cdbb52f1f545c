"""Which rows of a snapshot are exported: what was found in every shard, brought together.

In memory is a bit for each row of the corpus, which is 120 MiB for a billion rows.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pipeline.export import export_rules as rules
from pipeline.export.export_config import ExportConfig
from pipeline.export.export_flow import TaskMap
from pipeline.export.export_parts import Balance, ExportRange, GoldCounts, SetEnds, add_counts
from pipeline.export.labeled_shards import CHANGED, LABELED, labeled_shards
from pipeline.export.prompt_cap import PromptCap
from pipeline.export.shard_survey import Survey, Surveyor
from pipeline.runtime.errors import InputError, SnapshotOutdatedError
from pipeline.store.object_store import Entry
from schemas.labels import Status
from schemas.manifest import MISSING, Manifest

_SHOWN = 20


@dataclass
class Selected:
    """What is exported, as far as labels and texts decide it.

    Attributes:
        kept: the bits of all rows, packed by ``numpy.packbits``; each shard begins a byte.
        groups: rows and bytes of the row groups of each shard, by its number.
        sets: which ranked sets these begin and end with, if rankings are exported.
        dropped: rows by reason.
        longer, shorter: kept rows whose better response is the longer or the shorter one, if the
            selection compares responses.
        images, videos: whether the prompt of a kept row has any.
        in_place: whether some stand elsewhere than before the user's first words.
        gold: of each prompt, held out pairs of gold sets that would be kept otherwise.
        balance: which rows the balance of lengths drops later, if it drops any.
    """

    kept: NDArray[np.uint8]
    groups: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    sets: dict[int, list[SetEnds]] = field(default_factory=dict)
    dropped: Counter[str] = field(default_factory=Counter)
    longer: int = 0
    shorter: int = 0
    images: bool = False
    videos: bool = False
    in_place: bool = False
    gold: GoldCounts = field(default_factory=dict)
    balance: Balance | None = None

    @property
    def rows(self) -> int:
        """How many rows are kept."""
        return int(np.bitwise_count(self.kept).sum())


class Selection:
    """Selects rows of one snapshot."""

    def __init__(
        self, manifest: Manifest, entries: Sequence[Entry], config: ExportConfig, surveyor: Surveyor
    ) -> None:
        """Compares the snapshot with the shards that the input has now."""
        self._manifest, self._config, self._surveyor = manifest, config, surveyor
        sizes = (_bytes(shard.rows) for shard in manifest.shards)
        self._starts = list(itertools.accumulate(sizes, initial=0))  # of the shards' bits, in bytes
        by_key = {entry.key: entry for entry in entries}
        self._shards, self._problems = labeled_shards(manifest, by_key)

    def run(self, map_tasks: TaskMap, step: Callable[[str, int, int], None]) -> Selected:
        """Surveys all shards.

        Args:
            map_tasks: runs the surveys.
            step: called with what is being done, how much of it is done, and of how much.

        Raises:
            SnapshotOutdatedError: shards changed since the snapshot was made.
            InputError: no balance is possible.
            StorageError: a store fails.
        """
        self._refuse_problems()
        found = Selected(np.zeros(self._starts[-1], np.uint8))
        most = self._config.selection.max_per_prompt
        with PromptCap(most) if most is not None else nullcontext() as cap:
            surveys = map_tasks(self._shards, self._surveyor.survey)
            for done, survey in enumerate(surveys, 1):
                self._add(survey, found)
                if cap is not None:
                    survey.records["row"] += 8 * self._starts[survey.number]
                    cap.add(survey.records)
                step("shards", done, len(self._shards))
            self._refuse_problems()
            for beyond in cap.beyond() if cap is not None else ():
                byte, bit = np.divmod(beyond["row"], 8)
                np.bitwise_and.at(found.kept, byte, ~(128 >> bit).astype(np.uint8))
                found.dropped[rules.OVER_CAP] += len(beyond)
                found.longer -= int((beyond["sign"] > 0).sum())
                found.shorter -= int((beyond["sign"] < 0).sum())
        found.dropped += self._not_surveyed()
        found.balance = self._balance(found.longer, found.shorter)
        return found

    def ranges(self, selected: Selected) -> Iterator[ExportRange]:
        """What is exported of each shard, in order."""
        for shard in self._shards:
            if (groups := selected.groups.get(shard.number)) is not None:
                packed = selected.kept[self._starts[shard.number] :][: _bytes(shard.rows)]
                kept = np.unpackbits(packed, count=shard.rows).astype(np.bool_)
                yield ExportRange(shard, groups, kept, selected.sets.get(shard.number, ()))

    def _add(self, survey: Survey, found: Selected) -> None:
        if survey.changed:
            self._problems[survey.number] = CHANGED
            return
        packed = np.packbits(survey.kept)
        found.kept[self._starts[survey.number] :][: len(packed)] = packed
        found.groups[survey.number] = survey.groups
        if survey.sets:
            found.sets[survey.number] = survey.sets
        found.dropped += survey.dropped
        add_counts(found.gold, survey.gold)
        found.longer += survey.longer
        found.shorter += survey.shorter
        found.images |= survey.images
        found.videos |= survey.videos
        found.in_place |= survey.in_place

    def _refuse_problems(self) -> None:
        if not self._problems or self._config.changed_shards == "drop":
            return
        shards = self._manifest.shards
        lines = [f"{shards[n].path}: {why}" for n, why in sorted(self._problems.items())]
        more = f"\n  and {len(lines) - _SHOWN} more" if len(lines) > _SHOWN else ""
        shown = "\n  ".join(lines[:_SHOWN])
        raise SnapshotOutdatedError(
            f"{len(lines)} shards of {self._surveyor.source.uri} changed since snapshot "
            f"{self._manifest.snapshot_id} was made, so that its labels may be of other rows:\n"
            f"  {shown}{more}\nlabel and publish again, restore them, or export without their rows "
            "(export.changed_shards=drop)"
        )

    def _not_surveyed(self) -> Counter[str]:
        """Rows without a label, and labels of shards that changed."""
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
                "export.selection.balance_length: of the selected rows, the better response is "
                f"the longer one in {longer} and the shorter one in {shorter}, so that no balance "
                "is possible; set it to false"
            )
        if longer > shorter:
            return Balance(1, shorter / longer)
        return Balance(-1, longer / shorter)


def _bytes(rows: int) -> int:
    return -(-rows // 8)
