"""LATEST.json is swapped by the lease's holder alone, also where one before it is about to."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.runtime.errors import InputError, PublishConflictError
from pipeline.snapshots.manifests import LATEST_KEY, Latest, live, read_latest
from pipeline.snapshots.swap_latest import claim_latest, drop_previous, swap_latest
from pipeline.store.lease import Lease, take_lease
from pipeline.store.object_store import Store
from tests.unit.test_lease import still_store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path))


def taken(store: Store, run_id: str) -> Lease:
    """The lease of an output, held by a run for which no time goes by until it waits."""
    return take_lease(still_store(store)[0], "writer", run_id, ttl_s=6)


def publish(store: Store, snapshot_id: str, run_id: str) -> None:
    with taken(store, run_id) as lease:
        swap_latest(store, snapshot_id, *claim_latest(store, lease), lease)


def end(lease: Lease) -> None:
    """Has this process seem another one, so that whoever takes the lease must wait for it."""
    lease.record = replace(lease.record, boot_id="another")
    assert lease._keep()


def test_a_run_whose_lease_was_taken_swaps_nothing_after_the_next_claim(store: Store) -> None:
    publish(store, "ab12", "run-1")
    stalled = taken(store, "run-2")
    claimed = claim_latest(store, stalled)
    end(stalled)
    with taken(store, "run-3") as lease:
        assert (lease.epoch, lease.unfinished) == (3, 2)
        before, _ = claim_latest(store, lease)
        assert before is not None
        assert before == claimed[0]
        assert live(store) == replace(before, epoch=3)
        with pytest.raises(PublishConflictError, match=r"got the same, claimed by .* epoch 3"):
            swap_latest(store, "cd34", *claimed, stalled)
        after = store.read(LATEST_KEY)
        claim_latest(store, lease)
        assert store.read(LATEST_KEY) == after
    publish(store, "ef56", "run-4")
    assert (live(store).snapshot_id, live(store).previous, live(store).epoch) == ("ef56", "ab12", 4)


def test_the_same_where_nothing_is_published(store: Store) -> None:
    stalled = taken(store, "run-1")
    claimed = claim_latest(store, stalled)
    assert claimed == (None, None)
    assert store.size(LATEST_KEY) is None
    end(stalled)
    with taken(store, "run-2") as lease:
        before, _ = claim_latest(store, lease)
        assert before is None
        with pytest.raises(PublishConflictError, match=r"got the same, claimed by .* epoch 2"):
            swap_latest(store, "cd34", *claimed, stalled)
    assert read_latest(store) is None
    with pytest.raises(InputError, match="names no snapshot yet: nothing is published there"):
        live(store)
    publish(store, "ab12", "run-3")
    assert (live(store).snapshot_id, live(store).previous) == ("ab12", None)


def test_after_runs_that_have_ended_nothing_is_written(store: Store) -> None:
    publish(store, "ab12", "run-1")
    publish(store, "cd34", "run-2")
    before = store.read(LATEST_KEY)
    with taken(store, "run-3") as lease:
        claim_latest(store, lease)
        drop_previous(store, ["ef56"], lease)
    assert store.read(LATEST_KEY) == before
    with taken(store, "run-4") as lease:
        drop_previous(store, ["ab12"], lease)
    assert (live(store).snapshot_id, live(store).previous, live(store).epoch) == ("cd34", None, 4)


def test_a_lease_object_that_was_removed_counts_from_1_again(store: Store) -> None:
    publish(store, "ab12", "run-1")
    publish(store, "cd34", "run-2")
    store.delete("leases/writer.json")
    publish(store, "ef56", "run-3")
    assert (live(store).snapshot_id, live(store).epoch) == ("ef56", 1)


def test_one_of_an_earlier_version_is_swapped_as_it_is(store: Store) -> None:
    old = Latest("ab12", "snapshots/ab12/manifest.json", "2026", "run-0", None)
    assert store.swap(LATEST_KEY, old.to_json(), None)
    with taken(store, "run-1") as lease:
        before, version = claim_latest(store, lease)
        assert (before, version and version.data) == (old, old.to_json())
