"""Counts the rows and votes of a snapshot, one batch at a time."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.pairs.prompts import cluster_number
from pipeline.stats.arrays import Floats, Ints, Table
from pipeline.stats.cluster_sums import ClusterSums
from pipeline.stats.tally import Tally, bins_of, counted, ratio_sums
from schemas.labels import VERDICT, Reason, Status
from schemas.quality import TOKENS

# The columns of a snapshot's tables that are read.
LABEL_COLUMNS = (
    "shard",
    "row",
    "status",
    "reason",
    "preference",
    "p_a",
    "p_a_raw",
    "margin",
    "scores",
    "confidence",
    "position_consistent",
    "n_votes",
    "cluster",
    "criteria",
    "pair_hash",
    "decided_by",
)
SAMPLE = "sample"  # the prefix of counts by prompt of sampled rows
VOTE_COLUMNS = ("vote", "order", "choice", "outcome", *(f"{name}_tokens" for name in TOKENS))

EDGES: dict[str, tuple[float, ...]] = {
    "margin": tuple(number - 0.5 for number in range(-10, 12)),  # scores are 1 to 10
    "confidence": tuple(number / 20 for number in range(21)),
    "p_a": tuple(number / 10 for number in range(11)),
    "votes_per_pair": tuple(float(number) for number in range(34)),
    "output_tokens": (0.0, *(float(2**power) for power in range(16))),
    "length_ratio": tuple(2 ** (power / 2) for power in range(-8, 9)),
}
EDGES["length_ratio_a"] = EDGES["length_ratio"]


def of_rows(rows: pa.Table) -> Tally:
    """Rows of a snapshot's table ``labels`` or ``quarantine``."""
    labeled = pc.equal(rows["status"], Status.LABELED)
    judged = pc.invert(pc.equal(rows["status"], Status.QUARANTINED))
    preference = pc.value_counts(rows["preference"].filter(labeled)).to_pylist()
    consistent = rows["position_consistent"]
    tally = Tally()
    tally.numbers.update(_by_value("status", rows["status"]))
    tally.numbers.update(_by_value("reason", rows["reason"]))
    tally.numbers.update(_by_value("decided_by", rows["decided_by"].filter(judged)))
    tally.numbers.update({f"preference/{each['values']}": each["counts"] for each in preference})
    tally.numbers["consistent"] = int(pc.sum(consistent).as_py() or 0)
    tally.numbers["consistency_known"] = len(consistent) - consistent.null_count
    tally.numbers["calibrated"] = len(rows) - rows["p_a"].null_count
    p = probabilities(rows)
    tally.numbers["probability_known"] = int(np.count_nonzero(~np.isnan(p)))
    tally.tables["p_a"] = counted(p, EDGES["p_a"])
    for name in ("margin", "confidence"):
        tally.tables[name] = counted(floats(rows[name]), EDGES[name])
    tally.tables["votes_per_pair"] = counted(floats(rows["n_votes"]), EDGES["votes_per_pair"])
    return tally


def of_votes(votes: pa.Table) -> Tally:
    """Votes of a snapshot's table ``votes``: every vote of each row that has one in the batch."""
    outcome, choice = votes["outcome"], votes["choice"]
    # Votes are in the order of their rows, and each row's votes are numbered from 0.
    row = np.cumsum(integers(votes["vote"]) == 0)
    parsed = flags(pc.equal(outcome, VERDICT))
    sided = parsed & flags(pc.is_in(choice, pa.array(["a", "b"])))
    first = pc.utf8_slice_codeunits(votes["order"], 0, 1)
    # Candidates that were asked about apart have one order or none, and none of them was first.
    in_turn = sided & _in_both_orders(texts(first), parsed, row)
    every = np.ones(len(votes), bool)
    tally = Tally()
    tally.numbers.update(_by_value("outcome", outcome))
    for name in TOKENS:
        tally.numbers[f"tokens/{name}"] = int(pc.sum(votes[f"{name}_tokens"]).as_py() or 0)
    written = floats(votes["output_tokens"])
    tally.tables["output_tokens"] = counted(written, EDGES["output_tokens"])
    for name, part, whole in (
        ("truncation", flags(pc.equal(outcome, Reason.TRUNCATED)), every),
        ("unreadable", ~parsed, every),
        ("first_slot_wins", in_turn & flags(pc.equal(choice, first)), in_turn),
    ):
        tally.tables[name] = ratio_sums(_by_row(part, row), _by_row(whole, row))
    return tally


