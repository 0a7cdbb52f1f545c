"""Draws pairs of a snapshot to ask people about, each with a probability that is kept.

``random``: as many as are asked for, all with the same chance. ``uncertainty``: each by itself,
more often where its label is less sure, so that the same answers tell more. Which pairs they are
follows from the seed and the pairs' own hashes. A top-up draws from the shards that no earlier draw
of the set could have taken.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from pipeline.gold.gold_sets import change_set, create_set, frame_shards, read_set, set_names
from pipeline.runtime.digest import digest
from pipeline.runtime.errors import ConfigError, InputError
from pipeline.snapshots.labeled_pairs import COLUMNS, frame_of, store_frame
from pipeline.snapshots.table_reader import map_row_groups
from pipeline.stats.arrays import Floats
from pipeline.store.object_store import Store
from schemas.gold import Draw, DrawnPair, GoldSet
from schemas.manifest import Manifest

By = Literal["random", "uncertainty"]
_THREADS = 4
_LEAST = 0.15  # of a label that is sure: √(c (1 - c)) is 0 where c is 1, and must not be
_UNSURE = 0.5  # √(c (1 - c)) of a label without a confidence


@dataclass(frozen=True)
class AuditRequest:
    """What is drawn.

    Attributes:
        name: of the set.
        size: how many pairs.
        seed: another one draws others.
        top_up: adds to a set, from what its draws could not have taken.
        guideline: Markdown, for a new set.
        twice: the share of pairs that two people are to answer.
    """

    name: str
    size: int
    by: By = "random"
    seed: int = 0
    top_up: bool = False
    guideline: str = ""
    twice: float = 0.2


def draw_audit(
    output: Store, manifest: Manifest, request: AuditRequest, now: str, run_id: str
) -> Draw:
    """Draws pairs, and stores them as a draw of the set.

    Args:
        output: the output root.
        manifest: of the snapshot.
        request: what is drawn.
        now: UTC in ISO 8601.
        run_id: of this run.

    Raises:
        ConfigError: there is such a set, or for a top-up there is none.
        InputError: the snapshot has fewer pairs, or no shard that came later.
        StorageError: the store fails.
    """
    there = request.name in set_names(output)
    if there != request.top_up:
        why = "exists; --top-up adds to it" if there else "does not exist, so there is no top-up"
        raise ConfigError(f"gold set {request.name} {why}")
    held, wanted = _held_and_wanted(output, manifest, request)
    rows = _Rows(output, manifest, wanted, held, digest("audit", str(request.seed)))
    pairs, count = (
        rows.random(request.size) if request.by == "random" else rows.unsure(request.size)
    )
    if not pairs or count < request.size:
        later = " in shards that came later" if request.top_up else ""
        raise InputError(
            f"snapshot {manifest.snapshot_id}: {count} judged pairs{later}, expected "
            f"{request.size} or more: label more, or ask for fewer (--size)"
        )
    frame = replace(frame_of(manifest), pairs=count)
    draw = Draw(
        drawn_at=now,
        drawn_by=run_id,
        how=request.by,
        pairs=tuple(sorted(pairs, key=lambda pair: pair.pair_hash)),
        seed=request.seed,
        frame=frame,
        stratum="later" if request.top_up else "all",
    )
    store_frame(output, request.name, manifest)
    if request.top_up:
        change_set(output, request.name, lambda gold: replace(gold, draws=(*gold.draws, draw)))
    else:
        gold = GoldSet(request.name, now, run_id, request.guideline, twice=request.twice)
        create_set(output, replace(gold, draws=(draw,)))
    return draw


def _held_and_wanted(
    output: Store, manifest: Manifest, request: AuditRequest
) -> tuple[set[str], set[str] | None]:
    """Pairs that the set has, and the shards to draw from; None for all."""
    if not request.top_up:
        return set(), None
    gold = read_set(output, request.name)
    before = frame_shards(output, gold)
    later = {shard.path for shard in manifest.shards if shard.shard_key not in before}
    return set(gold.pairs), later


@dataclass(frozen=True)
class _Rows:
    """The judged rows of a snapshot, read narrowly as often as needed."""

    output: Store
    manifest: Manifest
    shards: set[str] | None
    held: set[str]
    salt: str

    def random(self, size: int) -> tuple[list[DrawnPair], int]:
        """The pairs with the smallest numbers, and of how many."""

        def least(table: pa.Table) -> tuple[int, list[tuple[float, str, dict[str, Any]]]]:
            luck = self._luck(table)
            order = np.argsort(luck, kind="stable")[: 2 * size]
            rows = table.select(COLUMNS).take(pa.array(order)).to_pylist()
            found = zip(luck[order].tolist(), rows, strict=True)
            return len(table), [(number, str(row["pair_hash"]), row) for number, row in found]

        count, kept = 0, list[tuple[float, str, dict[str, Any]]]()
        for rows, found in self._map(COLUMNS, least):
            count += rows
            once = {each[1]: each for each in (*kept, *found)}
            kept = heapq.nsmallest(size, once.values(), key=lambda each: each[:2])
        chance = min(1.0, size / max(1, count))
        return [DrawnPair(**row, probability=chance) for _, _, row in kept], count

    def unsure(self, size: int) -> tuple[list[DrawnPair], int]:
        """Pairs whose numbers are below their chance, and of how many."""
        sums = list(self._map(("pair_hash", "shard", "confidence"), _unsureness))
        count = sum(each[0] for each in sums)
        scale = size / max(1e-9, sum(each[1] for each in sums))

        def drawn(table: pa.Table) -> list[DrawnPair]:
            chance = np.minimum(1.0, scale * _weights(table))
            chosen = np.flatnonzero(self._luck(table) < chance)
            rows = table.select(COLUMNS).take(pa.array(chosen)).to_pylist()
            chances = chance[chosen].tolist()
            return [DrawnPair(**row, probability=p) for row, p in zip(rows, chances, strict=True)]

        found = {}
        for pairs in self._map((*COLUMNS, "confidence"), drawn):
            found.update({pair.pair_hash: pair for pair in pairs})
        return list(found.values()), count

    def _map(self, columns: tuple[str, ...], act: Callable[[pa.Table], Any]) -> Iterator[Any]:
        """A function of those rows of each row group that may be drawn."""

        def chosen(table: pa.Table) -> Any:
            keep = [
                pair is not None
                and pair not in self.held
                and (self.shards is None or shard in self.shards)
                for pair, shard in zip(
                    table["pair_hash"].to_pylist(), table["shard"].to_pylist(), strict=True
                )
            ]
            return act(table.filter(pa.array(keep, pa.bool_())))

        return map_row_groups(self.output, self.manifest, "labels", columns, chosen, _THREADS)

    def _luck(self, table: pa.Table) -> Floats:
        """A number between 0 and 1 of each pair, by seed and content."""
        pairs = table["pair_hash"].to_pylist()
        numbers = [int(digest(self.salt, pair)[:13], 16) for pair in pairs]
        return np.array(numbers, np.float64) / 16**13


def _weights(table: pa.Table) -> Floats:
    stated = table["confidence"].to_numpy().astype(np.float64)
    return np.where(
        np.isnan(stated), _UNSURE, np.maximum(np.sqrt(np.abs(stated * (1 - stated))), _LEAST)
    )


def _unsureness(table: pa.Table) -> tuple[int, float]:
    return len(table), float(_weights(table).sum())
