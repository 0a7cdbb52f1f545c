"""A real job's metrics, as Prometheus reads them from a Ray node."""

from __future__ import annotations

import json
import threading
import urllib.request
from collections import Counter
from pathlib import Path

import pytest
import ray

from pipeline.labeling.prometheus_metrics import METRICS
from tests.infra.promql import RAY_OWN
from tests.labeling import run_label, write_config
from tests.processes import wait_until
from tests.recording import scrape
from tests.shards import labels_of, pair, write_shard

Found = dict[tuple[str, str], float]


@pytest.mark.usefixtures("shared_ray")
def test_a_job_is_counted_exactly_and_its_workers_are_seen(tmp_path: Path, model: Path) -> None:
    rows = [pair(number) for number in range(60)]
    for number in (5, 6):
        rows[number] |= {"prompt": f"What is in picture {number}? CUT"}
    write_shard(tmp_path / "in" / "a.parquet", rows, 20)
    script = {"latency_s": 0.5, "faults": {"CUT": "truncated"}}
    # A judge of its own: other tests' jobs, in this process too, have been counted by theirs.
    judge_of_its_own = {"sampling": {"top_p": 0.87}}
    changes = {"engine": {"script": script}, "input": {"unit_rows": 20}, "judge": judge_of_its_own}
    config = write_config(
        tmp_path / "label.yaml", model, {**changes, "quarantine": {"max_fraction": 1}}
    )
    (node,) = ray.nodes()  # type: ignore[no-untyped-call]
    port, during, ended = int(node["MetricsExportPort"]), Found(), threading.Event()

    def watch(judge: list[str]) -> None:
        while not ended.wait(0.2):
            for folder in (tmp_path / "out" / "judges").glob("*.json"):
                judge[:] = [folder.stem]
                during.update(scrape(port, folder.stem))

    judge = [""]
    watching = threading.Thread(target=watch, args=(judge,))
    watching.start()
    outcome = run_label(config, tmp_path / "in", tmp_path / "out")
    ended.set()
    watching.join()
    assert (outcome.exit_code, outcome.error) == (0, "")

    labels = labels_of(str(tmp_path / "out"))
    votes = [vote for label in labels for vote in label["votes"]]
    expected = Counter[tuple[str, str]]()
    for label in labels:
        expected["ray_pairmill_pairs_total", label["status"]] += 1
        if label["reason"]:
            expected["ray_pairmill_quarantined_total", label["reason"]] += 1
    for vote in votes:
        expected["ray_pairmill_votes_total", vote["outcome"]] += 1
        expected["ray_pairmill_tokens_total", "prompt"] += vote["prompt_tokens"]
        expected["ray_pairmill_tokens_total", "output"] += vote["output_tokens"]
    expected["ray_pairmill_unit_seconds_count", ""] = 3
    expected["ray_pairmill_run_pairs", ""] = 60
    expected["ray_pairmill_run_engine_starts", "begun"] = 1
    expected["ray_pairmill_run_engine_starts", "ready"] = 1
    assert expected["ray_pairmill_quarantined_total", "truncated"] == 2

    found = Found()

    def reported() -> bool:
        found.update(scrape(port, judge[0]))
        return found.get(("ray_pairmill_run_pairs_left", "")) == 0

    wait_until(reported)
    wait_until(lambda: reported() and expected.items() <= found.items())
    counters = {metric.exported[0] for metric in METRICS if metric.kind == "counter"}
    driver = {"pairs", "quarantined", "votes", "tokens"}
    of_driver = {name for name in counters if name.split("_")[2] in driver}
    assert {k: v for k, v in found.items() if k[0] in of_driver and v} == {
        k: v for k, v in expected.items() if k[0] in of_driver
    }

    # A worker takes the last second along when it is ended, so it has counted no more than that.
    assert 0 < during["ray_pairmill_judgments_total", ""] <= len(votes)
    assert during["ray_pairmill_engine_start_seconds", ""] >= 0
    assert during["ray_pairmill_engine_idle_seconds_total", ""] > 0
    for stage in ("read", "decode", "engine"):
        assert during["ray_pairmill_stage_seconds_total", stage] > 0
    worker_says_what_it_does(outcome.event("done")["run_id"])
    names = {name for name, _ in (*during, *found)}
    exported = {name for metric in METRICS if metric.by_ray for name in metric.exported}
    assert names <= exported
    for name in RAY_OWN:  # its gauges come and go between two of its reports
        wait_until(lambda name=name: name in names_at(port))  # type: ignore[misc]
    never = {"reused", "unit_deaths", "canaries"}  # there were none
    assert exported - names == {f"ray_pairmill_{name}_total" for name in never}


def names_at(port: int) -> set[str]:
    """Everything that a node exports at the moment."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as reply:
        return {line.partition("{")[0] for line in reply.read().decode().splitlines()}


def worker_says_what_it_does(run_id: str) -> None:
    """Its log, a file of Ray's, has JSON lines of this run."""
    logs = Path("/tmp").glob("ray-test-*/session_latest/logs/worker-*.err")
    lines = [line for log in logs for line in log.read_text(errors="replace").splitlines()]
    records = [json.loads(line) for line in lines if line.startswith("{") and run_id in line]
    assert {record["run_id"] for record in records} == {run_id}
    done = {r["unit"]: r["pairs"] for r in records if r["message"] == "unit done"}
    units = ("000000000-000000020", "000000020-000000040", "000000040-000000060")
    assert done == dict.fromkeys(units, 20)
    assert {r["shard"] for r in records if "unit" in r} == {"a.parquet"}
    assert [r["kind"] for r in records if r["message"] == "engine started"] == ["scripted"]
