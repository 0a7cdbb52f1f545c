"""``pairmill clean``: what goes, what stays whatever is asked for, and files of others."""

from __future__ import annotations

import datetime
import itertools
import json
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.parts.index_update import update_index
from pipeline.parts.label_index import open_index
from pipeline.parts.part_keys import Part, part_name
from pipeline.retention import clean
from pipeline.retention.stored import Stored
from pipeline.snapshots.manifests import LATEST_KEY, folder_of, manifest_key, read_manifest
from pipeline.store.host import Host
from pipeline.store.object_store import Store
from pipeline.store.removal import remove_objects
from tests.cleaning import THEIRS, gone, objects, run_clean, stored_votes
from tests.derivations import run_derive
from tests.publishing import LabeledInput, latest_of, live_rows, run_publish, stored_files

ALL = [
    f"--clean.{name}"
    for kind in ("snapshots", "exports", "derived", "canaries", "runs")
    for name in (f"{kind}.keep=1", f"{kind}.days=0")
]
ALL += ["--clean.attempts_days=0", "--clean.parts_days=0"]


@pytest.fixture
def labeled(tmp_path: Path) -> LabeledInput:
    made = LabeledInput.at(str(tmp_path))
    made.shard("a.parquet", 20)
    made.shard("b.parquet", 20)
    return made


def published(labeled: LabeledInput, count: int) -> list[str]:
    """So many snapshots that went live, oldest first."""
    ids = []
    for number in range(count):
        labeled.shard("b.parquet", 20, seed=5 * number + 5)  # other bytes, the same votes
        update_index(labeled.output, labeled.made.judge_id)
        ids.append(labeled.publish(run_id=f"2026112{number}T010000-abcdef").manifest.snapshot_id)
    return ids


def named_files(output: Store, snapshots: Iterable[str]) -> set[str]:
    """The keys of the files that snapshots name."""
    return {file.path for name in snapshots for file in read_manifest(output, name).files}


def test_a_dry_run_says_what_would_go_and_removes_nothing(labeled: LabeledInput) -> None:
    first, second, third = published(labeled, 3)
    before = objects(labeled.output)
    outcome = run_clean(labeled.output, "--clean.snapshots.keep", "1")
    assert (outcome.exit_code, outcome.error) == (0, "")
    why = {
        ("snapshot", first): "not among the newest 1",
        ("files of snapshots", "files"): "no snapshot names them",
        ("files of an index", f"judge={labeled.made.judge_id[:16]}"): (
            "a later state of the index does not name them"
        ),
    }
    assert gone(outcome, "would remove") == why
    assert objects(labeled.output) == before
    listed = list(labeled.output.list(folder_of(first)))
    (event,) = [each for each in outcome.events if each.get("name") == first]
    assert event["objects"] == len(listed)
    assert event["bytes"] == sum(entry.size for entry in listed)

    of_first, of_others = (named_files(labeled.output, ids) for ids in ([first], [second, third]))
    assert gone(run_clean(labeled.output, "--clean.snapshots.keep", "1", "--apply")) == why
    after = objects(labeled.output)
    assert {key for key in before.keys() - after.keys() if not key.startswith("index/")} == {
        entry.key for entry in listed
    } | (of_first - of_others)
    assert of_first - of_others
    assert all(before[key] == data for key, data in after.items())
    assert read_manifest(labeled.output, second).snapshot_id == second
    assert latest_of(labeled.output)["snapshot_id"] == third


def test_without_a_limit_only_what_nobody_can_use_goes(labeled: LabeledInput) -> None:
    published(labeled, 2)
    half = f"{folder_of('0' * 16)}/labels/00000.parquet"
    labeled.output.put(half, b"of a publisher that was killed")
    assert run_derive(labeled.made, "--policy.threshold", "0.9") == 0
    assert run_derive(labeled.made, "--policy.threshold", "0.8") == 0
    derived = [entry.key for entry in labeled.output.list("derived")]
    killed = next(key for key in derived if key.endswith("derivation.json"))
    labeled.output.delete(killed)
    folder = killed.rpartition("/")[0]
    before = objects(labeled.output)
    outcome = run_clean(labeled.output, "--apply")
    why = "has no manifest: its publisher, or its removal, was ended"
    assert gone(outcome)["snapshot", "0" * 16] == why
    why = "has no derivation.json: what made or removed it was ended"
    assert gone(outcome)["derivation", folder.removeprefix("derived/")] == why
    after = objects(labeled.output)
    removed = before.keys() - after.keys()
    ended = {half, *(key for key in derived if key.startswith(f"{folder}/"))} - {killed}
    assert ended <= removed
    assert {key.split("/")[0] for key in removed - ended} <= {"index"}


