"""Publishing on a real S3 server: races, readers that poll meanwhile, and no right to delete."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import datasets
import pytest

import pipeline
from pipeline.runtime.errors import InputError, LeaseHeldError, PublishConflictError
from pipeline.store.lease import LeaseRecord
from pipeline.store.object_store import Store, Version
from pipeline.store.s3_objects import Objects
from schemas.manifest import Manifest
from tests.publishing import SMALL, LabeledInput, assert_live_is, latest_of, run_publish
from tests.s3_server import BUCKET, JOB, S3Server

pytestmark = pytest.mark.s3
LEASE = "leases/writer.json"
SLOW = SMALL.model_copy(update={"lease_s": 60.0})


@pytest.fixture
def labeled(
    s3: S3Server, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[LabeledInput]:
    """Three labelled shards on the server, under a prefix of the test's own."""
    for name, value in s3.environment(JOB).items():
        monkeypatch.setenv(name, value)
    Objects.clear_instance_cache()  # it remembers the key before
    made = LabeledInput.at(f"s3://{BUCKET}/out/{request.function.__name__}")
    for number in range(3):
        made.shard(f"{number}.parquet", 20, seed=number)
    yield made
    Objects.clear_instance_cache()


def test_of_many_that_swap_one_version_one_wins(labeled: LabeledInput) -> None:
    version: Version | None = None
    for attempt in range(5):
        bodies = [f"{attempt} {writer}".encode() * 100 for writer in range(16)]

        def swap(body: bytes, expected: Version | None = version) -> Version | None:
            return labeled.output.swap("race", body, expected)

        with ThreadPoolExecutor(16) as threads:
            won = [new for new in threads.map(swap, bodies) if new is not None]
        (version,) = won
        assert labeled.output.read_version("race") == version
    assert version is not None
    assert labeled.output.swap("race", b"late", None) is None
    assert labeled.output.swap("not-there", b"late", version) is None
    assert labeled.output.read_version("not-there") is None


def test_an_upload_is_seen_when_it_is_whole(labeled: LabeledInput) -> None:
    for size in (100, 17 * 2**20):  # one PUT, and a multipart upload
        key, data = f"files/{size}", bytes(size)
        for end in ("abort", "commit"):
            upload = labeled.output.upload(key)
            for start in range(0, size, 2**20):
                upload.write(data[start : start + 2**20])
            assert labeled.output.size(key) is None
            getattr(upload, end)()
            del upload
        assert labeled.output.read(key) == data


def test_published_read_and_gone_back(labeled: LabeledInput) -> None:
    first = labeled.publish().manifest
    assert assert_live_is(labeled).snapshot_id == first.snapshot_id
    for shard in first.shards:
        (entry,) = labeled.source.list(shard.path)
        assert (shard.content, shard.bytes) == (entry.etag, entry.size)
    labeled.shard("1.parquet", 11, seed=9)
    assert run_publish(labeled.output, "--input", labeled.source.uri).exit_code == 0
    assert_live_is(labeled)
    outcome = run_publish(labeled.output, "--rollback", first.snapshot_id, "--list")
    assert outcome.exit_code == 0
    assert latest_of(labeled.output)["snapshot_id"] == first.snapshot_id
    assert JOB.secret not in str(outcome)


def test_datasets_loads_the_files_of_a_snapshot(
    labeled: LabeledInput, tmp_path_factory: Any
) -> None:
    labeled.publish()
    files = pipeline.snapshot_files(labeled.output.uri)
    assert all(file.startswith(labeled.output.uri) for file in files)
    cache = str(tmp_path_factory.mktemp("cache"))
    loaded = datasets.load_dataset("parquet", data_files=files, split="train", cache_dir=cache)
    assert sorted(loaded["pair_id"][:]) == sorted(
        row["pair_id"] for row in labeled.expected("labels")
    )


def test_retention_without_the_right_to_delete(labeled: LabeledInput) -> None:
    for number in range(3):
        labeled.shard("0.parquet", 4, seed=number)
        labeled.publish()
    outcome = run_publish(labeled.output, "--keep", "1")
    assert outcome.exit_code == 2
    assert "manifest.json: access is denied" in outcome.error
    assert_live_is(labeled)


def test_two_publishers_at_once(labeled: LabeledInput) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def gate(output: Store, manifest: Manifest) -> Mapping[str, Any]:
        begun.set()
        assert go_on.wait(60)
        return {"passed": True}

    with ThreadPoolExecutor(1) as threads:
        config = SMALL.model_copy(update={"lease_s": 12.0})
        first = threads.submit(labeled.publish, config, "first", gate=gate)
        assert begun.wait(60)
        with pytest.raises(LeaseHeldError, match="held by run first on host"):
            labeled.publish(config, "second")
        with pytest.raises(InputError, match="nothing is published"):
            pipeline.open_snapshot(labeled.output.uri)
        go_on.set()
        assert first.result().changed
    assert latest_of(labeled.output)["published_by"] == "first"
    assert_live_is(labeled)


def test_a_publisher_that_stalled_and_lost_its_lease_changes_nothing(labeled: LabeledInput) -> None:
    labeled.publish()

    def stall(output: Store, manifest: Manifest) -> Mapping[str, Any]:
        """Meanwhile another run gets its lease, and publishes."""
        found = output.read_version(LEASE)
        assert found is not None
        held = LeaseRecord.parse(found.data, LEASE)
        free = replace(held, released=True)
        assert output.swap(LEASE, free.to_json(), found) is not None
        labeled.shard("2.parquet", 5, seed=8)
        assert labeled.publish(SLOW, "faster").changed
        return {"passed": True}

    labeled.shard("1.parquet", 9, seed=7)
    with pytest.raises(PublishConflictError, match="published by run faster while this") as lost:
        labeled.publish(SLOW, "stalled", gate=stall)
    assert lost.value.exit_code == 5
    assert latest_of(labeled.output)["published_by"] == "faster"
    assert_live_is(labeled)


def test_a_reader_never_sees_a_mixture(labeled: LabeledInput) -> None:
    """Every shard is rewritten for every publish; the pair ids say for which."""
    seen: set[tuple[str, int]] = set()
    stop = threading.Event()

    def generation(number: int) -> None:
        for shard in range(3):
            labeled.shard(f"{shard}.parquet", 10 + number, seed=number, unit_rows=30)
        assert labeled.publish(SLOW).changed

    def poll() -> None:
        while not stop.wait(0.05):
            rows = (
                pipeline.open_snapshot(labeled.output.uri).to_table(use_threads=False).to_pylist()
            )
            (seed,) = {row["pair_id"].split("-")[0] for row in rows}
            seen.add((seed, len(rows)))

    generation(0)
    with ThreadPoolExecutor(2) as threads:
        readers = [threads.submit(poll) for _ in range(2)]
        try:
            for number in range(1, 5):
                generation(number)
        finally:
            stop.set()
        for reader in readers:
            reader.result()
    assert len(dict(seen)) == len(seen) > 1
    for seed, size in seen:
        kinds = [(int(seed) + row) % 5 for row in range(10 + int(seed))]
        assert size == 3 * (len(kinds) - kinds.count(4))
    assert_live_is(labeled)
