"""What a nightly run's plan costs: time, requests and driver memory, by size and share of change.

The plan's costs must depend on what changed, not on what is there. Corpora are described, not
stored (see :mod:`pipeline.lab.bench.synthetic_corpus`): measured is the plan's own work, every
request being answered at once; what requests add in a real bucket is estimated from their number.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.judging.judge_config import JudgeConfig
from pipeline.lab.bench.fresh_process import in_fresh_process
from pipeline.lab.bench.process_watch import PeakMemory
from pipeline.lab.bench.synthetic_corpus import Corpus, SyntheticInput, SyntheticOutput
from pipeline.labeling.planning.committed_shards import THREADS
from pipeline.labeling.planning.plan import plan_shards
from pipeline.pairs.input_config import InputConfig
from pipeline.snapshots.live_shards import live_shards

_JUDGE_ID = "5" * 64
_MiB = 2**20
REQUEST_S = 0.03  # a LIST or a small ranged GET of S3, about


@dataclass(frozen=True)
class Case:
    """One corpus, and how much of it is new.

    Attributes:
        units: in the whole corpus.
        shard_units: in each shard.
        new: share of the shards that are new.
        published: whether the rest is in the live snapshot's manifest, or has parts only.
    """

    units: int
    shard_units: int
    new: float
    published: bool = True


_WARM_UP = Case(units=64, shard_units=2, new=0.5)


def bench_incremental(
    sizes: Sequence[int], shard_units: int, shares: Sequence[float], extrapolate_to: int
) -> dict[str, Any]:
    """Plans each corpus at each share of new shards, each in a process of its own.

    Args:
        sizes: units of the corpora, ascending.
        shard_units: units of a shard.
        shares: of the shards that are new.
        extrapolate_to: units; from the two largest corpora, by a straight line.
    """
    rows = [
        in_fresh_process(plan_once, Case(units, shard_units, share))
        for share in shares
        for units in sizes
    ]
    # Parts, but no snapshot yet: the footers must be read.
    rows += [in_fresh_process(plan_once, Case(sizes[-1], shard_units, 0, published=False))]
    return {
        "benchmark": "incremental",
        "unit_rows": InputConfig().unit_rows,
        "threads": THREADS,
        "request_s": REQUEST_S,
        "rows": [*rows, *(_extrapolated(rows, share, extrapolate_to) for share in shares)],
        "notes": [
            "corpora are described, not stored: measured is the plan's own work, in one process",
            f"bucket s: with {REQUEST_S:g} s for each request, {THREADS} at a time",
            "published: unchanged shards are in the live snapshot, so their footers are not read; "
            "where not, nothing was published yet",
            f"{extrapolate_to:,} units: extrapolated from the two largest corpora by a line",
        ],
    }


def plan_once(case: Case) -> dict[str, Any]:
    """Plans a corpus in this process; raises unless the plan has exactly the case's new units."""
    if case.units > _WARM_UP.units:  # imports at first use are no cost of this corpus
        plan_once(_WARM_UP)
    config = InputConfig()
    shards = max(1, case.units // case.shard_units)
    new = -(-shards * round(case.new * 1_000) // 1_000)
    corpus = Corpus(shards, case.shard_units, config.unit_rows, new, _JUDGE_ID)
    source, output = SyntheticInput(corpus), SyntheticOutput(corpus, published=case.published)
    output.describe()
    with PeakMemory() as memory:
        began, cpu = time.monotonic(), time.process_time()
        plan = plan_shards(
            source, "", output, config, JudgeConfig(), _JUDGE_ID, read_published=live_shards
        )
        seconds, cpu = time.monotonic() - began, time.process_time() - cpu
    expected = (shards, new, new * case.shard_units)
    if (len(plan.shards), len(plan.tasks), plan.units) != expected:
        raise AssertionError(f"planned {plan.summary()}, expected {expected}")
    requests = source.requests + output.requests
    return {
        "units": case.units,
        "shards": shards,
        "new": case.new,
        "published": case.published,
        "units_to_do": plan.units,
        "seconds": round(seconds, 3),
        "cpu_s": round(cpu, 3),
        "driver_mb": None if memory.grown_bytes is None else round(memory.grown_bytes / _MiB, 1),
        "requests": {kind: requests[kind] for kind in ("LIST", "GET", "HEAD")},
        "bucket_s": round(seconds + requests.total() * REQUEST_S / THREADS, 2),
    }


def _extrapolated(rows: Sequence[dict[str, Any]], share: float, units: int) -> dict[str, Any]:
    known = [row for row in rows if row["new"] == share and row["published"]][-2:]
    return {
        "units": units,
        "shards": round(known[-1]["shards"] * units / known[-1]["units"]),
        "new": share,
        "published": True,
        **{name: _line(known, name, units) for name in ("seconds", "driver_mb", "bucket_s")},
        "requests": {
            kind: _line([{**row, kind: row["requests"][kind]} for row in known], kind, units)
            for kind in known[-1]["requests"]
        },
    }


def _line(rows: Sequence[dict[str, Any]], name: str, units: int) -> float | None:
    """The value at ``units`` of the straight line through the last two rows."""
    first, last = rows[0], rows[-1]
    if first[name] is None or last[name] is None:
        return None
    at_first, at_last = float(first[name]), float(last[name])
    if first is last:
        return round(at_last * units / int(last["units"]), 2)
    slope = (at_last - at_first) / int(last["units"] - first["units"])
    return round(at_last + slope * (units - int(last["units"])), 2)
