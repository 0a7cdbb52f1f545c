"""What committing a unit costs, and of it reading the part back, as a share of judging the unit."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

from pipeline.aggregation.labeler import Labeler
from pipeline.judging.judge_config import JudgeConfig
from pipeline.judging.votes import Vote
from pipeline.labeling.pair_judge import label_row
from pipeline.parts.commit import commit_part
from pipeline.parts.part_files import part_bytes
from pipeline.parts.units import Unit
from pipeline.runtime.digest import digest
from pipeline.store.object_store import Store
from schemas.contract import table_of
from schemas.labels import LABELS, VERDICT

_JUDGE_ID = "5" * 64
_VOTES = 2  # of a pair
_WORDS = 200  # of a rationale: what judges write before their verdict


def bench_commit(
    stores: Sequence[str], rows: int, units: int, rates: Sequence[float]
) -> dict[str, Any]:
    """Commits parts to each store, step by step.

    Args:
        stores: URIs of empty folders.
        rows: of a unit.
        units: how many are committed to each store.
        rates: pairs per second of a worker, to which the costs are related.
    """
    chance = random.Random(1)
    words = ["".join(chance.choices("etaoinshrdlu", k=6)) for _ in range(4_000)]
    made = [_labels(number, rows, chance, words) for number in range(units)]
    return {
        "benchmark": "commit",
        "unit_rows": rows,
        "units": units,
        "rows": [_measured(Store(uri), made, rows, rates) for uri in stores],
        "notes": [
            f"medians of {units} units of {rows:,} rows; {_VOTES} votes a pair with rationales of "
            f"{_WORDS} words",
            "share at N/s: reading back, of the time in which a worker judges N pairs a second",
            "a worker commits a unit while it judges others: reading back holds up none of them",
        ],
    }


def _measured(
    store: Store, made: Sequence[list[dict[str, Any]]], rows: int, rates: Sequence[float]
) -> dict[str, Any]:
    seconds: dict[str, list[float]] = {"encode": [], "create": [], "read_back": [], "commit": []}
    size = 0
    for number, labels in enumerate(made):
        stamped = [row | {"part_revision": 1} for row in labels]
        data = _timed(seconds["encode"], _encoded, stamped)
        key = f"steps/{number:06d}.parquet"
        _timed(seconds["create"], store.create, key, data)
        if not _timed(seconds["read_back"], _is_stored, store, key, data):
            raise AssertionError(f"{store.path(key)}: other bytes than were written")
        unit = Unit(f"{number}.parquet", digest(str(number)), 0, rows)
        _timed(seconds["commit"], commit_part, store, _JUDGE_ID, unit, labels)
        size = len(data)
    found = {f"{name}_ms": 1_000 * statistics.median(each) for name, each in seconds.items()}
    back = found["read_back_ms"] / 1_000
    return {
        "store": store.uri.partition("://")[0] if not store.local else "local",
        "part_bytes": size,
        **{name: round(value, 2) for name, value in found.items()},
        "read_back_of_commit": round(found["read_back_ms"] / found["commit_ms"], 3),
        **{f"share_at_{rate:g}_per_s": round(back * rate / rows, 6) for rate in rates},
    }


def _encoded(rows: list[dict[str, Any]]) -> bytes:
    return part_bytes([table_of(rows, LABELS)])


def _is_stored(store: Store, key: str, data: bytes) -> bool:
    """What a commit does once it has written a part."""
    return store.read(key) == data


def _timed(seconds: list[float], act: Callable[..., Any], *arguments: Any) -> Any:
    began = time.perf_counter()
    result = act(*arguments)
    seconds.append(time.perf_counter() - began)
    return result


def _labels(
    number: int, rows: int, chance: random.Random, words: Sequence[str]
) -> list[dict[str, Any]]:
    """The labels of one unit, as a run has them."""
    labeler, labels = Labeler.of(JudgeConfig()), []
    for row in range(rows):
        votes = [
            Vote(
                order=order,
                seed=chance.getrandbits(31),
                outcome=VERDICT,
                scores=(float(chance.randint(1, 10)), float(chance.randint(1, 10))),
                rationale=" ".join(chance.choices(words, k=_WORDS)),
                prompt_tokens=1_500,
                output_tokens=300,
                run_id="bench",
            )
            for order in ("ab", "ba")[:_VOTES]
        ]
        where = {"shard": f"{number}.parquet", "unit": "bench", "row": row}
        where |= {"judge_id": _JUDGE_ID, "run_id": "bench"}
        hashed = digest(str(number), str(row))
        pair = {"pair_id": hashed[:16]}
        decision = labeler.decide(votes)
        labels.append(label_row(pair, where, hashed, decision, votes, labeler.policy_id))
    return labels
