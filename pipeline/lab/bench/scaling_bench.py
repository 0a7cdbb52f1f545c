"""How the pipeline itself scales: engines that only wait, at the rate of real ones.

Simulated: every engine is the scripted one in a Ray actor of its own with a pretended GPU, with as
many slots as a real engine and replies of lognormal latency. Everything else is the real job.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.lab.bench.fresh_process import in_fresh_process, stderr_reporter
from pipeline.lab.bench.job_run import label_on_stderr
from pipeline.lab.bench.label_timeline import committed_timeline
from pipeline.lab.bench.process_watch import ProcessTreeCpu, ProcessTreeMemory
from pipeline.labeling.cluster.ray_session import ray_session
from pipeline.labeling.label_config import LabelConfig
from pipeline.pairs.contents import asked_by_user, pair_row, text_part
from pipeline.store.object_store import Store
from schemas.contract import table_of
from schemas.pairs import PAIRS_V2

_MiB = 2**20
_SHARD_ROWS = 1_024
_MEMORY_EVERY_S = 10.0  # reading the memory of 64 workers takes a core for a second
_UNITS = 100_000  # driver costs are extrapolated to so many


def bench_scaling(
    config: LabelConfig,
    folder: Path,
    engines: Sequence[int],
    rate: float,
    seconds: float,
    driver_units: Sequence[int],
) -> dict[str, Any]:
    """Efficiency by number of engines, what a unit costs the driver, and autoscaling.

    Args:
        config: engine and worker settings; the pool's size is set here.
        folder: for pairs and labels.
        engines: how many, ascending.
        rate: judgments/s that one engine can reach.
        seconds: that a run takes if it scales.
        driver_units: units of two runs, from which the costs of one follow; none leaves this out.
    """
    most = min(4, max(engines))
    return {
        "benchmark": "scaling",
        "rows": bench_engines(config, folder, engines, rate, seconds),
        "driver": bench_driver(config, folder, driver_units) if driver_units else None,
        "autoscaling": bench_autoscaling(config, folder, most, rate, seconds),
        "rate_an_engine": rate,
        "cores": os.cpu_count(),
        "notes": [
            "simulated: engines that only wait, each in an actor with a pretended GPU, on one "
            "machine; everything else is the real job",
            "steady: the middle half of the labels; whole: from the first unit's arrival to the "
            "last commit, with the first and the last replies, while engines are not full",
            "linear: what engines do whose slots are always full; against first: over the rate "
            "of the first row, as many times as there are engines",
            "cpu: all processes, Ray's start included; a lost node is in tests/chaos/test_nodes.py",
        ],
    }


def bench_engines(
    config: LabelConfig, folder: Path, engines: Sequence[int], rate: float, seconds: float
) -> list[dict[str, Any]]:
    """One run for each number of engines, each in a process and a Ray of its own.

    Args:
        config: engine and worker settings; the pool's size is set here.
        folder: for pairs and labels.
        engines: how many, ascending.
        rate: judgments/s that one engine can reach.
        seconds: that a run takes if it scales.
    """
    rows: list[dict[str, Any]] = []
    for count in engines:
        pairs = max(1, round(rate / 2 * count * seconds))
        write_text_shards(folder / f"pairs-{pairs}", pairs)
        sized = _config(config, rate, count, count)
        where = (str(folder / f"pairs-{pairs}"), str(folder / f"labels-{os.urandom(4).hex()}"))
        run = in_fresh_process(_run, sized, *where)
        linear, steady = count * rate / 2, run["steady_per_s"]
        first = rows[0] if rows else {"engines": count, "steady_pairs_per_s": steady}
        multiple = first["steady_pairs_per_s"] * count / first["engines"]
        rows.append(
            {
                "engines": count,
                "pairs": pairs,
                "linear_pairs_per_s": linear,
                "steady_pairs_per_s": steady,
                "steady_efficiency": round(steady / linear, 3),
                "against_first": round(steady / multiple, 3),
                "whole_efficiency": round(pairs / run["judging_s"] / linear, 3),
                **{name: run[name] for name in ("driver_cpu_s", "tree_cpu_s_1000_pairs")},
                **{name: run[name] for name in ("driver_mb", "tree_mb", "start_s")},
            }
        )
    return rows


def bench_driver(config: LabelConfig, folder: Path, units: Sequence[int]) -> dict[str, Any]:
    """What a unit costs the driver: two runs of units of one pair each, with engines at no cost."""
    runs = []
    for count in units:
        write_text_shards(folder / f"pairs-{count}", count)
        sized = config.model_copy(
            update={
                "engine": config.engine.model_copy(update={"script": {}, "units_in_flight": 8}),
                "input": config.input.model_copy(update={"unit_rows": 1}),
            }
        )
        where = (str(folder / f"pairs-{count}"), str(folder / f"labels-{os.urandom(4).hex()}"))
        runs.append(in_fresh_process(_run, sized, *where))
    first, last = runs
    step = units[1] - units[0]
    cpu = (last["driver_cpu_s"] - first["driver_cpu_s"]) / step
    grown = (last["driver_mb"] - first["driver_mb"]) / step
    return {
        "units_run": list(units),
        "driver_cpu_ms_a_unit": round(cpu * 1_000, 2),
        "driver_kb_a_unit": round(grown * 1_024, 1),
        f"driver_cpu_s_{_UNITS}_units": round(cpu * _UNITS),
        f"driver_mb_{_UNITS}_units": round(grown * _UNITS),
        "extrapolated": "by a straight line through the two runs",
    }


def bench_autoscaling(
    config: LabelConfig, folder: Path, most: int, rate: float, seconds: float
) -> dict[str, Any]:
    """One run with a pool of 1 to ``most`` engines; the number of actors over its time."""
    pairs = round(rate / 2 * most * seconds)
    write_text_shards(folder / f"pairs-{pairs}", pairs)
    where = (str(folder / f"pairs-{pairs}"), str(folder / f"labels-{os.urandom(4).hex()}"))
    run = in_fresh_process(_run, _config(config, rate, 1, most), *where)
    counts = [count for _, count in run["workers"] if count]
    changes = [
        (second, count)
        for (second, count), (_, before) in zip(
            run["workers"], [(0, 0), *run["workers"]], strict=False
        )
        if count != before
    ]
    return {
        "pool": f"1 to {most}",
        "pairs": pairs,
        "workers_first": counts[0],
        "workers_most": max(counts),
        "workers_last": counts[-1],
        "changes_at_s": changes,
    }


def _config(config: LabelConfig, rate: float, least: int, most: int) -> LabelConfig:
    script: Mapping[str, Any] = {"latency_sigma": 0.4} | dict(config.engine.script)
    latency = config.engine.max_num_seqs / rate
    return config.model_copy(
        update={
            "engine": config.engine.model_copy(update={"script": {**script, "latency_s": latency}}),
            "workers": config.workers.model_copy(update={"min": least, "max": most}),
        }
    )


def _run(config: LabelConfig, input_uri: str, output_uri: str) -> dict[str, Any]:
    driver = psutil.Process()
    tree = ProcessTreeMemory(_MEMORY_EVERY_S)
    with ray_session(config.workers, stderr_reporter()), tree as memory, ProcessTreeCpu() as cpu:
        before = driver.memory_info().rss
        result = label_on_stderr(config, input_uri, output_uri)
        grown = driver.memory_info().rss - before
    pace = committed_timeline(Store(output_uri), result.judge_id, result.judging_seconds)
    started = next((second for second, count in cpu.workers if count), None)
    return {
        "judging_s": result.judging_seconds,
        "steady_per_s": pace.steady_per_s,
        "driver_cpu_s": round(cpu.own_s, 2),
        "tree_cpu_s_1000_pairs": round(cpu.tree_s / result.counts.pairs * 1_000, 2),
        "driver_mb": round(grown / _MiB, 1),
        "tree_mb": round(memory.peak_bytes / _MiB),
        "start_s": started,
        "workers": cpu.workers,
    }


def write_text_shards(folder: Path, pairs: int, shard_rows: int = _SHARD_ROWS) -> None:
    """Writes shards of short text pairs; a folder that exists already is left alone."""
    if folder.exists():
        return
    temporary = folder.with_name(f"{folder.name}.{os.urandom(4).hex()}.tmp")
    temporary.mkdir(parents=True)
    for start in range(0, pairs, shard_rows):
        rows = [
            pair_row(
                f"text-{number}",
                asked_by_user(text_part(f"Which one, in case {number}?")),
                [
                    [text_part(f"first of {number} score={2 + number % 2 * 6}")],
                    [text_part(f"second of {number} score={8 - number % 2 * 6}")],
                ],
            )
            for number in range(start, min(start + shard_rows, pairs))
        ]
        table: pa.Table = table_of(rows, PAIRS_V2)
        pq.write_table(table, temporary / f"text-{start:07d}.parquet", row_group_size=256)
    temporary.rename(folder)
