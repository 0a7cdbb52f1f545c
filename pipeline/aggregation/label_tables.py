"""The pairs of ranked groups as rows of labels, computed from the stored votes of the groups.

A ranking's row is a group of candidates; each of its votes orders every two of them.
:func:`pairs_of_groups` makes these pairs rows of their own (VLFeedback's use: groups in, pairs
out): one for each two candidates in the group's order, ``a-b`` to ``a-d``, ``b-c`` and so on.

* ``pair_id`` is the group's with the two letters appended: ``"<pair_id>#a-c"``.
* ``pair_hash`` and ``label_id`` are hashes of the group's and the letters.
* ``preference`` ``a`` means the first of the two, ``b`` the second; scores and votes likewise.
* ``row`` is the group's, so that its pairs share it. Tokens of a vote are repeated in each pair.
* A quarantined group, of which no pair could be judged, stays one quarantined row.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pyarrow as pa

from pipeline.aggregation.evidence import pairs_of
from pipeline.aggregation.labeler import Labeler
from pipeline.judging.judge_cards import label_id
from pipeline.judging.votes import LETTERS, Vote
from pipeline.runtime.digest import digest
from schemas.contract import table_of
from schemas.labels import LABELS, Status

_GROUPS_AT_ONCE = 16  # ten candidates make 45 pairs, each with all rationales


def pairs_of_groups(table: pa.Table, labeler: Labeler) -> Iterator[pa.Table]:
    """The pairs of ranked groups as rows of labels v1, a few groups at a time.

    Args:
        table: labels v1 of a ranking judge.
        labeler: of the same judge.
    """
    of_pairs = replace(labeler, format=labeler.format.of_two)
    for start in range(0, table.num_rows, _GROUPS_AT_ONCE):
        groups = table.slice(start, _GROUPS_AT_ONCE).to_pylist()
        rows = itertools.chain.from_iterable(_pairs(group, of_pairs) for group in groups)
        yield table_of(list(rows), LABELS)


def number_of_pairs(group: Mapping[str, Any]) -> int:
    """How many rows :func:`pairs_of_groups` makes of one, by its ``status`` and ``scores``."""
    return 1 if group["status"] == Status.QUARANTINED else math.comb(len(group["scores"]), 2)


def _pairs(group: Mapping[str, Any], labeler: Labeler) -> Iterator[dict[str, Any]]:
    if group["status"] == Status.QUARANTINED:
        yield {**group, "policy_id": labeler.policy_id}
        return
    for (first, second), votes in pairs_of([Vote.from_row(row) for row in group["votes"]]).items():
        letters = f"{LETTERS[first]}-{LETTERS[second]}"
        pair_hash = digest(group["pair_hash"], letters)
        yield {
            **group,
            **labeler.decide(votes, group["rubric"]).as_row(),
            "pair_id": f"{group['pair_id']}#{letters}",
            "pair_hash": pair_hash,
            "label_id": label_id(pair_hash, group["judge_id"]),
            "votes": [vote.as_row() for vote in votes],
            "policy_id": labeler.policy_id,
        }
