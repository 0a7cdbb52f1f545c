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
    Mill,
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


def test_only_what_changed_is_read_and_written(mill: Mill, monkeypatch: pytest.MonkeyPatch) -> None:
    first = mill.publish().manifest
    before = stored_files(mill.output)
    mill.shard("z.parquet", 9, seed=4)
    mill.shard("new.parquet", 3)
    mill.drop("a.parquet")
    read = parts_read(monkeypatch)
    second = mill.publish().manifest
    assert_live_is(mill)
    assert len(read) == 2  # of the shard that changed, and of the new one
    kept = [shard.group for shard in first.shards if shard.path == "sub/b.parquet"]
    shared = {file.path for file in first.files if file.group in kept}
    assert paths(first) & paths(second) == shared
    after = stored_files(mill.output)
    assert {key: after[key] for key in before} == before
    assert after.keys() == paths(first) | paths(second)
    counts = {shard.path: shard for shard in second.shards}
    assert counts["sub/b.parquet"] == next(s for s in first.shards if s.path == "sub/b.parquet")
    assert run_publish(mill.output, "--rollback", first.snapshot_id).exit_code == 0


def test_what_a_rollback_left_is_reused(mill: Mill, monkeypatch: pytest.MonkeyPatch) -> None:
    first = mill.publish().manifest
    mill.shard("z.parquet", 9, seed=4)
    second = mill.publish().manifest
    assert run_publish(mill.output, "--rollback", first.snapshot_id).exit_code == 0
    mill.shard("a.parquet", 3)
    read = parts_read(monkeypatch)
    third = mill.publish().manifest
    assert_live_is(mill)
    assert len(read) == 1
    assert len(paths(third) - paths(second)) == 2 + 0  # labels and votes: nothing is quarantined


def test_one_of_a_hundred_shards_costs_at_most_5_percent(tmp_path: Path) -> None:
    mill = Mill.at(str(tmp_path))
    for number in range(100):
        mill.shard(f"{number:03d}.parquet", 2)
    first = mill.publish(SLOW).manifest
    before = stored_files(mill.output)
    mill.shard("050.parquet", 2, seed=2)
    second = mill.publish(SLOW).manifest
    assert_live_is(mill)
    written = sum(len(data) for key, data in stored_files(mill.output).items() if key not in before)
    assert written <= 0.05 * second.total_bytes
    assert len(paths(first) - paths(second)) == len(paths(second) - paths(first))


def late(mill: Mill, manifest: Manifest) -> None:
    """Retention removes the files of a snapshot whose manifest is under way; then it arrives."""
    data = mill.output.read(manifest_key(manifest.snapshot_id))
    for entry in list(mill.output.list(folder_of(manifest.snapshot_id))):
        mill.output.delete(entry.key)
    for key in paths(manifest):
        mill.output.delete(key)
    assert mill.output.create(manifest_key(manifest.snapshot_id), data)


def never_live(mill: Mill) -> Manifest:
    """A snapshot whose publisher ended at its gate."""

    def die(output: Store, manifest: Manifest) -> dict[str, Any]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        mill.publish(gate=die)
    (key,) = (e.key for e in mill.output.list("snapshots") if e.key.endswith("manifest.json"))
    return read_manifest(mill.output, key.split("/")[1])


def test_a_manifest_that_came_late_holds_again_once_its_files_are_there(mill: Mill) -> None:
    stalled = never_live(mill)
    late(mill, stalled)
    with pytest.raises(InputError, match="files are not there with their sizes"):
        pipeline.open_snapshot(mill.output.uri, stalled.snapshot_id)
    listed = run_publish(mill.output, "--list").event("snapshot")
    assert listed["state"] == "never gated, but files are not there"
    done = mill.publish()
    assert done.manifest.snapshot_id == stalled.snapshot_id
    assert done.manifest.created_at == stalled.created_at
    assert_live_is(mill)


def test_a_manifest_that_came_late_with_other_bytes_blocks_nobody(
    mill: Mill, monkeypatch: pytest.MonkeyPatch
) -> None:
    stalled = never_live(mill)
    late(mill, stalled)
    # Another version of the Parquet writer.
    writer = pq.ParquetWriter
    monkeypatch.setattr(
        "pipeline.snapshots.table_writer.pq.ParquetWriter",
        lambda *to, **how: writer(*to, **how | {"compression": "lz4"}),
    )
    done = mill.publish()
    assert done.live
    assert done.manifest.snapshot_id != stalled.snapshot_id
    assert not paths(done.manifest) & paths(stalled)
    assert_live_is(mill)
    again = mill.publish()
    assert (again.changed, again.manifest.snapshot_id) == (False, done.manifest.snapshot_id)
    retention = run_publish(mill.output, "--keep", "5").event("retention")
    assert retention["leftovers"] == [stalled.snapshot_id]
    assert_live_is(mill)


