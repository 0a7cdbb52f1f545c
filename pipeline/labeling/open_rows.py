"""Which rows a tier of a cascade is asked about: those that the tiers before it leave open.

That follows from stored votes of earlier tiers under today's policies and calibrations. Beside
open rows, every tier is asked about pairs that people are asked about (gold in the input, gold sets
and audits) and about one pair in a hundred, so that tiers can be compared and other thresholds
tried. The last one may be asked to explain labels of a tier that writes nothing, too. A part says
under ``asking`` what its open rows were derived from: where that has changed, the plan looks into
it.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pipeline.aggregation.calibration import Calibration
from pipeline.aggregation.labeler import Labeler
from pipeline.aggregation.policy import PolicyConfig
from pipeline.aggregation.relabel import Relabeler
from pipeline.gold.gold_sets import read_set, set_names
from pipeline.judging.judge_config import JudgeConfig
from pipeline.labeling.read_pairs import ShardTask
from pipeline.parts.commit import shard_parts
from pipeline.parts.part_files import read_part
from pipeline.parts.part_keys import Part, ShardParts, judge_parts_prefix
from pipeline.parts.units import Unit, subtract
from pipeline.runtime.digest import digest
from pipeline.runtime.errors import ReconcileError
from pipeline.store.object_store import Store
from schemas.labels import Status

_ALL_TIERS_ONE_IN = 100  # pairs that every tier is asked about
_LOOKED_AT = 64  # units from which a share is estimated
_THREADS = 16


@dataclass(frozen=True)
class EarlierTier:
    """A judge that is asked first.

    Attributes:
        labeler: decides its votes today, whatever their confidence.
        accepts: the least confidence of a label or a tie that settles a row.
    """

    judge_id: str
    labeler: Labeler
    accepts: float

    @classmethod
    def of(
        cls, judge_id: str, judge: JudgeConfig, policy: PolicyConfig, fitted: Calibration | None
    ) -> EarlierTier:
        """A tier's judge; what its policy leaves undecided is open, whatever it calls that."""
        own = policy.model_copy(update={"min_confidence": 0.0, "undecided": "abstain"})
        return cls(judge_id, Labeler.of(judge, own, fitted), policy.min_confidence)

    def settles(self, status: str, confidence: float | None) -> bool:
        """Whether a decision of it is the label, so that no later judge is asked."""
        decided = status in (Status.LABELED, Status.TIE)
        return decided and confidence is not None and confidence >= self.accepts

    def unexplained(self, status: str, confidence: float | None, least: float | None) -> bool:
        """Whether its label has the confidence to be explained, and nothing that explains it."""
        if least is None or self.labeler.format.family != "reward":
            return False
        return status == Status.LABELED and confidence is not None and confidence >= least


@dataclass(frozen=True)
class Settled:
    """A row that is not asked about: the pair as the deciding judge's part has it."""

    decided_by: str
    pair_hash: str | None
    cluster: str | None


