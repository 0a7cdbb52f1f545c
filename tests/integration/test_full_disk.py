"""A disk that is full, at every page of what a command writes: nothing half written counts.

Each test gives a command a page more each time, from none on, until it can end. Until then it must
end with one sentence; what it has left must not be taken for a whole.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import pytest
from starlette.testclient import TestClient

from pipeline.gold.answers import read_answers
from pipeline.gold.gold_sets import create_set
from pipeline.pairs.input_config import InputConfig
from pipeline.review.access import Access, Guard, Tokens
from pipeline.review.annotation import shown_order
from pipeline.review.review_server import application
from pipeline.review.reviewed_output import Reviewed
from pipeline.snapshots import table_writer
from pipeline.snapshots.manifests import live, read_latest
from pipeline.store.host import Host
from pipeline.store.object_store import Store
from schemas.gold import Draw, DrawnPair, GoldSet
from schemas.manifest import Manifest
from tests.chaos.dying import dying
from tests.exporting import FOR_A, FOR_B, Corpus, export_rows, folder_of, run_export
from tests.full_disk import SmallDisk, small_disk
from tests.labeling import (
    assert_exact,
    label_arguments,
    run_label,
    run_records,
    write_config,
)
from tests.nights import nights
from tests.publishing import LabeledInput, assert_live_is, live_rows, run_publish
from tests.shards import pair, write_shard
from tests.without_ray import label_here


class Outcome(Protocol):
    """How a command ended."""

    @property
    def exit_code(self) -> int: ...

    @property
    def error(self) -> str: ...


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SmallDisk]:
    """A disk on which every command counts as a process of its own, which has ended by the next.

    A lease cannot be released on a full disk; it runs out, or its holder is known to have ended.
    """
    monkeypatch.setattr(Host, "has_ended", lambda host, process: True)
    with small_disk(tmp_path / "disk", 4_096) as mounted:
        yield mounted


def run_on_ever_more(
    disk: SmallDisk, command: Callable[[], Outcome], check: Callable[[], object], step: int = 1
) -> int:
    """Runs a command with ``step`` pages more each time; returns how often it could not end."""
    refused = 0
    while True:
        disk.leave(step * refused)
        outcome = command()
        assert disk.unfinished() == []
        if outcome.exit_code == 0:
            return refused
        assert_said_full(outcome, disk)
        check()
        refused += 1


def assert_said_full(outcome: Outcome, disk: SmallDisk) -> None:
    """Asserts that the caller's fault is said in one sentence, which names path and cause."""
    assert outcome.exit_code == 2, outcome.error
    said = (
        rf"error: {re.escape(str(disk.root))}[^:]*: the disk is full, .*: make room, and run again"
    )
    assert re.match(said, outcome.error), outcome.error
    assert outcome.error.count("\n") == 1


def test_publish(disk: SmallDisk, tmp_path: Path) -> None:
    labeled = LabeledInput.at(str(disk.root))
    for number, name in enumerate(("a.parquet", "sub/b.parquet")):
        labeled.shard(name, 40, seed=number)
    source, output = labeled.source.uri, labeled.output

    def whole_or_none() -> None:
        """What readers find before this publishes: nothing, and no damaged manifest."""
        assert read_latest(output) is None
        for entry in output.list("snapshots"):
            if entry.key.endswith("manifest.json"):
                assert_files_are_whole(output, entry.key)
            output.delete(entry.key)  # so that each try begins from the first file

    def publish() -> Outcome:
        return run_publish(output, "--input", source)

    assert run_on_ever_more(disk, publish, whole_or_none, step=3) > 5
    assert_live_is(labeled)

    # A later snapshot, for which files of earlier tries stay: the one before is live until then.
    disk.make_room()
    before = live(output)
    labeled.shard("z.parquet", 30, seed=7)

    def still() -> None:
        found = live(output)
        assert replace(found, epoch=before.epoch) == before

    assert run_on_ever_more(disk, publish, still) > 3
    assert_live_is(labeled)


def test_publish_without_room_for_temporary_files(
    disk: SmallDisk, labeled: LabeledInput, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table_writer, "_IN_MEMORY_BYTES", 1)
    monkeypatch.setattr(tempfile, "tempdir", str(disk.root))
    disk.leave(0)
    source = ("--input", labeled.source.uri)
    assert_said_full(run_publish(labeled.output, *source), disk)
    disk.make_room()
    assert run_publish(labeled.output, *source).exit_code == 0
    assert_live_is(labeled)


def assert_files_are_whole(output: Store, key: str) -> None:
    """Asserts that every file that a manifest names is there as it says."""
    for file in Manifest.parse(output.read(key), key).files:
        data = output.read(file.path)
        assert hashlib.sha256(data).hexdigest() == file.sha256


