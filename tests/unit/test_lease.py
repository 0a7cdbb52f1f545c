"""One holder at a time; the dead lose it, the stalled notice, and nothing is ever deleted."""

from __future__ import annotations

import datetime
import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from pipeline.runtime.errors import InputError, LeaseHeldError, LeaseLostError, StorageError
from pipeline.store.lease import Lease, LeaseRecord, take_lease
from pipeline.store.object_store import Store, Version
from schemas.contract import ContractError
from tests.processes import wait_until

KEY = "leases/nightly.json"
LONG = 60.0  # no test takes so long, so that nothing expires in it
HOUR = datetime.timedelta(hours=1)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path))


def stored(store: Store) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(store.read(KEY))
    return record


def left_behind(store: Store, ttl_s: float, expires_in: datetime.timedelta) -> None:
    """The lease of a run that died."""
    moment = (datetime.datetime.now(datetime.UTC) + expires_in).isoformat()
    record = LeaseRecord("token", "dead-run", "far-host", 7, moment, moment, ttl_s)
    store.swap(KEY, record.to_json(), store.read_version(KEY))


def test_taken_renewed_and_released(store: Store) -> None:
    with take_lease(store, "nightly", "run-1", ttl_s=6) as lease:
        first = stored(store)
        assert (first["run_id"], first["released"]) == ("run-1", False)
        wait_until(lambda: stored(store)["expires"] > first["expires"])
        lease.check()
        assert {**stored(store), "expires": first["expires"]} == first
    assert stored(store)["released"]
    with take_lease(store, "nightly", "run-2", ttl_s=LONG):
        assert (stored(store)["run_id"], stored(store)["released"]) == ("run-2", False)
    assert [entry.key for entry in store.list()] == [KEY]


def test_the_second_learns_who_holds_it_and_until_when(store: Store) -> None:
    waited: list[str] = []
    with take_lease(store, "nightly", "run-1", ttl_s=6):
        with pytest.raises(LeaseHeldError) as refusal:
            take_lease(store, "nightly", "run-2", ttl_s=6, waiting=waited.append)
        now = stored(store)
        assert now["run_id"] == "run-1"
    assert refusal.value.exit_code == 5
    text = str(refusal.value)
    assert f"held by run run-1 on host {now['host']} (process {now['process']})" in text
    assert f"since {now['begun']}, until 20" in text
    (note,) = waited
    assert note.startswith(f"{store.path(KEY)}: the lease is held by run run-1")


def test_a_holder_that_ends_meanwhile_was_alive_too(store: Store) -> None:
    lease = take_lease(store, "nightly", "run-1", ttl_s=LONG)
    with pytest.raises(LeaseHeldError, match=r"run run-1 on .* has just ended: run again"):
        take_lease(store, "nightly", "run-2", ttl_s=LONG, waiting=lambda _: lease.release())
    assert (stored(store)["run_id"], stored(store)["released"]) == ("run-1", True)


def test_of_many_that_want_it_one_gets_it(store: Store) -> None:
    def take(number: int) -> Lease | None:
        try:
            return take_lease(store, "nightly", f"run-{number}", ttl_s=6)
        except LeaseHeldError:
            return None

    with ThreadPoolExecutor(8) as threads:
        leases = list(threads.map(take, range(8)))
    (lease,) = (lease for lease in leases if lease is not None)
    assert stored(store)["run_id"] == lease.record.run_id
    lease.release()


def test_an_expired_lease_is_taken_at_once(store: Store) -> None:
    waited: list[str] = []
    left_behind(store, LONG, -datetime.timedelta(seconds=1))
    with take_lease(store, "nightly", "run-2", ttl_s=LONG, waiting=waited.append):
        assert stored(store)["run_id"] == "run-2"
    assert waited == []


def test_a_lease_that_is_not_renewed_is_taken_whatever_the_clocks_say(store: Store) -> None:
    left_behind(store, 0.3, HOUR)
    with take_lease(store, "nightly", "run-2", ttl_s=LONG):
        assert stored(store)["run_id"] == "run-2"


def test_a_holder_notices_that_it_was_taken_away(store: Store) -> None:
    lost = threading.Event()
    with take_lease(store, "nightly", "run-1", ttl_s=3, on_lost=lost.set) as lease:
        lease.check()
        while True:  # against its renewals
            version = store.read_version(KEY)
            other = LeaseRecord("token", "run-2", "far-host", 7, "x", _in(HOUR), LONG)
            if store.swap(KEY, other.to_json(), version):
                break
        assert lost.wait(LONG)
        with pytest.raises(LeaseLostError, match=r"now held by run run-2 on host far-host") as lost:
            lease.check()
        assert lost.value.exit_code == 5
    assert stored(store)["run_id"] == "run-2"  # what is not ours is not released
    assert not stored(store)["released"]


def test_a_holder_that_cannot_reach_the_store_stops_in_time(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = threading.Event()
    with take_lease(store, "nightly", "run-1", ttl_s=0.6, on_lost=lost.set) as lease:

        def fail(key: str, data: bytes, expected: Version | None) -> Version | None:
            raise StorageError("the network is gone")

        monkeypatch.setattr(store, "swap", fail)
        assert lost.wait(LONG)
        with pytest.raises(LeaseLostError, match=r"run-1\) did not renew .* for 0.6 s, and it has"):
            lease.check()


def test_a_renewal_of_which_the_answer_is_lost_is_no_loss(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    swap: Callable[..., Version | None] = store.swap
    calls: list[Version | None] = []

    def deaf(key: str, data: bytes, expected: Version | None) -> Version | None:
        calls.append(swap(key, data, expected))
        if len(calls) == 1:
            raise StorageError("the answer is lost")
        return calls[-1]

    with take_lease(store, "nightly", "run-1", ttl_s=6) as lease:
        monkeypatch.setattr(store, "swap", deaf)
        wait_until(lambda: len(calls) >= 3)
        assert [call is not None for call in calls[:3]] == [True, False, True]
        lease.check()


def test_releasing_without_a_store_leaves_it_to_expire(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with take_lease(store, "nightly", "run-1", ttl_s=LONG):

        def fail(key: str, data: bytes, expected: Version | None) -> Version | None:
            raise StorageError("the network is gone")

        monkeypatch.setattr(store, "swap", fail)
    assert not stored(store)["released"]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "not JSON"),
        (b"[]", "the whole: got [], expected an object"),
        (b"{}", "token: missing"),
        (b'{"token": 1}', "token: got 1, expected a valid string"),
        (b'{"version": "lease/v2"}', "version: got 'lease/v2', expected None"),
    ],
)
def test_an_object_that_is_no_lease(store: Store, data: bytes, words: str) -> None:
    store.put(KEY, data)
    with pytest.raises(InputError) as refusal:
        take_lease(store, "nightly", "run-1")
    text = str(refusal.value)
    assert text.startswith(f"{store.path(KEY)}: not a valid LeaseRecord:")
    assert words in text
    assert text.endswith("remove it")


@pytest.mark.parametrize(
    ("expires", "words"),
    [
        ("soon", "Invalid isoformat string: 'soon'"),
        ("2026-01-02T03:04:05", "'2026-01-02T03:04:05' has no time zone"),
    ],
)
def test_an_expiry_that_is_no_time(expires: str, words: str) -> None:
    with pytest.raises(ContractError, match=rf"that is to be stored: expires: {words}$"):
        LeaseRecord("token", "run", "host", 7, "x", expires, LONG).to_json()


def _in(period: datetime.timedelta) -> str:
    return (datetime.datetime.now(datetime.UTC) + period).isoformat()
