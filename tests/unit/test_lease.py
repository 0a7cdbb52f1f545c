"""One holder at a time; the dead lose it, the stalled notice, and nothing is ever deleted."""

from __future__ import annotations

import datetime
import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.runtime.errors import (
    InputError,
    LeaseHeldError,
    LeaseLostError,
    StoppedError,
    StorageError,
)
from pipeline.runtime.stop import Stop
from pipeline.store.host import Host, Repeated
from pipeline.store.lease import Lease, LeaseRecord, take_lease
from pipeline.store.object_store import Store, Version
from pipeline.store.process_identity import this_process
from pipeline.store.writer_lease import writer_lease
from schemas.contract import ContractError
from tests.processes import wait_until
from tests.publishing import QUIET

KEY = "leases/work.json"
LONG = 60.0  # no test takes so long, so that nothing expires in it
HOUR = datetime.timedelta(hours=1)


class StillHost(Host):
    """A machine on which time goes by only where somebody sleeps, and renewals are called."""

    def __init__(self, ahead: datetime.timedelta = datetime.timedelta()) -> None:
        self.seconds, self.ahead = 0.0, ahead
        self.renew: Callable[[], bool] = lambda: True

    def monotonic(self) -> float:
        return self.seconds

    def now(self) -> datetime.datetime:
        return datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC) + self.ahead

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds

    def repeat(self, step: Callable[[], bool], pause_s: float, name: str) -> Repeated:
        self.renew = step
        return self

    def stop(self) -> None:
        pass


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path))


def still_store(store: Store, host: StillHost | None = None) -> tuple[Store, StillHost]:
    """The same objects, as a machine of a test's own sees them."""
    other, host = Store(store.uri), host or StillHost()
    other.host = host
    return other, host


def stored(store: Store, key: str = KEY) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(store.read(key))
    return record


def record_of(ttl_s: float = LONG, **changes: Any) -> LeaseRecord:
    """The record of a run on another machine."""
    record = LeaseRecord("token", "far-run", "far-host", 7, "begun", "expires", ttl_s)
    return replace(record, **changes)


def leave(store: Store, data: bytes, key: str = KEY) -> None:
    """Writes an object as nobody who keeps to the protocol would."""
    while store.swap(key, data, store.read_version(key)) is None:
        pass


def test_taken_renewed_and_released(store: Store) -> None:
    with take_lease(store, "work", "run-1", ttl_s=6) as lease:
        first = stored(store)
        assert (first["run_id"], first["released"]) == ("run-1", False)
        wait_until(lambda: stored(store)["expires"] > first["expires"])
        lease.check()
        later = {"expires": first["expires"], "renewals": first["renewals"]}
        assert stored(store) | later == first
    assert stored(store)["released"]
    with take_lease(store, "work", "run-2", ttl_s=LONG):
        assert (stored(store)["run_id"], stored(store)["released"]) == ("run-2", False)
    assert [entry.key for entry in store.list()] == [KEY]


def test_the_second_gets_an_error_with_the_holder_and_the_time(store: Store) -> None:
    waited: list[str] = []
    (here, holder), (other, _) = still_store(store), still_store(store)

    def renews() -> None:
        assert holder.renew()

    with take_lease(here, "work", "run-1", ttl_s=6):
        with pytest.raises(LeaseHeldError) as refusal:
            take_lease(other, "work", "run-2", ttl_s=6, waiting=waited.append, while_waiting=renews)
        now = stored(store)
        assert now["run_id"] == "run-1"
    assert refusal.value.exit_code == 5
    text = str(refusal.value)
    assert f"held by run run-1 on host {now['host']} (process {now['process']})" in text
    assert f"since {now['begun']}, until 20" in text
    (note,) = waited
    assert note.startswith(f"{store.path(KEY)}: the lease is held by run run-1")


def test_a_holder_that_ends_meanwhile_was_alive_too(store: Store) -> None:
    lease, (other, _) = take_lease(store, "work", "run-1", ttl_s=LONG), still_store(store)
    with pytest.raises(LeaseHeldError, match=r"run run-1 on .* has just ended: run again"):
        take_lease(other, "work", "run-2", ttl_s=LONG, waiting=lambda _: lease.release())
    assert (stored(store)["run_id"], stored(store)["released"]) == ("run-1", True)