def test_export(disk: SmallDisk) -> None:
    corpus = Corpus.at(disk.root)
    corpus.shard("a.parquet", [pair(n) for n in range(20)], [FOR_A, FOR_B] * 10)
    corpus.publish(gate=lambda output, manifest: {"passed": True})
    done = []

    def export() -> Outcome:
        done.append(run_export(corpus.output))
        return done[-1]

    def no_export() -> None:
        keys = [entry.key for entry in corpus.output.list("exports")]
        assert [key for key in keys if key.endswith("/export.json")] == []

    assert run_on_ever_more(disk, export, no_export, step=4) > 5
    rows = export_rows(corpus.output, folder_of(done[-1], corpus.output))
    assert sorted(row["pair_id"] for row in rows) == sorted(
        row["pair_id"] for row, _ in corpus.labelled()
    )


def test_an_answer_of_review(disk: SmallDisk) -> None:
    corpus, root = Corpus.at(disk.root), "http://127.0.0.1"
    corpus.shard("a.parquet", [pair(n, images=None) for n in range(4)], [FOR_A, FOR_B] * 2)
    corpus.publish(gate=lambda output, manifest: {"passed": True})
    hashes = [row["pair_hash"] for row in live_rows(corpus.output)]
    pairs = tuple(DrawnPair(pair_hash=each) for each in hashes)
    draw = Draw("2026-11-29T12:00:00+00:00", "run", "imported", pairs=pairs)
    create_set(corpus.output, GoldSet("one", draw.drawn_at, "run", draws=(draw,)))
    tokens = Tokens("a secret of the tests, long enough")
    reviewed = Reviewed(Store(corpus.output.uri), None, InputConfig(), 2**30)
    reviewed.inputs.read_all()
    guarded = Guard(application(reviewed, tokens), tokens, frozenset({"127.0.0.1"}), 80)
    form = {"pair": hashes[0], "after": "0", "choice": "1", "note": "n" * 9_000}
    with TestClient(guarded, base_url=root) as client:
        page = {"who": "ann", "set": "one", "token": tokens.of(Access("ann", "one"))}
        assert client.get("/annotate", params=page).status_code == 200
        for pages in range(3):  # it takes three
            disk.leave(pages)
            answer = client.post("/annotate", data=form, headers={"Origin": root})
            assert answer.status_code == 503
            assert "Your answer is not stored" in answer.text
            assert "the disk is full" in answer.text
            assert disk.unfinished() == []
            assert read_answers(Store(corpus.output.uri), "one") == []
        disk.make_room()
        assert client.post("/annotate", data=form, headers={"Origin": root}).status_code == 200
    (given,) = read_answers(corpus.output, "one")
    assert (given.revision, given.said) == (1, shown_order("ann", hashes[0])[0])


@pytest.mark.usefixtures("shared_ray")
def test_label(
    disk: SmallDisk, tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With room for nothing, and for some of the parts."""
    shards = {"a.parquet": [pair(number, images=None) for number in range(64)]}
    write_shard(tmp_path / "in" / "a.parquet", shards["a.parquet"], 32)
    changes = {"engine": {"units_in_flight": 1}, "input": {"unit_rows": 8}}
    config, output = write_config(tmp_path / "c.yaml", model, changes), disk.root / "out"
    for pages in (0, 30):
        disk.leave(pages)
        assert_said_full(run_label(config, tmp_path / "in", output), disk)
        assert disk.unfinished() == []
        assert run_records(output) == []
    disk.make_room()
    label_here(monkeypatch)
    last = run_label(config, tmp_path / "in", output)
    assert (last.exit_code, last.error) == (0, "")
    assert 0 < last.event("done")["pairs"] < 64
    assert_exact(output, shards)
    assert [run["state"] for run in run_records(output)] == ["done"]


@dataclass(frozen=True)
class Ended:
    """How a process ended."""

    exit_code: int
    error: str


def test_nights(disk: SmallDisk, tmp_path: Path, model: Path) -> None:
    """Each a process of its own that judges without Ray."""
    shards = {"a.parquet": [pair(number, images=None) for number in range(24)]}
    write_shard(tmp_path / "in" / "a.parquet", shards["a.parquet"], 8)
    changes = {"input": {"unit_rows": 8}, "nightly": {"exports": [{"format": "jsonl"}]}}
    config, output = write_config(tmp_path / "c.yaml", model, changes), disk.root / "out"
    request = {"job": "nightly", "arguments": label_arguments(config, tmp_path / "in", output)}
    with dying("tests.chaos.jobs_in_process", {}) as ask:

        def night() -> Outcome:
            answer = ask(request)
            logged = ("{", "[")  # by the worker, which has another process elsewhere
            said = [line for line in answer["error"].splitlines() if not line.startswith(logged)]
            return Ended(answer["exit"], "".join(f"{line}\n" for line in said))

        def closed() -> None:
            """No record says that a run goes on; where only the report failed, all else is done."""
            ends = {(found["state"], found["exit_code"]) for found in nights(output)}
            assert ends <= {("failed", 2), ("published", 2), ("unchanged", 2)}

        assert run_on_ever_more(disk, night, closed, step=4) > 3
        disk.make_room()
        assert ask(request)["exit"] == 0
    assert_exact(output, shards)
    assert {row["pair_id"] for row in live_rows(Store(str(output)))} == {
        row["pair_id"] for row in shards["a.parquet"]
    }
