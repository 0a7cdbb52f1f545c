"""Runs on a bucket whose requests fail in every way: nothing is lost, doubled or invented.

A run either ends well or with an exit code of the table, and the same command goes on.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pipeline.store.object_store import Store
from pipeline.store.s3_objects import Objects
from tests.chaos.dying import Ask, dying
from tests.chaos.fault_proxy import FaultProxy, Kind, Plan, fault_proxy
from tests.labeling import Row, assert_exact, label_arguments, write_config
from tests.publishing import latest_of, live_rows
from tests.s3_server import BUCKET, JOB, S3Server
from tests.shards import pair, picture, shard_bytes

pytestmark = pytest.mark.s3
KINDS: tuple[Kind, ...] = ("5xx", "reset", "lost", "truncated", "slow", "stale", "refused", "down")
ONE_BY_ONE = ("label", "publish", "export")  # what a nightly run does, a command each
# The shares at which a kind of fault ends runs, or makes them wait.
HARD: list[tuple[Kind, float]] = [
    ("refused", 0.5), ("down", 0.5), ("stale", 0.5), ("truncated", 0.5),
    ("stale", 0.1), ("refused", 0.1), ("down", 0.1),
]  # fmt: skip
ROWS = {"a.parquet": range(9), "sub/b.parquet": range(20, 29)}
_TRIES = 3  # with faults, before the one without
_OF_THE_TABLE = {0, 2, 5}  # ended well, or by the store, or by what looked like another run


@dataclass
class Place:
    """A bucket with an input whose pictures are objects of their own, behind a proxy."""

    server: S3Server
    proxy: FaultProxy
    ask: Ask
    config: Path
    shards: Mapping[str, list[Row]]
    ends: Counter[int] = field(default_factory=Counter)

    def survive(
        self, name: str, shares: dict[Kind, float], seed: int, jobs: Sequence[str] = ("nightly",)
    ) -> Plan:
        """Runs jobs, each with faults until it ends well, at last without; counts independently."""
        output = f"s3://{BUCKET}/out/{name}"
        plan = Plan(shares, seed)
        for job in jobs:
            request = self.request(job, output)
            self.proxy.plan = plan
            for _ in range(_TRIES):
                answer = self.ask(request)
                self.ends[answer["exit"]] += 1
                assert answer["exit"] in _OF_THE_TABLE, (job, shares, seed, answer)
                assert "Traceback" not in answer["error"], (job, shares, seed, answer)
                if answer["exit"] == 0:
                    break
            self.proxy.plan = Plan({}, seed)
            answer = self.ask(request)
            assert answer["exit"] == 0, (job, shares, seed, answer)
        self.recount(output)
        return plan

    def request(self, job: str, output: str) -> dict[str, Any]:
        """A job on an output, as a line of the process that does them."""
        arguments = label_arguments(self.config, f"s3://{BUCKET}/in/proxied", output)
        if job == "export":
            arguments = ["--config", str(self.config), "--output", output]
        return {"job": job, "arguments": arguments}

    def figures(self, plan: Plan) -> str:
        """What was planted, and how the runs with faults ended."""
        planted = f"{plan.planted.total()} of {plan.requests} requests"
        return f"{planted}, ends {dict(self.ends)}"

    def recount(self, output: str, job: str = "nightly") -> None:
        """From the objects themselves, each row is there once, and right, as far as a job goes."""
        labels = assert_exact(output, self.shards)
        if job == "label":
            return
        store = Store(output)
        assert latest_of(store)["snapshot_id"]
        published = [(row["shard"], row["row"], row["label_id"]) for row in live_rows(store)]
        assert sorted(published) == [(row["shard"], row["row"], row["label_id"]) for row in labels]
        if job == "publish":
            return
        found = [e.key for e in store.list("exports") if e.key.endswith(".jsonl")]
        exported = [json.loads(line) for key in found for line in store.read(key).splitlines()]
        wanted = {row["pair_id"] for row in labels if row["status"] == "labeled"}
        assert Counter(row["pair_id"] for row in exported) == Counter(wanted)


@contextmanager
def placed(
    s3: S3Server, model: Path, folder: Path, module: str, rows: Mapping[str, range] = ROWS
) -> Iterator[Place]:
    """A place whose jobs a module runs, with shards of these rows."""
    shards = {name: [pair(n) for n in numbers] for name, numbers in rows.items()}
    for name, pairs in shards.items():
        for row in pairs:
            number = int(row["pair_id"].partition("-")[2])
            path = f"s3://{BUCKET}/in/proxied/pictures/{number}.png"
            s3.put(path.removeprefix(f"s3://{BUCKET}/"), picture(number))
            row["images"] = [{"bytes": None, "path": path}]
        s3.put(f"in/proxied/{name}", shard_bytes(pairs, 8))
    changes = {
        "input": {"unit_rows": 6},
        "nightly": {"exports": [{"format": "jsonl", "validation": 0}]},
        "export": {"format": "jsonl"},
    }
    config = write_config(folder / "config.yaml", model, changes)
    with (
        pytest.MonkeyPatch.context() as patch,
        fault_proxy(s3.endpoint) as proxy,
        dying(module, s3.environment(JOB) | {"AWS_ENDPOINT_URL": proxy.endpoint}) as ask,
    ):
        for name, value in s3.environment(JOB).items():
            patch.setenv(name, value)
        Objects.clear_instance_cache()
        yield Place(s3, proxy, ask, config, shards)
    Objects.clear_instance_cache()


@pytest.fixture(scope="module")
def place(s3: S3Server, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("proxied")
    with placed(s3, model, folder, "tests.chaos.jobs_in_process") as made:
        yield made


@pytest.fixture(scope="module")
def on_ray(s3: S3Server, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("on_ray")
    with placed(s3, model, folder, "tests.chaos.jobs_on_ray") as made:
        yield made


def test_faults_of_all_kinds_lose_nothing(place: Place) -> None:
    plan = place.survive("mixed", dict.fromkeys(KINDS, 0.02) | {"refused": 0.1}, 1)
    assert sum(plan.planted.values()) >= 5


@pytest.mark.long
@pytest.mark.timeout(7_200)
def test_each_kind_at_each_share(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    for share in (0.01, 0.5, 0.1):
        for seed, kind in enumerate(KINDS):
            place.ends.clear()
            plan = place.survive(f"{kind}-{share}", {kind: share}, seed)
            with capsys.disabled():
                print(f"{kind} at {share:.0%}: {place.figures(plan)}", flush=True)  # noqa: T201


@pytest.mark.long
@pytest.mark.timeout(1_200)
@pytest.mark.parametrize(("kind", "share"), HARD)
def test_commands_one_by_one(
    place: Place, kind: Kind, share: float, capsys: pytest.CaptureFixture[str]
) -> None:
    place.ends.clear()
    plan = place.survive(f"single-{kind}-{share}", {kind: share}, 3, ONE_BY_ONE)
    with capsys.disabled():
        print(f"one by one, {kind} at {share:.0%}: {place.figures(plan)}", flush=True)  # noqa: T201


@pytest.mark.long
@pytest.mark.timeout(1_200)
@pytest.mark.parametrize(("kind", "share"), HARD)
def test_with_a_real_ray(
    on_ray: Place, kind: Kind, share: float, capsys: pytest.CaptureFixture[str]
) -> None:
    on_ray.ends.clear()
    plan = on_ray.survive(f"ray-{kind}-{share}", {kind: share}, 3)
    with capsys.disabled():
        print(f"on Ray, {kind} at {share:.0%}: {on_ray.figures(plan)}", flush=True)  # noqa: T201
