"""What a browser waits for at `pairmill review`: first and next page, filters, a pair, a search."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any
from urllib.parse import urlencode

import psutil
from starlette.testclient import TestClient

from pipeline.lab.bench.distant_store import Relay, distant_store
from pipeline.lab.bench.fresh_process import in_fresh_process
from pipeline.lab.bench.synthetic_snapshot import RARE, write_snapshot
from pipeline.pairs.input_config import InputConfig
from pipeline.review.access import Tokens
from pipeline.review.review_server import application
from pipeline.review.reviewed_output import Reviewed
from pipeline.review.text_search import Hit, search
from pipeline.store.object_store import Store

_MEMORY_BYTES = 2**30
Measured = dict[str, float]


def bench_review(
    roots: Mapping[str, float], rows: int, shards: int, repeats: int
) -> dict[str, Any]:
    """Asks for pages of a snapshot of made-up labels, in a process of its own for each store.

    Args:
        roots: where it is written, unless it is there, and by how many seconds each request to
            that store is delayed.
        rows: of the snapshot.
        shards: that they lie in.
        repeats: of each request that is not the first of its kind; medians are shown.
    """
    measured = {
        root: in_fresh_process(_of_store, root, delay_s, rows, shards, repeats)
        for root, delay_s in roots.items()
    }
    return {
        "benchmark": "review",
        "rows": [
            {"store": root, "request": name, **figures}
            for root, (pages, _) in measured.items()
            for name, figures in pages.items()
        ],
        "labels": rows,
        "shards": shards,
        "delay_s": dict(roots),
        "memory_mb": {root: megabytes for root, (_, megabytes) in measured.items()},
        "notes": [
            "in one process, without a network but to the store; a browser's own time is not in it",
            "requests: to a bucket, as far as they are delayed",
        ],
    }


class _Stopwatch:
    """Measures calls: seconds, CPU seconds of this process, and requests to the store."""

    def __init__(self, relay: Relay | None) -> None:
        self._relay = relay

    def __call__(self, act: Callable[[], object]) -> Measured:
        began, cpu, asked = time.monotonic(), time.process_time(), self._asked()
        act()
        seconds, cpu = time.monotonic() - began, time.process_time() - cpu
        return {"seconds": seconds, "cpu_s": cpu, "requests": self._asked() - asked}

    def median(self, act: Callable[[int], object], repeats: int) -> Measured:
        """The medians of several calls, each of which is given its number."""
        found = [self(partial(act, number)) for number in range(repeats)]
        return {name: statistics.median(each[name] for each in found) for name in found[0]}

    @property
    def far(self) -> bool:
        """Whether requests are delayed."""
        return self._relay is not None

    def _asked(self) -> int:
        return self._relay.requests if self._relay else 0


def _of_store(
    root: str, delay_s: float, rows: int, shards: int, repeats: int
) -> tuple[dict[str, Measured], int]:
    """The figures of each request, and the megabytes that the process has grown by."""
    if Store(f"{root}/labels").size("snapshots/LATEST.json") is None:
        write_snapshot(root, rows, shards)
    with contextlib.ExitStack() as stack:
        relay = stack.enter_context(distant_store(delay_s)) if delay_s else None
        if relay:
            from pipeline.store.s3_objects import Objects

            Objects.clear_instance_cache()  # it remembers the endpoint before
        return _pages(root, shards, repeats, _Stopwatch(relay))


def _pages(
    root: str, shards: int, repeats: int, watch: _Stopwatch
) -> tuple[dict[str, Measured], int]:
    process = psutil.Process()
    before = process.memory_info().rss
    opened: list[Reviewed] = []
    opening = watch(
        lambda: opened.append(Reviewed(Store(f"{root}/labels"), None, InputConfig(), _MEMORY_BYTES))
    )
    (reviewed,) = opened
    with TestClient(application(reviewed, Tokens())) as client:

        def get(path: str, **query: object) -> None:
            answer = client.get(f"{path}?{urlencode(query)}")
            if answer.status_code != 200:
                raise AssertionError(f"{answer.request.url}: {answer.status_code} {answer.text}")

        def pair(number: int) -> None:
            shard = f"{number * 7 % shards:05d}"
            get("/", pair=f"{shard}-000001")
            get("/pair", shard=f"{shard}.parquet", row=1, at=0, pair=f"{shard}-000001")

        pages = {"opening": opening, "first page": watch(lambda: get("/"))}
        of_pages: dict[str, Callable[[int], object]] = {
            "next page": lambda n: get("/", page=n + 2),
            "filtered": lambda n: get("/", status="tie", orders="flips", page=n + 1),
            "sorted by confidence": lambda n: get("/", sort="confidence", page=n + 1),
            "found by id, and opened": pair,
        }
        pages |= {name: watch.median(ask, repeats) for name, ask in of_pages.items()}
        pages["gold and sources, read meanwhile"] = watch(reviewed.inputs.read_all)
        pages["search, first hit"] = watch(lambda: _first_hit(reviewed))
        if not watch.far:  # in a bucket it waits for thousands of requests, and for nothing else
            pages["search, all rows"] = watch(lambda: get("/search", text=RARE))
    rounded = {
        name: {key: round(value, 3) for key, value in each.items()} for name, each in pages.items()
    }
    return rounded, round((process.memory_info().rss - before) / 2**20)


def _first_hit(reviewed: Reviewed) -> None:
    next(found for found in search(reviewed, RARE) if isinstance(found, Hit))
