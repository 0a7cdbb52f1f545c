"""The gate on a real S3 server, by credentials that may not delete."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace

import pytest

from pipeline.snapshots.quality.measure_snapshot import read_quality
from pipeline.store.s3_objects import Objects
from tests.measuring import Corpus, random_corpus, random_pairs, random_votes
from tests.publishing import latest_of, run_publish
from tests.s3_server import BUCKET, JOB, S3Server

pytestmark = pytest.mark.s3


@pytest.fixture
def corpus(
    s3: S3Server, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[Corpus]:
    for name, value in s3.environment(JOB).items():
        monkeypatch.setenv(name, value)
    Objects.clear_instance_cache()  # it remembers the key before
    yield random_corpus(f"s3://{BUCKET}/out/{request.function.__name__}")
    Objects.clear_instance_cache()


def test_a_blocked_snapshot_is_kept_and_readers_keep_theirs(
    corpus: Corpus, tmp_path_factory: pytest.TempPathFactory
) -> None:
    arguments = ("--input", corpus.source.uri, "--set", "publish.row_group_mb=0.03")
    first = run_publish(corpus.output, *arguments)
    assert first.exit_code == 0
    live = latest_of(corpus.output)
    # The same labels of the same pairs have the same figures, wherever they are stored.
    quality = read_quality(corpus.output, live["snapshot_id"])
    local = random_corpus(str(tmp_path_factory.mktemp("local")))
    made = run_publish(local.output, "--input", local.source.uri)
    other = read_quality(local.output, made.event("published")["snapshot"])
    assert quality is not None
    assert other is not None
    assert quality.gold is not None
    assert replace(quality, snapshot_id="", gold=None) == replace(other, snapshot_id="", gold=None)
    assert quality.gold.source == corpus.source.uri

    rng = random.Random(1)
    corpus.write("a.parquet", random_pairs(rng, 90), random_votes(rng, 90, favour=1.0))
    blocked = run_publish(corpus.output, *arguments, "--set", "gate.at_most.preference_a=0.3")
    assert blocked.exit_code == 3
    assert "  preference_a: got " in blocked.error
    assert latest_of(corpus.output) == live
