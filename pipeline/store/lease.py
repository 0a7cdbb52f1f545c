"""Leases: at any time only one run does a given kind of work on an output.

A lease is one JSON object that its holder renews by compare-and-swap. No clock is compared with
that of another machine: a contender takes the lease once the object has not changed for a whole
time to live by the contender's own monotonic clock; at once if it was released, or if its holder
was a process of this machine that has ended. A holder that cannot renew it stops by its own
monotonic clock before that. Each taking has a higher epoch than those before it.

Nothing is ever deleted: a released lease stays as a record marked as released.
"""

from __future__ import annotations

import datetime
import re
import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Self

from pipeline.runtime.errors import LeaseHeldError, LeaseLostError, PairmillError, StorageError
from pipeline.store.host import Host
from pipeline.store.object_store import Store, Version
from pipeline.store.process_identity import ProcessIdentity
from schemas.contract import ContractError
from schemas.records import Record

TTL_S = 60.0
_RENEWALS = 6  # in one time to live
_POLLS = 24  # of a contender, in one time to live
_MAX_PROCESS = 2**31
_NONE = -1  # no epoch
_EPOCH = re.compile(rb'"epoch":\s*(\d{1,18})\b')


def take_lease(
    store: Store,
    name: str,
    run_id: str,
    *,
    ttl_s: float = TTL_S,
    waiting: Callable[[str], None] = lambda text: None,
    while_waiting: Callable[[], None] = lambda: None,
) -> Lease:
    """Takes a lease, and renews it in a thread until it is released.

    Args:
        store: the output that the work is done on.
        name: of the work, such as ``writer``.
        run_id: of the run that wants it.
        ttl_s: seconds until a holder that does not renew it has lost it.
        waiting: called once with a text for people, if the holder may be dead or the object is
            damaged, and this waits to find out.
        while_waiting: called at every poll while this waits; may raise to end the wait.

    Raises:
        LeaseHeldError: a live run holds it; names it, and until when.
        StorageError: the store fails.
    """
    key, host = lease_key(name), store.host
    contest, announced = _Contest(store, key, ttl_s), False
    while True:
        if contest.free:
            begun = host.monotonic()
            record = _new_record(run_id, ttl_s, contest.epoch + 1, contest.unfinished, host)
            version = store.swap(key, record.to_json(), contest.found)
            if version is not None:
                return Lease(store, key, record, version, begun + ttl_s)
        else:
            if not announced:
                waiting(contest.text)
            announced = True
            while_waiting()
            host.sleep(contest.ttl_s / _POLLS)
        contest.look()


def lease_key(name: str) -> str:
    """Where a lease is stored."""
    return f"leases/{name}.json"


def is_free(store: Store, name: str) -> bool:
    """Whether nobody has held a lease, or its last holder has released it or has surely ended.

    Raises:
        StorageError: the store fails.
    """
    return _Contest(store, lease_key(name), TTL_S).free


def check_epoch(store: Store, name: str, epoch: int) -> None:
    """Checks, without holding a lease oneself, that nobody has taken it since.

    For the workers of its holder, which stall and go on apart from it.

    Args:
        store: the output that the work is done on.
        name: of the work.
        epoch: of the holder.

    Raises:
        LeaseLostError: somebody has taken it.
        StorageError: the store fails.
    """
    contest = _Contest(store, lease_key(name), TTL_S)
    if contest.epoch > epoch:
        raise LeaseLostError(
            f"{store.path(lease_key(name))}: a run has taken the lease since this one had it "
            f"(epoch {contest.epoch}, got {epoch}); nothing more is committed; run again"
        )