def test_of_many_that_want_it_one_gets_it(store: Store) -> None:
    def take(number: int) -> Lease | None:
        try:
            return take_lease(store, "work", f"run-{number}", ttl_s=6)
        except LeaseHeldError:
            return None

    with ThreadPoolExecutor(8) as threads:
        leases = list(threads.map(take, range(8)))
    (lease,) = (lease for lease in leases if lease is not None)
    assert stored(store)["run_id"] == lease.record.run_id
    lease.release()


def test_it_says_until_when_a_holder_may_be_at_work_still(store: Store) -> None:
    def ended_by(error: BaseException | None) -> int:
        """What the next holder is told."""
        with suppress(BaseException), take_lease(store, "work", "run", ttl_s=LONG):
            if error is not None:
                raise error
        return int(stored(store)["unfinished"])

    assert ended_by(None) == ended_by(InputError("refused")) == -1
    assert [ended_by(each) for each in (StorageError("lost"), KeyboardInterrupt(), None)] == [
        3,
        4,
        4,
    ]
    far = record_of(epoch=9, released=False)
    leave(store, far.to_json())
    other, _ = still_store(store)
    with take_lease(other, "work", "run") as lease:
        assert (lease.epoch, lease.unfinished) == (10, 9)


@pytest.mark.parametrize("ahead", [-HOUR, HOUR])
def test_no_clock_is_believed_whether_a_holder_is_dead(
    store: Store, ahead: datetime.timedelta
) -> None:
    slow, holder = still_store(store)
    fast, contender = still_store(store, StillHost(ahead))
    lease = take_lease(slow, "work", "run-1", ttl_s=24)
    assert stored(store)["expires"] == "2026-01-01T00:00:24.000+00:00"

    def renews_once() -> None:
        if contender.seconds == 20:
            assert holder.renew()

    with pytest.raises(LeaseHeldError, match="held by run run-1"):
        take_lease(fast, "work", "run-2", ttl_s=24, while_waiting=renews_once)
    assert contender.seconds == 21  # the poll after the renewal
    lease.check()


def test_a_holder_is_dead_after_one_time_to_live_without_a_sign(store: Store) -> None:
    leave(store, record_of(24.0).to_json())
    other, host = still_store(store)
    with take_lease(other, "work", "run-2", ttl_s=LONG):
        assert host.seconds == 24  # by what the record says, not by what the contender wants
        assert stored(store)["run_id"] == "run-2"


def test_a_renewal_is_a_sign_though_the_clock_stands_still(store: Store) -> None:
    other, host = still_store(store)
    take_lease(other, "work", "run-1")
    before = store.read_version(KEY)
    assert host.renew()
    after = store.read_version(KEY)
    assert before
    assert after
    assert before.tag != after.tag
    assert stored(store)["expires"] == json.loads(before.data)["expires"]


def test_each_taking_has_the_next_epoch(store: Store) -> None:
    leave(store, record_of(released=True).to_json().replace(b'"epoch": 0', b'"renewals": 0'))
    old = {k: v for k, v in stored(store).items() if k not in ("epoch", "renewals")}
    leave(store, json.dumps(old).encode())  # as a version before wrote it
    for epoch in (1, 2, 3):
        with take_lease(store, "work", f"run-{epoch}") as lease:
            assert (lease.epoch, lease.run_id) == (epoch, f"run-{epoch}")
            assert stored(store)["epoch"] == epoch
    leave(store, record_of(epoch=41).to_json())  # of one who is dead
    other, _ = still_store(store)
    with take_lease(other, "work", "run") as lease:
        assert lease.epoch == 42


# A damaged object, what is said of it, and the epoch of the one who replaces it.
DAMAGED = [
    (b"", "not JSON", 1),
    (b"[]", "the whole: got [], expected an object", 1),
    (b"{}", "token: missing", 1),
    (b'{"token": 1, "epoch": 6}', "token: got 1, expected a valid string", 7),
    (b'{"version": "lease/v2", "epoch":8}', "version: got 'lease/v2', expected None", 9),
    (record_of(epoch=9).to_json()[:-20], "not JSON", 10),
    (record_of().to_json().replace(b"60.0", b"0.0"), "ttl_s: got 0.0", 1),
    (record_of().to_json().replace(b"7", b"99999999999"), "process: got 99999999999", 1),
]