def test_files_of_others_stay_and_are_named(labeled: LabeledInput) -> None:
    first, *_ = published(labeled, 4)
    theirs = {*THEIRS, f"{folder_of(first)}/notes.txt", f"{folder_of(first)}/labels/0.parquet"}
    for key in theirs:
        labeled.output.put(key, b"theirs")
    outcome = run_clean(labeled.output, *ALL, "--apply")
    assert (outcome.exit_code, outcome.error) == (0, "")
    assert ("snapshot", first) in gone(outcome)
    after = objects(labeled.output)
    assert {key for key, data in after.items() if data == b"theirs"} == theirs
    left = outcome.event("not ours, left")
    assert (left["objects"], left["bytes"]) == (len(theirs), 6 * len(theirs))


def test_dead_versions_go_once_their_votes_are_elsewhere(labeled: LabeledInput) -> None:
    published(labeled, 3)  # b.parquet has three versions; all have the same votes
    labeled.shard("a.parquet", 10, seed=1)  # a second version, with other votes
    update_index(labeled.output, labeled.made.judge_id)
    labeled.publish()
    votes, parts = stored_votes(labeled.output), [e.key for e in labeled.output.list("parts")]
    limits = ("--clean.snapshots.keep=1", "--clean.snapshots.days=0", "--clean.parts_days=0")
    outcome = run_clean(labeled.output, *limits, "--apply")
    assert {kind for kind, _ in gone(outcome)} >= {"snapshot", "parts of a shard"}
    left = [entry.key for entry in labeled.output.list("parts")]
    assert stored_votes(labeled.output) == votes
    # Of b.parquet only the version of today is left; of a.parquet the first, too: its votes are.
    assert sorted(versions(parts)) == [2, 4]
    assert sorted(versions(left)) == [1, 2]
    index = update_index(labeled.output, labeled.made.judge_id)
    assert {key for key, _ in index.part_keys() if key} == set(left)
    assert sum(not key for key, _ in index.part_keys()) == len(parts) - len(left)
    assert latest_of(labeled.output)["snapshot_id"]
    assert labeled.publish().live


def test_a_revision_stays_while_an_earlier_one_would_count_in_its_place(
    labeled: LabeledInput,
) -> None:
    published(labeled, 2)
    output, judge = labeled.output, labeled.made.judge_id
    update_index(output, judge)
    limits = ("--clean.snapshots.keep=1", "--clean.snapshots.days=0", "--clean.parts_days=0")
    planned = gone(run_clean(output, *limits), "would remove")
    thing = next(name for kind, name in planned if kind == "parts of a shard")
    keys = [entry.key for entry in output.list(f"parts/{thing}")]
    dead = next(part for key in keys if (part := Part.of(key)))
    rows = pq.read_table(pa.BufferReader(output.read(dead.key)))
    votes = rows["votes"].combine_chunks()
    other = [[{**vote, "rationale": "other"} for vote in row.as_py()] for row in votes]
    column = rows.schema.get_field_index("votes")
    rows = rows.set_column(column, "votes", pa.array(other, votes.type))
    before = f"{dead.key.rpartition('/')[0]}/{part_name(dead.start, dead.stop, dead.revision - 1)}"
    written = pa.BufferOutputStream()
    pq.write_table(rows, written)
    output.put(before, bytes(written.getvalue()))
    assert run_clean(output, *limits, "--apply").exit_code == 0
    assert {entry.key for entry in output.list(f"parts/{thing}")} == {before, dead.key}


def versions(parts: Iterable[str]) -> Iterable[int]:
    """How many versions of each shard have parts."""
    folders = {key.rpartition("/")[0] for key in parts}
    return Counter(folder.rpartition("/")[0] for folder in folders).values()


def test_what_states_that_nothing_is_known_stops_it(labeled: LabeledInput) -> None:
    first, *_, last = published(labeled, 3)
    manifest = labeled.output.read(manifest_key(first))
    labeled.output.put(manifest_key(first), b"{}")
    before = objects(labeled.output)
    damaged = run_clean(labeled.output, *ALL, "--apply")
    assert damaged.exit_code == 2
    assert f"{folder_of(first)}/manifest.json: not a valid Manifest" in damaged.error
    labeled.output.put(manifest_key(first), manifest)
    labeled.output.delete(manifest_key(last))
    lost = run_clean(labeled.output, *ALL, "--apply")
    assert lost.exit_code == 2
    assert "LATEST.json names this snapshot; nothing was removed" in lost.error
    assert before.keys() - objects(labeled.output).keys() == {manifest_key(last)}


