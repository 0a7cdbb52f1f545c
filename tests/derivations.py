"""An output with a judge's card and parts, made of given votes, for tests of derivation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from jobs.derive import main
from pipeline.aggregation.decisions import Decision
from pipeline.aggregation.labeler import Labeler
from pipeline.judging.judge_cards import judge_card, write_card
from pipeline.judging.judge_config import JudgeConfig
from pipeline.judging.judge_identity import ModelVersion
from pipeline.judging.votes import Vote
from pipeline.labeling.pair_judge import label_row
from pipeline.parts.commit import commit_part
from pipeline.parts.units import Unit
from pipeline.runtime.digest import digest
from pipeline.store.object_store import Store
from schemas.contract import table_of
from schemas.labels import LABELS, Reason, Status
from tests.calibrations import scored

Row = dict[str, Any]
BROKEN = Decision(status=Status.QUARANTINED, reason=Reason.MEDIA_CORRUPT, detail="no picture")


def rows_of(
    votes: Sequence[list[Vote] | None],
    labeler: Labeler,
    judge_id: str = "ab" * 32,
    start: int = 0,
    shard: str = "s.parquet",
) -> list[Row]:
    """Rows of labels v1 with these votes, as a judge makes them; None is a row it cannot read."""
    rows = []
    for number, cast in enumerate(votes, start):
        where = {
            "shard": shard,
            "unit": Unit("", "", start, start + len(votes)).name,
            "row": number,
            "judge_id": judge_id,
            "run_id": "run",
        }
        hashed = None if cast is None else digest(shard, str(number))
        decision = BROKEN if cast is None else labeler.decide(cast)
        pair = {"pair_id": f"pair-{number}"}
        rows.append(label_row(pair, where, hashed, decision, cast or [], labeler.policy_id))
    return rows


def table(votes: Sequence[list[Vote] | None], labeler: Labeler) -> pa.Table:
    """The same as a table."""
    return table_of(list(rows_of(votes, labeler)), LABELS)


@dataclass(frozen=True)
class Labelled:
    """An output where one judge has labelled shards of rows with given votes."""

    output: Store
    judge: JudgeConfig
    judge_id: str

    @classmethod
    def at(cls, uri: str, **judge: Any) -> Labelled:
        """An output with the judge's card."""
        config = JudgeConfig.model_validate(judge)
        card = judge_card(config, ModelVersion.named("v1"), "scripted")
        output = Store(uri)
        write_card(output, card)
        return cls(output, config, card["judge_id"])

    def part(
        self,
        votes: Sequence[list[Vote] | None],
        start: int = 0,
        shard: str = "s.parquet",
        labeler: Labeler | None = None,
    ) -> str:
        """Commits a part of rows with these votes; returns its key."""
        unit = Unit(shard, digest(shard), start, start + len(votes))
        labeler = labeler or Labeler.of(self.judge)
        rows = rows_of(votes, labeler, self.judge_id, start, shard)
        assert commit_part(self.output, self.judge_id, unit, rows)
        return unit.part_key(self.judge_id)


def cast(count: int, scores: tuple[float, float] = (9.0, 2.0)) -> list[Vote]:
    """Votes in swap-balanced order, all with the same scores."""
    return [scored(("ab", "ba")[number % 2], *scores) for number in range(count)]


def three_parts(output: Path) -> Labelled:
    """Three parts of two shards: nine rows, one of them quarantined and one undecided."""
    labelled = Labelled.at(str(output))
    for_b = (2.0, 9.0)
    labelled.part([cast(2), cast(4), None])
    labelled.part([cast(2, for_b), cast(4, for_b)], start=3)
    undecided = [*cast(1), *cast(2, for_b)[1:]]
    labelled.part([cast(6), cast(2), undecided, cast(2)], shard="sub/t.parquet")
    return labelled


def run_derive(made: Labelled, *arguments: str) -> int:
    """Runs ``jobs.derive`` on an output; returns its exit code."""
    return main(["--output", made.output.uri, "--judge", made.judge_id[:8], *arguments])
