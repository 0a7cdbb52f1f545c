"""The protocol keeps its promises under every order and failure that seeds choose; bugs are found.

A failure names its seed: ``PAIRMILL_SIMULATOR_SEED=<seed> pytest tests/simulator`` replays it, for
long stories with ``PAIRMILL_SIMULATOR_STEPS=<steps>``. ``PAIRMILL_SOAK_S`` are the seconds of the
soak, by default an hour.

A planted bug is looked for in runs of one seed and those that follow it. Where the first of them
takes long to find it, the seed is one that is known to find it early.
"""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from pipeline.judging.votes import standing
from pipeline.labeling import unit_runner
from pipeline.labeling.planning import shard_planner
from pipeline.labeling.planning.reopening import Reopening
from pipeline.parts import commit
from pipeline.retention import clean, stored
from pipeline.snapshots import judged_rows, swap_latest
from pipeline.snapshots.manifests import LATEST_KEY, Latest, SnapshotListing
from pipeline.store import lease
from pipeline.store.lease import Lease
from pipeline.store.object_store import Store, Version
from tests.simulator import labeling_run, planted_bugs
from tests.simulator.invariants import BrokenPromiseError
from tests.simulator.story import StoreKind, Story, with_faults

FIXED_SEED = 7
_SEED, _LENGTH = "PAIRMILL_SIMULATOR_SEED", "PAIRMILL_SIMULATOR_STEPS"
_SOAK_S = float(os.environ.get("PAIRMILL_SOAK_S", 3_600))
_LONG = (3_000, 12_000, 48_000)  # steps: what is never cleared shows in long stories alone
_STEPS = 3_000  # of one run; a bug must be found within _RUNS of them
_RUNS = 20

# What can go wrong while every process reaches its lease in time.
STEADY = Story()
# Attempts fail often, and clients soon give up.
FAILING = with_faults(STEADY, refused=0.015, lost=0.03, gives_up=0.3, killed=0.005)
_PUBLISHERS = {"upload": 1, "label": 2, "night": 8, "publish": 4, "roll_back": 2, "read": 3}
# Holders lose their lease while they work. Without retention: a DELETE that is under way when the
# lease runs out has no condition that could refuse it. With units of one size: the same goes for a
# part that is being created, which the parts of other units may overlap by then.
CUT_OFF = with_faults(
    Story(roles=_PUBLISHERS, unit_rows=(2,), lease_s=4), cut_off=0.03, cut_off_s=8
)
# Requests are delivered again, up to half a minute later.
LATE = with_faults(Story(roles=_PUBLISHERS), late=0.3)
# Processes stop anywhere, and go on when others have taken their lease.
STALLED = with_faults(
    Story(roles=_PUBLISHERS, unit_rows=(2,), lease_s=3, slots=3),
    stalled=0.01, stalled_s=15, slow_back=0.02, killed=0,
)  # fmt: skip

