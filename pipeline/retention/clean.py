"""Removes what an output holds and nothing needs: a plan first, then, if asked, its execution.

What finds other objects (a manifest, a record) goes before them, over all things, and what says
that they are ours goes after them: nobody opens what is half gone, and a run that was ended leaves
only what the next one finds to be useless. Objects go only if their keys are exactly such as this
software makes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.retention.clean_config import CleanConfig
from pipeline.retention.kinds import KINDS, PARTS, SNAPSHOTS, Kind
from pipeline.retention.stored import Stored
from pipeline.retention.stored_parts import drop_from_indexes
from pipeline.retention.things import Removal, Thing, removals
from pipeline.runtime.errors import ReconcileError
from pipeline.snapshots.swap_latest import claim_latest
from pipeline.store.lease import Lease
from pipeline.store.object_store import Store
from pipeline.store.removal import remove_objects


@dataclass(frozen=True)
class CleanPlan:
    """What goes and what stays of an output.

    Attributes:
        stored: the output.
        removals: what goes, and why, kind by kind.
        kept: what stays, by kind, in the order of names.
    """

    stored: Stored
    removals: tuple[Removal, ...]
    kept: dict[str, tuple[Thing, ...]]

    def of_kind(self, kind: str) -> list[Removal]:
        """What goes of a kind."""
        return [removal for removal in self.removals if removal.kind == kind]

    def summary(self) -> list[dict[str, Any]]:
        """The log fields of each kind."""
        return [
            {
                "kind": kind,
                "kept": len(kept),
                "kept_bytes": sum(thing.bytes for thing in kept),
                "removed": len(gone := self.of_kind(kind)),
                "removed_objects": sum(len(each.thing.entries) for each in gone),
                "removed_bytes": sum(each.thing.bytes for each in gone),
            }
            for kind, kept in self.kept.items()
        ]

    def apply(self, lease: Lease) -> None:
        """Removes it.

        Args:
            lease: of the output.

        Raises:
            LeaseLostError: the lease was lost.
            ReconcileError: it would remove what is live now; nothing is removed.
            StorageError: the store fails, or these credentials may not delete.
        """
        output = self.stored.output
        latest, _ = claim_latest(output, lease)  # so that nobody makes live what goes
        live = (latest.snapshot_id, latest.previous) if latest else ()
        names = {each.thing.name for each in self.of_kind(SNAPSHOTS.name)}
        if taken := sorted(names.intersection(live)):
            raise ReconcileError(
                f"{output.uri}: refused to remove snapshot {', '.join(taken)}, which is live or "
                "was live before; nothing was removed; run again"
            )
        remove_things(output, self.removals, lease.check)
        parts = (entry for each in self.of_kind(PARTS) for entry in each.thing.entries)
        drop_from_indexes(output, (entry.key for entry in parts))


def remove_things(output: Store, removed: Sequence[Removal], check: Callable[[], None]) -> None:
    """Removes what finds other objects, over all things, then these, then what names them."""
    for objects in ("first", "then", "last"):
        entries = (entry for each in removed for entry in getattr(each.thing, objects))
        remove_objects(output, (entry.key for entry in entries), check)


def plan_clean(stored: Stored, config: CleanConfig, kinds: Sequence[Kind] = KINDS) -> CleanPlan:
    """Decides what goes. Kinds without a limit, of which nothing can be useless, are not listed.

    Raises:
        InputError: a manifest is not valid, so that it is not known what is needed.
        StorageError: the store fails.
    """
    gone: list[Removal] = []
    kept: dict[str, tuple[Thing, ...]] = {}
    for kind in kinds:
        limits = kind.limits(config)
        if limits.keep is None and limits.days is None and not kind.has_useless:
            continue
        things = sorted(kind.things(stored), key=lambda thing: thing.name)
        of_kind = removals(kind.name, things, limits, stored.now)
        names = {each.thing.name for each in of_kind}
        kept[kind.name] = tuple(thing for thing in things if thing.name not in names)
        gone += [each for each in of_kind if each.thing.entries]
        if kind is SNAPSHOTS:
            stored.without(names)
    return CleanPlan(stored, tuple(gone), kept)
