"""Tables of several judges' labels about the same rows as one table of labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.aggregation.composition import Answer, Combined, Composition
from pipeline.aggregation.telling_vote import choice_of, telling_rationales
from pipeline.judging.judge_cards import label_id
from pipeline.runtime.errors import InputError
from schemas.labels import BY_GOLD, BY_SEVERAL, LABELS, NOT_ASKED

_MOST = 100_000  # kinds of rows that are remembered
_DECIDED = ("status", "preference", "p_a", "p_a_raw", "confidence")
# Of one judge alone.
_OF_ONE = ("margin", "scores", "criteria", "reason", "tie_kind", "detail", "position_consistent")
_LABELS = [name for name in LABELS.names if name != "votes"]
_READ = (*Answer._fields, "decided_by", "pair_hash")


class Composer:
    """Makes the labels of a composition; safe to use from many threads."""

    def __init__(self, composition: Composition) -> None:
        """Binds to a composition."""
        self._composition = composition
        self._kinds: dict[tuple[Answer | None, ...], Combined | None] = {}

    def table(self, tables: Sequence[pa.Table | None]) -> pa.Table:
        """One row for each row of the shard, labels v2 without their votes.

        A row that a person has decided is that person's. One that no judge has an answer for is the
        first judge's that was asked: quarantined, with its reason.

        Args:
            tables: of each judge the labels v2 about the same rows, decided by its labeler; None of
                a judge that has none of them. At least one has.

        Raises:
            InputError: no judge was asked about a row, or two were asked about different pairs.
        """
        there = [(number, table) for number, table in enumerate(tables) if table is not None]
        columns = {number: _columns(table) for number, table in there}
        rows = there[0][1].num_rows
        found = [
            self._combined([_row(columns.get(n), row) for n in range(len(tables))])
            for row in range(rows)
        ]
        starts = {number: place * rows for place, (number, _) in enumerate(there)}
        takes = [starts[each.taken] + row for row, each in enumerate(found)]
        whole = pa.concat_tables([table.select(_LABELS) for _, table in there])
        taken = whole.take(pa.array(takes, pa.int64()))
        return self._labels(taken, found, [table for _, table in there])

    def _labels(
        self, taken: pa.Table, found: Sequence[Combined], tables: Sequence[pa.Table]
    ) -> pa.Table:
        made = {name: taken[name] for name in _LABELS}
        together = pa.array([each.together for each in found], pa.bool_())
        for name in _DECIDED:
            values = [getattr(each, name) for each in found]
            made[name] = pa.array(values, LABELS.field(name).type)
        for name in _OF_ONE:
            nothing = pa.scalar(None, LABELS.field(name).type)
            made[name] = pc.if_else(together, nothing, made[name])
        said = pa.array([each.detail for each in found], pa.string())
        made["detail"] = pc.coalesce(said, made["detail"])
        others = [self._explained_by_others(each) for each in found]
        sides = [choice_of(label) if by else None for label, by in zip(found, others, strict=True)]
        made["rationale"] = pc.if_else(
            pa.array(others, pa.bool_()), telling_rationales(tables, sides), made["rationale"]
        )
        made["decided_by"] = pc.if_else(together, BY_SEVERAL, made["decided_by"])
        made["n_votes"] = _sum([table["n_votes"] for table in tables])
        judge_id = self._composition.judge_id
        hashes = made["pair_hash"].to_pylist()
        ids = [None if each is None else label_id(each, judge_id) for each in hashes]
        made["label_id"] = pa.array(ids, pa.string())
        for name, text in (("judge_id", judge_id), ("policy_id", self._composition.policy_id)):
            made[name] = pa.array([text] * len(found), pa.string())
        return pa.table(made)

    def _explained_by_others(self, label: Combined) -> bool:
        """Whether its rationale is of whichever vote says the same."""
        if label.together:
            return True
        writes = self._composition.members[label.taken].writes
        return self._composition.rule.explains and not writes

    def _combined(self, rows: Sequence[tuple[Any, ...] | None]) -> Combined:
        answers = tuple(None if row is None else _answer(row) for row in rows)
        there = [(number, row) for number, row in enumerate(rows) if row is not None]
        hashes = {row[-1] for _, row in there} - {None}
        if len(hashes) > 1:
            raise InputError(
                f"{len(hashes)} different pairs in one row of the input, by the judges that were "
                "asked about it: their votes are no votes about one pair; was input.map changed "
                "between them? label again with the same"
            )
        for number, row in there:
            if row[-2] == BY_GOLD:
                return Combined.of(number, _answer(row))
        if answers not in self._kinds:
            if len(self._kinds) > _MOST:
                self._kinds.clear()
            self._kinds[answers] = self._composition.combine(answers)
        if (found := self._kinds[answers]) is not None:
            return found
        asked = [(number, row) for number, row in there if row[0] != NOT_ASKED]
        if not asked:
            raise InputError(
                f"no judge was asked about a row that {len(there)} of them have: the judge that "
                "decided it is missing; name it, too"
            )
        number, row = asked[0]
        return Combined.of(number, _answer(row))


def _columns(table: pa.Table) -> list[list[Any]]:
    return [table[name].to_pylist() for name in _READ]


def _row(columns: list[list[Any]] | None, row: int) -> tuple[Any, ...] | None:
    return None if columns is None else tuple(column[row] for column in columns)


def _answer(row: tuple[Any, ...]) -> Answer:
    return Answer(*row[: len(Answer._fields)])


def _sum(columns: Sequence[pa.ChunkedArray]) -> pa.Array:
    total = sum(np.asarray(pc.fill_null(column, 0), np.int64) for column in columns)
    return pa.array(total, pa.int32())