# Little but nights, whose input is often as it was before.
BUSY = Story(roles={"upload": 3, "night": 10, "retain": 2}, slots=2, versions=6)
# Much is removed, and a few pairs are taken down, which the input has still.
KEPT = Story(
    roles={
        "upload": 2, "night": 6, "clean": 4, "forget": 1, "roll_back": 1, "read": 2, "retain": 1
    },
    slots=2, versions=6,
)  # fmt: skip
# Exports, which hold no lease, stop before they write a file, and pairs are taken down meanwhile,
# by what stops before it removes the snapshots.
EXPORTED = with_faults(
    Story(
        roles={"upload": 1, "night": 2, "export": 4, "forget": 3},
        slots=5, unit_rows=(3,), versions=8, lease_s=60, passes=1,
        stalling=("export", "forget"),
    ),
    stalled_at={
        "/00000.parquet": 0.7, "/00001.parquet": 0.5, "/export.json": 0.5, "LATEST.json": 0.1,
    },
    stalled_s=50, killed=0.001, refused=0.001, lost=0.001,
)  # fmt: skip
# Labeling runs stop anywhere, and commit when others have taken their lease, have removed what they
# know, and have taken pairs down.
STRAY = with_faults(
    Story(
        roles={"upload": 2, "label": 3, "night": 3, "clean": 1, "forget": 3},
        unit_rows=(2,), lease_s=3, slots=4, versions=12, pause_s=8, stalling=("label",),
    ),
    stalled_at={".parquet": 0.5}, stalled_s=60, killed=0, refused=0.003, lost=0.005,
)  # fmt: skip
# Publishers stop before they swap LATEST, and go on when others have, have refused what they
# publish, or have removed it.
RACING = with_faults(
    Story(
        roles={
            "upload": 2, "night": 4, "publish": 4, "roll_back": 1, "clean": 2, "forget": 1,
        },
        lease_s=3, slots=3, versions=4, passes=0.6,
    ),
    stalled_at={"LATEST.json": 0.5}, stalled_s=15, killed=0,
    adrift_at={"LATEST.json": 0.2}, late_s=8,
)  # fmt: skip
# The same, and hardly anything else is done between two of them.
SWAPPING = replace(RACING, roles={"upload": 1, "night": 2, "publish": 2, "roll_back": 6}, slots=4)
# Work that is checked at every step, and leases that fail now and then.
WORKING = with_faults(Story(roles={"work": 1}, slots=3), refused=0.02)

PROMISED = {
    "steady": STEADY,
    "failing": FAILING,
    "cut-off": CUT_OFF,
    "late": LATE,
    "stalled": STALLED,
    "busy": BUSY,
    "kept": KEPT,
    "exported": EXPORTED,
    "stray": STRAY,
    "racing": RACING,
}


def hunt(story: Story, seed: int, runs: int, steps: int = _STEPS) -> None:
    """Runs a story from ``runs`` seeds; what it finds names the seed."""
    for number in range(seed, seed + runs):
        try:
            story.run(number, steps)
        except BaseException as error:
            which = f"{_SEED}={number} {_LENGTH}={steps}"
            error.add_note(f"replay: {which} python -m pytest tests/simulator")
            raise


@pytest.mark.parametrize("story", PROMISED.values(), ids=PROMISED)
@pytest.mark.parametrize(
    "fresh", [False, pytest.param(True, marks=pytest.mark.long)], ids=["fixed", "fresh"]
)
def test_the_protocol_keeps_its_promises(story: Story, fresh: bool) -> None:
    seed = random.SystemRandom().randrange(10**9) if fresh else FIXED_SEED
    seed, steps = int(os.environ.get(_SEED, seed)), int(os.environ.get(_LENGTH, _STEPS))
    hunt(story, seed, 1, steps)


@pytest.mark.long
@pytest.mark.timeout(_SOAK_S + 3_600)
def test_a_soak_of_all_stories(record_property: Callable[[str, object], None]) -> None:
    runs, end, chance = 0, time.monotonic() + _SOAK_S, random.SystemRandom()
    while time.monotonic() < end:
        for name, story in PROMISED.items():
            seed, steps = chance.randrange(10**9), chance.choice(_LONG)
            try:
                hunt(story, seed, 1, steps)
            except BrokenPromiseError as error:
                error.add_note(f"story: {name}")
                raise
            runs += 1
    record_property("runs", runs)


def test_the_same_seed_gives_the_same_history() -> None:
    steps = _STEPS // 3
    first, second = (FAILING.run(FIXED_SEED, steps) for _ in range(2))
    assert len(first.world.history) >= steps
    assert first.world.history == second.world.history
    assert first.ended == second.ended
    assert FAILING.run(FIXED_SEED + 1, steps).world.history != first.world.history


