"""The fields of a pair that a mapping may give, and the columns of pairs v2 that they make."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from pipeline.pairs import conversations as read
from pipeline.pairs import text_columns, v1_columns
from pipeline.pairs.contents import KINDS, Part, opening, text_of
from pipeline.pairs.conversations import Unfit
from pipeline.pairs.expressions import Expression
from pipeline.pairs.pair_hash import v1_question
from pipeline.pairs.placing import place
from pipeline.pairs.text_columns import Texts
from pipeline.pairs.v1_columns import Whole
from schemas.pairs import PAIRS_V2

_READERS: dict[str, Callable[[Any], Any]] = {
    "pair_id": read.identifier,
    "messages": read.messages,
    "images": read.media_list,
    "videos": read.media_list,
    "a": read.candidate,
    "b": read.candidate,
    "candidates": read.candidates,
    "gold": read.gold,
    "gold_scores": read.scores,
    "source": read.written,
    "metadata": read.metadata,
}
FIELDS = tuple(_READERS)
# Where the layout `pairs` has fields that are no columns of their own name.
STORED = {"messages": "one_of(prompt, messages)", "a": "response_a", "b": "response_b"}
# A pair as it is in memory: pairs v2; the texts that a row of pairs v1 had, as JSON, where those of
# pairs v2 are others, so that its hash stays as it was; and why it cannot be judged, or null.
READ = pa.schema(
    [
        *PAIRS_V2,
        ("hashed_question", pa.string()),  # {"prompt": …, "messages": …}
        ("hashed_answers", pa.string()),  # [text or null of each candidate]
        ("defect", pa.string()),
    ]
)


@dataclass(frozen=True)
class Reading:
    """How the values of a row are put together.

    Attributes:
        strict: kinds of media that placeholders always ask for (see ``placing.place``).
        media: whether media were read; otherwise there may be too few of them.
        v1: whether rows are those of pairs v1.
    """

    strict: frozenset[str] = frozenset()
    media: bool = True
    v1: bool = False


Make = Callable[[Mapping[str, Any], Mapping[str, Any], Reading], dict[str, Any]]


@dataclass(frozen=True)
class Group:
    """Fields that make columns together.

    Attributes:
        columns: of ``READ``; the first ones are those of pairs v2.
        fields: of a mapping.
        make: the columns' values, by the fields' values and the row.
        v1: columns that pairs v1 had instead.
        whole: the columns of ordinary rows of pairs v1, at once.
        texts: those of rows whose fields are columns of texts.
    """

    columns: tuple[str, ...]
    fields: tuple[str, ...]
    make: Make
    v1: tuple[str, ...] = ()
    whole: Callable[[pa.RecordBatch], Whole] | None = None
    texts: Callable[[Texts], Whole] | None = None

    def read(
        self, expressions: Mapping[str, str], row: Mapping[str, Any], how: Reading
    ) -> tuple[dict[str, Any], list[str]]:
        """The columns' values for a row, and what does not fit; they are null then.

        Args:
            expressions: of the group's fields.
            row: values by column.
            how: the values are put together.
        """
        values: dict[str, Any] = {}
        problems = []
        for field, text in expressions.items():
            try:
                values[field] = _READERS[field](Expression(text)(row))
            except Unfit as error:
                problems.append(
                    f"{field} ({text}): {error}" if text != field else f"{field}: {error}"
                )
        if not problems:
            try:
                return self.make(values, row, how), []
            except Unfit as error:
                problems.append(f"{self.fields[0]}: {error}")
        return dict.fromkeys(self.columns), problems


def _question(values: Mapping[str, Any], row: Mapping[str, Any], how: Reading) -> dict[str, Any]:
    """``messages``, with ``images`` and ``videos`` in their places.

    Raises:
        Unfit: places and media are not as many.
    """
    said = values.get("messages") or []
    contents = [each["content"] for each in said]
    held = {kind: values.get(f"{kind}s") or () for kind in KINDS}
    if said:
        contents = _placed(contents, held, how.media, how.strict, opening(said))
    messages = [
        {"role": each["role"], "content": content}
        for each, content in zip(said, contents, strict=True)
    ]
    kept = _v1_question(row) if how.v1 else None
    same = kept is None or kept == v1_question(messages)
    return {
        "messages": messages or None,
        "hashed_question": None if same else json.dumps(kept, ensure_ascii=False),
    }


def _v1_question(row: Mapping[str, Any]) -> dict[str, Any] | None:
    """The question of a row of pairs v1; None if it is stored otherwise."""
    turns = row.get("messages") or ()
    if not all(isinstance(each, Mapping) for each in turns):
        return None
    said = [{name: each.get(name) for name in ("role", "content")} for each in turns]
    return {"prompt": row.get("prompt"), "messages": said or None}


def _answers(values: Mapping[str, Any], row: Mapping[str, Any], how: Reading) -> dict[str, Any]:
    """``candidates``, or ``a`` and ``b`` as such, and ``gold_scores``.

    Raises:
        Unfit: places and media are not as many; or scores are not one a candidate.
    """
    found, scores = values.get("candidates") or [], values.get("gold_scores") or []
    ranked = True
    if found and scores and len(scores) != len(found):
        raise Unfit(
            f"got {len(scores)} gold scores, expected {len(found)}, one a candidate (x[].y leaves "
            "nulls out: map(&y, x) keeps them)"
        )
    if found and not how.v1:  # candidates that are not there, and their scores
        scores = [score for score, each in zip(scores, found, strict=False) if each is not None]
        found = [each for each in found if each is not None]
    if not found and not {"a", "b"}.isdisjoint(values):  # nulls keep their place beside gold
        found, ranked = [values.get("a"), values.get("b")], False
    placed = [_candidate(each, how) for each in found]
    texts = _v1_texts(row, ranked) if how.v1 else None
    same = texts is None or texts == [each and text_of(each["content"]) for each in placed]
    return {
        "candidates": placed or None,
        "gold_scores": scores or None,
        "hashed_answers": None if same else json.dumps(texts, ensure_ascii=False),
    }


def _placed(
    contents: list[list[Part]],
    held: Mapping[str, Sequence[Any]],
    media: bool,
    strict: Collection[str] = (),
    first: int = 0,
) -> list[list[Part]]:
    try:
        return place(contents, held, strict, first)
    except Unfit:
        if media:
            raise
        return contents  # some were not read


def _candidate(candidate: Mapping[str, Any] | None, how: Reading) -> dict[str, Any] | None:
    if candidate is None:
        return None
    held = {kind: candidate.get(f"{kind}s") or () for kind in KINDS}
    (content,) = _placed([candidate["content"]], held, how.media)
    return {"content": content, "model": candidate["model"]}


def _v1_texts(row: Mapping[str, Any], ranked: bool) -> list[str | None] | None:
    """The texts of candidates of a row of pairs v1; None if they are stored otherwise."""
    names = ("response_a", "response_b")
    found: Sequence[Any] = row["candidates"] if ranked else [row.get(name) for name in names]
    if not all(isinstance(each, Mapping | None) for each in found):
        return None
    return [each and each.get("text") for each in found]


def _itself(name: str) -> Make:
    return lambda values, row, how: {name: values.get(name)}


def _metadata(values: Mapping[str, Any], row: Mapping[str, Any], how: Reading) -> dict[str, Any]:
    return {"metadata": values.get("metadata") or None}


GROUPS = (
    Group(("pair_id",), ("pair_id",), _itself("pair_id"), texts=text_columns.itself),
    Group(
        ("messages", "hashed_question"),
        ("messages", "images", "videos"),
        _question,
        ("prompt", "images", "videos"),
        v1_columns.question,
        text_columns.question,
    ),
    Group(
        ("candidates", "gold_scores", "hashed_answers"),
        ("a", "b", "candidates", "gold_scores"),
        _answers,
        ("response_a", "response_b"),
        v1_columns.answers,
        text_columns.answers,
    ),
    Group(("gold",), ("gold",), _itself("gold"), texts=text_columns.gold),
    Group(("source",), ("source",), _itself("source"), texts=text_columns.itself),
    Group(("metadata",), ("metadata",), _metadata),
)
