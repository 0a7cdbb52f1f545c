"""What a browser waits for at `pairmill review`: first and next page, filters, a pair, a search."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import psutil
from starlette.testclient import TestClient

from pipeline.lab.bench.synthetic_snapshot import RARE, write_snapshot
from pipeline.pairs.input_config import InputConfig
from pipeline.review.access import Tokens
from pipeline.review.review_server import application
from pipeline.review.reviewed_output import Reviewed
from pipeline.review.text_search import Hit, search
from pipeline.store.object_store import Store

_MEMORY_BYTES = 2**30


def bench_review(folder: Path, rows: int, shards: int, repeats: int) -> dict[str, Any]:
    """Asks for pages of a snapshot of made-up labels.

    Args:
        folder: where it is written, unless it is there.
        rows: of the snapshot.
        shards: that they lie in.
        repeats: of each request but the first; medians are shown.
    """
    output = Store(str(folder / "labels"))
    if output.size("snapshots/LATEST.json") is None:
        write_snapshot(folder, rows, shards)
    began, began_cpu, process = time.monotonic(), time.process_time(), psutil.Process()
    before = process.memory_info().rss
    reviewed = Reviewed(output, None, InputConfig(), _MEMORY_BYTES)
    with TestClient(application(reviewed, Tokens())) as client:

        def get(path: str, **query: object) -> tuple[float, float]:
            """Seconds that passed, and seconds of CPU time of this process."""
            start, cpu = time.monotonic(), time.process_time()
            answer = client.get(f"{path}?{urlencode(query)}")
            if answer.status_code != 200:
                raise AssertionError(f"{answer.request.url}: {answer.status_code} {answer.text}")
            return time.monotonic() - start, time.process_time() - cpu

        get("/")
        first = time.monotonic() - began, time.process_time() - began_cpu
        reviewed.inputs.read_all()
        asked: dict[str, Callable[[int], tuple[float, float]]] = {
            "next page": lambda n: get("/", page=n + 2),
            "filtered": lambda n: get("/", status="tie", orders="flips", page=n + 1),
            "sorted by confidence": lambda n: get("/", sort="confidence", page=n + 1),
            "a pair": lambda n: get("/pair", shard="00000.parquet", row=n, at=n),
            "search, all rows": lambda n: get("/search", text=RARE),
        }
        medians = {
            name: tuple(map(statistics.median, zip(*map(ask, range(repeats)), strict=True)))
            for name, ask in asked.items()
        }
        hit = _first_hit(reviewed)
    shown = {"first page, opening included": first, "search, first hit": hit, **medians}
    return {
        "benchmark": "review",
        "rows": [
            {"request": name, "seconds": round(seconds, 3), "cpu_s": round(cpu, 3)}
            for name, (seconds, cpu) in shown.items()
        ],
        "labels": rows,
        "shards": shards,
        "memory_mb": round((process.memory_info().rss - before) / 2**20),
        "notes": ["in this process, without a network; a browser's own time is not in it"],
    }


def _first_hit(reviewed: Reviewed) -> tuple[float, float]:
    began, cpu = time.monotonic(), time.process_time()
    next(found for found in search(reviewed, RARE) if isinstance(found, Hit))
    return time.monotonic() - began, time.process_time() - cpu
