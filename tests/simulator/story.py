"""What the simulated processes do: the real code that plans, commits, publishes and removes.

An input of a few tiny shards is rewritten now and then. Each slot runs one process after another,
of a kind that the seed chooses; a process ends when its work is done, refused, or killed.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console

from pipeline.aggregation.labeler import Labeler
from pipeline.judging.judge_cards import card_key, judge_card
from pipeline.judging.judge_config import JudgeConfig
from pipeline.judging.judge_identity import ModelVersion
from pipeline.parts.forgotten import Forgotten
from pipeline.retention.retain_snapshots import retain
from pipeline.runtime.errors import PairmillError
from pipeline.runtime.reporter import Reporter
from pipeline.runtime.stop import Stop
from pipeline.snapshots.manifests import SnapshotListing, live, read_manifest
from pipeline.snapshots.publish_config import PublishConfig
from pipeline.snapshots.publish_snapshot import publish
from pipeline.snapshots.rollback import roll_back
from pipeline.store.lease import Lease, take_lease
from pipeline.store.object_store import Store
from pipeline.store.writer_lease import writer_lease
from schemas.labels import Reason
from schemas.pairs import PAIRS
from tests.shards import pair
from tests.simulator.housekeeping import clean, export_live, forget, judge_canaries
from tests.simulator.invariants import BrokenPromiseError, Promises
from tests.simulator.labeling_run import LabelingRun, RandomJudge
from tests.simulator.memory_objects import MemoryObjects
from tests.simulator.scheduler import Process, Scheduler
from tests.simulator.simulated_store import Faults, SimulatedStore, World

_JUDGE = JudgeConfig()
_CARD = judge_card(_JUDGE, ModelVersion.named("v1"), "scripted")
_JUDGE_ID: str = _CARD["judge_id"]
_LABELER = Labeler.of(_JUDGE)
_SHARDS = ("a.parquet", "b.parquet")
_ROWS = 4
_UNIT_ROWS = (1, 2, 3)
_CONFIG = PublishConfig()
_QUIET = Reporter(Console(quiet=True), style="json")

StoreKind = Callable[[World, Process, str], SimulatedStore]
# How often a process is of which kind.
ROLES: Mapping[str, int] = {
    "upload": 1, "label": 3, "publish": 3, "night": 6, "roll_back": 2, "retain": 1, "read": 4,
    "work": 1, "clean": 2, "forget": 1,
}  # fmt: skip


@dataclass(frozen=True)
class Story:
    """A run of the simulator.

    Attributes:
        roles: how often a process is of which kind.
        slots: how many processes there are at once.
        unit_rows: rows of a unit; each labeling process chooses one of these.
        machines: on which the processes run.
        versions: of a shard, of which an upload writes one: an input may be again as it was.
        lease_s: the time to live of leases.
        pause_s: until a slot's next process begins, at most.
        passes: how often a gate lets a snapshot pass.
        stalling: the kinds of processes that may be stalled; all by default.
        store: the class of the stores; a planted bug is another one.
    """

    roles: Mapping[str, int] = field(default_factory=lambda: ROLES)
    faults: Faults = field(default_factory=Faults)
    slots: int = 4
    unit_rows: tuple[int, ...] = _UNIT_ROWS
    machines: int = 3
    versions: int = 20
    lease_s: float = 10
    pause_s: float = 2
    passes: float = 0.9
    stalling: tuple[str, ...] = ()
    store: StoreKind = SimulatedStore

    def run(self, seed: int, steps: int) -> Run:
        """Runs it.

        Raises:
            BrokenPromiseError: a promise was broken.
        """
        run = Run(self, seed, steps)
        run.go()
        return run


class Run:
    """One run of a story from one seed."""

    def __init__(self, story: Story, seed: int, steps: int) -> None:
        self.scheduler = Scheduler(seed, steps)
        self.objects = MemoryObjects()
        self.world = World(self.scheduler, self.objects, story.faults, [])
        self.story = story
        self.promises = Promises(self.world, "out", _LABELER, _JUDGE_ID)
        self.ended: list[str] = []  # how each process that was not killed ended

    def go(self) -> None:
        """Runs to the last step."""
        self._set_up()
        for _ in range(self.story.slots):
            self._next()
        self.scheduler.run()

    def _set_up(self) -> None:
        """The judge's card and the input, from before the run."""
        card = json.dumps(_CARD, indent=2, sort_keys=True).encode()
        self.objects.put(f"out/{card_key(_CARD['judge_id'])}", card, "set-up")
        for name in _SHARDS:
            self.objects.put(f"in/{name}", _shard(name, 0), "set-up")

    def _next(self) -> None:
        """Starts the next process of a slot."""
        chance = self.scheduler.random
        (role,) = chance.choices(list(self.story.roles), list(self.story.roles.values()))
        skew_s = chance.uniform(-1, 1) * self.story.faults.skew_s
        machine = f"machine-{chance.randrange(self.story.machines)}"
        process = self.scheduler.process(role, machine, skew_s)
        process.stalls = not self.story.stalling or role in self.story.stalling
        self.promises.knows(process)
        self.scheduler.start(process, lambda: self._one(process, role))

    def _one(self, process: Process, role: str) -> None:
        try:
            Worker(self, process).act(role)
            self.ended.append(f"{role}: done")
        except (PairmillError, pa.ArrowException) as error:
            # Refused, the store failed, or a shard was rewritten meanwhile: the next process tries.
            self.ended.append(f"{role}: {type(error).__name__}")
        finally:
            self.scheduler.later(self.scheduler.random.uniform(0, self.story.pause_s), self._next)