@pytest.mark.parametrize(("data", "words", "epoch"), DAMAGED)
def test_a_damaged_object_is_reported_and_replaced_once_nobody_writes_it(
    store: Store, data: bytes, words: str, epoch: int
) -> None:
    leave(store, data)
    other, host = still_store(store)
    waited: list[str] = []
    with take_lease(other, "work", "run-1", ttl_s=24, waiting=waited.append) as lease:
        assert (host.seconds, lease.epoch) == (24, epoch)
    (note,) = waited
    assert note.startswith(f"{store.path(KEY)}: not a valid LeaseRecord")
    assert words in note
    assert note.endswith("it is replaced unless it changes within 24 s")
    assert stored(store)["released"]


def test_a_damaged_object_that_changes_is_somebody_s(store: Store) -> None:
    leave(store, b"1")
    other, _ = still_store(store)
    with pytest.raises(LeaseHeldError, match="somebody has just written it so: run again"):
        take_lease(other, "work", "run-1", while_waiting=lambda: leave(store, b"2"))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (record_of().to_json(), r"it is now held by run far-run on host far-host \(process 7\)"),
        (b"{", "somebody has damaged it: what is there: not a valid LeaseRecord: not JSON"),
    ],
)
def test_a_holder_notices_what_others_made_of_it(store: Store, data: bytes, words: str) -> None:
    with take_lease(store, "work", "run-1", ttl_s=3) as lease:
        lease.check()
        leave(store, data)
        wait_until(lambda: lease.loss is not None)
        with pytest.raises(
            LeaseLostError, match=rf"run \(run-1\) has lost the lease: {words}"
        ) as e:
            lease.check()
        assert e.value.exit_code == 5
    assert store.read(KEY) == data  # what is not ours is not released


def test_a_holder_notices_that_it_was_removed(store: Store) -> None:
    other, host = still_store(store)
    lease = take_lease(other, "work", "run-1")
    store.delete(KEY)
    assert not host.renew()
    with pytest.raises(LeaseLostError, match="lost the lease: somebody has removed it"):
        lease.check()
    lease.release()
    assert store.size(KEY) is None


