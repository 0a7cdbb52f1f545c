"""Which snapshot is live, and which are kept: gate, rollback, retention."""

from __future__ import annotations

from typing import Any

import pytest

import pipeline
from pipeline.runtime.errors import InputError
from pipeline.snapshots.manifests import FILES, folder_of, read_manifest
from pipeline.store.object_store import Store
from schemas.manifest import Manifest
from tests.publishing import (
    Mill,
    assert_live_is,
    latest_of,
    live_rows,
    run_publish,
    stored_files,
)


def test_a_refused_snapshot_is_kept_and_not_shown(mill: Mill) -> None:
    first = mill.publish().manifest
    mill.shard("new.parquet", 9)
    seen: list[int] = []

    def refuse(output: Store, manifest: Manifest) -> dict[str, Any]:
        rows = pipeline.open_snapshot(output.uri, manifest.snapshot_id).to_table(use_threads=False)
        seen.append(rows.num_rows)
        return {"passed": False, "metric": "tie_rate"}

    refused = mill.publish(gate=refuse)
    assert (refused.live, refused.changed) == (False, False)
    assert seen == [len(mill.expected("labels"))]
    assert latest_of(mill.output)["snapshot_id"] == first.snapshot_id
    candidate = refused.manifest.snapshot_id
    gate = read_manifest(mill.output, candidate).gate
    assert gate == {"passed": False, "metric": "tie_rate"}
    with pytest.raises(AssertionError):
        assert_live_is(mill)
    # Without a gate it stays refused, by publishing and by going to it.
    sizes = ("--set", "publish.file_mb=0.03", "--set", "publish.row_group_mb=0.03")
    blocked = run_publish(mill.output, "--input", mill.source.uri, *sizes)
    assert (blocked.exit_code, blocked.event("blocked")["snapshot"]) == (3, candidate)
    back = run_publish(mill.output, "--rollback", candidate)
    assert (back.exit_code, "was refused by the gate" in back.error) == (2, True)

    passed = mill.publish(gate=lambda output, manifest: {"passed": True})
    assert (passed.live, passed.changed) == (True, True)
    assert assert_live_is(mill).gate == {"passed": True}


def three_snapshots(mill: Mill) -> list[str]:
    """Publishes three times; returns the ids."""
    ids = [mill.publish().manifest.snapshot_id]
    for number in range(2):
        mill.shard(f"more-{number}.parquet", 5)
        ids.append(mill.publish().manifest.snapshot_id)
    return ids


def test_rollback_and_forward(mill: Mill) -> None:
    first, second, third = three_snapshots(mill)
    labels = {name: live_rows(mill.output, which=name) for name in (first, second, third)}
    outcome = run_publish(mill.output, "--rollback", first[:10])
    assert outcome.exit_code == 0
    assert outcome.event("published")["snapshot"] == first
    assert live_rows(mill.output) == labels[first]
    record = latest_of(mill.output)
    assert (record["previous"], record["rollback"]) == (third, True)
    assert run_publish(mill.output, "--rollback", second).exit_code == 0
    assert live_rows(mill.output) == labels[second]
    assert mill.publish().changed
    assert latest_of(mill.output)["snapshot_id"] == third


def test_gone_back_from_in_two_steps_stays_so(mill: Mill) -> None:
    first, second, third = three_snapshots(mill)
    for snapshot in (second, first):
        assert run_publish(mill.output, "--rollback", snapshot).exit_code == 0
    assert latest_of(mill.output)["withdrawn"] == [third]
    again = mill.publish(keep_withdrawn=True)
    assert (again.manifest.snapshot_id, again.live) == (third, False)
    assert latest_of(mill.output)["snapshot_id"] == first
    assert run_publish(mill.output, "--rollback", third).exit_code == 0
    assert mill.publish(keep_withdrawn=True).live
    assert_live_is(mill)


def test_no_rollback_to_what_no_gate_has_seen(mill: Mill) -> None:
    first = mill.publish().manifest.snapshot_id
    mill.shard("new.parquet", 9)

    def die(output: Store, manifest: Manifest) -> dict[str, Any]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        mill.publish(gate=die)
    listed = run_publish(mill.output, "--list").events
    (candidate,) = (event["snapshot"] for event in listed if event["state"] == "never gated")
    back = run_publish(mill.output, "--rollback", candidate)
    assert back.exit_code == 2
    assert "no gate has checked it: its publisher ended before that" in back.error
    assert f"pairmill publish --input {mill.source.uri}" in back.error
    assert latest_of(mill.output)["snapshot_id"] == first