def test_a_manifest_arrives_while_another_publisher_writes(
    mill: Mill, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The create of the one that goes on finds the manifest of the stalled one."""
    stalled = never_live(mill)
    data = mill.output.read(manifest_key(stalled.snapshot_id))
    for entry in list(mill.output.list("snapshots")):
        mill.output.delete(entry.key)
    create = Store.create

    def overtaken(store: Store, key: str, body: bytes) -> bool:
        if key == manifest_key(stalled.snapshot_id):
            assert create(store, key, data)
        return create(store, key, body)

    monkeypatch.setattr(Store, "create", overtaken)
    done = mill.publish()
    assert done.live
    assert done.manifest.created_at == stalled.created_at
    assert_live_is(mill)


def test_a_file_of_the_live_snapshot_that_was_removed_is_written_again(mill: Mill) -> None:
    first = mill.publish().manifest
    gone = first.files_of("votes")[0].path
    whole = mill.output.read(gone)
    mill.output.delete(gone)
    with pytest.raises(InputError, match="publish again"):
        pipeline.open_snapshot(mill.output.uri)
    again = mill.publish()
    assert (again.manifest.snapshot_id, again.live) == (first.snapshot_id, True)
    assert mill.output.read(gone) == whole
    assert_live_is(mill)


def test_decisions_of_the_gate_are_kept_one_behind_the_other(mill: Mill) -> None:
    for passed in (False, False, True):
        done = mill.publish(gate=lambda *_, passed=passed: {"passed": passed})
    folder = f"{folder_of(done.manifest.snapshot_id)}/gate"
    records = [json.loads(mill.output.read(entry.key)) for entry in mill.output.list(folder)]
    assert [record["decision"] for record in records] == [{"passed": False}, {"passed": True}]
    assert read_manifest(mill.output, done.manifest.snapshot_id).gate == {"passed": True}
    assert "gate" not in json.loads(mill.output.read(manifest_key(done.manifest.snapshot_id)))


def test_retention_keeps_what_kept_snapshots_share(mill: Mill) -> None:
    made = [mill.publish().manifest]
    for seed in (3, 4, 5):
        mill.shard("z.parquet", 9, seed=seed)
        made.append(mill.publish().manifest)
    labels = live_rows(mill.output, which=made[2].snapshot_id)
    assert run_publish(mill.output, "--keep", "1").exit_code == 0
    assert stored_files(mill.output).keys() == paths(made[2]) | paths(made[3])
    assert live_rows(mill.output, which=made[2].snapshot_id) == labels
    assert_live_is(mill)


def test_a_snapshot_becomes_a_folder(mill: Mill, tmp_path: Path) -> None:
    first = mill.publish().manifest.snapshot_id
    mill.shard("z.parquet", 9, seed=4)
    mill.publish()
    folder = tmp_path / "copy"
    for _ in range(2):
        done = run_publish(mill.output, "--materialize", str(folder))
        assert done.exit_code == 0, done.error
    manifest = Manifest.parse((folder / "manifest.json").read_bytes(), "copy")
    assert manifest.snapshot_id == latest_of(mill.output)["snapshot_id"]
    for table in ("labels", "quarantine", "votes"):
        rows = itertools.chain.from_iterable(
            pq.read_table(path).to_pylist() for path in sorted((folder / table).iterdir())
        )
        order = sorted(rows, key=lambda row: (row["shard"], row["row"], row.get("vote")))
        assert order == mill.expected(table)
    older = run_publish(mill.output, "--materialize", str(folder), "--snapshot", first[:9])
    assert (older.exit_code, "name an empty folder" in older.error) == (2, True)
    (folder / "manifest.json").unlink()  # a copy that was ended
    again = run_publish(mill.output, "--materialize", str(folder))
    assert again.exit_code == 0
    assert Manifest.parse((folder / "manifest.json").read_bytes(), "copy") == manifest


def test_a_damaged_snapshot_becomes_no_folder(mill: Mill, tmp_path: Path) -> None:
    file = mill.publish().manifest.files[0]
    data = bytearray(mill.output.read(file.path))
    data[len(data) // 2] ^= 1
    mill.output.put(file.path, bytes(data))
    done = run_publish(mill.output, "--materialize", str(tmp_path / "copy"))
    assert (done.exit_code, "has the SHA-256" in done.error) == (1, True)
    assert not (tmp_path / "copy" / "manifest.json").exists()


class Reading:
    """What is read of the input's files, whole or in part."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, mill: Mill) -> None:
        self.keys: list[str] = []
        for name in ("content_key", "read", "read_range"):
            self._watch(monkeypatch, name, mill.source.uri)

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
    mill: Mill, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Path(mill.source.uri)
    age(*source.rglob("*.parquet"), *Path(mill.output.uri).rglob("*.parquet"))
    mill.publish()
    reading = Reading(monkeypatch, mill)
    assert not mill.publish().changed
    assert reading.keys == []
    mill.shard("z.parquet", 9, seed=4)
    age(source / "z.parquet")
    reading.keys.clear()
    mill.publish()
    assert {key for key in reading.keys if not key.startswith("parts/")} == {"z.parquet"}


def test_files_hold_the_shards_of_a_group_in_order(
    mill: Mill, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(make_snapshot, "number_of_groups", lambda shards, before: 4)
    for number in range(20):
        mill.shard(f"{number}.parquet", 3, seed=number % 3)
    manifest = mill.publish(SMALL).manifest
    assert_live_is(mill)
    of_group: dict[int, set[str]] = {}
    for shard in manifest.shards:
        of_group.setdefault(shard.group, set()).add(shard.path)
    assert of_group.keys() == {0, 1, 2, 3}
    for file in manifest.files_of("votes"):
        table = pq.read_table(mill.output.path(file.path))
        places = list(zip(table["shard"].to_pylist(), table["row"].to_pylist(), strict=True))
        assert places == sorted(places)
        assert {shard for shard, _ in places} == of_group[file.group]
