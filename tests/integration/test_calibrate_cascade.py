"""``pairmill calibrate --cascade``: least confidences, from gold to the bound that they give."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest

from jobs import audit, calibrate
from pipeline.gold.answers import give_all
from pipeline.gold.roles import tests_bounds as kept_for_tests
from pipeline.pairs.prompts import cluster_number
from pipeline.snapshots.snapshot_reader import open_manifest
from pipeline.store.object_store import Store
from schemas.gold import Answer
from tests.cascades import cascade_config
from tests.labeling import Outcome, Row, run_job, run_label
from tests.nights import run_nightly
from tests.publishing import live_rows
from tests.shards import pair, response, write_shard

pytestmark = pytest.mark.usefixtures("without_charts")

ROWS = 240


def _gold(number: int) -> Literal["a", "b"]:
    return "a" if number % 2 else "b"


def _row(number: int) -> Row:
    """The first judge is unsure of one in four; both are wrong about one in twenty."""
    said = "ab"[(number % 2 == 1) == (number % 20 == 0)]
    better, worse = f"Answer {number}, score=9", f"Reply {number}, score=3"
    texts = (better, worse) if said == "a" else (worse, better)
    mark = "HARD" if number % 4 == 1 else ""
    a, b = (response(text) for text in texts)
    return pair(
        number, images=None, prompt=f"Question {number}? {mark}", response_a=a, response_b=b
    )


@pytest.mark.usefixtures("without_ray")
def test_the_cheapest_cascade_is_proposed_and_keeps_its_bound(tmp_path: Path, model: Path) -> None:
    source, output = tmp_path / "in", tmp_path / "out"
    write_shard(source / "a.parquet", [_row(n) for n in range(ROWS)])
    # The first judge is asked about all, and nothing that it says is believed yet.
    config = cascade_config(tmp_path / "config.yaml", model, accepts=0.87)
    where = ["--config", str(config), "--input", str(source), "--output", str(output)]

    def proposed(*more: str) -> Outcome:
        return run_job(calibrate.main, [*where, "--cascade", *more])

    assert run_nightly(config, source, output).exit_code == 0
    done = run_job(audit.main, ["--output", str(output), "--name", "s", "--size", str(ROWS)])
    assert done.exit_code == 0
    store = Store(str(output))
    rows = live_rows(store)
    said = [(r["pair_hash"], Answer(_gold(r["row"]), "2026-11-30T00:00:00Z", "t")) for r in rows]
    give_all(store, "s", [("ann", *each) for each in said])
    of_set = ("--set", "gold.set=s", "--set", "policy.max_error=0.2")
    unasked = proposed(*of_set, "--prices", "1,40")
    assert unasked.exit_code == 2
    assert "more have not been judged by all: run the cascade on them" in unasked.error
    assert run_label(config, source, output).exit_code == 0  # all judges, about pairs of the set

    chosen = proposed(*of_set, "--prices", "1,40")
    assert (chosen.exit_code, chosen.error) == (0, "")
    mine = [r for r in rows if not kept_for_tests("s", cluster_number(r["cluster"]))]
    hard = sum(r["row"] % 4 == 1 for r in mine) / len(mine)
    wrong = sum(r["row"] % 20 == 0 for r in mine) / len(mine)
    found = chosen.event("cascade")
    assert {name: found[name] for name in ("pairs", "kept", "wrong", "price")} == {
        "pairs": len(mine), "kept": 1.0, "wrong": round(wrong, 4), "price": round(1 + 40 * hard, 4)
    }  # fmt: skip
    judges = [event for event in chosen.events if event["event"] == "judge"]
    assert [event["asked"] for event in judges] == [1.0, round(hard, 4)]
    assert judges[0]["min_confidence"] == 0.875  # two votes that agree
    assert "min_confidence" not in judges[1]
    assert chosen.event("last judge alone")["price"] == 40
    assert chosen.event("as configured")["total"] == found["total"]

    # What is proposed is tested on the other pairs of the set.
    settings: dict[str, Any] = {"gold": {"set": "s"}, "policy": {"max_error": 0.2}}
    bounded = cascade_config(tmp_path / "bounded.yaml", model, accepts=0.875, **settings)
    night = run_nightly(bounded, source, output)
    assert (night.exit_code, night.error) == (0, "")
    manifest = open_manifest(store)
    assert manifest.policy is not None
    assert manifest.policy.bound is not None
    assert manifest.policy.bound.checked == ROWS - len(mine)
    assert manifest.policy.bound.labels == ROWS

    # A first judge that costs more than it spares is left out.
    dear = proposed(*of_set, "--prices", "39,40")
    assert "judge 1 does not pay: leave it out of the cascade" in dear.notes
    assert dear.event("cascade")["price"] == 40


def test_what_cannot_be_proposed_is_refused(tmp_path: Path, model: Path) -> None:
    config = cascade_config(tmp_path / "config.yaml", model)
    write_shard(tmp_path / "in/a.parquet", [_row(n) | {"gold": _gold(n)} for n in range(4)])
    where = ["--config", str(config), "--input", str(tmp_path / "in")]
    where += ["--output", str(tmp_path / "out"), "--cascade"]

    def refusal(*more: str) -> str:
        done = run_job(calibrate.main, [*where, *more])
        assert done.exit_code == 2
        return done.error

    bounded = ("--policy.max_error", "0.2")
    assert "policy.max_error is not set" in refusal("--prices", "1,40")
    assert "--prices: got 1, expected 2" in refusal(*bounded, "--prices", "40")
    assert "--prices: got 0, expected 2" in refusal(*bounded)
    for wrong in ("a,b", "1,nan", "1,"):
        said = f"--prices: got '{wrong}', expected a price of each judge"
        assert said in refusal(*bounded, "--prices", wrong)
    alone = ("--set", "cascade.judges=[]", "--prices", "1")
    assert "the configuration has one judge" in refusal(*bounded, *alone)
