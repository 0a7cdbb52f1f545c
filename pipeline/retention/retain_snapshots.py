"""Removes old snapshots and nothing else: ``pairmill publish --keep`` and ``nightly.keep``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pipeline.retention.clean import plan_clean
from pipeline.retention.clean_config import CleanConfig, Limits
from pipeline.retention.kinds import SNAPSHOT_FILES, SNAPSHOTS
from pipeline.retention.stored import Stored
from pipeline.retention.things import Thing
from pipeline.runtime.errors import ConfigError
from pipeline.store.lease import Lease
from pipeline.store.object_store import Store


def retain(output: Store, keep: int, lease: Lease) -> dict[str, Any]:
    """Removes all but the newest ``keep`` snapshots, the live one and the one before it.

    Refused candidates count like the others.

    Returns:
        Ids of snapshots, oldest first: ``kept``, ``removed`` and unfinished ``leftovers``.

    Raises:
        ConfigError: ``keep`` is less than 1.
        LeaseLostError: the lease, which is of the output, was lost.
        StorageError: the store fails, or these credentials may not delete.
    """
    if keep < 1:
        raise ConfigError(f"--keep {keep}: expected 1 or more; the live snapshot always stays")
    config = CleanConfig(snapshots=Limits(keep=keep))
    plan = plan_clean(Stored(output), config, [SNAPSHOTS, SNAPSHOT_FILES])
    plan.apply(lease)
    things = [removal.thing for removal in plan.of_kind(SNAPSHOTS.name)]
    return {
        "kept": _ids(plan.kept[SNAPSHOTS.name]),
        "removed": _ids([thing for thing in things if not thing.useless]),
        "leftovers": _ids([thing for thing in things if thing.useless]),
    }


def _ids(things: Iterable[Thing]) -> list[str]:
    ages = {thing.name: (thing.born is not None, thing.born, thing.order) for thing in things}
    return sorted(ages, key=lambda name: ages[name])
