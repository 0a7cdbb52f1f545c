"""An input that several judges have labelled, each in parts of its own, to publish together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

from pipeline.aggregation.calibration_cards import put_calibration
from pipeline.aggregation.composition import Combining, Composition, Member
from pipeline.aggregation.labeler import Labeler
from pipeline.aggregation.policy import PolicyConfig
from pipeline.judging.judge_cards import find_card
from pipeline.judging.votes import Vote
from pipeline.pairs.shards import shard_key
from pipeline.parts.commit import commit_part
from pipeline.parts.units import Unit
from pipeline.snapshots.publish_snapshot import Publication
from schemas.labels import NOT_ASKED
from tests.calibrations import calibration
from tests.derivations import Labelled, Row, rows_of
from tests.publishing import SMALL, LabeledInput

Cast = Sequence[list[Vote] | None]


class JudgedInput:
    """A source of shards, and judges of one output.

    Attributes:
        rows: what each judge stored about each row, by judge, shard and row.
    """

    def __init__(self, uri: str, temperatures: Sequence[float]) -> None:
        """Judges that differ in their temperature."""
        self.base = LabeledInput.at(uri)
        at = f"{uri}/out"
        self.judges = [Labelled.at(at, sampling={"temperature": each}) for each in temperatures]
        self.rows: dict[tuple[int, str, int], Row] = {}

    def shard(self, name: str, count: int) -> Self:
        """A shard that nobody has judged."""
        self.base.shard(name, count, label=False)
        return self

    def judge(self, judge: int, name: str, start: int, votes: Cast, unit_rows: int = 16) -> None:
        """Commits a judge's votes about rows from ``start`` on; an empty list is not asked."""
        made = self.judges[judge]
        (entry,) = self.base.source.list(name)
        key = shard_key(name, entry.size, self.base.source.content_key(entry))
        for first in range(start, start + len(votes), unit_rows):
            cast = votes[first - start : first - start + unit_rows]
            asked = [each or None for each in cast]
            rows = rows_of(asked, Labeler.of(made.judge), made.judge_id, first, name)
            for row, each in zip(rows, cast, strict=True):
                row |= {"pair_id": f"{name}-{row['row']}", "part_revision": 1}
                if each == []:
                    row |= {"status": NOT_ASKED, "reason": None, "detail": "asked nothing"}
                self.rows[judge, name, row["row"]] = row
            unit = Unit(name, key, first, first + len(cast))
            assert commit_part(self.base.output, made.judge_id, unit, rows)

    def calibrate(self) -> None:
        """Gives each judge a calibration."""
        for made in self.judges:
            put_calibration(self.base.output, calibration(made.judge_id))

    def composition(self, rule: Combining, **how: Any) -> Composition:
        """Of all judges, without calibrations."""
        cards = [find_card(self.base.output, made.judge_id) for made in self.judges]
        members = [Member.of(card, PolicyConfig(), None) for card in cards]
        return Composition(tuple(members), rule, **how)

    def publish(self, composition: Composition, config: Any = SMALL, **how: Any) -> Publication:
        """Publishes it."""
        return self.base.publish(config, composition=composition, **how)

    def of_row(self, name: str, row: int) -> list[Row | None]:
        """What each judge stored about a row."""
        return [self.rows.get((judge, name, row)) for judge in range(len(self.judges))]
