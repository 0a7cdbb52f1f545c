"""Snapshots share the files of what did not change; manifests are believed with their files."""

from __future__ import annotations

import itertools
import json
import os
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import pipeline
from pipeline.runtime.errors import InputError
from pipeline.snapshots import make_snapshot
from pipeline.snapshots.manifests import folder_of, manifest_key, read_manifest
from pipeline.store.object_store import Store
from schemas.manifest import Manifest
from tests.publishing import (
    SMALL,
    LabeledInput,
    assert_live_is,
    latest_of,
    live_rows,
    run_publish,
    stored_files,
)

SLOW = SMALL.model_copy(update={"lease_s": 60.0})  # a hundred files of three kinds take a while


def paths(manifest: Manifest) -> set[str]:
    return {file.path for file in manifest.files}


def parts_read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The keys of the parts that are read whole from now on."""
    read, found = Store.read, list[str]()

    def watched(store: Store, key: str) -> bytes:
        if key.startswith("parts/"):
            found.append(key)
        return read(store, key)

    monkeypatch.setattr(Store, "read", watched)
    return found


def test_only_what_changed_is_read_and_written(
    labeled: LabeledInput, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = labeled.publish().manifest
    before = stored_files(labeled.output)
    labeled.shard("z.parquet", 9, seed=4)
    labeled.shard("new.parquet", 3)
    labeled.drop("a.parquet")
    read = parts_read(monkeypatch)
    second = labeled.publish().manifest
    assert_live_is(labeled)
    assert len(read) == 2  # of the shard that changed, and of the new one
    kept = [shard.group for shard in first.shards if shard.path == "sub/b.parquet"]
    shared = {file.path for file in first.files if file.group in kept}
    assert paths(first) & paths(second) == shared
    after = stored_files(labeled.output)
    assert {key: after[key] for key in before} == before
    assert after.keys() == paths(first) | paths(second)
    counts = {shard.path: shard for shard in second.shards}
    assert counts["sub/b.parquet"] == next(s for s in first.shards if s.path == "sub/b.parquet")
    assert run_publish(labeled.output, "--rollback", first.snapshot_id).exit_code == 0


def test_what_a_rollback_left_is_reused(
    labeled: LabeledInput, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = labeled.publish().manifest
    labeled.shard("z.parquet", 9, seed=4)
    second = labeled.publish().manifest
    assert run_publish(labeled.output, "--rollback", first.snapshot_id).exit_code == 0
    labeled.shard("a.parquet", 3)
    read = parts_read(monkeypatch)
    third = labeled.publish().manifest
    assert_live_is(labeled)
    assert len(read) == 1
    assert len(paths(third) - paths(second)) == 3  # labels, votes, index: nothing is quarantined


def test_one_of_a_hundred_shards_costs_at_most_5_percent(tmp_path: Path) -> None:
    labeled = LabeledInput.at(str(tmp_path))
    for number in range(100):
        labeled.shard(f"{number:03d}.parquet", 2)
    first = labeled.publish(SLOW).manifest
    before = stored_files(labeled.output)
    labeled.shard("050.parquet", 2, seed=2)
    second = labeled.publish(SLOW).manifest
    assert_live_is(labeled)
    written = sum(
        len(data) for key, data in stored_files(labeled.output).items() if key not in before
    )
    assert written <= 0.05 * second.total_bytes
    assert len(paths(first) - paths(second)) == len(paths(second) - paths(first))


def late(labeled: LabeledInput, manifest: Manifest) -> None:
    """Retention removes the files of a snapshot whose manifest is under way; then it arrives."""
    data = labeled.output.read(manifest_key(manifest.snapshot_id))
    for entry in list(labeled.output.list(folder_of(manifest.snapshot_id))):
        labeled.output.delete(entry.key)
    for key in paths(manifest):
        labeled.output.delete(key)
    assert labeled.output.create(manifest_key(manifest.snapshot_id), data)


def never_live(labeled: LabeledInput) -> Manifest:
    """A snapshot whose publisher ended at its gate."""

    def die(output: Store, manifest: Manifest) -> dict[str, Any]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        labeled.publish(gate=die)
    (key,) = (e.key for e in labeled.output.list("snapshots") if e.key.endswith("manifest.json"))
    return read_manifest(labeled.output, key.split("/")[1])


def test_a_manifest_that_came_late_holds_again_once_its_files_are_there(
    labeled: LabeledInput,
) -> None:
    stalled = never_live(labeled)
    late(labeled, stalled)
    with pytest.raises(InputError, match="files are not there with their sizes"):
        pipeline.open_snapshot(labeled.output.uri, stalled.snapshot_id)
    listed = run_publish(labeled.output, "--list").event("snapshot")
    assert listed["state"] == "never gated, but files are not there"
    done = labeled.publish()
    assert done.manifest.snapshot_id == stalled.snapshot_id
    assert done.manifest.created_at == stalled.created_at
    assert_live_is(labeled)


def test_a_manifest_that_came_late_with_other_bytes_blocks_nobody(
    labeled: LabeledInput, monkeypatch: pytest.MonkeyPatch
) -> None:
    stalled = never_live(labeled)
    late(labeled, stalled)
    # Another version of the Parquet writer.
    writer = pq.ParquetWriter
    monkeypatch.setattr(
        "pipeline.snapshots.table_writer.pq.ParquetWriter",
        lambda *to, **how: writer(*to, **how | {"compression": "lz4"}),
    )
    done = labeled.publish()
    assert done.live
    assert done.manifest.snapshot_id != stalled.snapshot_id
    assert not paths(done.manifest) & paths(stalled)
    assert_live_is(labeled)
    again = labeled.publish()
    assert (again.changed, again.manifest.snapshot_id) == (False, done.manifest.snapshot_id)
    retention = run_publish(labeled.output, "--keep", "5").event("retention")
    assert retention["leftovers"] == [stalled.snapshot_id]
    assert_live_is(labeled)


def test_a_manifest_arrives_while_another_publisher_writes(
    labeled: LabeledInput, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The create of the one that goes on finds the manifest of the stalled one."""
    stalled = never_live(labeled)
    data = labeled.output.read(manifest_key(stalled.snapshot_id))
    for entry in list(labeled.output.list("snapshots")):
        labeled.output.delete(entry.key)
    create = Store.create

    def overtaken(store: Store, key: str, body: bytes) -> bool:
        if key == manifest_key(stalled.snapshot_id):
            assert create(store, key, data)
        return create(store, key, body)

    monkeypatch.setattr(Store, "create", overtaken)
    done = labeled.publish()
    assert done.live
    assert done.manifest.created_at == stalled.created_at
    assert_live_is(labeled)


