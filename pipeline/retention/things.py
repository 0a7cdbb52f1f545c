"""What may be removed, thing by thing, and the decision which of them go."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from dataclasses import dataclass

from pipeline.retention.clean_config import Limits
from pipeline.store.object_store import Entry


@dataclass(frozen=True)
class Thing:
    """Something that stays as a whole or goes as a whole.

    Attributes:
        name: as people know it: a snapshot's id, a run's, a folder.
        first: its objects by which people and runs find it; they go before all others.
        born: by what it states itself; None if it states no time, and then it has no age.
        order: among things of the same time, the higher one is the newer.
        group: counts as one with the others of this group; itself by default.
        needed: why it must stay, whatever the limits say; empty if nothing needs it.
        useless: why nobody can use it, so that it goes without any limit; empty otherwise.
        last: its objects that say which ones are its own; they go after all others.
    """

    name: str
    first: tuple[Entry, ...]
    then: tuple[Entry, ...] = ()
    born: datetime.datetime | None = None
    order: int = 0
    group: str = ""
    needed: str = ""
    useless: str = ""
    last: tuple[Entry, ...] = ()

    @property
    def counted_as(self) -> str:
        """What it counts as where the newest are counted."""
        return self.group or self.name

    @property
    def entries(self) -> tuple[Entry, ...]:
        """All of its objects."""
        return self.first + self.then + self.last

    @property
    def bytes(self) -> int:
        """Of all of its objects."""
        return sum(entry.size for entry in self.entries)


@dataclass(frozen=True)
class Removal:
    """A thing that goes, and why."""

    kind: str
    thing: Thing
    why: str


def removals(
    kind: str, things: Iterable[Thing], limits: Limits, now: datetime.datetime
) -> list[Removal]:
    """Decides which things go: the useless ones, and those beyond every limit that is given.

    Args:
        kind: of the things.
        things: all there are.
        limits: how many stay.
        now: by the clock of this machine. One that goes back makes things younger: fewer go.
    """
    things = list(things)
    kept = _newest(things, limits.keep)
    gone = []
    for thing in things:
        why = thing.useless
        if not why and thing.born is not None and thing.counted_as not in kept:
            why = _beyond(limits, now - thing.born)
        if why and not thing.needed:
            gone.append(Removal(kind, thing, why))
    return gone


def _newest(things: Iterable[Thing], keep: int | None) -> set[str]:
    """The groups of the newest things; what states no time is not counted."""
    newest: dict[str, tuple[datetime.datetime, int]] = {}
    for thing in things:
        if thing.born is not None and not thing.useless:
            group, age = thing.counted_as, (thing.born, thing.order)
            newest[group] = max(newest.get(group, age), age)
    ranked = sorted(newest, key=lambda group: newest[group], reverse=True)
    return set(ranked[: keep or 0])


def _beyond(limits: Limits, age: datetime.timedelta) -> str:
    """Why a thing that is not among the newest goes; empty if it stays."""
    if limits.keep is None and limits.days is None:
        return ""
    if limits.days is not None and age < datetime.timedelta(days=limits.days):
        return ""
    reasons = [] if limits.keep is None else [f"not among the newest {limits.keep}"]
    reasons += [] if limits.days is None else [f"older than {limits.days:g} days"]
    return " and ".join(reasons)
