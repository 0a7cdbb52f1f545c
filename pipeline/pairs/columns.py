"""Column mapping: reads a foreign table of preference pairs as pairs v1.

A mapping names, for each pairs-v1 column, where the foreign table holds it::

    pair_id: id
    prompt: query
    images: image                       # bytes, HF struct, path, or a list of these
    response_a: response[0]             # text, or {text: …, images: …, videos: …, model: …}
    response_b: {text: answers.second, model: {const: gpt-x}}
    gold: {ranking: human_ranking}      # or {column: Better, values: {Output1: a, Output2: b}}
    candidates: {each: completions, text: response, model: model}   # or a list of responses
    gold_scores: {each: completions, score: rating}                 # or a list of columns
    source: {const: vl-rewardbench}
    metadata: {fields: {set: query_source}}

A column that is not mapped is read under its own name. It must be of its pairs-v1 type in any
layout: large and view types, dictionaries, other field orders, nulls throughout.
"""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from pipeline.pairs import canonical
from pipeline.pairs.arrow_layouts import Mismatch
from pipeline.pairs.column_readers import missing, read_column
from pipeline.pairs.column_specs import (
    CandidatesSource,
    ColumnOnly,
    GoldSource,
    MetadataSource,
    ResponseSource,
    ScoresSource,
    Source,
    Spec,
)
from pipeline.runtime.errors import InputError
from schemas.pairs import PAIRS

# One column of each group must be there: its first complete alternative is asked for.
ALTERNATIVES = (("prompt", "messages"), ("response_a", "candidates"), ("response_b", "candidates"))
_BATCH_BYTES = 2**30  # pieces that stay clear of the 2 GiB that 32-bit offsets can address


class ColumnMapping(Spec):
    """One source for each pairs-v1 column; the module's text shows the forms."""

    pair_id: ColumnOnly | None = None
    """The column that identifies a pair."""
    prompt: Source | None = None
    """The question: a column, or ``{const: text}``."""
    messages: ColumnOnly | None = None
    """A conversation in place of the prompt."""
    images: ColumnOnly | None = None
    """Pictures of the prompt: bytes, a Hugging Face picture, a path, or a list of these."""
    videos: ColumnOnly | None = None
    """Videos of the prompt, likewise."""
    response_a: ResponseSource | None = None
    """The first response: a column, or ``{text: …, images: …, videos: …, model: …}``."""
    response_b: ResponseSource | None = None
    """The second response."""
    candidates: CandidatesSource | None = None
    """Candidates in place of the two responses: ``{each: column, text: field, …}``, or a list of
    responses.
    """
    gold: GoldSource | None = None
    """A human's answer: ``{column: …, values: {code: a, code: b, code: tie}}``, or ``{ranking:
    column}``.
    """
    gold_scores: ScoresSource | None = None
    """A human's scores of the candidates: ``{each: column, score: field}``, or a list of
    columns.
    """
    source: Source | None = None
    """Where the pair is from: a column, or ``{const: text}``."""
    metadata: MetadataSource | None = None
    """What else to keep: ``{fields: {key: column}}``."""

    def uses(self, schema: pa.Schema) -> dict[str, list[str]]:
        """Which pairs-v1 columns are made of each top-level column of ``schema``, in its order."""
        uses: dict[str, list[str]] = {name: [] for name in schema.names}
        for name in PAIRS.names:
            spec = self._spec(name)
            for path in [name] if spec is None else spec.paths():
                try:
                    users = uses[canonical.root_of(path, schema)]
                except Mismatch:
                    continue  # `check` and `to_pairs` report it
                if name not in users:
                    users.append(name)
        return uses

    def needed(self, schema: pa.Schema) -> list[str]:
        """Top-level columns of ``schema`` that :meth:`to_pairs` reads, in schema order."""
        return [column for column, users in self.uses(schema).items() if users]

    def to_pairs(self, table: pa.Table | pa.RecordBatch) -> pa.Table:
        """Maps foreign rows to exactly ``schemas.pairs.PAIRS``, row for row.

        Types decide whether a table can be mapped; a bad value only spoils its own row, which
        :func:`pipeline.pairs.contract_checks.row_problems` then names.

        Raises:
            InputError: columns are missing or of a type that cannot be mapped; names all of them.
        """
        if isinstance(table, pa.RecordBatch):
            table = pa.Table.from_batches([table])
        batches = []
        for batch in _pieces(table):
            pairs, problems = self._map(batch)
            if problems:
                raise InputError("the columns do not fit pairs v1:\n  " + "\n  ".join(problems))
            batches.append(pairs)
        return pa.Table.from_batches(batches, PAIRS)

    def id_columns(self, schema: pa.Schema) -> list[str]:
        """The top-level columns of ``schema`` that :meth:`pair_ids` reads."""
        paths = ["pair_id"] if self.pair_id is None else self.pair_id.paths()
        return [canonical.root_of(path, schema) for path in paths]

    def pair_ids(self, batch: pa.RecordBatch) -> pa.StringArray:
        """The pair ids alone, of a batch that needs no other column."""
        return self.one("pair_id", batch)

    def one(self, name: str, batch: pa.RecordBatch) -> pa.Array:
        """One pairs-v1 column alone, of a batch that has the columns it :meth:`uses`.

        Raises:
            Mismatch: they cannot be mapped.
        """
        return read_column(PAIRS.field(name), self._spec(name), batch)

    def check(self, schema: pa.Schema) -> list[str]:
        """What stands between a table of ``schema`` and pairs v1, one line each; [] if nothing."""
        return self._map(_no_rows(schema))[1]

    def _spec(self, name: str) -> Spec | None:
        spec: Spec | None = getattr(self, name)
        return spec

    def _map(self, batch: pa.RecordBatch) -> tuple[pa.RecordBatch, list[str]]:
        """The batch as pairs, and what is wrong with its types (those columns are then null)."""
        columns, problems = [], []
        for field in PAIRS:
            try:
                columns.append(read_column(field, self._spec(field.name), batch))
            except Mismatch as mismatch:
                problems.append(f"{field.name}: {mismatch}")
                columns.append(pa.nulls(batch.num_rows, field.type))
        for group in ALTERNATIVES:
            if all(self._spec(n) is None and n not in batch.schema.names for n in group):
                problems.append(missing(" or ".join(map(repr, group)), batch.schema))
        return pa.RecordBatch.from_arrays(columns, schema=PAIRS), problems


def _no_rows(schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.nulls(0, f.type) for f in schema], schema=schema)


def _pieces(table: pa.Table) -> Iterator[pa.RecordBatch]:
    """The table in zero-copy batches, at least one, none too large for 32-bit offsets."""
    waiting = table.to_batches()[::-1] or [_no_rows(table.schema)]
    while waiting:
        batch = waiting.pop()
        if batch.num_rows > 1 and batch.nbytes > _BATCH_BYTES:
            half = batch.num_rows // 2
            waiting += [batch.slice(half), batch.slice(0, half)]
        else:
            yield batch