def test_a_file_of_the_live_snapshot_that_was_removed_is_written_again(
    labeled: LabeledInput,
) -> None:
    first = labeled.publish().manifest
    gone = first.files_of("votes")[0].path
    whole = labeled.output.read(gone)
    labeled.output.delete(gone)
    with pytest.raises(InputError, match="publish again"):
        pipeline.open_snapshot(labeled.output.uri)
    again = labeled.publish()
    assert (again.manifest.snapshot_id, again.live) == (first.snapshot_id, True)
    assert labeled.output.read(gone) == whole
    assert_live_is(labeled)


def test_decisions_of_the_gate_are_kept_one_behind_the_other(labeled: LabeledInput) -> None:
    for passed in (False, False, True):
        done = labeled.publish(gate=lambda *_, passed=passed: {"passed": passed})
    folder = f"{folder_of(done.manifest.snapshot_id)}/gate"
    records = [json.loads(labeled.output.read(entry.key)) for entry in labeled.output.list(folder)]
    assert [record["decision"] for record in records] == [{"passed": False}, {"passed": True}]
    assert read_manifest(labeled.output, done.manifest.snapshot_id).gate == {"passed": True}
    assert "gate" not in json.loads(labeled.output.read(manifest_key(done.manifest.snapshot_id)))


def test_retention_keeps_what_kept_snapshots_share(labeled: LabeledInput) -> None:
    made = [labeled.publish().manifest]
    for seed in (3, 4, 5):
        labeled.shard("z.parquet", 9, seed=seed)
        made.append(labeled.publish().manifest)
    labels = live_rows(labeled.output, which=made[2].snapshot_id)
    assert run_publish(labeled.output, "--keep", "1").exit_code == 0
    assert stored_files(labeled.output).keys() == paths(made[2]) | paths(made[3])
    assert live_rows(labeled.output, which=made[2].snapshot_id) == labels
    assert_live_is(labeled)