@pytest.mark.parametrize(
    ("damage", "code", "words"),
    [
        ("gone", 1, "does not exist"),
        ("cut", 1, " bytes, expected "),
        ("flipped", 1, "has the SHA-256"),
        ("manifest", 2, "manifest.json: not a valid Manifest: version: got None"),
    ],
)
def test_no_rollback_to_a_damaged_snapshot(mill: Mill, damage: str, code: int, words: str) -> None:
    first, _, third = three_snapshots(mill)
    (*_, file) = read_manifest(mill.output, first).files_of("votes")
    key = file.path
    data = mill.output.read(key)
    if damage == "gone":
        mill.output.delete(key)
    elif damage == "cut":
        mill.output.put(key, data[:-1])
    elif damage == "flipped":
        mill.output.put(key, data[:9] + bytes([data[9] ^ 1]) + data[10:])
    else:
        mill.output.put(f"{folder_of(first)}/manifest.json", b"{}")
    outcome = run_publish(mill.output, "--rollback", first)
    assert outcome.exit_code == code
    assert words in outcome.error
    assert latest_of(mill.output)["snapshot_id"] == third


def test_rollback_to_what_is_not_there(mill: Mill) -> None:
    first, *_ = three_snapshots(mill)
    outcome = run_publish(mill.output, "--rollback", "no-such")
    assert outcome.exit_code == 2
    assert "'no-such': 0 ids" in outcome.error
    assert first in outcome.error


def test_retention_keeps_the_newest_the_live_and_the_one_before(mill: Mill) -> None:
    ids = three_snapshots(mill)
    run_publish(mill.output, "--rollback", ids[0])
    for number in range(2):  # never live, but newer
        mill.shard(f"candidate-{number}.parquet", 5)
        ids.append(mill.publish(gate=lambda *_: {"passed": False}).manifest.snapshot_id)
    left = f"{folder_of('0' * 16)}/labels/00000.parquet"
    mill.output.put(left, b"of a publisher of an earlier version that was killed")
    mill.output.put(f"{FILES}/{'0' * 64}.parquet", b"of a publisher that was killed")
    outcome = run_publish(mill.output, "--keep", "1", "--list")
    assert outcome.exit_code == 0
    retention = outcome.event("retention")
    assert set(retention["kept"]) == {ids[0], ids[2], ids[4]}
    assert set(retention["removed"]) == {ids[1], ids[3]}
    assert retention["leftovers"] == ["0" * 16]
    folders = {entry.key.split("/")[1] for entry in mill.output.list("snapshots")}
    assert folders == {ids[0], ids[2], ids[4], "LATEST.json", "files"}
    kept = [read_manifest(mill.output, snapshot_id) for snapshot_id in retention["kept"]]
    assert stored_files(mill.output).keys() == {file.path for each in kept for file in each.files}
    states = {e["snapshot"]: e["state"] for e in outcome.events if e["event"] == "snapshot"}
    assert states == {ids[0]: "live", ids[2]: "kept", ids[4]: "refused by the gate"}
    assert run_publish(mill.output, "--rollback", ids[2]).exit_code == 0


def test_a_deletion_that_was_interrupted_never_looks_whole(
    mill: Mill, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, *rest = three_snapshots(mill)
    delete = Store.delete
    deleted: list[str] = []

    def fail(store: Store, key: str) -> None:
        if deleted:
            raise KeyboardInterrupt
        deleted.append(key)
        delete(store, key)

    monkeypatch.setattr(Store, "delete", fail)
    assert run_publish(mill.output, "--keep", "1").exit_code == 130
    assert deleted == [f"{folder_of(first)}/manifest.json"]
    with pytest.raises(InputError, match="no such snapshot"):
        pipeline.open_snapshot(mill.output.uri, first)
    monkeypatch.undo()
    again = run_publish(mill.output, "--keep", "1").event("retention")
    assert (again["leftovers"], again["kept"]) == ([first], rest)
    assert {e.key.split("/")[1] for e in mill.output.list("snapshots")} == {
        *rest,
        "LATEST.json",
        "files",
    }
    assert_live_is(mill)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "nothing to do: give --input"),
        (["--input", "x", "--rollback", "y"], "give one of the two"),
        (["--keep", "0"], "--keep 0: expected 1 or more"),
        (["--list", "--set", "publish.file_mb=1"], "row_group_mb 64 > file_mb 1"),
        (["--list", "--set", "publish.files=1"], "publish.files"),
    ],
)
def test_arguments_that_cannot_be_used(mill: Mill, arguments: list[str], words: str) -> None:
    outcome = run_publish(mill.output, *arguments)
    assert outcome.exit_code == 2
    assert words in outcome.error
