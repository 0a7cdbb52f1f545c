"""Nightly runs on a bucket whose requests fail in every way: nothing is lost, doubled or invented.

A run either ends well or with an exit code of the table, and the same command goes on.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

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

    def survive(self, name: str, shares: dict[Kind, float], seed: int) -> Plan:
        """Runs a night with faults until it ends well, at last without; counts independently."""
        output = f"s3://{BUCKET}/out/{name}"
        plan = self.proxy.plan = Plan(shares, seed)
        arguments = label_arguments(self.config, f"s3://{BUCKET}/in/proxied", output)
        for _ in range(_TRIES):
            answer = self.ask({"arguments": arguments})
            self.ends[answer["exit"]] += 1
            assert answer["exit"] in _OF_THE_TABLE, (shares, seed, answer)
            assert "Traceback" not in answer["error"], (shares, seed, answer)
            if answer["exit"] == 0:
                break
        self.proxy.plan = Plan({}, seed)
        answer = self.ask({"arguments": arguments})
        assert answer["exit"] == 0, (shares, seed, answer)
        self.recount(output)
        return plan

    def recount(self, output: str) -> None:
        """From the objects themselves, each row is there once, and right."""
        labels = assert_exact(output, self.shards)
        store = Store(output)
        assert latest_of(store)["snapshot_id"]
        published = [(row["shard"], row["row"], row["label_id"]) for row in live_rows(store)]
        assert sorted(published) == [(row["shard"], row["row"], row["label_id"]) for row in labels]
        found = [e.key for e in store.list("exports") if e.key.endswith(".jsonl")]
        exported = [json.loads(line) for key in found for line in store.read(key).splitlines()]
        wanted = {row["pair_id"] for row in labels if row["status"] == "labeled"}
        assert Counter(row["pair_id"] for row in exported) == Counter(wanted)


@pytest.fixture(scope="module")
def place(s3: S3Server, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    shards = {name: [pair(n) for n in range(start, start + 9)] for name, start in NAMES.items()}
    for name, rows in shards.items():
        for row in rows:
            number = int(row["pair_id"].partition("-")[2])
            path = f"s3://{BUCKET}/in/proxied/pictures/{number}.png"
            s3.put(path.removeprefix(f"s3://{BUCKET}/"), picture(number))
            row["images"] = [{"bytes": None, "path": path}]
        s3.put(f"in/proxied/{name}", shard_bytes(rows, 8))
    changes = {
        "input": {"unit_rows": 6},
        "nightly": {"exports": [{"format": "jsonl", "validation": 0}]},
        "export": {"format": "jsonl"},
    }
    config = write_config(tmp_path_factory.mktemp("proxied") / "config.yaml", model, changes)
    with (
        pytest.MonkeyPatch.context() as patch,
        fault_proxy(s3.endpoint) as proxy,
        dying(
            "tests.chaos.night_in_process",
            s3.environment(JOB) | {"AWS_ENDPOINT_URL": proxy.endpoint},
        ) as ask,
    ):
        for name, value in s3.environment(JOB).items():
            patch.setenv(name, value)
        Objects.clear_instance_cache()
        yield Place(s3, proxy, ask, config, shards)
    Objects.clear_instance_cache()


NAMES = {"a.parquet": 0, "sub/b.parquet": 20}


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
            figures = f"{plan.planted[kind]} of {plan.requests} requests, ends {dict(place.ends)}"
            with capsys.disabled():
                print(f"{kind} at {share:.0%}: {figures}", flush=True)  # noqa: T201
