"""Publishing from and to local folders: what a snapshot holds, and what is no snapshot."""

from __future__ import annotations

import hashlib
import itertools
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.aggregation.labeler import Labeler
from pipeline.aggregation.policy import rule_record
from pipeline.pairs.isolated_reading import outline_of
from pipeline.pairs.shards import shard_key
from pipeline.parts import part_files
from pipeline.parts.commit import commit_part, revise_part, shard_parts
from pipeline.parts.units import Unit
from pipeline.runtime.errors import InputError, QuarantineError, ReconcileError
from pipeline.snapshots import compact_parts, judged_rows
from pipeline.snapshots.manifests import read_manifest
from pipeline.snapshots.publish_config import PublishConfig
from pipeline.store.object_store import Entry, Store
from schemas.manifest import SnapshotPolicy
from tests.derivations import Labelled
from tests.labeling import contents
from tests.publishing import (
    SMALL,
    LabeledInput,
    assert_live_is,
    latest_of,
    live_rows,
    run_publish,
    stored_files,
)


def test_readers_get_exactly_the_labels_of_the_input(labeled: LabeledInput) -> None:
    published = labeled.publish()
    assert (published.live, published.changed) == (True, True)
    manifest = assert_live_is(labeled)
    assert manifest == published.manifest
    assert manifest.counts == {
        "labeled": 32, "tie": 17, "abstained": 17, "quarantined": 16, "missing": 0,
    }  # fmt: skip
    assert {shard.path: shard.rows for shard in manifest.shards} == {
        "a.parquet": 45, "sub/b.parquet": 30, "z.parquet": 7,
    }  # fmt: skip
    for shard in manifest.shards:
        (entry,) = labeled.source.list(shard.path)
        assert shard.content == labeled.source.content_key(entry)
        statuses = [row["status"] for row in labeled.shards[shard.path]]
        assert shard.counts == {name: statuses.count(name) for name in shard.counts}
    assert manifest.judge["judge_id"] == labeled.made.judge_id
    assert manifest.run_ids == ("run",)
    labeler = Labeler.of(labeled.made.judge)
    policy = SnapshotPolicy(labeler.policy_id, rule_record(labeler.rule), None)
    assert manifest.policy == policy
    passed = {"passed": True}
    assert (manifest.parent, manifest.gate, manifest.input) == (None, passed, labeled.source.uri)
    files = stored_files(labeled.output)
    assert files.keys() == {file.path for file in manifest.files}
    for file in manifest.files:
        data = files[file.path]
        assert (len(data), hashlib.sha256(data).hexdigest()) == (file.bytes, file.sha256)
        assert file.path == f"snapshots/files/{file.sha256}.parquet"
        assert pq.read_metadata(pa.BufferReader(data)).num_rows == file.rows


def test_files_are_of_the_size_asked_for(labeled: LabeledInput) -> None:
    labeled.shard("more.parquet", 300, unit_rows=50)
    manifest = labeled.publish(PublishConfig(file_mb=0.02, row_group_mb=0.01, lease_s=60)).manifest
    assert_live_is(labeled)
    files = stored_files(labeled.output)
    (group,) = (shard.group for shard in manifest.shards if shard.path == "more.parquet")
    for table in ("labels", "votes"):
        *full, _ = (file for file in manifest.files_of(table) if file.group == group)
        assert len(full) >= 1
        for file in full:
            footer = pq.read_metadata(pa.BufferReader(files[file.path]))
            groups = [footer.row_group(n) for n in range(footer.num_row_groups)]
            *before, last = [sum(g.column(c).total_compressed_size for c in range(g.num_columns))
                             for g in groups]  # fmt: skip
            assert sum(before) < 0.02 * 2**20 <= 4 + sum(before) + last
            assert file.bytes > 0.02 * 2**20


def test_the_same_labels_give_the_same_bytes_and_the_same_id(
    labeled: LabeledInput, tmp_path: Path
) -> None:
    first = labeled.publish().manifest
    twin = LabeledInput(labeled.source, Labelled.at(str(tmp_path / "twin")), labeled.shards)
    for entry in labeled.output.list("parts"):
        twin.output.put(entry.key, labeled.output.read(entry.key))
    second = twin.publish().manifest
    assert second.snapshot_id == first.snapshot_id
    assert stored_files(twin.output) == stored_files(labeled.output)
    assert second.files == first.files


