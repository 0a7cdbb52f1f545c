"""What ingest costs the CPU: pictures and texts from Parquet, texts from JSON lines; by prompt."""

from __future__ import annotations

import json
import random
import resource
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.ingest.ingest import IngestConfig, ingest
from pipeline.lab.bench.dummy_pairs import dummy_text
from pipeline.lab.bench.fresh_process import in_fresh_process
from pipeline.lab.bench.process_watch import ProcessTreeMemory
from pipeline.lab.bench.results_table import report_run

_PICTURE_BYTES = 200_000
_WORDS = (30, 150, 150)  # question and answers
_TEXTS = 2_000  # that rows take theirs from
_GROUP_ROWS = 256
_MAP = {"pair_id": "id", "messages": "question", "candidates": "[chosen, rejected]"}


def bench_ingest(folder: Path, picture_mb: int, rows: int) -> dict[str, Any]:
    """Ingests files that are made once, each in a process of its own.

    Args:
        folder: for files and shards.
        picture_mb: megabytes of pictures in Parquet.
        rows: of texts, in Parquet and in JSON lines; a third as many prompts.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pictures, texts, lines = (
        folder / f"pictures-{picture_mb}.parquet",
        folder / f"texts-{rows}.parquet",
        folder / f"texts-{rows}.jsonl",
    )
    _write_pictures(pictures, picture_mb * 1_000_000 // _PICTURE_BYTES)
    _write_texts(texts, lines, rows)
    cases: dict[str, tuple[Path, Mapping[str, Any]]] = {
        "pictures from Parquet": (pictures, {"map": _MAP | {"images": "[picture]"}}),
        "texts from Parquet": (texts, {"map": _MAP}),
        "texts from JSON lines": (lines, {"map": _MAP}),
        "texts from Parquet, by prompt": (texts, {"map": _MAP, "group_by": "prompt"}),
        "pictures from Parquet, by prompt": (
            pictures,
            {"map": _MAP | {"images": "[picture]"}, "group_by": "prompt"},
        ),
    }
    made = []
    for number, (name, (path, settings)) in enumerate(cases.items()):
        # A folder each: shards that an earlier case has left would be refused.
        shards = folder / f"shards-{number}"
        run = {"source": name, **in_fresh_process(_run, path, shards, settings)}
        shutil.rmtree(shards)
        report_run(name, run)
        made.append(run)
    return {
        "benchmark": "ingest",
        "rows": made,
        "notes": [
            "a core: CPU seconds of this process and of those that read and decode for it; mb: of "
            "the source's file; without the first batch, which imports, and without what it costs "
            "to look at memory (a quarter of pictures' time)",
        ],
    }


def _run(path: Path, output: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    config = IngestConfig.model_validate(
        {"source": {"path": str(path)}, "output": str(output), "overwrite": True, **settings}
    )
    ingest(config.model_copy(update={"limit": 1}))
    with ProcessTreeMemory(0.5) as memory:
        began, before = time.monotonic(), _cpu_s()
        report = ingest(config)
        seconds, cpu = time.monotonic() - began, _cpu_s() - before
    cpu -= memory.looking_s
    size = path.stat().st_size / 1e6
    return {
        "rows": report.rows,
        "bad_rows": report.bad_rows,
        "mb": round(size),
        "cpu_s": round(cpu, 1),
        "mb_a_core_second": round(size / cpu, 1),
        "rows_a_core_second": round(report.rows / cpu),
        "seconds": round(seconds, 1),
        "peak_mb": round(memory.peak_bytes / 1e6),
    }


def _cpu_s() -> float:
    """Of this process and of those that it started and that are alive or were waited for."""
    children = psutil.Process().children(recursive=True)
    alive = sum(sum(child.cpu_times()[:2]) for child in children)
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + float(alive) + ended.ru_utime + ended.ru_stime


def _write_pictures(path: Path, rows: int) -> None:
    """Rows with a picture each, of bytes that no codec makes smaller."""
    if path.exists():
        return
    rng, texts = random.Random(1), _texts()
    schema = pa.schema(
        [
            *((name, pa.string()) for name in ("id", "question", "chosen", "rejected")),
            ("picture", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        ]
    )
    with pq.ParquetWriter(path, schema, compression="none") as writer:
        for start in range(0, rows, _GROUP_ROWS):
            table = [
                _text_row(number, rows, texts)
                | {"picture": {"bytes": rng.randbytes(_PICTURE_BYTES), "path": None}}
                for number in range(start, min(start + _GROUP_ROWS, rows))
            ]
            writer.write_table(pa.Table.from_pylist(table, schema))


def _write_texts(path: Path, lines: Path, rows: int) -> None:
    if path.exists() and lines.exists():
        return
    texts = _texts()
    made = [_text_row(number, rows, texts) for number in range(rows)]
    pq.write_table(pa.Table.from_pylist(made), path, row_group_size=_GROUP_ROWS * 4)
    with lines.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in made)


def _text_row(number: int, rows: int, texts: list[list[str]]) -> dict[str, Any]:
    prompt = number % max(1, rows // 3)  # its rows are far apart
    question, chosen, rejected = (
        some[seed % _TEXTS] for some, seed in zip(texts, (prompt, number, 7 * number), strict=True)
    )
    return {
        "id": f"row-{number}",
        "question": f"{question} {prompt}",
        "chosen": chosen,
        "rejected": f"{rejected} {number}",
    }


def _texts() -> list[list[str]]:
    rng = random.Random(2)
    return [[dummy_text(rng, words) for _ in range(_TEXTS)] for words in _WORDS]
