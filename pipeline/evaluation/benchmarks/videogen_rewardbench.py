"""VideoGen-RewardBench (arXiv 2501.13918): pairs of videos made for a prompt.

Schema read in the hub set's card (KlingTeam/VideoGen-RewardBench, once KwaiVGI's:
videogen-rewardbench.csv with path_A, path_B, A_model, B_model, prompt and VQ, MQ, TA, Overall in A,
B or same) and in ``eval_videogen_rewardbench.py`` and ``calc_accuracy.py`` of
github.com/KwaiVGI/VideoAlign, whose accuracies with and without ties these are. The judge gives
one verdict a pair: every dimension is measured against that one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.aggregation.judged_pairs import JudgedPair
from pipeline.evaluation.benchmarks.benchmark import Benchmark, BenchmarkPart, metadata_of
from pipeline.evaluation.pair_measures import metadata
from pipeline.pairs.arrow_layouts import is_text
from pipeline.stats.bootstrap import Statistic, Within, share_of
from pipeline.stats.rank_agreement import TieThresholdAccuracy

DIMENSIONS = ("VQ", "MQ", "TA", "Overall")
_SIGN = {"A": 1.0, "B": -1.0, "same": 0.0}


def _columns(names: frozenset[str], part: BenchmarkPart) -> dict[str, Any]:
    a = {"videos": "path_A", **({"model": "A_model"} if "A_model" in names else {})}
    b = {"videos": "path_B", **({"model": "B_model"} if "B_model" in names else {})}
    return {
        "prompt": "prompt",
        "response_a": a,
        "response_b": b,
        "gold": {"column": "Overall", "values": {"A": "a", "B": "b", "same": "tie"}},
        "source": {"const": "videogen-rewardbench"},
        **metadata_of(names, *DIMENSIONS),
    }


def _table(table: pa.Table, part: BenchmarkPart) -> pa.Table:
    for name in ("path_A", "path_B"):
        if is_text(table[name].type):
            paths = pc.replace_substring_regex(table[name].cast(pa.string()), r"^\./", "")
            table = table.set_column(table.column_names.index(name), name, paths)
    return table


def _dimensions(rows: Sequence[JudgedPair]) -> dict[str, Statistic]:
    margins = np.array([_margin(row) for row in rows])
    found: dict[str, Statistic] = {}
    for dimension in DIMENSIONS:
        stored = [_SIGN.get(metadata(row.pair).get(dimension) or "", np.nan) for row in rows]
        gold = np.array(stored)
        there = np.flatnonzero(~np.isnan(gold))
        if not there.size:
            continue
        sided = [sign in (1.0, -1.0) for sign in gold]
        alike = zip(sided, margins * gold > 0, strict=True)
        found[f"{dimension}_without_ties"] = share_of(
            [float(ok) if is_ else None for is_, ok in alike]
        )
        found[f"{dimension}_with_ties"] = Within(
            there, TieThresholdAccuracy(gold[there], margins[there])
        )
    return found


def _margin(row: JudgedPair) -> float:
    """How much the judge prefers ``a``: by its scores, or by its votes where there are none."""
    margin, share = row.label["margin"], row.label["p_a_raw"]
    if margin is not None:
        return float(margin)
    return float("nan") if share is None else float(share) - 0.5


VIDEOGEN_REWARDBENCH = Benchmark(
    name="videogen-rewardbench",
    title="VideoGen-RewardBench",
    hub_id="KlingTeam/VideoGen-RewardBench",
    parts=(BenchmarkPart("videogen-rewardbench", "eval", hints=("videogen-rewardbench",)),),
    required=("path_A", "path_B", "prompt", *DIMENSIONS),
    columns=_columns,
    candidates="video",
    prepare=_table,
    inline=False,
    extra=_dimensions,
)
