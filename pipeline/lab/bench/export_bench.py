"""What publishing and exporting many labels cost: seconds, CPU, and the most memory, by size."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pipeline.export.export_config import ExportConfig
from pipeline.export.export_run import EXPORTS, export_snapshot
from pipeline.lab.bench.fresh_process import in_fresh_process, stderr_reporter
from pipeline.lab.bench.process_watch import ProcessTreeCpu, ProcessTreeMemory
from pipeline.lab.bench.publish_bench import publish_corpus, write_corpus
from pipeline.lab.bench.results_table import report_run
from pipeline.snapshots.manifests import LATEST
from pipeline.store.object_store import Store

_EVERY_S = 1.0  # for memory the kernel looks at each page; every 5 s it missed a peak of 400 MB
_MB = 1e6


def bench_export(
    folder: Path, sizes: Sequence[int], shard_rows: int, formats: Sequence[str]
) -> dict[str, Any]:
    """Publishes and exports made-up labels of each size, each in a process of its own.

    Args:
        folder: for what is labelled, which stays, and for exports, which are written anew.
        sizes: rows, ascending.
        shard_rows: rows of a shard.
        formats: of the exports.
    """
    made = []
    for rows in sizes:
        root = folder / f"{rows}-rows"
        in_fresh_process(_prepare, root, rows, shard_rows)
        runs = {"publish": in_fresh_process(_publish, root)}
        report_run("publish", runs["publish"])
        for name in formats:
            runs[name] = in_fresh_process(_export, root, name)
            report_run(name, runs[name])
        made += [{"what": what, "rows": rows, **run} for what, run in runs.items()]
    return {
        "benchmark": "export",
        "rows": made,
        "shard_rows": shard_rows,
        "notes": [
            "publish: of labels that nothing has published; exports: of that snapshot",
            "memory: proportional set sizes of all processes, Ray's among them, every "
            f"{_EVERY_S:g} s; what it costs to look is left out of the CPU's time",
        ],
    }


def _prepare(root: Path, rows: int, shard_rows: int) -> None:
    """Writes shards and their labels, unless they are there."""
    if not (whole := root / "whole").exists():
        write_corpus(root, rows // shard_rows, shard_rows)
        whole.touch()


def _publish(root: Path) -> dict[str, Any]:
    return _measured(lambda: publish_corpus(root))


def _export(root: Path, name: str) -> dict[str, Any]:
    output = Store(str(root / "labels"))
    shutil.rmtree(root / "labels" / EXPORTS, ignore_errors=True)

    def export() -> dict[str, Any]:
        config = ExportConfig.model_validate({"format": name})
        done = export_snapshot(output, None, LATEST, config, stderr_reporter())
        return {"kept": sum(done.record.kept.values()), "files": len(done.record.files)}

    return _measured(export)


def _measured(step: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    began = time.monotonic()
    with ProcessTreeMemory(_EVERY_S) as memory, ProcessTreeCpu(_EVERY_S) as cpu:
        found = step()
    looking = memory.looking_s + cpu.looking_s
    return {
        **found,
        "seconds": round(time.monotonic() - began, 1),
        "all_cpu_s": round(cpu.tree_s - looking, 1),
        "own_cpu_s": round(cpu.own_s - looking, 1),
        "peak_mb": round(memory.peak_bytes / _MB),
        "processes": memory.peak_processes,
    }