def test_what_the_stories_reach() -> None:
    # Where so much fails, nobody who is to be forgotten is within these steps.
    done = {f"{role}: done" for role in FAILING.roles if role != "forget"}
    ended, how = set[str](), set[tuple[str, str]]()
    for seed in range(10, 14):  # the first of them reaches all
        run = FAILING.run(seed, _STEPS)
        ended |= {*run.ended}
        how |= {(operation, end) for _, _, operation, _, end in run.world.history}
        if done <= ended:
            break
    assert done <= ended
    assert any("forget: done" in KEPT.run(seed, _STEPS // 3).ended for seed in range(1, 5))
    assert {"publish: LeaseHeldError", "publish: StorageError", "read: StorageError"} <= ended
    assert {
        ("PUT if match", "answer lost"),
        ("PUT if match", "503"),
        ("PUT if none", "done"),
    } <= how


@pytest.mark.parametrize(
    ("store", "story", "seed", "found"),
    [
        (planted_bugs.CreateWithoutCondition, STEADY, 1, "without a condition|changed the part"),
        (planted_bugs.CreateTakesFailureForSuccess, STEADY, 1, "has no manifest|not passed a gate"),
        (planted_bugs.SwapIgnoresTag, STEADY, 14, "took the lease|acts on .* without the lease"),
        (planted_bugs.SwapTakesFailureForSuccess, WORKING, 35, "acts on .* without the lease"),
        (planted_bugs.AllProcessesSeemEnded, STEADY, 1, "took the lease"),
        (planted_bugs.UploadIgnoresFailure, STEADY, 85, "of the live snapshot .* is not whole"),
        (planted_bugs.LatestWithoutCondition, RACING, 4, "LATEST.json (from|the epoch)"),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_a_planted_bug_of_the_store_is_found(
    store: StoreKind, story: Story, seed: int, found: str
) -> None:
    with pytest.raises(BrokenPromiseError, match=found):
        hunt(replace(story, store=store), seed, _RUNS)


def test_retention_that_ignores_latest_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored.Stored, "needed_snapshots", {})
    monkeypatch.setattr(clean, "claim_latest", lambda output, lease: (None, None))
    with pytest.raises(BrokenPromiseError, match=r"removed .*manifest\.json, which LATEST"):
        hunt(STEADY, 12, _RUNS)


def test_a_manifest_that_is_believed_without_its_files_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    story = replace(FAILING, store=planted_bugs.ManifestBeforeFiles)
    hunt(story, 15, 1)  # the next publisher writes what is missing
    monkeypatch.setattr(SnapshotListing, "whole", lambda listing, manifest: True)
    with pytest.raises(BrokenPromiseError, match=r"of the live snapshot .* is not whole"):
        hunt(story, 15, _RUNS)


def test_a_lease_that_is_never_checked_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Lease, "check", lambda lease: None)
    with pytest.raises(BrokenPromiseError, match=r"acts on .* without the lease"):
        hunt(STALLED, 139, _RUNS)


def test_a_lease_that_counts_from_the_answer_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    keep = Lease._keep

    def late(held: Lease) -> bool:
        kept = keep(held)
        if held._failure is None:
            held._deadline = held._host.monotonic() + held.record.ttl_s
        return kept

    monkeypatch.setattr(Lease, "_keep", late)
    with pytest.raises(BrokenPromiseError, match=r"acts on .* without the lease"):
        hunt(STALLED, 65, _RUNS)


def test_a_check_that_is_skipped_before_latest_is_swapped_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    check = Lease.check

    def checked(lease: Lease) -> None:
        caller = sys._getframe(1).f_code.co_name
        if caller != "_swap":  # that of LATEST.json
            check(lease)

    monkeypatch.setattr(Lease, "check", checked)
    with pytest.raises(BrokenPromiseError, match=r"acts on .*LATEST.json without the lease"):
        hunt(STALLED, 139, _RUNS)


def test_a_latest_that_is_not_claimed_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Lease, "unfinished", property(lambda lease: -1))
    with pytest.raises(BrokenPromiseError, match=r"not passed a gate|has no manifest|the epoch"):
        hunt(RACING, 26, _RUNS)


def test_a_claim_that_leaves_the_epoch_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def swap(output: Store, latest: Latest, version: Version | None, lease: Lease) -> object:
        lease.check()
        epoch = latest.epoch or lease.epoch  # the object, and its tag, stay as they are
        return output.swap(LATEST_KEY, replace(latest, epoch=epoch).to_json(), version)

    monkeypatch.setattr(swap_latest, "_swap", swap)
    with pytest.raises(BrokenPromiseError, match=r"gave LATEST.json the epoch \d+, and holds"):
        hunt(RACING, 19, _RUNS)


def test_a_commit_without_a_look_at_the_lease_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labeling_run, "check_writer", lambda output, epoch: None)
    with pytest.raises(BrokenPromiseError, match="without a look at the lease"):
        hunt(STEADY, 1, _RUNS)