@pytest.mark.parametrize("error", [StorageError("the network is gone"), ZeroDivisionError("a bug")])
def test_a_holder_that_cannot_renew_it_stops_in_time(
    store: Store, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    other, host = still_store(store)
    lease, stop = take_lease(other, "work", "run-1", ttl_s=6), Stop()
    stop.end_on(lambda: lease.loss)

    def fail(key: str, data: bytes, expected: Version | None) -> Version | None:
        raise error

    monkeypatch.setattr(other, "swap", fail)
    host.seconds = 5.9
    assert host.renew()
    lease.check()
    assert (stop.asked, stop.over(0)) == (False, False)
    host.seconds = 6
    assert not host.renew()
    with pytest.raises(LeaseLostError, match=rf"not renewed for 6 s \({error}\)") as lost:
        lease.check()
    assert lost.value.__cause__ is error
    assert (stop.asked, stop.over(3_600)) == (True, True)  # nothing is finished
    with pytest.raises(LeaseLostError, match="not renewed"):
        stop.check("nothing")


def test_a_renewal_of_which_the_answer_is_lost_is_no_loss(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, host = still_store(store)
    lease = take_lease(other, "work", "run-1", ttl_s=6)
    swap, calls = other.swap, list[bool]()

    def deaf(key: str, data: bytes, expected: Version | None) -> Version | None:
        found = swap(key, data, expected)
        calls.append(found is not None)
        if len(calls) == 1:
            raise StorageError("the answer is lost")
        return found

    monkeypatch.setattr(other, "swap", deaf)
    for host.seconds in (1, 2, 7.9):  # the time counts from the renewal that is known to be there
        assert host.renew()
        lease.check()
    assert calls == [True, False, True, True]
    assert stored(store)["renewals"] == 3


def test_a_taking_whose_answer_is_slow_gives_no_more_time(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A contender may have watched it since it was written."""
    other, host = still_store(store)
    swap = other.swap

    def slow(key: str, data: bytes, expected: Version | None) -> Version | None:
        taken = swap(key, data, expected)
        host.seconds += 5
        return taken

    monkeypatch.setattr(other, "swap", slow)
    lease = take_lease(other, "work", "run-1", ttl_s=6)
    assert lease.loss is None
    host.seconds = 6
    assert lease.loss is not None


def test_a_renewal_that_is_found_again_later_gives_no_more_time(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A contender may have watched it since it was written."""
    other, host = still_store(store)
    lease = take_lease(other, "work", "run-1", ttl_s=6)
    swap = other.swap

    def deaf(key: str, data: bytes, expected: Version | None) -> Version | None:
        swap(key, data, expected)
        raise StorageError("the answer is lost")

    monkeypatch.setattr(other, "swap", deaf)
    host.seconds = 1
    host.renew()
    monkeypatch.setattr(other, "swap", lambda *arguments: None)  # refused, and nothing is written
    host.seconds = 5
    host.renew()
    assert lease.loss is None
    host.seconds = 6
    assert lease.loss is not None


def test_releasing_without_a_store_leaves_it_to_expire(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with take_lease(store, "work", "run-1", ttl_s=LONG):

        def fail(key: str, data: bytes, expected: Version | None) -> Version | None:
            raise StorageError("the network is gone")

        monkeypatch.setattr(store, "swap", fail)
    assert not stored(store)["released"]


def test_the_lease_of_a_process_that_has_ended_here_is_taken_at_once(store: Store) -> None:
    own = this_process()
    record = record_of(
        host=own.host,
        process=own.process,
        boot_id=own.boot_id,
        pid_namespace=own.pid_namespace,
        process_started=own.started - 1,  # its number is another process's now
    )
    other, host = still_store(store)
    for there, seconds in [
        (record, 0),
        (replace(record, process_started=own.started), LONG),
        (replace(record, host="far-host"), LONG),
        (replace(record, boot_id="another"), LONG),
        (replace(record, pid_namespace=own.pid_namespace + 1), LONG),
        (record_of(), LONG),
    ]:
        leave(store, there.to_json())
        host.seconds = 0
        take_lease(other, "work", "run-2").release()
        assert host.seconds == pytest.approx(seconds)


def test_a_lease_of_an_output_stops_the_work_when_it_is_lost(store: Store) -> None:
    other, host = still_store(store)
    stop = Stop()
    with writer_lease(other, "run-1", 6, QUIET, stop) as lease:
        assert lease.record.ttl_s == 6
        stop.check("nothing")
        host.seconds = 6
        with pytest.raises(LeaseLostError):
            stop.check("nothing")


@pytest.mark.parametrize("name", ["nightly", "publish"])
def test_the_leases_of_older_versions_are_respected(store: Store, name: str) -> None:
    key = f"leases/{name}.json"
    leave(store, record_of(24.0).to_json(), key)
    other, host = still_store(store)
    with pytest.raises(LeaseHeldError, match="held by run far-run"):
        writer_lease(*_writer(other, lambda: leave(store, record_of(25.0).to_json(), key)))
    leave(store, record_of(24.0).to_json(), key)
    host.seconds = 0
    with writer_lease(*_writer(other)):
        assert host.seconds == 24
        assert stored(store, key)["released"]
    host.seconds = 0
    with writer_lease(*_writer(other)) as lease:  # it was released: nobody waits again
        assert (host.seconds, lease.epoch) == (0, 2)


def _writer(store: Store, while_waiting: Callable[[], None] = lambda: None) -> Any:
    class Watched(Stop):
        def check(self, done: str) -> None:
            while_waiting()

    return store, "run-1", 6, QUIET, Watched()


def test_a_stop_ends_the_wait_for_the_lease_of_an_output(store: Store) -> None:
    leave(store, record_of().to_json(), "leases/writer.json")
    other, _ = still_store(store)
    stop = Stop()
    stop.ask()
    with pytest.raises(StoppedError, match="another run's lease was being watched"):
        writer_lease(other, "run-1", 6, QUIET, stop)


@pytest.mark.parametrize("changes", [{"ttl_s": 0.0}, {"process": 0}, {"epoch": -1}])
def test_a_record_that_nobody_could_believe_is_not_stored(changes: dict[str, Any]) -> None:
    with pytest.raises(ContractError, match=rf"that is to be stored: {next(iter(changes))}: got"):
        record_of(**changes).to_json()


def test_the_renewing_thread_ends_with_the_lease(store: Store) -> None:
    def renewing() -> list[threading.Thread]:
        return [each for each in threading.enumerate() if each.name == f"lease {KEY}"]

    with take_lease(store, "work", "run-1", ttl_s=0.6) as lease:
        assert len(renewing()) == 1
        leave(store, b"damaged")
        wait_until(lambda: lease.loss is not None and not renewing())
