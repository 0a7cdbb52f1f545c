"""Bounds and audits of one judge, a cascade and a panel, counted again from files by other code.

Nothing of ``pipeline`` that counts is used here: parts of snapshots are read by pyarrow, answers
and records as JSON, and the formulas are written out (Clopper and Pearson, PPI++, by prompt).
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import random
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy.stats import beta, t

from jobs import audit, calibrate, publish
from pipeline.gold.answers import give_all
from pipeline.store.object_store import Store
from schemas.gold import Answer
from tests.labeling import Outcome, Row, run_job, run_label, write_config
from tests.shards import pair, response, write_shard

SEED = int(os.environ.get("PAIRMILL_RECOUNT_SEED", 20))
SHARDS, ROWS, ALIKE, ASKED = 2, 240, 3, 360
MAX_ERROR, TRIES = 0.25, 3
Side = Literal["a", "b"]
SIDES: tuple[Side, Side] = ("a", "b")
FIRST: dict[str, Any] = {
    "judge": {"votes": {"max_votes": 2}},
    "engine": {"script": {"faults": {"HARD": "flip"}}},
}
LAST: dict[str, Any] = {"judge": {"sampling": {"temperature": 0.9}, "votes": {"max_votes": 2}}}


def _rows(shard: int, chance: random.Random) -> tuple[list[Row], list[Side]]:
    """Three pairs a prompt, and what people say: the gap of the scores is how likely the same."""
    made, people = [], []
    for number in range(ROWS):
        if number % ALIKE == 0:
            luck, mark = chance.random(), chance.choice(("HARD", "", ""))
        gap, number_of_side = chance.randint(1, 8), chance.randrange(2)
        side = SIDES[number_of_side]
        luck_of_pair = luck if chance.random() < 0.7 else chance.random()
        right = luck_of_pair < 1 / (1 + math.exp(-0.5 * gap))
        low, texts = f"Reply {number}, score={9 - gap}", f"Answer {number}, score=9"
        shown = (texts, low) if side == "a" else (low, texts)
        people.append(side if right else SIDES[1 - number_of_side])
        made.append(
            pair(
                number, images=None, prompt=f"Question {shard} {number // ALIKE}? {mark}",
                response_a=response(shown[0]), response_b=response(shown[1]),
            )
        )  # fmt: skip
    return made, people


class Stored:
    """What an output's files say, read by nothing of ours."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def json(self, path: str) -> Any:
        return json.loads((self.root / path).read_bytes())

    @property
    def manifest(self) -> Any:
        return self.json(self.json("snapshots/LATEST.json")["manifest"])

    @property
    def quality(self) -> Any:
        folder = self.json("snapshots/LATEST.json")["manifest"].rpartition("/")[0]
        return self.json(f"{folder}/quality.json")

    def labels(self) -> list[Row]:
        files = [each["path"] for each in self.manifest["files"] if each["table"] == "labels"]
        return [row for path in files for row in pq.read_table(self.root / path).to_pylist()]

    def gold(self) -> dict[str, str]:
        newest: dict[str, str] = {}
        for file in sorted((self.root / "gold/s/answers").rglob("*.json")):
            newest[file.parent.name] = json.loads(file.read_bytes())["answer"]
        return newest

    def drawn(self) -> set[str]:
        draws = self.json("gold/s/set.json")["draws"]
        return {each["pair_hash"] for draw in draws for each in draw["pairs"]}


def kept_for_tests(row: Row) -> bool:
    """Three in five prompts, by a hash of set and cluster."""
    state = hashlib.sha256()
    for part in ("gold role", "s", str(int(row["cluster"][:15], 16))):
        state.update(len(part).to_bytes(8, "big") + part.encode())
    return int(state.hexdigest()[:8], 16) % 5 >= 2


def by_prompt(rows: list[Row], values: list[float]) -> np.ndarray[Any, np.dtype[np.float64]]:
    sums: dict[str, float] = defaultdict(float)
    for row, value in zip(rows, values, strict=True):
        sums[row["cluster"]] += value
    return np.array(list(sums.values()))


def assert_bound(before: list[Row], bound: Any, stored: Stored, last: str | None) -> None:
    """Every test of a bound, by the labels that it cuts."""
    delta, gold, drawn = 0.05 / TRIES, stored.gold(), stored.drawn()

    def score(row: Row) -> float:
        ahead = bound["ahead"] if row["decided_by"] == last else 0.0
        return float(row["confidence"]) + ahead

    labeled = [row for row in before if row["status"] == "labeled"]
    checked = [row for row in labeled if row["pair_hash"] in drawn and kept_for_tests(row)]
    assert (bound["checked"], bound["delta"]) == (len(checked), pytest.approx(delta))
    corpus = np.array([score(row) for row in labeled])
    values = np.unique(corpus)
    if len(values) > 20:
        cuts = [1 - share / 10 for share in range(1, 11)]
        values = np.unique(np.quantile(corpus, cuts, method="lower"))
    coverage = {value: float((corpus >= value).mean()) for value in values}
    need = math.log(delta) / math.log(1 - MAX_ERROR)
    falling = sorted(values, reverse=True)
    enough = [v for v in falling if coverage[v] * len(checked) >= 2 * need]
    start = enough or [v for v in falling if coverage[v] * len(checked) >= need]
    expected = falling[falling.index(start[0]) :]
    tests = bound["tests"]
    assert [each["threshold"] for each in tests] == expected[: len(tests)]
    for each in tests:
        above = [row for row in checked if score(row) >= each["threshold"]]
        wrong = [float(row["preference"] != gold[row["pair_hash"]]) for row in above]
        n, k = len(above), sum(wrong)
        assert (each["n"], each["wrong"], each["coverage"]) == (n, k, coverage[each["threshold"]])
        share = k / n
        residuals = by_prompt(above, [e - share for e in wrong])
        groups = len(residuals)
        variance = groups / (groups - 1) * float((residuals**2).sum()) / n**2
        independent = min(n, share * (1 - share) / variance) if k else groups
        assert (each["clusters"], each["independent"]) == (groups, pytest.approx(independent))
        k_of, rest = share * independent, (1 - share) * independent
        upper = beta.ppf(1 - delta, k_of + 1, rest)
        assert each["upper"] == pytest.approx(upper)
        assert each["passed"] == (upper <= MAX_ERROR)
    passed = [each["threshold"] for each in tests if each["passed"]]
    assert [each["passed"] for each in tests[:-1]] == [True] * (len(tests) - 1)
    assert len(tests) == len(expected) or not tests[-1]["passed"]
    assert bound["min_confidence"] == passed[-1]
    kept = {row["pair_hash"] for row in stored.labels() if row["status"] == "labeled"}
    assert kept == {row["pair_hash"] for row in labeled if score(row) >= passed[-1]}
    assert bound["labels"] == len(kept)