def _takes_the_last_unfinished_for_ended(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Lease, "unfinished", property(lambda lease: lease.record.unfinished - 1))


def _takes_a_failed_run_for_finished(patch: pytest.MonkeyPatch) -> None:
    release = Lease.release
    patch.setattr(Lease, "release", lambda lease, *, failed=False: release(lease))


@pytest.mark.parametrize(
    ("plant", "story"),
    [
        # One in nine runs: it takes a claim, and a swap after it, of a run that stops in between.
        pytest.param(_takes_the_last_unfinished_for_ended, RACING, marks=pytest.mark.long),
        (_takes_a_failed_run_for_finished, SWAPPING),
    ],
    ids=["last-unfinished", "failed"],
)
def test_a_swap_by_who_was_taken_for_ended_is_found(
    plant: Callable[[pytest.MonkeyPatch], None], story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    with pytest.raises(BrokenPromiseError, match=r"gave LATEST.json the epoch"):
        hunt(story, FIXED_SEED, _RUNS)


def test_a_contender_that_believes_its_own_clock_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def free(contest: Any) -> bool:
        held = contest._held
        now = contest._store.host.now().isoformat(timespec="milliseconds")
        return held is None or held.released or held.expires <= now

    monkeypatch.setattr(lease, "_Contest", type("C", (lease._Contest,), {"free": property(free)}))
    with pytest.raises(BrokenPromiseError, match="took the lease"):
        hunt(STEADY, FIXED_SEED, _RUNS)


def test_a_taking_that_does_not_raise_the_epoch_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease._Contest, "epoch", 0)
    with pytest.raises(BrokenPromiseError, match=r"gave the lease \w+ the epoch 1 after 1"):
        hunt(STEADY, 2, _RUNS)


def test_a_plan_that_forgets_what_is_committed_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shard_planner, "subtract", lambda ranges, done: ranges)
    monkeypatch.setattr(unit_runner, "uncommitted", lambda output, judge_id, unit: [unit])
    with pytest.raises(BrokenPromiseError, match=r"its rows are in .* too"):
        hunt(STEADY, 44, _RUNS)


def test_a_revision_that_drops_superseded_votes_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    votes = Reopening.votes

    def fewer(rule: Reopening, label: Any) -> Any:
        going_on = votes(rule, label)
        return going_on and standing(going_on)

    monkeypatch.setattr(Reopening, "votes", fewer)
    with pytest.raises(AssertionError, match="got rows without the votes of"):
        hunt(BUSY, FIXED_SEED, _RUNS)
    monkeypatch.setattr(commit, "_carries", lambda before, after: True)
    with pytest.raises(BrokenPromiseError, match="without the votes of the part before it"):
        hunt(BUSY, FIXED_SEED, _RUNS)


def test_a_compaction_that_changes_votes_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    votes_of = judged_rows._votes
    monkeypatch.setattr(judged_rows, "_votes", lambda rows: votes_of(rows)[:-1])
    with pytest.raises(BrokenPromiseError, match=r"the votes of .* are in no part"):
        hunt(STEADY, FIXED_SEED, _RUNS)