@dataclass(frozen=True)
class OpenRows:
    """The rule of one tier; small enough to be sent to every worker.

    Attributes:
        output: where parts of all judges are.
        tiers: those before it, in order.
        always: hashes of pairs that every tier is asked about.
        whole: whether the tiers before have all rows, as they have but in a dry run.
        explains: the least confidence of a label that this tier explains where the tier that gave
            it writes nothing; None explains none.
    """

    output: Store
    tiers: tuple[EarlierTier, ...]
    always: frozenset[str] = frozenset()
    whole: bool = True
    explains: float | None = None

    @classmethod
    def of(
        cls,
        output: Store,
        tiers: Sequence[EarlierTier],
        *,
        whole: bool = True,
        explains: float | None = None,
    ) -> OpenRows:
        """The rule of the tier after these; reads which pairs people are asked about."""
        sets = (read_set(output, name) for name in set_names(output))
        always = frozenset(pair for each in sets for pair in each.pairs)
        return cls(output, tuple(tiers), always, whole, explains)

    def settled(self, unit: Unit) -> dict[int, Settled]:
        """The rows of a unit that are not asked about, by their numbers in the shard.

        Rows with gold in the input are among them; that is seen when they are read.

        Raises:
            ReconcileError: a tier before has not committed all of them.
        """
        found: dict[int, Settled] = {}
        unexplained: set[int] = set()
        for tier, relabeler in zip(self.tiers, self._relabelers, strict=True):
            for row in self._rows(tier, relabeler, unit):
                number, pair = row["row"], row["pair_hash"]
                said = row["status"], row["confidence"]
                if number in found or not tier.settles(*said) or self.asks_all(pair):
                    continue
                found[number] = Settled(row["decided_by"], pair, row["cluster"])
                if tier.unexplained(*said, self.explains):
                    unexplained.add(number)
        return {number: row for number, row in found.items() if number not in unexplained}

    def share(self, tasks: Sequence[ShardTask]) -> float:
        """About which share of the rows of units is asked about, from some of the units.

        Raises:
            ReconcileError: as :meth:`settled` raises it.
        """
        units = [unit for task in tasks for unit in task.units]
        some = units[:: max(1, len(units) // _LOOKED_AT)]
        rows = sum(unit.rows for unit in some)
        with self.output.host.pool(_THREADS) as pool:
            settled = sum(map(len, pool.map(self.settled, some)))
        return 1 - settled / rows if rows else 0.0

    def asks_all(self, pair_hash: str | None) -> bool:
        """Whether all tiers are asked about a pair."""
        if pair_hash is None:
            return True
        chosen = int(digest("all tiers", pair_hash)[:8], 16) % _ALL_TIERS_ONE_IN == 0
        return chosen or pair_hash in self.always

    def asking(self, asking: str, unit: Unit) -> str:
        """What a part of a unit states: how its judge is asked, and after what.

        Args:
            asking: how the judge is asked (``pipeline.judging.asking``).
            unit: the part's rows.
        """
        listed = [shard_parts(self.output, t.judge_id, unit.shard_key) for t in self.tiers]
        return self._stated(asking, [_revisions(parts, unit.start, unit.stop) for parts in listed])

    def askings(self, asking: str, keys: Iterable[str]) -> dict[str, str]:
        """The same of stored parts of this tier, by key, from one listing of each judge."""
        listed = [_by_folder(self.output, tier.judge_id) for tier in self.tiers]
        none = ShardParts()

        def stated(part: Part, folder: str) -> str:
            parts = [each.get(folder, none) for each in listed]
            return self._stated(asking, [_revisions(each, *part.rows) for each in parts])

        known = ((key, Part.of(key)) for key in keys)
        return {key: stated(part, _folder(key)) for key, part in known if part is not None}

    @cached_property
    def _relabelers(self) -> list[Relabeler]:
        return [Relabeler(tier.labeler) for tier in self.tiers]

    def __getstate__(self) -> dict[str, Any]:
        """Without what is remembered of votes."""
        return {name: value for name, value in self.__dict__.items() if name != "_relabelers"}

    @cached_property
    def _before(self) -> dict[str, Any]:
        policies = [[t.judge_id[:16], t.labeler.policy_id[:16], t.accepts] for t in self.tiers]
        people = digest(*sorted(self.always))[:16]
        explains = {} if self.explains is None else {"explains": self.explains}
        return {"tiers": policies, "people": people, "one_in": _ALL_TIERS_ONE_IN, **explains}

    def _stated(self, asking: str, revisions: Sequence[int]) -> str:
        how = {**json.loads(asking), "cascade": {**self._before, "revisions": list(revisions)}}
        return json.dumps(how, sort_keys=True)

    def _rows(
        self, tier: EarlierTier, relabeler: Relabeler, unit: Unit
    ) -> Iterable[Mapping[str, Any]]:
        """A tier's rows of a unit under today's policy."""
        parts = shard_parts(self.output, tier.judge_id, unit.shard_key).parts
        left = subtract([(unit.start, unit.stop)], [part.rows for part in parts])
        if left and self.whole:
            start, stop = left[0]
            raise ReconcileError(
                f"{unit.shard}, rows {start} to {stop - 1}: judge {tier.judge_id[:16]}, which the "
                f"cascade asks before this one, has no part of them under {self.output.uri}; was "
                "one removed? run again"
            )
        columns = ["row", "status", "confidence", "decided_by", "pair_hash", "cluster"]
        for part in parts:
            if part.start < unit.stop and part.stop > unit.start:
                table = relabeler.table(read_part(self.output, part.key)).select(columns)
                yield from (
                    row for row in table.to_pylist() if unit.start <= row["row"] < unit.stop
                )


def _revisions(parts: ShardParts, start: int, stop: int) -> int:
    """How often parts of these rows were written; more once any of them is revised."""
    return sum(part.revision for part in parts.parts if part.start < stop and part.stop > start)


def _by_folder(output: Store, judge_id: str) -> dict[str, ShardParts]:
    folders: dict[str, list[str]] = defaultdict(list)
    for entry in output.list(judge_parts_prefix(judge_id)):
        folders[_folder(entry.key)].append(entry.key)
    return {folder: ShardParts.of(keys) for folder, keys in folders.items()}


def _folder(key: str) -> str:
    """The folders of a part's shard and version (``shard_folders``), whoever's part it is."""
    return "/".join(key.split("/")[2:4])