class Worker:
    """What one process does, by role."""

    def __init__(self, run: Run, process: Process) -> None:
        self._run, self._process = run, process
        self._chance = run.scheduler.random
        self._output = run.story.store(run.world, process, "out")
        self._input = run.story.store(run.world, process, "in")
        self._stop = Stop()
        began = time.strftime("%Y%m%dT%H%M%S", time.gmtime(run.scheduler.now))
        self._run_id = f"{began}-{process.number:06x}"

    def act(self, role: str) -> None:
        """Does the work of a role."""
        getattr(self, f"_{role}")()

    def _open(self, uri: str) -> tuple[Store, str]:
        return self._input, ""

    def _lease(self) -> Lease:
        lease_s = self._run.story.lease_s
        return writer_lease(self._output, self._run_id, lease_s, _QUIET, self._stop)

    def _upload(self) -> None:
        name = self._chance.choice(_SHARDS)
        self._input.put(name, _shard(name, self._chance.randrange(self._run.story.versions)))

    def _label(self) -> None:
        with self._lease() as lease:
            self._plan_and_commit(lease)

    def _publish(self) -> None:
        with self._lease() as lease:
            self._publish_as(lease)

    def _night(self) -> None:
        """What a nightly run does, under its one lease."""
        with self._lease() as lease:
            self._plan_and_commit(lease)
            self._publish_as(lease)
            if "retain" in self._run.story.roles:
                self._canaries(lease)
                export_live(self._output)
                retain(self._output, self._chance.choice((1, 2)), lease)

    def _plan_and_commit(self, lease: Lease) -> None:
        judge = RandomJudge(self._chance, self._output.host, _JUDGE, _LABELER)
        forgotten = Forgotten.read(self._output)
        run = LabelingRun(self._input, self._output, judge, _JUDGE_ID, lease, self._stop, forgotten)
        retried = self._chance.random() < 0.3
        reasons = frozenset(Reason) if retried else frozenset[Reason]()
        run.go(self._chance.choice(self._run.story.unit_rows), reasons)

    def _publish_as(self, lease: Lease) -> None:
        passes = self._chance.random() < self._run.story.passes
        publish(
            "in", self._output, "", _CONFIG, _QUIET, lease,
            gate=lambda output, manifest: {"passed": passes},
            keep_withdrawn=self._chance.random() < 0.5,
            open_source=self._open,
            stop=self._stop,
        )  # fmt: skip

    def _roll_back(self) -> None:
        complete = sorted(n for n, has in SnapshotListing.of(self._output).ids.items() if has)
        if complete:
            chosen = self._chance.choice(complete)
            with self._lease() as lease:
                roll_back(self._output, chosen, _QUIET, lease)

    def _retain(self) -> None:
        keep = self._chance.choice((1, 2))
        with self._lease() as lease:
            retain(self._output, keep, lease)

    def _canaries(self, lease: Lease) -> None:
        root = self._run.story.store(self._run.world, self._process, f"out/canaries/{self._run_id}")
        judge = RandomJudge(self._chance, self._output.host, _JUDGE, _LABELER)
        judge_canaries(root, judge, _JUDGE_ID, lease)

    def _clean(self) -> None:
        with self._lease() as lease:
            clean(self._output, lease, self._chance, self._open)

    def _forget(self) -> None:
        """Takes a pair of the input down, which stays there."""
        promises = self._run.promises.removals
        data = self._input.read(self._chance.choice(_SHARDS))
        ids = pq.ParquetFile(pa.BufferReader(data)).read(["pair_id"], use_threads=False)["pair_id"]
        pair_id = self._chance.choice(ids.to_pylist())
        with self._lease() as lease:
            parts = promises.forgets(pair_id)
            forget(self._output, lease, _QUIET, pair_id)
            promises.forgot(pair_id, self._process, self._run.scheduler.started, parts)

    def _read(self) -> None:
        """Reads what LATEST.json names, some times; every byte must be what the manifest says."""
        for _ in range(self._chance.randint(1, 8)):
            manifest = read_manifest(self._output, live(self._output).snapshot_id)
            for file in manifest.files:
                data = self._output.read(file.path)
                if hashlib.sha256(data).hexdigest() != file.sha256:
                    raise BrokenPromiseError(f"{self._process.name}: read other bytes of {file}")
            self._output.host.sleep(self._chance.uniform(0, 2))

    def _work(self) -> None:
        """Any work under a lease: each of its steps is checked before."""
        name = self._process.name
        with take_lease(self._output, "work", name, ttl_s=self._run.story.lease_s) as lease:
            for number in range(self._chance.randint(1, 60)):
                lease.check()
                self._output.put(f"work/{number}", self._process.name.encode())
                self._output.host.sleep(self._chance.uniform(0, 1))


def _shard(name: str, version: int) -> bytes:
    """A shard of the input: versions that follow each other share pairs, those of shards too."""
    pairs = [f"{version * _ROWS // 2 + row}" for row in range(_ROWS)]
    rows = [pair(0, pair_id=name, images=None) for name in pairs]
    columns = ("pair_id", "prompt", "response_a", "response_b")
    schema = pa.schema([PAIRS.field(name) for name in columns])
    buffer = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), buffer)
    return bytes(buffer.getvalue())


def without(*roles: str) -> dict[str, int]:
    """The usual processes, but for some kinds."""
    return {role: weight for role, weight in ROLES.items() if role not in roles}


def with_faults(story: Story, **faults: Any) -> Story:
    """A story with other faults."""
    return replace(story, faults=replace(story.faults, **faults))
