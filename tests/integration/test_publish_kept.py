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
    LabeledInput,
    assert_live_is,
    latest_of,
    live_rows,
    run_publish,
    stored_files,
)


def test_a_refused_snapshot_is_kept_and_not_shown(labeled: LabeledInput) -> None:
    first = labeled.publish().manifest
    labeled.shard("new.parquet", 9)
    seen: list[int] = []

    def refuse(output: Store, manifest: Manifest) -> dict[str, Any]:
        rows = pipeline.open_snapshot(output.uri, manifest.snapshot_id).to_table(use_threads=False)
        seen.append(rows.num_rows)
        return {"passed": False, "metric": "tie_rate"}

    refused = labeled.publish(gate=refuse)
    assert (refused.live, refused.changed) == (False, False)
    assert seen == [len(labeled.expected("labels"))]
    assert latest_of(labeled.output)["snapshot_id"] == first.snapshot_id
    candidate = refused.manifest.snapshot_id
    gate = read_manifest(labeled.output, candidate).gate
    assert gate == {"passed": False, "metric": "tie_rate"}
    with pytest.raises(AssertionError):
        assert_live_is(labeled)
    # Without a gate it stays refused, by publishing and by going to it.
    sizes = ("--set", "publish.file_mb=0.03", "--set", "publish.row_group_mb=0.03")
    blocked = run_publish(labeled.output, "--input", labeled.source.uri, *sizes)
    assert (blocked.exit_code, blocked.event("blocked")["snapshot"]) == (3, candidate)
    back = run_publish(labeled.output, "--rollback", candidate)
    assert (back.exit_code, "was refused by the gate" in back.error) == (2, True)

    passed = labeled.publish(gate=lambda output, manifest: {"passed": True})
    assert (passed.live, passed.changed) == (True, True)
    assert assert_live_is(labeled).gate == {"passed": True}


def three_snapshots(labeled: LabeledInput) -> list[str]:
    """Publishes three times; returns the ids."""
    ids = [labeled.publish().manifest.snapshot_id]
    for number in range(2):
        labeled.shard(f"more-{number}.parquet", 5)
        ids.append(labeled.publish().manifest.snapshot_id)
    return ids


def test_rollback_and_forward(labeled: LabeledInput) -> None:
    first, second, third = three_snapshots(labeled)
    labels = {name: live_rows(labeled.output, which=name) for name in (first, second, third)}
    outcome = run_publish(labeled.output, "--rollback", first[:10])
    assert outcome.exit_code == 0
    assert outcome.event("published")["snapshot"] == first
    assert live_rows(labeled.output) == labels[first]
    record = latest_of(labeled.output)
    assert (record["previous"], record["rollback"]) == (third, True)
    assert run_publish(labeled.output, "--rollback", second).exit_code == 0
    assert live_rows(labeled.output) == labels[second]
    assert labeled.publish().changed
    assert latest_of(labeled.output)["snapshot_id"] == third


def test_gone_back_from_in_two_steps_stays_so(labeled: LabeledInput) -> None:
    first, second, third = three_snapshots(labeled)
    for snapshot in (second, first):
        assert run_publish(labeled.output, "--rollback", snapshot).exit_code == 0
    assert latest_of(labeled.output)["withdrawn"] == [third]
    again = labeled.publish(keep_withdrawn=True)
    assert (again.manifest.snapshot_id, again.live) == (third, False)
    assert latest_of(labeled.output)["snapshot_id"] == first
    assert run_publish(labeled.output, "--rollback", third).exit_code == 0
    assert labeled.publish(keep_withdrawn=True).live
    assert_live_is(labeled)


def test_no_rollback_to_what_no_gate_has_seen(labeled: LabeledInput) -> None:
    first = labeled.publish().manifest.snapshot_id
    labeled.shard("new.parquet", 9)

    def die(output: Store, manifest: Manifest) -> dict[str, Any]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        labeled.publish(gate=die)
    listed = run_publish(labeled.output, "--list").events
    (candidate,) = (event["snapshot"] for event in listed if event["state"] == "never gated")
    back = run_publish(labeled.output, "--rollback", candidate)
    assert back.exit_code == 2
    assert "no gate has checked it: its publisher ended before that" in back.error
    assert f"pairmill publish --input {labeled.source.uri}" in back.error
    assert latest_of(labeled.output)["snapshot_id"] == first


