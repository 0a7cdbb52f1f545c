"""Argilla 2: records as ``Dataset.records.to_json`` and ``Record.from_dict`` have them.

A record has ``id``, ``fields``, ``metadata``, ``suggestions``, ``vectors``, and ``responses``: by
question, a list of ``value`` and ``user_id``. The responses of all questions by one user belong
together.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from pipeline.gold.asked_pairs import AskedPair
from pipeline.gold.foreign_answers import NOTE, QUESTION, ForeignAnswer, ReadAnswers

TOOL = "argilla"
_PEOPLE = uuid.UUID("6f0c9a2e-7c1d-4f35-9d0e-3a2c55a0b7d1")  # names of people become ids under it


def records_of(pairs: Iterable[AskedPair]) -> list[dict[str, Any]]:
    """Records for pairs, with the answers that people have given.

    Argilla knows its users by id: ``user_id`` is one that is made of the annotator's name.
    """
    return [
        {
            "id": each.pair.pair_hash,
            "fields": each.fields | {f"image_{n}": at for n, at in enumerate(each.images, 1)},
            "metadata": {name: text for name, text in each.identity.items() if text is not None},
            "suggestions": {},
            "responses": _responses(each),
            "vectors": {},
        }
        for each in pairs
    ]


def user_id(annotator: str) -> str:
    """The id that an annotator has in exported records."""
    return str(uuid.uuid5(_PEOPLE, annotator))


def read_records(
    records: Iterable[Mapping[str, Any]], where: str, question: str = QUESTION
) -> ReadAnswers:
    """The answers in exported records.

    Args:
        records: as they were exported.
        where: the file, for messages.
        question: the name of the question that asks which candidate is better.
    """
    found = ReadAnswers()
    for record in records:
        metadata = record.get("metadata") or {}
        pair_hash = metadata.get("pair_hash")
        pair_id = metadata.get("pair_id") or record.get("id")
        responses = record.get("responses") or {}
        given = responses.get(question) or []
        if not (pair_hash or pair_id):
            found.unread["records without id and metadata.pair_hash"] += 1
            continue
        found.unread[f"records without a response to {question}"] += not given
        notes = {each.get("user_id"): str(each["value"]) for each in responses.get(NOTE) or ()}
        for each in given:
            found.answers.append(
                ForeignAnswer(
                    annotator=str(each.get("user_id") or ""),
                    word=str(each.get("value")),
                    answered_at="",
                    pair_hash=pair_hash,
                    pair_id=pair_id,
                    shown=metadata.get("shown") if metadata.get("shown") in ("ab", "ba") else None,
                    note=notes.get(each.get("user_id"), ""),
                )
            )
    return found


def _responses(pair: AskedPair) -> dict[str, list[dict[str, str]]]:
    stand = [(given, given.answer) for given in pair.answers if given.said is not None]
    answers = [
        {"value": pair.word(given.said), "user_id": user_id(given.annotator)} for given, _ in stand
    ]
    notes = [
        {"value": answer.note, "user_id": user_id(given.annotator)}
        for given, answer in stand
        if answer is not None and answer.note
    ]
    found = {QUESTION: answers, NOTE: notes}
    return {question: given for question, given in found.items() if given}
