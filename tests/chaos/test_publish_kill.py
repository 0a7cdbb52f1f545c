"""The publisher is killed at every step: readers get the snapshot before or the new one, whole."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from pipeline.snapshots.manifests import SnapshotListing
from pipeline.store.object_store import Store
from pipeline.store.s3_objects import Objects
from tests.chaos.dying import dying
from tests.chaos.publish_and_die import GATE
from tests.derivations import Labelled
from tests.publishing import LabeledInput, assert_live_is, latest_of, stored_files
from tests.s3_server import BUCKET, JOB, S3Server


def request(labeled: LabeledInput, die_at: int | None) -> dict[str, Any]:
    return {"source": labeled.source.uri, "output": labeled.output.uri, "die_at": die_at}


@pytest.fixture
def place(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Where the input is, and the environment that reaches it."""
    if request.param == "local":
        yield str(tmp_path), {}
        return
    server: S3Server = request.getfixturevalue("s3")
    environment = server.environment(JOB)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    Objects.clear_instance_cache()
    yield f"s3://{BUCKET}/out/kill", environment
    Objects.clear_instance_cache()


def copied(labeled: LabeledInput, uri: str) -> LabeledInput:
    """The same input with a copy of the output, as it is now."""
    made = Labelled(Store(uri), labeled.made.judge, labeled.made.judge_id)
    for entry in labeled.output.list():
        if entry.key.startswith(("snapshots/LATEST", "leases/")):
            found = labeled.output.read_version(entry.key)
            assert found is not None
            assert made.output.swap(entry.key, found.data, None) is not None
        else:
            made.output.put(entry.key, labeled.output.read(entry.key))
    return LabeledInput(labeled.source, made, dict(labeled.shards))


@pytest.mark.parametrize(
    ("place", "every"),
    [
        ("local", False),
        pytest.param("s3", False, marks=pytest.mark.s3),
        pytest.param("local", True, marks=pytest.mark.long),
    ],
    indirect=["place"],
)
def test_killed_at_every_step(place: tuple[str, Mapping[str, str]], every: bool) -> None:
    """Of the files that are written one after another, at those of the first and the last."""
    uri, environment = place
    before = LabeledInput.at(uri)
    for number in range(3):
        before.shard(f"{number}.parquet", 40, seed=number)
    old = before.publish(gate=GATE).manifest
    shards = dict(before.shards)
    before.shard("1.parquet", 33, seed=7)
    after = dict(before.shards)

    with dying("tests.chaos.publish_and_die", environment) as ask:
        whole = copied(before, f"{uri}/whole")
        done = ask(request(whole, None))
        assert (done["signal"], done["exit"]) == (None, 0)
        new = assert_live_is(whole)
        folder = f"snapshots/{new.snapshot_id}"
        reused = {file.path for file in old.files}
        files = [file.path for file in new.files if file.path not in reused]
        assert len(files) == 4  # of the one shard that changed, and its browse index
        written = [f"{step} {path}" for path in files for step in ("begin", "commit")]
        # On S3 a create is a swap of nothing.
        created = [f"{folder}/manifest.json", f"{folder}/gate/0.json"]
        swapped = [f"swap {key}" for key in created] if environment else []
        measured = [f"put {folder}/tallies.jsonl.gz", f"put {folder}/quality.json"]
        assert sorted(done["steps"]) == sorted(
            [
                *written,
                *swapped,
                f"create {folder}/manifest.json",
                f"create {folder}/gate/0.json",
                *measured,
                "swap snapshots/LATEST.json",
                *["swap leases/writer.json"] * 2,  # taken, released
                "end",
            ]
        )
        steps = done["steps"]
        assert (
            steps.index(f"create {folder}/manifest.json") == len(written) + 1
        )  # last of the files
        after_manifest = len(written) + 2 + bool(swapped)
        assert steps[after_manifest : after_manifest + 2] == measured
        published = steps.index("swap snapshots/LATEST.json")

        # On S3, where a process takes seconds to connect, only around what readers follow.
        died_at = set(range(published - 1, len(steps)))
        if not environment:
            died_at = set(range(len(steps)))
        if not every:
            died_at -= set(range(3, len(written)))
        for number in sorted(died_at):
            labeled = copied(before, f"{uri}/killed-{number}")
            died = ask(request(labeled, number))
            assert (died["signal"], died["exit"]) == (signal.SIGKILL, None)
            assert died["steps"] == steps[:number]
            visible = number > published
            labeled.shards = after if visible else shards
            assert_live_is(labeled)
            live = new.snapshot_id if visible else old.snapshot_id
            assert latest_of(labeled.output)["snapshot_id"] == live
            whole_ones = {
                name for name, has in SnapshotListing.of(labeled.output).ids.items() if has
            }
            manifest_is_there = number > len(written) + 1
            assert whole_ones == {old.snapshot_id, *[new.snapshot_id] * manifest_is_there}

            again = ask(request(labeled, None))
            assert (again["signal"], again["exit"]) == (None, 0)
            labeled.shards = after
            assert assert_live_is(labeled).files == new.files
            assert stored_files(labeled.output) == stored_files(whole.output)