@pytest.mark.parametrize(
    ("damage", "code", "words"),
    [
        ("gone", 1, "does not exist"),
        ("cut", 1, " bytes, expected "),
        ("flipped", 1, "has the SHA-256"),
        ("manifest", 2, "manifest.json: not a valid Manifest: version: got None"),
    ],
)
def test_no_rollback_to_a_damaged_snapshot(
    labeled: LabeledInput, damage: str, code: int, words: str
) -> None:
    first, _, third = three_snapshots(labeled)
    (*_, file) = read_manifest(labeled.output, first).files_of("votes")
    key = file.path
    data = labeled.output.read(key)
    if damage == "gone":
        labeled.output.delete(key)
    elif damage == "cut":
        labeled.output.put(key, data[:-1])
    elif damage == "flipped":
        labeled.output.put(key, data[:9] + bytes([data[9] ^ 1]) + data[10:])
    else:
        labeled.output.put(f"{folder_of(first)}/manifest.json", b"{}")
    outcome = run_publish(labeled.output, "--rollback", first)
    assert outcome.exit_code == code
    assert words in outcome.error
    assert latest_of(labeled.output)["snapshot_id"] == third


def test_rollback_to_what_is_not_there(labeled: LabeledInput) -> None:
    first, *_ = three_snapshots(labeled)
    outcome = run_publish(labeled.output, "--rollback", "no-such")
    assert outcome.exit_code == 2
    assert "'no-such': 0 ids" in outcome.error
    assert first in outcome.error


def test_retention_keeps_the_newest_the_live_and_the_one_before(labeled: LabeledInput) -> None:
    ids = three_snapshots(labeled)
    run_publish(labeled.output, "--rollback", ids[0])
    for number in range(2):  # never live, but newer
        labeled.shard(f"candidate-{number}.parquet", 5)
        ids.append(labeled.publish(gate=lambda *_: {"passed": False}).manifest.snapshot_id)
    left = f"{folder_of('0' * 16)}/labels/00000.parquet"
    labeled.output.put(left, b"of a publisher of an earlier version that was killed")
    labeled.output.put(f"{FILES}/{'0' * 64}.parquet", b"of a publisher that was killed")
    outcome = run_publish(labeled.output, "--keep", "1", "--list")
    assert outcome.exit_code == 0
    retention = outcome.event("retention")
    assert set(retention["kept"]) == {ids[0], ids[2], ids[4]}
    assert set(retention["removed"]) == {ids[1], ids[3]}
    assert retention["leftovers"] == ["0" * 16]
    folders = {entry.key.split("/")[1] for entry in labeled.output.list("snapshots")}
    assert folders == {ids[0], ids[2], ids[4], "LATEST.json", "files"}
    kept = [read_manifest(labeled.output, snapshot_id) for snapshot_id in retention["kept"]]
    assert stored_files(labeled.output).keys() == {
        file.path for each in kept for file in each.files
    }
    states = {e["snapshot"]: e["state"] for e in outcome.events if e["event"] == "snapshot"}
    assert states == {ids[0]: "live", ids[2]: "kept", ids[4]: "refused by the gate"}
    assert run_publish(labeled.output, "--rollback", ids[2]).exit_code == 0


def test_a_deletion_that_was_interrupted_never_looks_whole(
    labeled: LabeledInput, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, *rest = three_snapshots(labeled)
    delete = Store.delete
    deleted: list[str] = []

    def fail(store: Store, key: str) -> None:
        if deleted:
            raise KeyboardInterrupt
        deleted.append(key)
        delete(store, key)

    monkeypatch.setattr(Store, "delete", fail)
    assert run_publish(labeled.output, "--keep", "1").exit_code == 130
    assert deleted == [f"{folder_of(first)}/manifest.json"]
    with pytest.raises(InputError, match="no such snapshot"):
        pipeline.open_snapshot(labeled.output.uri, first)
    monkeypatch.undo()
    again = run_publish(labeled.output, "--keep", "1").event("retention")
    assert (again["leftovers"], again["kept"]) == ([first], rest)
    assert {e.key.split("/")[1] for e in labeled.output.list("snapshots")} == {
        *rest,
        "LATEST.json",
        "files",
    }
    assert_live_is(labeled)


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
def test_arguments_that_cannot_be_used(
    labeled: LabeledInput, arguments: list[str], words: str
) -> None:
    outcome = run_publish(labeled.output, *arguments)
    assert outcome.exit_code == 2
    assert words in outcome.error
