"""Leases: at any time only one run does a given kind of work on an output.

A lease is one JSON object that its holder renews by compare-and-swap. A holder that does not renew
it within its time to live has lost it, and stops by its own clock before another run may take it.
Nothing is ever deleted: a released lease stays as a record marked as released.
"""

from __future__ import annotations

import datetime
import os
import secrets
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Self

from pipeline.runtime.errors import LeaseHeldError, LeaseLostError, StorageError
from pipeline.store.object_store import Store, Version
from pipeline.store.stored_records import parse_record
from schemas.records import Record

TTL_S = 60.0
_RENEWALS = 6  # in one time to live
_POLLS = 24  # of a contender, in one time to live


def take_lease(
    store: Store,
    name: str,
    run_id: str,
    *,
    ttl_s: float = TTL_S,
    waiting: Callable[[str], None] = lambda text: None,
    on_lost: Callable[[], None] | None = None,
    while_waiting: Callable[[], None] = lambda: None,
) -> Lease:
    """Takes a lease, and renews it in a thread until it is released.

    Args:
        store: the output that the work is done on.
        name: of the work, such as ``nightly``.
        run_id: of the run that wants it.
        ttl_s: seconds until a holder that does not renew it has lost it; the same for all
            contenders of a name.
        waiting: called once with a text for people, if the holder may be dead and this waits to
            find out.
        on_lost: called in the renewing thread when the lease is lost; :meth:`Lease.check` raises
            from then on.
        while_waiting: called at every poll while this waits; may raise to end the wait.

    Raises:
        LeaseHeldError: a live run holds it; names it, and until when.
        StorageError: the store fails.
    """
    key = f"leases/{name}.json"
    where = store.path(key)
    first = found = store.read_version(key)
    host, announced = store.host, False
    since = host.monotonic()
    while True:
        held = parse_record(found.data, where, LeaseRecord) if found else None
        alive = found is not None and (first is None or found.tag != first.tag)
        if held is not None and alive:
            if held.released:
                raise LeaseHeldError(
                    f"{where}: {held.holder} held the lease, and has just ended: run again"
                )
            raise LeaseHeldError(f"{_held(where, held)}; wait for it, or stop it")
        silent = held is not None and host.monotonic() - since >= held.ttl_s
        if held is None or held.released or held.expired(host.now()) or silent:
            begun = host.monotonic()
            record = _new_record(run_id, ttl_s, host.now())
            version = store.swap(key, record.to_json(), found)
            if version is not None:
                return Lease(store, key, record, version, begun + ttl_s, on_lost)
        else:
            if not announced:
                waiting(f"{_held(where, held)}; waiting to see whether the holder is alive")
            announced = True
            while_waiting()
            host.sleep(held.ttl_s / _POLLS)
        found = store.read_version(key)


class Lease:
    """A held lease; a context manager that releases it. Made by :func:`take_lease`.

    Attributes:
        record: what was stored last.
    """

    def __init__(
        self,
        store: Store,
        key: str,
        record: LeaseRecord,
        version: Version,
        deadline: float,
        on_lost: Callable[[], None] | None,
    ) -> None:
        self.record = record
        self._store, self._key, self._version = store, key, version
        self._deadline, self._on_lost = deadline, on_lost
        self._taken_by: str | None = None
        self._host = store.host
        pause_s = record.ttl_s / _RENEWALS
        self._renewals = self._host.repeat(self._keep, pause_s, f"lease {key}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.release()

    @property
    def run_id(self) -> str:
        """The run that holds it."""
        return self.record.run_id

    @property
    def lost(self) -> bool:
        """Whether another run may hold it."""
        return self._taken_by is not None or self._host.monotonic() >= self._deadline

    def check(self) -> None:
        """Call before every step that two runs must not both take.

        Raises:
            LeaseLostError: the lease is lost; the caller must stop.
        """
        if not self.lost:
            return
        taken = f"it is now held by {self._taken_by}" if self._taken_by else "it has run out"
        raise LeaseLostError(
            f"{self._store.path(self._key)}: this run ({self.record.run_id}) did not renew its "
            f"lease for {self.record.ttl_s:g} s, and {taken}: stopped, what is committed stays; "
            "run again"
        )

    def release(self) -> None:
        """Releases the lease if it is still held, so that the next run need not wait."""
        self._renewals.stop()
        if not self.lost:
            with suppress(StorageError):  # then it expires
                released = self.record.as_released(self._host.now())
                self._store.swap(self._key, released.to_json(), self._version)

    def _keep(self) -> bool:
        """Renews it once; whether it is still held."""
        with suppress(StorageError):  # the next renewal tries again, until the lease expires
            self._renew()
        if not self.lost:
            return True
        if self._on_lost is not None:
            self._on_lost()
        return False

    def _renew(self) -> None:
        begun = self._host.monotonic()
        record = self.record.renewed(self._host.now())
        version = self._store.swap(self._key, record.to_json(), self._version)
        if version is None:
            found = self._store.read_version(self._key)
            where = self._store.path(self._key)
            other = parse_record(found.data, where, LeaseRecord) if found else None
            if found is None or other is None or other.token != record.token:
                self._taken_by = other.holder if other else "nobody: the object was removed"
                return
            version, record = found, other  # an earlier renewal whose answer was lost
        self.record, self._version = record, version
        self._deadline = begun + record.ttl_s


@dataclass(frozen=True)
class LeaseRecord(Record):
    """Who holds a lease, and until when.

    Attributes:
        token: identifies one holding; the same process gets another one the next time.
        process: the process id on ``host``.
        begun, expires: UTC in ISO 8601.
        released: whether it is free.
    """

    remedy = "remove it"

    token: str
    run_id: str
    host: str
    process: int
    begun: str
    expires: str
    ttl_s: float
    released: bool = False

    def problems(self) -> list[str]:
        """Whether ``expires`` is not a time with a time zone."""
        try:
            _time(self.expires)
        except ValueError as error:
            return [f"expires: {error}"]
        return []

    @property
    def holder(self) -> str:
        """Who holds it, for people."""
        return f"run {self.run_id} on host {self.host} (process {self.process})"

    def expired(self, now: datetime.datetime) -> bool:
        """Whether ``expires`` has passed; ``now`` is by the clock of this machine."""
        return _time(self.expires) <= now

    def renewed(self, now: datetime.datetime) -> LeaseRecord:
        """The same holding, which expires a time to live after ``now``."""
        return replace(self, expires=_iso(now + datetime.timedelta(seconds=self.ttl_s)))

    def as_released(self, now: datetime.datetime) -> LeaseRecord:
        """The same holding, released at ``now``."""
        return replace(self, expires=_iso(now), released=True)


def _new_record(run_id: str, ttl_s: float, now: datetime.datetime) -> LeaseRecord:
    """A holding by this process that begins ``now``, for ``ttl_s`` seconds."""
    return LeaseRecord(
        token=secrets.token_hex(8),
        run_id=run_id,
        host=socket.gethostname(),
        process=os.getpid(),
        begun=_iso(now),
        expires=_iso(now + datetime.timedelta(seconds=ttl_s)),
        ttl_s=ttl_s,
    )


def _held(where: str, held: LeaseRecord) -> str:
    return (
        f"{where}: the lease is held by {held.holder} since {held.begun}, until {held.expires} "
        "unless it is renewed"
    )


def _iso(moment: datetime.datetime) -> str:
    return moment.isoformat(timespec="milliseconds")


def _time(text: str) -> datetime.datetime:
    moment = datetime.datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone")
    return moment