def test_without_a_live_snapshot_no_snapshot_goes(labeled: LabeledInput) -> None:
    ids = set(published(labeled, 3))
    labeled.output.delete(LATEST_KEY)
    outcome = run_clean(labeled.output, *ALL, "--apply")
    assert not {name for kind, name in gone(outcome) if kind == "snapshot"} & ids


def test_the_live_snapshot_is_refused(
    labeled: LabeledInput, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the plan says: what is live is looked up again before the first removal."""
    ids = published(labeled, 3)
    monkeypatch.setattr(Stored, "needed_snapshots", {})
    before = objects(labeled.output)
    outcome = run_clean(labeled.output, "--clean.snapshots.days=0", "--apply")
    assert outcome.exit_code == 1
    assert "refused to remove snapshot" in outcome.error
    assert all(name in outcome.error for name in ids[1:])
    assert objects(labeled.output) == before


def test_a_clock_that_goes_back_removes_no_more(
    labeled: LabeledInput, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A snapshot that says it is older than its parent counts as younger; ages only shrink."""
    now, day = datetime.datetime.now(datetime.UTC), datetime.timedelta(days=1)
    ids = []
    for number, offset in enumerate((0, 1, -400, 2)):  # the third by a clock that is a year back
        monkeypatch.setattr(Host, "now", lambda host, at=now + offset * day: at)
        labeled.shard("b.parquet", 20, seed=5 * number + 5)
        ids.append(labeled.publish().manifest.snapshot_id)
    ids.append(labeled.publish(gate=lambda *_: {"passed": False}).manifest.snapshot_id)

    def would_go(offset: int, *limits: str) -> set[str]:
        monkeypatch.setattr(Host, "now", lambda host: now + offset * day)
        outcome = run_clean(labeled.output, *limits)
        return {name for _, name in gone(outcome, "would remove") if name in ids}

    assert would_go(2, "--clean.snapshots.keep=3") == {ids[0]}
    assert would_go(2, "--clean.snapshots.days=1.5") == {ids[0]}
    for back in (1, 0, -1_000):
        assert would_go(back, "--clean.snapshots.days=1.5") <= {ids[0]}


def test_records_that_others_need_stay(labeled: LabeledInput) -> None:
    """Of runs, canaries and marks: the newest that judged, what published, open rows."""
    output, judge = labeled.output, f"judge={labeled.made.judge_id[:16]}"
    published(labeled, 1)  # by 20261120
    runs = {f"202601{n:02d}T010000-abcdef": n for n in range(1, 7)}
    for name, number in runs.items():
        pairs = 0 if number > 4 else 3
        record = {"judge_id": labeled.made.judge_id, "input": "in", "pairs": pairs}
        output.put(f"runs/{name}/run.json", json.dumps(record).encode())
        output.put(f"runs/{name}/report.html", b"")
    output.put("runs/20261120T010000-abcdef/hooks.json", b"{}")
    part = next(entry.key for entry in output.list("parts"))
    for name in [*runs][:3]:
        output.put(f"canaries/{name}/{part}", b"of canaries")
    shard, _, rows = part.removeprefix("parts/").rpartition("/")
    done, open_ = rows.split(".")[0], "000000900-000000901"
    for unit in (done, open_):
        output.put(f"attempts/{shard}/{unit}/alone/20260101T010000-abcdef.0", b"")
    output.put(f"attempts/{judge}/starts/20260101T010000-abcdef/{'ab' * 8}.begun", b"")
    limits = ("--clean.runs.keep=1", "--clean.canaries.keep=1", "--clean.attempts_days=1")
    assert run_clean(output, *limits, "--apply").exit_code == 0

    def left(folder: str) -> set[str]:
        return {entry.key.split("/")[1] for entry in output.list(folder)}

    # The fourth is the newest that judged; the last is of the snapshot that is live.
    assert left("runs") == {"20260104T010000-abcdef", "20261120T010000-abcdef"}
    assert left("canaries") == {"20260103T010000-abcdef"}
    assert [entry.key for entry in output.list("attempts")] == [
        f"attempts/{shard}/{open_}/alone/20260101T010000-abcdef.0"
    ]


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.sampled_from("ab"), st.integers(0, 2)),
        st.tuples(st.just("drop"), st.just("b"), st.just(0)),
        st.tuples(st.just("publish"), st.booleans(), st.just(0)),
        st.tuples(st.just("roll back"), st.integers(0, 3), st.just(0)),
        st.tuples(st.just("index"), st.just(""), st.just(0)),
        st.tuples(st.just("clean"), st.sampled_from([1, 2, 3]), st.just(0)),
    ),
    max_size=12,
)


