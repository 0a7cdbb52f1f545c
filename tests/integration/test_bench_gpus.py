"""``pairmill bench gpus`` on pretended GPUs: every pair is labelled, also with a worker killed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from jobs.bench import main
from pipeline.lab.bench.scaling_bench import write_text_shards


@pytest.mark.long  # two Ray sessions of its own for a benchmark
def test_a_killed_worker_costs_its_units_alone(tmp_path: Path) -> None:
    write_text_shards(tmp_path / "pairs", 256)
    arguments = ["gpus", "--input", str(tmp_path / "pairs"), "--folder", str(tmp_path)]
    arguments += ["--config", "jobs/configs/bench-scaling.yaml", "--gpus", "2", "--kill-after", "6"]
    arguments += ["--set", "engine.script.latency_s=6", "--set", "input.unit_rows=16"]
    assert main(arguments) == 0
    whole, killed = json.loads((tmp_path / "gpus.json").read_text(encoding="utf-8"))["rows"]
    assert [(row["gpus"], row["killed"]) for row in (whole, killed)] == [(2, False), (2, True)]
    assert [(row["pairs"], row["judgments"]) for row in (whole, killed)] == [(256, 512)] * 2
    assert killed["seconds"] > whole["seconds"]
    assert whole["driver_cpu_s"] > 0