def test_publishing_the_same_again_writes_nothing(labeled: LabeledInput) -> None:
    labeled.publish()
    before = contents(labeled.output.uri, "snapshots")
    again = labeled.publish()
    assert (again.live, again.changed) == (True, False)
    assert contents(labeled.output.uri, "snapshots") == before


def test_changed_new_and_deleted_shards(labeled: LabeledInput) -> None:
    first = labeled.publish().manifest
    labeled.shard("a.parquet", 20, seed=5)
    labeled.shard("new.parquet", 9, seed=3)
    labeled.drop("z.parquet")
    second = labeled.publish().manifest
    assert_live_is(labeled)
    assert second.parent == first.snapshot_id
    assert latest_of(labeled.output)["previous"] == first.snapshot_id
    # The first is as it was.
    assert (
        len(live_rows(labeled.output, which=first.snapshot_id)) == 82 - first.counts["quarantined"]
    )


def test_footers_of_what_is_published_are_not_read_again(
    labeled: LabeledInput, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = labeled.publish().manifest
    labeled.shard("a.parquet", 20, seed=5)
    read: list[str] = []

    def watched(source: Store, entry: Entry, seconds: float) -> Any:
        read.append(entry.key)
        return outline_of(source, entry, seconds)

    monkeypatch.setattr("pipeline.snapshots.snapshot_inventory.outline_of", watched)
    assert labeled.publish().manifest.parent == first.snapshot_id
    assert read == ["a.parquet"]
    assert_live_is(labeled)
    # Where parts do not hold what the snapshot says, the shard itself is asked.
    (part,) = (e.key for e in labeled.output.list("parts") if Unit("", "", 0, 7).name in e.key)
    labeled.output.delete(part)
    with pytest.raises(ReconcileError, match=r"z\.parquet: rows 0 to 6"):
        labeled.publish()
    assert read == ["a.parquet", "z.parquet"]


def test_a_part_that_was_judged_again_makes_a_new_snapshot(labeled: LabeledInput) -> None:
    first = labeled.publish().manifest
    (entry,) = labeled.source.list("z.parquet")
    key = shard_key("z.parquet", entry.size, labeled.source.content_key(entry))
    for row in labeled.shards["z.parquet"]:
        row |= {"run_id": "retry", "part_revision": 2}
    unit = Unit("z.parquet", key, 0, 7)
    (part,) = shard_parts(labeled.output, labeled.made.judge_id, key).parts
    revise_part(labeled.output, labeled.made.judge_id, unit, part, labeled.shards["z.parquet"])
    second = labeled.publish().manifest
    assert_live_is(labeled)
    assert second.snapshot_id != first.snapshot_id
    assert second.run_ids == ("retry", "run")


def test_rows_without_a_label_are_named(labeled: LabeledInput) -> None:
    labeled.shard("c.parquet", 40, label=False)
    labeled.label("c.parquet", 8, 16)
    labeled.label("c.parquet", 30, 35)
    with pytest.raises(ReconcileError) as refusal:
        labeled.publish()
    lines = str(refusal.value).splitlines()
    rows = [line.strip() for line in lines if line.startswith("  ")]
    assert rows == [f"c.parquet: rows {span}" for span in ("0 to 7", "16 to 29", "35 to 39")]
    assert "--allow-missing" in lines[-1]
    assert list(labeled.output.list("snapshots")) == []

    outcome = run_publish(labeled.output, "--input", labeled.source.uri, "--allow-missing")
    assert outcome.exit_code == 0
    assert outcome.event("published")["missing"] == 27
    assert assert_live_count(labeled) == 82 + 13
    manifest = read_manifest(labeled.output, outcome.event("published")["snapshot"])
    (shard,) = (shard for shard in manifest.shards if shard.path == "c.parquet")
    assert (shard.rows, shard.counts["missing"]) == (40, 27)


def assert_live_count(labeled: LabeledInput) -> int:
    return sum(len(live_rows(labeled.output, table)) for table in ("labels", "quarantine"))


def test_rows_in_two_parts_are_named(labeled: LabeledInput) -> None:
    labeled.label("a.parquet", 10, 20)
    with pytest.raises(ReconcileError, match=r"two parts[\s\S]*a.parquet: rows 10 to 15"):
        labeled.publish()


def test_an_unreadable_shard(labeled: LabeledInput) -> None:
    labeled.source.put("bad.parquet", b"PAR1 but no more")
    with pytest.raises(QuarantineError, match=r"1 shards .*max_shards allows 0") as refusal:
        labeled.publish()
    assert "\n  corrupt footer: " in str(refusal.value)
    assert str(refusal.value).endswith("\n    bad.parquet")
    labeled.publish(max_bad_shards=1)
    manifest = assert_live_is(labeled)
    (shard,) = (shard for shard in manifest.shards if shard.defect)
    assert (shard.path, shard.rows) == ("bad.parquet", 0)


@pytest.mark.parametrize("damage", ["flipped", "foreign"])
def test_a_part_that_is_not_what_it_says(labeled: LabeledInput, damage: str) -> None:
    part = next(entry.key for entry in labeled.output.list("parts"))
    data = bytearray(labeled.output.read(part))
    if damage == "flipped":
        page = pq.read_metadata(pa.BufferReader(bytes(data))).row_group(0).column(0)
        start = page.dictionary_page_offset or page.data_page_offset
        data[start + page.total_compressed_size // 2] ^= 0xFF
    else:
        other = next(e.key for e in labeled.output.list("parts") if e.key.split("/")[2] not in part)
        data = bytearray(labeled.output.read(other))
    labeled.output.put(part, bytes(data))
    words = "corrupt part" if damage == "flipped" else "got other rows"
    with pytest.raises(InputError, match=rf"{part}: .*{words}"):
        labeled.publish()
    keys = [entry.key for entry in labeled.output.list("snapshots")]
    assert all(key.startswith("snapshots/files/") for key in keys)


def test_which_judge(labeled: LabeledInput) -> None:
    other = LabeledInput(
        labeled.source, Labelled.at(labeled.output.uri, sampling={"temperature": 0.5})
    )
    source = ("--input", labeled.source.uri)
    both = run_publish(labeled.output, *source)
    assert both.exit_code == 2
    assert other.made.judge_id[:16] in both.error
    assert labeled.made.judge_id[:16] in both.error
    unlabelled = run_publish(labeled.output, *source, "--judge", other.made.judge_id[:8])
    assert unlabelled.exit_code == 1
    assert "z.parquet: rows 0 to 6" in unlabelled.error
    assert run_publish(labeled.output, *source, "--judge", labeled.made.judge_id[:8]).exit_code == 0
    assert_live_is(labeled)


def test_no_more_than_a_few_parts_are_held(
    labeled: LabeledInput, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        labeled.shard(f"more-{number}.parquet", 160)
    begun = itertools.count(1)
    ahead: list[int] = []
    written: list[int] = []
    read, write = part_files.read_part, compact_parts._write

    def counted_read(*arguments: Any) -> pa.Table:
        ahead.append(next(begun) - len(written))
        return read(*arguments)

    def counted_write(*arguments: Any) -> None:
        write(*arguments)
        written.append(1)

    monkeypatch.setattr(judged_rows, "read_part", counted_read)
    monkeypatch.setattr(compact_parts, "_write", counted_write)
    labeled.publish(SMALL)
    assert len(written) == len(ahead) >= 40
    assert max(ahead) <= compact_parts.THREADS


def test_commit_needs_the_shard_as_it_is_now(labeled: LabeledInput) -> None:
    (entry,) = labeled.source.list("a.parquet")
    stale = shard_key("a.parquet", entry.size, "an older version")
    rows = labeled.shards["a.parquet"][:16]
    assert commit_part(labeled.output, labeled.made.judge_id, Unit("a.parquet", stale, 0, 16), rows)
    labeled.publish()
    assert_live_is(labeled)
