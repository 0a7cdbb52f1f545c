"""The fields of a pair that a mapping may give, and the columns of pairs v1 that they make."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.pairs import conversations as read
from pipeline.pairs.conversations import Unfit
from pipeline.pairs.expressions import Expression
from pipeline.pairs.v1_form import answers_as_v1, question_as_v1

Make = Callable[[Mapping[str, Any], Collection[str]], dict[str, Any]]

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


@dataclass(frozen=True)
class Group:
    """Fields that make columns together.

    Attributes:
        columns: of pairs v1.
        fields: of a mapping.
        make: the columns' values, by the fields' values and the kinds of media that are strict.
    """

    columns: tuple[str, ...]
    fields: tuple[str, ...]
    make: Make

    def read(
        self, expressions: Mapping[str, str], row: Mapping[str, Any], strict: Collection[str]
    ) -> tuple[dict[str, Any], list[str]]:
        """The columns' values for a row, and what does not fit; they are null then.

        Args:
            expressions: of the group's fields.
            row: values by column.
            strict: kinds of media that placeholders always ask for (see ``placing.place``).
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
                return self.make(values, strict), []
            except Unfit as error:
                problems.append(f"{self.fields[0]}: {error}")
        return dict.fromkeys(self.columns), problems


def _itself(name: str) -> Make:
    return lambda values, strict: {name: values.get(name)}


def _metadata(values: Mapping[str, Any], strict: Collection[str]) -> dict[str, Any]:
    return {"metadata": values.get("metadata") or None}


GROUPS = (
    Group(("pair_id",), ("pair_id",), _itself("pair_id")),
    Group(
        ("prompt", "messages", "images", "videos"),
        ("messages", "images", "videos"),
        question_as_v1,
    ),
    Group(
        ("response_a", "response_b", "candidates", "gold_scores"),
        ("a", "b", "candidates", "gold_scores"),
        answers_as_v1,
    ),
    Group(("gold",), ("gold",), _itself("gold")),
    Group(("source",), ("source",), _itself("source")),
    Group(("metadata",), ("metadata",), _metadata),
)
