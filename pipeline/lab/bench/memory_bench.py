"""Whether the memory of queued pictures is bounded where the judge is slower than the readers."""

from __future__ import annotations

import io
import os
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from PIL import Image

from pipeline.lab.bench.fresh_process import stderr_reporter
from pipeline.lab.bench.job_run import label_on_stderr
from pipeline.lab.bench.process_watch import ProcessTreeCpu, ProcessTreeMemory
from pipeline.lab.bench.ray_watch import created_bytes, spilled_bytes
from pipeline.labeling.cluster.ray_session import ray_session
from pipeline.labeling.label_config import LabelConfig
from pipeline.pairs.contents import asked_by_user, media_part, pair_row, text_part
from schemas.contract import table_of
from schemas.pairs import PAIRS_V2

_MiB = 2**20


def bench_memory(config: LabelConfig, folder: Path, total_mb: int) -> dict[str, Any]:
    """Streams ``total_mb`` MiB of pictures through the job; reports spilling and peak memory.

    The engine is the scripted one, slow enough that pictures queue before it.
    """
    pairs = write_heavy_shards(folder / "pairs", total_mb)
    output = folder / f"labels-{time.time_ns()}"
    with (
        ray_session(config.workers, stderr_reporter()),
        ProcessTreeMemory() as memory,
        ProcessTreeCpu() as cpu,
    ):
        began = time.monotonic()
        result = label_on_stderr(config, str(folder / "pairs"), str(output))
        seconds = time.monotonic() - began
        spilled, crossed = spilled_bytes(), created_bytes()
    stored = sum(path.stat().st_size for path in (folder / "pairs").glob("*.parquet"))
    return {
        "benchmark": "memory",
        "picture_mb": total_mb,
        "stored_kb_a_pair": round(stored / pairs / 1_024, 1),
        "object_store_kb_a_pair": round(crossed / pairs / 1_024, 1),
        "crossings": round(crossed / stored, 3),
        "cpu_s_1000_pairs": round(cpu.tree_s / pairs * 1_000, 2),
        "object_store_mb": config.workers.local_object_store_mb,
        "pairs": pairs,
        "labels": result.counts.pairs,
        "spilled_mb": round(spilled / _MiB, 1),
        "peak_process_tree_mb": round(memory.peak_bytes / _MiB),
        "processes_at_peak": memory.peak_processes,
        "seconds": round(seconds, 1),
        "notes": [
            "crossings: bytes put into the object store over bytes of the shards; 1 is every "
            "compressed byte once",
            "cpu_s_1000_pairs: of the whole process tree, Ray's own and its start included; the "
            "engine is scripted and costs nothing",
        ],
    }


def write_heavy_shards(folder: Path, total_mb: int) -> int:
    """Writes pair shards of about 1 MiB of picture a pair, 128 pairs each; returns the pairs."""
    folder.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    Image.effect_noise((600, 600), 90).convert("RGB").save(buffer, "PNG")
    picture = buffer.getvalue() + os.urandom(max(0, _MiB - buffer.tell()))
    shown = media_part("image", {"bytes": picture, "path": None})
    for start in range(0, total_mb, 128):
        rows = [
            pair_row(
                f"heavy-{number}",
                asked_by_user(shown, text_part("Which one?")),
                [[text_part(f"{which} of {number}")] for which in ("first", "second")],
            )
            for number in range(start, min(start + 128, total_mb))
        ]
        path = folder / f"heavy-{start:06d}.parquet"
        # Without a dictionary: it would store the picture once, which all pairs have in common.
        pq.write_table(
            table_of(rows, PAIRS_V2),
            path,
            row_group_size=32,
            compression="none",
            use_dictionary=False,
        )
    return total_mb