def _in_both_orders(first: NDArray[Any], parsed: NDArray[np.bool_], row: Ints) -> Any:
    """Of each vote, whether its row has parsed ones that began with either candidate."""
    begun = [np.bincount(row, parsed & (first == letter)) > 0 for letter in ("a", "b")]
    both: NDArray[np.bool_] = (begun[0] & begun[1])[row]
    return both


def of_prompts(rows: pa.Table, prompts: Ints) -> Tally:
    """Sampled rows of a snapshot's table: how their counts are spread over prompts.

    Args:
        rows: of the table ``labels`` or ``quarantine``.
        prompts: the key of each row's prompt.
    """
    status = texts(rows["status"])
    quarantined = status == Status.QUARANTINED
    labeled = status == Status.LABELED
    consistent = rows["position_consistent"]
    counts = {
        "tie": (status == Status.TIE, ~quarantined),
        "abstain": (status == Status.ABSTAINED, ~quarantined),
        "quarantine": (quarantined, np.ones_like(quarantined)),
        "position_consistency": (flags(consistent), np.asarray(pc.is_valid(consistent), bool)),
        "preference_a": (labeled & (texts(rows["preference"]) == "a"), labeled),
    }
    p = probabilities(rows)
    known = ~np.isnan(p)
    bins = np.eye(len(EDGES["p_a"]) - 1, dtype=np.int64)[bins_of(p[known], EDGES["p_a"])]
    tally = Tally()
    for name, columns in counts.items():
        tally.clusters[f"{SAMPLE}/{name}"] = ClusterSums.of(prompts, *columns)
    tally.clusters[f"{SAMPLE}/p_a"] = ClusterSums.of(prompts[known], *bins.T)
    return tally


def of_lengths(
    length_a: Floats, length_b: Floats, preferred: Table, gold: Table, prompts: Ints
) -> Tally:
    """Sampled rows whose two responses are texts.

    Args:
        length_a, length_b: in characters; a row where one is NaN or 0 is not counted.
        preferred: ``"a"`` or ``"b"``; anything else of a row without a preference.
        gold: ``"a"`` or ``"b"``; anything else of a row where no human prefers one.
        prompts: the key of each row's prompt.
    """
    known = (length_a > 0) & (length_b > 0)
    longer = np.where(length_a > length_b, "a", "b")
    tally = Tally()
    for name, chosen in (("longer_wins", preferred), ("gold_longer_wins", gold)):
        sided = known & (length_a != length_b) & np.isin(chosen, ("a", "b"))
        tally.clusters[name] = ClusterSums.of(prompts, sided & (chosen == longer), sided)
    labeled = known & np.isin(preferred, ("a", "b"))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(labeled, length_a / length_b, np.nan)
    edges = EDGES["length_ratio"]
    tally.tables["length_ratio"] = counted(ratio, edges)
    tally.tables["length_ratio_a"] = counted(ratio[preferred == "a"], edges)
    return tally


def clusters(rows: pa.Table, prompts: Ints) -> Ints:
    """The cluster of each row; where its label does not state it, the key of its prompt's text.

    Args:
        rows: of the table ``labels`` or ``quarantine``.
        prompts: the key of each row's prompt.
    """
    stated = rows["cluster"].to_pylist()
    pairs = zip(stated, prompts.tolist(), strict=True)
    return np.array([cluster_number(c) if c else key for c, key in pairs], np.int64)


def probabilities(rows: pa.Table) -> Floats:
    """Of each row the probability that a is preferred; NaN where it has none.

    The calibrated one, or else the share of its votes.
    """
    return floats(pc.coalesce(rows["p_a"], rows["p_a_raw"]))


def floats(column: Any) -> Floats:
    """A column of numbers; NaN where there is none."""
    filled = pc.fill_null(column.cast(pa.float64()), float("nan"))
    return np.asarray(filled, np.float64)


def integers(column: Any) -> Ints:
    """A column of integers without nulls."""
    return np.asarray(column, np.int64)


def texts(column: Any) -> Table:
    """A column of texts; null is empty."""
    return np.asarray(pc.fill_null(column, ""), np.str_)


def flags(column: Any) -> Table:
    """A column of booleans; null is false."""
    return np.asarray(pc.fill_null(column, False), bool)


def _by_value(prefix: str, column: Any) -> Counter[str]:
    found = pc.value_counts(column).to_pylist()
    counts = {each["values"]: each["counts"] for each in found if each["values"] is not None}
    return Counter({f"{prefix}/{value}": int(count) for value, count in counts.items()})


def _by_row(values: Table, row: Ints) -> Ints:
    """How many values of each row are true."""
    return np.bincount(row, weights=values).astype(np.int64)
