"""Calibrated probabilities of pairs that may have fitted the calibration, by fits without them.

A pair that people have answered about helped to fit its own probability, which is then too sure. A
calibration keeps the fits without each fold of its gold; one of these says how likely the label is
from the pair's votes, which are read from the snapshot.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.aggregation.calibration import Calibration
from pipeline.aggregation.labeler import Labeler
from pipeline.aggregation.policy import PolicyConfig
from pipeline.export.labeled_shards import LabeledShard
from pipeline.judging.judge_cards import judge_of
from pipeline.judging.votes import Vote
from pipeline.pairs.prompts import cluster_key
from pipeline.snapshots.table_reader import TableFile
from pipeline.store.object_store import Store
from schemas.manifest import Manifest
from schemas.snapshots import SNAPSHOT_VOTES

_ALIKE = 1e-9  # the label's probability and that of the votes as they were read
# Texts say nothing about a probability.
_COLUMNS = [n for n in SNAPSHOT_VOTES.names if n not in ("rationale", "cut_text", "label_id")]
Row = Mapping[str, Any]


def labelers_of(manifest: Manifest) -> dict[str, Labeler]:
    """By the judges of a snapshot: what decides their votes, of those with fits without each fold.

    None of a panel's, whose probabilities are those of its own fit.
    """
    rule = dict(manifest.policy.rule) if manifest.policy is not None else {}
    if rule.get("kind") == "panel":
        return {}
    policy = PolicyConfig(weights=rule.get("weights") or {})
    found = {}
    for card in manifest.judges or (manifest.judge,):
        stored = card.get("calibration")
        if stored is not None and (fitted := Calibration.model_validate(stored)).folds:
            found[str(card["judge_id"])] = Labeler.of(judge_of(dict(card)), policy, fitted)
    return found


@dataclass(frozen=True)
class CrossFitted:
    """The probabilities of rows of one shard; its votes are read once one is asked for.

    Attributes:
        output: the output root.
        labelers: by judge, see :func:`labelers_of`.
    """

    output: Store
    shard: LabeledShard
    labelers: Mapping[str, Labeler] = field(repr=False)

    def p_a(self, pair: Row, label: Row) -> float | None:
        """How likely people are to prefer ``a``, by a fit that has seen no gold of this prompt.

        None where there is no such fit, or where the calibration's own probability of these votes
        is not the label's: then they were decided by something else.
        """
        labeler = self.labelers.get(label["decided_by"] or label["judge_id"])
        if labeler is None or labeler.calibration is None or label["p_a"] is None:
            return None
        votes = labeler.weighted(self._of_row(label["row"], labeler), label["rubric"])
        prompt = cluster_key(label["cluster"], pair["messages"])
        if not votes or not _alike(labeler.calibration.p_a(votes), label["p_a"]):
            return None
        return labeler.calibration.p_a_unseen(votes, prompt)

    def _of_row(self, row: int, labeler: Labeler) -> list[Vote]:
        """The votes of a judge about a row."""
        assert labeler.calibration is not None
        judge_id = labeler.calibration.judge_id
        start, stop = np.searchsorted(self._rows, [row, row + 1]).tolist()
        found = self._votes.slice(start, stop - start).to_pylist()
        known = {"rationale": "", "cut_text": None}
        return [Vote.from_row(vote | known) for vote in found if vote["judge_id"] == judge_id]

    @cached_property
    def _votes(self) -> pa.Table:
        """The votes of the shard, by row and in the order in which they were asked for."""
        tables = [
            found
            for file in self.shard.votes
            for found in TableFile(self.output, file).of_shard(
                self.shard.entry.key, 0, self.shard.rows, _COLUMNS
            )
        ]
        if not tables:
            return pa.schema([SNAPSHOT_VOTES.field(name) for name in _COLUMNS]).empty_table()
        return pa.concat_tables(tables).sort_by([("row", "ascending"), ("vote", "ascending")])

    @cached_property
    def _rows(self) -> np.ndarray[Any, Any]:
        return np.asarray(self._votes["row"].to_numpy())


def _alike(one: float, other: float) -> bool:
    return math.isclose(one, other, abs_tol=_ALIKE)
