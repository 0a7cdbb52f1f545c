"""Bugs of clean, forget, the index and the inventory that are planted here are found.

Planted by somebody who did not write the simulator; those that its stories missed changed the
stories: a swap of LATEST without its condition, a clean that removes the only votes, an index that
keeps the oldest votes, an inventory of first revisions.
"""

from __future__ import annotations

import copy
import datetime
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest

from pipeline.labeling import unit_runner
from pipeline.labeling.planning.earlier_labels import EarlierLabels
from pipeline.parts import index_update
from pipeline.parts.forgotten import Forgotten
from pipeline.parts.index_files import ENTRIES, IndexState
from pipeline.parts.index_files import newest as newest_entries
from pipeline.parts.part_keys import Part, ShardParts
from pipeline.retention import (
    clean,
    forget,
    kinds,
    stored_exports,
    stored_parts,
    stored_snapshots,
)
from pipeline.retention.held_pairs import HeldPairs
from pipeline.retention.stored import Stored
from pipeline.retention.things import Removal, Thing
from pipeline.snapshots import snapshot_inventory
from pipeline.store.object_store import Store
from pipeline.store.removal import remove_objects
from schemas.manifest import Manifest
from tests.simulator import housekeeping
from tests.simulator.invariants import BrokenPromiseError
from tests.simulator.story import Story
from tests.simulator.test_simulator import _RUNS, BUSY, EXPORTED, KEPT, hunt

Plant = Callable[[pytest.MonkeyPatch], None]


def _takes_votes_for_kept(patch: pytest.MonkeyPatch) -> None:
    moment = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    patch.setattr(stored_parts._Votes, "elsewhere", lambda votes, key, successor: moment)


def _needs_no_parts_of_snapshots(patch: pytest.MonkeyPatch) -> None:
    alive = stored_parts._alive

    def of_the_input(stored: Stored) -> set[str]:
        without = copy.copy(stored)
        without._gone = {*stored.manifests}
        return alive(without)

    patch.setattr(stored_parts, "_alive", of_the_input)


def _needs_files_of_one_snapshot(patch: pytest.MonkeyPatch) -> None:
    def needed(manifests: Iterable[Manifest]) -> frozenset[str]:
        return frozenset(file.path for made in list(manifests)[-1:] for file in made.files)

    patch.setattr(stored_snapshots, "needed_files", needed)


def _removes_what_finds_others_last(patch: pytest.MonkeyPatch) -> None:
    def remove(output: Store, removed: Sequence[Removal], check: Callable[[], None]) -> None:
        for objects in ("then", "last", "first"):
            entries = (entry for each in removed for entry in getattr(each.thing, objects))
            remove_objects(output, (entry.key for entry in entries), check)

    patch.setattr(clean, "remove_things", remove)


def _forgets_without_a_record(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(forget, "remember", lambda output, *rest: Forgotten.read(output))


def _judges_what_is_forgotten(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(unit_runner, "EarlierLabels", lambda *known: EarlierLabels(*known[:3]))


def _keeps_no_files_of_an_index(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(IndexState, "files", property(lambda state: [*state.parts]))


def _keeps_no_canaries(patch: pytest.MonkeyPatch) -> None:
    def without_need(kind: kinds.Kind) -> kinds.Kind:
        def things(stored: Any) -> Iterator[Thing]:
            return (replace(thing, needed="") for thing in kind.things(stored))

        return replace(kind, things=things) if kind.name == "canaries of a run" else kind

    patch.setattr(clean.plan_clean, "__defaults__", (tuple(map(without_need, kinds.KINDS)),))


def _indexes_the_oldest_votes(patch: pytest.MonkeyPatch) -> None:
    names = ("revision", "epoch", "part")

    def turned(table: pa.Table) -> pa.Table:
        columns = [
            pa.array(-table[n].to_numpy(), ENTRIES.field(n).type) if n in names else table[n]
            for n in ENTRIES.names
        ]
        return pa.table(columns, schema=ENTRIES)

    def oldest(tables: Sequence[pa.Table]) -> pa.Table:
        return turned(newest_entries([turned(table) for table in tables]))

    patch.setattr(index_update, "newest", oldest)


def _publishes_first_revisions(patch: pytest.MonkeyPatch) -> None:
    class First(ShardParts):
        @classmethod
        def of(cls, keys: Iterable[str]) -> ShardParts:
            first: dict[tuple[int, int], Part] = {}
            for part in sorted(part for key in keys if (part := Part.of(key))):
                first.setdefault(part.rows, part)
            return ShardParts(tuple(first.values()))

    patch.setattr(snapshot_inventory, "ShardParts", First)


def _exports_on_what_is_gone(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(housekeeping, "remove_if_forgotten", lambda *what: None)


def _looks_for_exports_before_snapshots_go(patch: pytest.MonkeyPatch) -> None:
    exports = forget._exports

    def first(stored: Stored, held: HeldPairs, gone: Collection[str]) -> Iterator[Removal]:
        found = vars(held)
        if "exports" not in found:
            found["exports"] = list(exports(stored, held, gone))
        return iter(found["exports"])

    patch.setattr(forget, "_exports", first)


def _forgets_no_begun_exports(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(stored_exports, "_named", lambda stored, paths: set())


def _removes_names_that_may_be_written(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(stored_exports, "may_be_written", lambda output, key: False)


def _leaves_them_in_the_index(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(forget, "drop_pairs", lambda index, store, hashes: index)


@pytest.mark.parametrize(
    ("plant", "story", "seed", "found"),
    [
        (_takes_votes_for_kept, KEPT, 52, "votes are in no other part"),
        (_needs_no_parts_of_snapshots, KEPT, 10, "of a shard version that"),
        (_needs_files_of_one_snapshot, KEPT, 31, "removed snapshots/files/.* names"),
        (
            _removes_what_finds_others_last, KEPT, 31,
            "removed snapshots/files/.* names|counts again",
        ),
        (_forgets_without_a_record, KEPT, 2, "a pair that was forgotten|to be forgotten"),
        (_judges_what_is_forgotten, KEPT, 28, "a pair that was forgotten|to be forgotten"),
        (_keeps_no_files_of_an_index, KEPT, 9, "removed index/.* names"),
        (_exports_on_what_is_gone, EXPORTED, 10, "left .* in exports/"),
        (_looks_for_exports_before_snapshots_go, EXPORTED, 24, "left .* in .*exports/"),
        (_forgets_no_begun_exports, EXPORTED, 21, "left .* in .*exports/"),
        (_removes_names_that_may_be_written, EXPORTED, 34, "left .* which nothing names"),
        (_leaves_them_in_the_index, EXPORTED, 19, "left .* in out/index/"),
        (_keeps_no_canaries, KEPT, 19, "of the newest canaries"),
        (_indexes_the_oldest_votes, BUSY, 29, "of which there are those of"),
        (_publishes_first_revisions, BUSY, 18, "are in no part"),
    ],
    ids=lambda value: value.__name__.strip("_") if callable(value) else "",
)  # fmt: skip
def test_a_planted_bug_of_removal_is_found(
    plant: Plant, story: Story, seed: int, found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    with pytest.raises(BrokenPromiseError, match=found):
        hunt(story, seed, _RUNS)