def assert_audit(stored: Stored) -> None:
    """The audited accuracy of what is live, with its interval, by prompt (PPI++)."""
    gold, drawn, found = stored.gold(), stored.drawn(), stored.quality["audit"]
    kept = [row for row in stored.labels() if row["status"] == "labeled"]
    asked = [row for row in kept if row["pair_hash"] in drawn and kept_for_tests(row)]
    y = np.array([float(row["preference"] == gold[row["pair_hash"]]) for row in asked])
    f, f_all = (np.array([float(row["confidence"]) for row in some]) for some in (asked, kept))
    n, whole = len(asked), len(kept)
    spread = f_all.var()
    power = np.cov(y, f)[0, 1] / ((1 + n / whole) * spread) if spread else 0.0
    power = min(1.0, max(0.0, power))
    rest = y - power * f
    value = min(1.0, rest.mean() + power * f_all.mean())
    sums = by_prompt(asked, [float(each) for each in rest - rest.mean()])
    groups = len(sums)
    assert groups < n
    error2 = float((sums**2).sum()) * groups / (groups - 1) / n**2 + power**2 * spread / whole
    half = t.ppf(0.975, groups - 1) * math.sqrt(error2)
    assert found["n"] == n
    assert found["value"] == pytest.approx(value)
    assert found["low"] == pytest.approx(max(0.0, value - half))
    assert found["high"] == pytest.approx(min(1.0, value + half))


@pytest.mark.usefixtures("without_ray")
def test_bounds_and_audits_are_what_the_files_say(tmp_path: Path, model: Path) -> None:
    source, output, chance = tmp_path / "in", tmp_path / "out", random.Random(SEED)
    people = {}
    for shard in range(SHARDS):
        rows, people[f"{shard}.parquet"] = _rows(shard, chance)
        write_shard(source / f"{shard}.parquet", rows)
    where = ["--input", str(source), "--output", str(output)]
    stored = Stored(output)

    def config(name: str, *parts: dict[str, Any], **more: Any) -> str:
        merged: dict[str, Any] = {"gold": {"set": "s"}, "input": {"unit_rows": 110}, **more}
        for part in parts:
            merged |= part
        return str(write_config(tmp_path / f"{name}.yaml", model, merged))

    def run(job: Callable[[list[str]], int], named: str, *more: str) -> Outcome:
        done = run_job(job, ["--config", named, *where, *more])
        assert (done.exit_code, done.error) == (0, "")
        return done

    alone = {"first": config("first", FIRST), "last": config("last", LAST)}
    judges = [
        run_label(Path(each), source, output).event("done")["judge_id"] for each in alone.values()
    ]
    run(publish.main, alone["last"], "--set", "gold.set=null")
    drawing = ["--output", str(output), "--name", "s", "--size", str(ASKED), "--seed", str(SEED)]
    assert run_job(audit.main, drawing).exit_code == 0
    drawn = stored.drawn()
    said = [
        (row["pair_hash"], Answer(people[row["shard"]][row["row"]], "2026-11-30T00:00:00Z", "t"))
        for row in stored.labels()
        if row["pair_hash"] in drawn
    ]
    give_all(Store(str(output)), "s", [("ann", *each) for each in said])
    for each in alone.values():
        run(calibrate.main, each)

    tier = {"policy": {"min_confidence": 0.7}, "workers": {"gpus": 0, "cpus": 1}}
    engine = {"kind": "scripted", **FIRST["engine"]}
    first = {**FIRST["judge"], "model": {"name": str(model)}}
    cascade = {"judges": [{**tier, "judge": first, "engine": engine}]}
    ways = {
        "one judge": (alone["last"], None),
        "cascade": (config("cascade", LAST, cascade=cascade), judges[1]),
        "panel": (config("panel", LAST, aggregation={"panel": judges}), None),
    }
    bounded = ("--policy.max_error", str(MAX_ERROR), "--policy.bound_tries", str(TRIES))
    deciding = set()
    for named, last in ways.values():
        run(publish.main, named)
        before = stored.labels()
        deciding.add(len({row["decided_by"] for row in before}))
        assert_audit(stored)
        run(publish.main, named, *bounded)
        assert_bound(before, stored.manifest["policy"]["bound"], stored, last)
        assert stored.quality["bound"] == stored.manifest["policy"]["bound"]
        assert_audit(stored)
    assert deciding == {1, 2}
