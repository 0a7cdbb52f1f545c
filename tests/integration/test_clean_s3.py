"""``pairmill clean`` on a real S3 server, while readers poll and nights go on."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

import pipeline
from pipeline.parts.index_update import update_index
from pipeline.store.s3_objects import Objects
from tests.cleaning import THEIRS, run_clean, stored_votes
from tests.publishing import SMALL, LabeledInput, latest_of
from tests.s3_server import BUCKET, CLEANER, JOB, S3Server

pytestmark = pytest.mark.s3
SLOW = SMALL.model_copy(update={"lease_s": 60.0})
LIMITS = ("--clean.snapshots.keep=1", "--clean.parts_days=0", "--apply")


@pytest.fixture
def labeled(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[LabeledInput]:
    """Two labelled shards on the server, where this key may delete."""
    for name, value in s3.environment(CLEANER).items():
        monkeypatch.setenv(name, value)
    Objects.clear_instance_cache()  # it remembers the key before
    made = LabeledInput.at(f"s3://{BUCKET}/cleaned/{id(monkeypatch)}")
    for number in range(2):
        made.shard(f"{number}.parquet", 20, seed=number)
    yield made
    Objects.clear_instance_cache()


def test_a_reader_that_polls_misses_nothing(labeled: LabeledInput) -> None:
    """Every generation rewrites a shard; after each of them all that may go goes."""
    stop, read = threading.Event(), list[int]()
    for key in THEIRS:
        labeled.output.put(key, b"theirs")

    def poll() -> None:
        while not stop.wait(0.05):
            rows = pipeline.open_snapshot(labeled.output.uri).to_table(use_threads=False)
            read.append(rows.num_rows)

    labeled.publish(SLOW)
    with ThreadPoolExecutor(1) as threads:
        reader = threads.submit(poll)
        try:
            for number in range(1, 5):
                labeled.shard("0.parquet", 20, seed=5 * number)  # the same votes
                update_index(labeled.output, labeled.made.judge_id)
                assert labeled.publish(SLOW).changed
                votes = stored_votes(labeled.output)
                outcome = run_clean(labeled.output, *LIMITS)
                assert (outcome.exit_code, outcome.error) == (0, "")
                assert stored_votes(labeled.output) == votes
        finally:
            stop.set()
        reader.result()
    assert set(read) == {len(labeled.expected("labels"))}
    latest = latest_of(labeled.output)
    left = {entry.key.split("/")[1] for entry in labeled.output.list("snapshots")}
    assert left - {"README.md", "0123456789abcdef"} == {
        latest["snapshot_id"], latest["previous"], "LATEST.json", "files"
    }  # fmt: skip
    assert [labeled.output.read(key) for key in THEIRS] == [b"theirs"] * len(THEIRS)
    versions = {entry.key.rsplit("/", 1)[0] for entry in labeled.output.list("parts")}
    # Of the shard that is rewritten the version of each snapshot that stays, and of the other one.
    assert len(versions - {"parts/judge=0123456789abcdef"}) == 3


def test_without_the_right_to_delete(
    s3: S3Server, labeled: LabeledInput, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3.environment(JOB).items():
        monkeypatch.setenv(name, value)
    Objects.clear_instance_cache()
    job = LabeledInput.at(f"s3://{BUCKET}/out/cleaned")
    for number in range(3):
        job.shard("0.parquet", 20, seed=number)
        job.publish(SLOW)
    assert run_clean(job.output, *LIMITS[:1]).exit_code == 0
    outcome = run_clean(job.output, *LIMITS)
    assert outcome.exit_code == 2
    assert "manifest.json: access is denied" in outcome.error
    assert pipeline.open_snapshot(job.output.uri).count_rows() == len(job.expected("labels"))