@settings(max_examples=12, deadline=None)
@given(OPERATIONS, st.integers(1, 3))
def test_whatever_happened_nothing_that_is_needed_goes(operations: Any, keep: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        labeled = LabeledInput.at(folder)
        labeled.shard("a.parquet", 8)
        steps = [*operations, ("publish", True, 0), ("clean", keep, 0)]
        for turn, (operation, what, cast) in enumerate(steps, 1):
            act(labeled, operation, what, 5 * turn + cast)  # shards of one cast have the same votes
        assert {row["pair_id"] for row in live_rows(labeled.output)} == {
            row["pair_id"] for row in labeled.expected("labels")
        }


def act(labeled: LabeledInput, operation: str, what: Any, seed: int) -> None:
    """Does something to an output; a clean is held against what was there before."""
    name, judge = f"{what}.parquet", labeled.made.judge_id
    if operation == "write":
        labeled.shard(name, 8 + seed % 2, seed)
    elif operation == "drop" and name in labeled.shards:
        labeled.drop(name)
    elif operation == "publish":
        labeled.publish(gate=lambda *_: {"passed": what})
    elif operation == "roll back":
        ids = sorted(entry.key.split("/")[1] for entry in labeled.output.list("snapshots"))
        run_publish(labeled.output, "--rollback", ids[what % len(ids)] if ids else "none")
    elif operation == "index":
        update_index(labeled.output, judge)
    elif operation == "clean":
        check_clean(labeled.output, judge, what)


def check_clean(output: Store, judge: str, keep: int) -> None:
    """Cleans with every limit; asserts that what is needed is there."""
    for key in THEIRS:
        output.put(key, b"theirs")
    votes, found = stored_votes(output), found_votes(output, judge)
    manifests = {
        (made["created_at"], made["snapshot_id"])
        for key, data in objects(output).items()
        if key.endswith("manifest.json")
        for made in [json.loads(data)]
    }
    newest = {name for _, name in sorted(manifests)[-keep:]}
    limits = [*ALL, f"--clean.snapshots.keep={keep}", "--apply"]
    assert run_clean(output, *limits).error == ""
    after = objects(output)
    assert [after[key] for key in THEIRS] == [b"theirs"] * len(THEIRS)
    assert stored_votes(output) == votes
    assert found.items() <= found_votes(output, judge).items()
    if LATEST_KEY in after:
        latest = latest_of(output)
        newest |= {latest["snapshot_id"], latest["previous"]} - {None}
        assert newest == {key.split("/")[1] for key in after if key.endswith("/manifest.json")}
    for name in newest:
        manifest = read_manifest(output, name)
        sizes = {file.path: file.bytes for file in manifest.files}
        assert {key: len(after[key]) for key in sizes} == sizes
    again = run_clean(output, *limits)
    assert {kind for kind, _ in gone(again)} <= {"files of an index"}


def found_votes(output: Store, judge: str) -> dict[str, int]:
    """How many votes the index finds of each pair that has some."""
    index = open_index(output, judge)
    hashes = {pair for pair, *_ in stored_votes(output)}
    rows = {pair: index.find(pair) for pair in hashes if pair}
    return {pair: len(row["votes"]) for pair, row in rows.items() if row}


def test_a_clean_that_is_killed_goes_on(
    labeled: LabeledInput, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After any number of removals; what is left over goes the next time."""
    published(labeled, 4)
    limits = ("--clean.snapshots.keep=1", "--clean.parts_days=0", "--apply")

    def until(stop: int) -> Callable[[Store, Iterable[str], Callable[[], None]], None]:
        def killed(store: Store, keys: Iterable[str], check: Callable[[], None]) -> None:
            remove_objects(store, itertools.islice(keys, stop), check)
            raise KeyboardInterrupt

        return killed

    for stop in range(4):
        monkeypatch.setattr(clean, "remove_objects", until(stop))
        assert run_clean(labeled.output, *limits).exit_code == 130
        assert len(live_rows(labeled.output)) == len(labeled.expected("labels"))
    monkeypatch.undo()
    assert run_clean(labeled.output, *limits).exit_code == 0
    assert len(live_rows(labeled.output)) == len(labeled.expected("labels"))
    latest = latest_of(labeled.output)
    left = {latest["snapshot_id"], latest["previous"]}
    folders = {entry.key.split("/")[1] for entry in labeled.output.list("snapshots")}
    assert folders == {*left, "LATEST.json", "files"}
    assert stored_files(labeled.output).keys() == named_files(labeled.output, left)