class _Contest:
    """A lease object as a contender has seen it since it came.

    Attributes:
        found: the object as it is now.
    """

    def __init__(self, store: Store, key: str, ttl_s: float) -> None:
        self._store, self._key, self._ttl_s = store, key, ttl_s
        self._first = store.read_version(key)
        self._since = store.host.monotonic()
        self._see(self._first)

    def look(self) -> None:
        """Looks at it again.

        Raises:
            LeaseHeldError: somebody has written it since this contender came.
        """
        self._see(self._store.read_version(self._key))
        if self.found is None or (self._first and self.found.tag == self._first.tag):
            return
        if self._held is None:
            raise LeaseHeldError(f"{self._defect}; somebody has just written it so: run again")
        if self._held.released:
            where = self._store.path(self._key)
            text = f"{self._held.holder} held the lease, and has just ended: run again"
            raise LeaseHeldError(f"{where}: {text}")
        raise LeaseHeldError(f"{self._holding}; wait for it, or stop it")

    @property
    def free(self) -> bool:
        """Whether it may be taken."""
        host, held = self._store.host, self._held
        if self.found is None or (held and (held.released or host.has_ended(held.identity))):
            return True
        return host.monotonic() - self._since >= self.ttl_s

    @property
    def ttl_s(self) -> float:
        """For how long it must stay as it is until its holder counts as dead."""
        return self._held.ttl_s if self._held else self._ttl_s

    @property
    def epoch(self) -> int:
        """Of its last taking, also where the rest of it is damaged; 0 if there was none."""
        if self._held:
            return self._held.epoch
        stated = _EPOCH.search(self.found.data) if self.found else None
        return int(stated[1]) if stated else 0

    @property
    def unfinished(self) -> int:
        """As :class:`LeaseRecord` has it, of whoever takes it now."""
        if self.found is None:
            return _NONE
        return self._held.unfinished if self._held and self._held.released else self.epoch

    @property
    def text(self) -> str:
        """What this waits for, for people."""
        if self._held is None:
            return f"{self._defect}; it is replaced unless it changes within {self.ttl_s:g} s"
        return f"{self._holding}; waiting to see whether the holder is alive"

    @property
    def _holding(self) -> str:
        held = self._held
        assert held is not None
        return (
            f"{self._store.path(self._key)}: the lease is held by {held.holder} since "
            f"{held.begun}, until {held.expires} unless it is renewed"
        )

    def _see(self, found: Version | None) -> None:
        self.found, self._held, self._defect = found, None, ""
        if found is not None:
            try:
                self._held = LeaseRecord.parse(found.data, self._store.path(self._key))
            except ContractError as error:
                self._defect = str(error)