def test_a_snapshot_becomes_a_folder(labeled: LabeledInput, tmp_path: Path) -> None:
    first = labeled.publish().manifest.snapshot_id
    labeled.shard("z.parquet", 9, seed=4)
    labeled.publish()
    folder = tmp_path / "copy"
    for _ in range(2):
        done = run_publish(labeled.output, "--materialize", str(folder))
        assert done.exit_code == 0, done.error
    manifest = Manifest.parse((folder / "manifest.json").read_bytes(), "copy")
    assert manifest.snapshot_id == latest_of(labeled.output)["snapshot_id"]
    for table in ("labels", "quarantine", "votes"):
        rows = itertools.chain.from_iterable(
            pq.read_table(path).to_pylist() for path in sorted((folder / table).iterdir())
        )
        order = sorted(rows, key=lambda row: (row["shard"], row["row"], row.get("vote")))
        assert order == labeled.expected(table)
    older = run_publish(labeled.output, "--materialize", str(folder), "--snapshot", first[:9])
    assert (older.exit_code, "name an empty folder" in older.error) == (2, True)
    (folder / "manifest.json").unlink()  # a copy that was ended
    again = run_publish(labeled.output, "--materialize", str(folder))
    assert again.exit_code == 0
    assert Manifest.parse((folder / "manifest.json").read_bytes(), "copy") == manifest


def test_a_damaged_snapshot_becomes_no_folder(labeled: LabeledInput, tmp_path: Path) -> None:
    file = labeled.publish().manifest.files[0]
    data = bytearray(labeled.output.read(file.path))
    data[len(data) // 2] ^= 1
    labeled.output.put(file.path, bytes(data))
    done = run_publish(labeled.output, "--materialize", str(tmp_path / "copy"))
    assert (done.exit_code, "has the SHA-256" in done.error) == (1, True)
    assert not (tmp_path / "copy" / "manifest.json").exists()


class Reading:
    """What is read of the input's files, whole or in part."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, labeled: LabeledInput) -> None:
        self.keys: list[str] = []
        for name in ("content_key", "read", "read_range"):
            self._watch(monkeypatch, name, labeled.source.uri)

    def _watch(self, monkeypatch: pytest.MonkeyPatch, name: str, uri: str) -> None:
        original = getattr(Store, name)

        def watched(store: Store, what: Any, *rest: Any) -> Any:
            key = what if isinstance(what, str) else what.key
            if store.uri == uri or key.startswith("parts/"):
                self.keys.append(key)
            return original(store, what, *rest)

        monkeypatch.setattr(Store, name, watched)


def age(*files: Path) -> None:
    """Makes files seem to have been written a while ago."""
    for path in files:
        then = path.stat().st_mtime_ns - 10 * 10**9
        os.utime(path, ns=(then, then))


def test_publishing_again_reads_no_byte_of_shards_and_parts(
    labeled: LabeledInput, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Path(labeled.source.uri)
    age(*source.rglob("*.parquet"), *Path(labeled.output.uri).rglob("*.parquet"))
    labeled.publish()
    reading = Reading(monkeypatch, labeled)
    assert not labeled.publish().changed
    assert reading.keys == []
    labeled.shard("z.parquet", 9, seed=4)
    age(source / "z.parquet")
    reading.keys.clear()
    labeled.publish()
    assert {key for key in reading.keys if not key.startswith("parts/")} == {"z.parquet"}


def test_files_hold_the_shards_of_a_group_in_order(
    labeled: LabeledInput, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(make_snapshot, "number_of_groups", lambda shards, before: 4)
    for number in range(20):
        labeled.shard(f"{number}.parquet", 3, seed=number % 3)
    manifest = labeled.publish(SMALL).manifest
    assert_live_is(labeled)
    of_group: dict[int, set[str]] = {}
    for shard in manifest.shards:
        of_group.setdefault(shard.group, set()).add(shard.path)
    assert of_group.keys() == {0, 1, 2, 3}
    for file in manifest.files_of("votes"):
        table = pq.read_table(labeled.output.path(file.path))
        places = list(zip(table["shard"].to_pylist(), table["row"].to_pylist(), strict=True))
        assert places == sorted(places)
        assert {shard for shard, _ in places} == of_group[file.group]
