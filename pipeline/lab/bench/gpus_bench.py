"""The whole job on several GPUs of one host: rates against linear, and a worker killed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from pipeline.lab.bench.fresh_process import in_fresh_process
from pipeline.lab.bench.gpu_watch import GpuSample
from pipeline.lab.bench.job_run import JobRun, run_job
from pipeline.lab.bench.process_watch import ProcessTreeCpu, ProcessTreeMemory, judge_processes
from pipeline.lab.bench.results_table import report_run
from pipeline.labeling.label_config import LabelConfig
from pipeline.runtime.repeating import every

_MIB = 2**20
_LOADING = 2**30  # bytes on a GPU that an engine has begun to load its weights on
_MEMORY_EVERY_S = 5.0


def bench_gpus(
    config: LabelConfig,
    input_of: Callable[[int], str],
    new_output: Callable[[], str],
    gpus: Sequence[int],
    kill_after_s: float | None = None,
) -> dict[str, Any]:
    """One run for each number of GPUs, with as many pairs for each GPU.

    Args:
        config: of the job; the pool's size is set here, at ``workers.gpus`` GPUs a worker.
        input_of: URI of the pairs for so many GPUs.
        new_output: gives an empty folder.
        gpus: how many, ascending.
        kill_after_s: a run of the most GPUs more, in which one worker is killed so many seconds
            after the first of them was there.

    Returns:
        A row for each run. ``against_linear`` is over the rate of the first row, as many times as
        there are GPUs.
    """
    rows: list[dict[str, Any]] = []
    runs: list[tuple[int, float | None]] = [(count, None) for count in gpus]
    if kill_after_s is not None:
        runs.append((gpus[-1], kill_after_s))
    for count, kill in runs:
        row = in_fresh_process(_run, _sized(config, count), input_of(count), new_output(), kill)
        first = rows[0] if rows else row | {"gpus": count}
        multiple = count / first["gpus"]
        steady = row["steady_judgments_per_s"] / first["steady_judgments_per_s"] / multiple
        whole = row["judgments_per_s"] / first["judgments_per_s"] / multiple
        compared = {"against_linear": round(whole, 3), "steady_against_linear": round(steady, 3)}
        rows.append({"gpus": count, "killed": kill is not None, **compared, **row})
        report_run(f"{count} GPUs", rows[-1])
    return {
        "benchmark": "gpus",
        "rows": rows,
        "cores": os.cpu_count(),
        "notes": [
            "judgments_per_s: from the first unit's arrival at a worker to the last commit; "
            "steady: of complete pairs, from a quarter of them to their half",
            "loads_within_s: from the first engine to the last that began to load its weights",
            "tail_s: the last tenth of the labels; gpu_idle_s: the mean of the GPUs, between the "
            "first unit's arrival and the last label, by the driver's counters",
            "driver: the process that plans and hands out units, without Ray's own processes; "
            "memory: the proportional set sizes of all processes",
        ],
    }


def _sized(config: LabelConfig, gpus: int) -> LabelConfig:
    workers = max(1, round(gpus / config.workers.gpus))
    return config.model_copy(
        update={"workers": config.workers.model_copy(update={"min": workers, "max": workers})}
    )


def _run(
    config: LabelConfig, input_uri: str, output_uri: str, kill_after_s: float | None
) -> dict[str, Any]:
    killer = nullcontext() if kill_after_s is None else _one_worker_killed(kill_after_s)
    with ProcessTreeMemory(_MEMORY_EVERY_S) as memory, ProcessTreeCpu() as cpu, killer:
        run = run_job(config, input_uri, output_uri)
    return {
        **run.rates.row(),
        "pairs": run.rates.pairs,
        "judgments": run.rates.judgments,
        "loads_within_s": _loads_within(run.gpu.samples),
        "tail_s": run.pace.tail_s,
        "gpu_idle_s": run.details(input_uri)["gpu_idle_s"],
        "driver_cpu_s": round(cpu.own_s, 1),
        "all_cpu_s": round(cpu.tree_s),
        "memory_mb": round(memory.peak_bytes / _MIB),
        "labels_by_second": run.pace.by_second,
        "gpu": _of_each_gpu(run),
    }


def _one_worker_killed(after_s: float) -> AbstractContextManager[None]:
    """Kills a worker, so many seconds after the first of them is there."""
    there_at, killed = list[float](), list[int]()

    def kill_when_due() -> None:
        workers = [] if killed else judge_processes()
        if workers and not there_at:
            there_at.append(time.monotonic())
        if workers and time.monotonic() - there_at[0] >= after_s:
            os.kill(workers[0].pid, signal.SIGKILL)
            killed.append(workers[0].pid)

    return every(1, kill_when_due)


def _loads_within(samples: Sequence[GpuSample]) -> float | None:
    began: dict[int, float] = {}
    for sample in samples:
        if sample.memory_bytes > _LOADING:
            began.setdefault(sample.gpu, sample.at)
    return round(max(began.values()) - min(began.values()), 1) if began else None


def _of_each_gpu(run: JobRun) -> dict[str, list[tuple[float, float]]]:
    """By GPU: seconds since the first label, and the share of time in which a kernel ran."""
    by_gpu: dict[str, list[tuple[float, float]]] = {}
    for sample in run.gpu.samples:
        moment = round(sample.at - run.pace.first_at, 1)
        by_gpu.setdefault(str(sample.gpu), []).append((moment, sample.busy))
    return by_gpu