class Lease:
    """A held lease; a context manager that releases it. Made by :func:`take_lease`.

    Attributes:
        record: what was written last.
    """

    def __init__(
        self, store: Store, key: str, record: LeaseRecord, version: Version, deadline: float
    ) -> None:
        self.record = record
        self._store, self._key, self._version = store, key, version
        self._deadline = deadline
        self._taken: str | None = None  # what others have made of it
        self._failure: Exception | None = None  # why the last renewal did not happen
        self._host = store.host
        pause_s = record.ttl_s / _RENEWALS
        self._renewals = self._host.repeat(self._keep, pause_s, f"lease {key}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, raised: BaseException | None, *rest: object) -> None:
        refused = isinstance(raised, PairmillError) and not isinstance(raised, StorageError)
        self.release(failed=raised is not None and not refused)

    @property
    def run_id(self) -> str:
        """The run that holds it."""
        return self.record.run_id

    @property
    def epoch(self) -> int:
        """The number of this taking: higher than that of every taking before it."""
        return self.record.epoch

    @property
    def unfinished(self) -> int:
        """The last epoch before this one whose holder may be at work still; -1 if none may."""
        return self.record.unfinished

    @property
    def loss(self) -> LeaseLostError | None:
        """Why another run may hold it; None as long as no other can."""
        if self._taken is None and self._host.monotonic() < self._deadline:
            return None
        cause = f" ({self._failure})" if self._failure else ""
        what = self._taken or f"it was not renewed for {self.record.ttl_s:g} s{cause}"
        return LeaseLostError(
            f"{self._store.path(self._key)}: this run ({self.run_id}) has lost the lease: {what}; "
            "stopped, what is committed stays; run again"
        )

    def check(self) -> None:
        """Call before every step that two runs must not both take.

        Raises:
            LeaseLostError: the lease is lost; the caller must stop.
        """
        if (loss := self.loss) is not None:
            raise loss from self._failure

    def release(self, *, failed: bool = False) -> None:
        """Releases the lease if it is still held, so that the next run need not wait.

        Args:
            failed: whether the store failed under it, or it ends by no error of ours: a request may
                be under way still.
        """
        self._renewals.stop()
        if self.loss is None:
            with suppress(StorageError):  # then it runs out
                record = self.record.as_released(self._host.now())
                self._write(replace(record, unfinished=self.epoch) if failed else record)

    def _keep(self) -> bool:
        """Renews it once; whether it is still held."""
        try:
            begun = self._host.monotonic()
            if self._write(self.record.renewed(self._host.now())):
                self._deadline, self._failure = begun + self.record.ttl_s, None
        except Exception as error:  # noqa: BLE001  # whatever it is, the lease then runs out in time
            self._failure = error
        return self.loss is None

    def _write(self, record: LeaseRecord) -> bool:
        """Stores a record of this holding; whether it did, and the lease is not lost."""
        self.record = record  # also if that fails: no two writes are to be the same
        for _ in range(2):
            version = self._store.swap(self._key, record.to_json(), self._version)
            if version is not None:
                self._version = version
                return True
            found = self._store.read_version(self._key)
            if found is None:
                self._taken = "somebody has removed it"
                return False
            self._taken = self._made_of(found)
            if self._taken is not None:
                return False
            self._version = found  # of an earlier renewal, whose answer was lost
        return False

    def _made_of(self, found: Version) -> str | None:
        """What others have made of the lease; None if it is as this holder wrote it."""
        try:
            other = LeaseRecord.parse(found.data, "what is there")
        except ContractError as error:
            return f"somebody has damaged it: {error}"
        same = other.token == self.record.token
        return None if same else f"it is now held by {other.holder}"


@dataclass(frozen=True)
class LeaseRecord(Record):
    """Who holds a lease, and until when.

    Attributes:
        token: identifies one holding; the same process gets another one the next time.
        process: the process id on ``host``; what it is unique in follows at the end.
        begun, expires: UTC in ISO 8601, by the holder's clock, for people alone.
        released: whether it is free.
        epoch: the number of the taking; 0 where none was counted yet.
        renewals: of this holding so far, so that every renewal changes the object.
        boot_id, pid_namespace, process_started: see :class:`ProcessIdentity`.
        unfinished: the last epoch whose holder, or a request of it, may be at work still: it has
            not released the lease, or has after the store failed; -1 if there is none.
    """

    remedy = ""

    token: str
    run_id: str
    host: str
    process: int
    begun: str
    expires: str
    ttl_s: float
    released: bool = False
    epoch: int = 0
    renewals: int = 0
    boot_id: str = ""
    pid_namespace: int = 0
    process_started: int = 0
    unfinished: int = _NONE

    def problems(self) -> list[str]:
        """Which numbers are none of a holding."""
        ranges = {"ttl_s": self.ttl_s > 0, "process": 0 < self.process < _MAX_PROCESS}
        ranges["epoch"] = self.epoch >= 0
        return [f"{name}: got {getattr(self, name)}" for name, good in ranges.items() if not good]

    @property
    def holder(self) -> str:
        """Who holds it, for people."""
        return f"run {self.run_id} on host {self.host} (process {self.process})"

    @property
    def identity(self) -> ProcessIdentity:
        """The process that holds it."""
        place = (self.boot_id, self.pid_namespace, self.process_started)
        return ProcessIdentity(self.host, self.process, *place)

    def renewed(self, now: datetime.datetime) -> LeaseRecord:
        """The same holding, which expires a time to live after ``now``."""
        return replace(self, expires=_expiry(now, self.ttl_s), renewals=self.renewals + 1)

    def as_released(self, now: datetime.datetime) -> LeaseRecord:
        """The same holding, released at ``now``."""
        return replace(self, expires=_expiry(now, 0), released=True)


def _new_record(run_id: str, ttl_s: float, epoch: int, unfinished: int, host: Host) -> LeaseRecord:
    """A holding by this process that begins now, for ``ttl_s`` seconds."""
    now, own = host.now(), host.this_process()
    return LeaseRecord(
        token=secrets.token_hex(8),
        run_id=run_id,
        host=own.host,
        process=own.process,
        begun=_expiry(now, 0),
        expires=_expiry(now, ttl_s),
        ttl_s=ttl_s,
        epoch=epoch,
        boot_id=own.boot_id,
        pid_namespace=own.pid_namespace,
        process_started=own.started,
        unfinished=unfinished,
    )


def _expiry(now: datetime.datetime, after_s: float) -> str:
    return (now + datetime.timedelta(seconds=after_s)).isoformat(timespec="milliseconds")
