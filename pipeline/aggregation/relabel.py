"""Decides the rows of label tables again, from their stored votes: no engine, and quick.

Few kinds of rows occur often: what is decided depends on orders, verdicts and weights, not on texts
and tokens. Each kind is decided once.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.aggregation.labeler import DECIDED, Labeler
from pipeline.judging.votes import Vote
from schemas.labels import LABELS, VOTE, Status

# Of a vote, what no decision depends on.
_ASIDE = {
    *("seed", "finish_reason", "rationale", "cut_text", "rendering", "run_id"),
    *("prompt_tokens", "output_tokens", "cached_tokens"),
}
_FACTS = [field.name for field in VOTE if field.name not in _ASIDE]
_TEXTS = "rationale"
_MOST = 100_000  # kinds of votes or of rows that are remembered, of about 1 KB

Row = Mapping[str, Any]


class Relabeler:
    """Gives rows the labels of one labeler; safe to use from many threads."""

    def __init__(self, labeler: Labeler) -> None:
        """Binds to a labeler."""
        self._labeler = labeler
        self._numbers = itertools.count()
        self._facts: dict[tuple[Any, ...], int] = {}  # what counts of a vote -> its number
        self._votes: dict[tuple[int, int], Vote] = {}  # its number, and its place in the row
        # A row's own rubric and the numbers of its votes -> its columns.
        self._rows: dict[tuple[str | None, tuple[int, ...]], Row] = {}

    def table(self, table: pa.Table) -> pa.Table:
        """The same rows, with the decided columns and ``policy_id`` of the labeler.

        Rows without votes that count stay as they are, and so do rows whose votes do not suffice
        now as before: the reason that was stored then has more of the reply than votes have.

        Args:
            table: labels v2 of one judge.
        """
        votes = table["votes"].combine_chunks()
        counts = pc.fill_null(pc.list_value_length(votes), 0).to_pylist()
        starts = list(itertools.accumulate(counts, initial=0))
        flat = pc.list_flatten(votes)
        stated = (table[name].to_pylist() for name in ("status", "rubric"))
        decided = list(self._decisions(flat, starts, *stated))
        columns = {**_columns(table, decided), _TEXTS: _rationales(table, flat, starts, decided)}
        voted = pa.array([count > 0 for count in counts], pa.bool_())
        columns["decided_by"] = pc.if_else(voted, table["judge_id"], table["decided_by"])
        columns["policy_id"] = pa.array([self._labeler.policy_id] * len(table), pa.string())
        for name, values in columns.items():
            table = table.set_column(table.schema.get_field_index(name), LABELS.field(name), values)
        return table.select(LABELS.names).replace_schema_metadata(LABELS.metadata)

    def _decisions(
        self,
        flat: pa.StructArray,
        starts: list[int],
        before: list[str],
        rubrics: list[str | None],
    ) -> Iterator[Row | None]:
        """The decided columns of each row; None of a row that stays as it is."""
        numbers = self._number(flat)
        superseded = pc.fill_null(pc.struct_field(flat, "superseded"), False).to_pylist()
        places = itertools.pairwise(starts)
        for (start, stop), status, rubric in zip(places, before, rubrics, strict=True):
            if all(superseded[start:stop]):  # none counts, as where there is none
                yield None
                continue
            kind = rubric, tuple(numbers[start:stop])
            if (row := self._rows.get(kind)) is None:
                row = self._rows[kind] = self._decide(*kind, flat[start:stop])
            quarantined = row["status"] == Status.QUARANTINED == status
            yield None if quarantined else row

    def _number(self, flat: pa.StructArray) -> list[int]:
        """A number for each vote; equal ones count alike."""
        for memory in (self._facts, self._votes, self._rows):
            if len(memory) > _MOST:
                memory.clear()  # numbers are never given again: what is under way stays right
        number, numbers = self._facts.setdefault, self._numbers
        facts = zip(*(_hashable(pc.struct_field(flat, name)) for name in _FACTS), strict=True)
        return [number(fact, next(numbers)) for fact in facts]

    def _decide(self, rubric: str | None, kind: tuple[int, ...], votes: pa.StructArray) -> Row:
        """A decision whose rationale is the place of the vote that explains it."""
        cast = []
        for place, number in enumerate(kind):
            if (vote := self._votes.get((number, place))) is None:
                vote = Vote.from_row({**votes[place].as_py(), _TEXTS: place})
                self._votes[number, place] = vote
            cast.append(vote)
        return self._labeler.decide(cast, rubric).as_row()


def _columns(table: pa.Table, decided: list[Row | None]) -> dict[str, pa.Array]:
    names = [name for name in DECIDED if name != _TEXTS]
    kept = [place for place, row in enumerate(decided) if row is None]
    those = table.select(names).take(pa.array(kept, pa.int64()))
    stored = dict(zip(kept, those.to_pylist(), strict=True))
    rows = [stored[place] if row is None else row for place, row in enumerate(decided)]
    return {name: pa.array([row[name] for row in rows], LABELS.field(name).type) for name in names}


def _rationales(
    table: pa.Table, flat: pa.StructArray, starts: list[int], decided: list[Row | None]
) -> pa.ChunkedArray:
    explaining = [
        None if row is None or row[_TEXTS] is None else start + row[_TEXTS]
        for start, row in zip(starts, decided, strict=False)
    ]
    texts = pc.struct_field(flat, _TEXTS).take(pa.array(explaining, pa.int64()))
    kept = pa.array([row is None for row in decided], pa.bool_())
    return pc.if_else(kept, table[_TEXTS], texts)


def _hashable(column: pa.Array) -> Iterable[Any]:
    if column.null_count == len(column):
        return itertools.repeat(None, len(column))
    values = column.to_pylist()
    return map(repr, values) if pa.types.is_nested(column.type) else values
