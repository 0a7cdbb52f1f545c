"""Label Studio: tasks to import there, and the JSON that it exports.

A task has its data under ``data``; an exported one has ``annotations``, each with who made it
(``completed_by``: a number, or an object with ``email``), ``was_cancelled`` where it was skipped,
and ``result``, a list of regions with ``type`` and ``value``. Read are ``choices``, ``pairwise``
(whose left one is the first) and ``textarea``, the note. (Guide "Task format" and tags Choices,
Pairwise.)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pipeline.gold.asked_pairs import AskedPair
from pipeline.gold.foreign_answers import FIRST, NOTE, QUESTION, SECOND, ForeignAnswer, ReadAnswers

TOOL = "label-studio"
_SIDES = {"left": FIRST, "right": SECOND}

# The labeling interface that exported tasks are made for.
INTERFACE = f"""<View>
  <Text name="question" value="$question"/>
  <Image name="media" valueList="$images"/>
  <View style="display: flex; gap: 1em">
    <Text name="{FIRST}" value="${FIRST}"/>
    <Text name="{SECOND}" value="${SECOND}"/>
  </View>
  <Choices name="{QUESTION}" toName="{FIRST}" choice="single" required="true">
    <Choice value="{FIRST}" hotkey="1"/>
    <Choice value="{SECOND}" hotkey="2"/>
    <Choice value="tie" hotkey="3"/>
    <Choice value="cannot_say" hotkey="4"/>
  </Choices>
  <TextArea name="{NOTE}" toName="{FIRST}"/>
</View>
"""


def tasks_of(pairs: Iterable[AskedPair]) -> list[dict[str, Any]]:
    """Tasks for pairs, with the answers that people have given."""
    return [
        {
            "data": each.fields | {"images": list(each.images), **each.identity},
            "annotations": [
                {
                    "completed_by": {"email": given.annotator},
                    "was_cancelled": False,
                    "created_at": given.answer.answered_at,
                    "result": _result(each.word(given.said), given.answer.note),
                }
                for given in each.answers
                if given.answer is not None and given.said is not None
            ],
        }
        for each in pairs
    ]


def read_tasks(tasks: Iterable[Mapping[str, Any]], where: str) -> ReadAnswers:
    """The answers in exported tasks; of a person's several about a task, the last one counts."""
    found = ReadAnswers()
    for task in tasks:
        data = task.get("data")
        if not isinstance(data, Mapping) or not (data.get("pair_hash") or data.get("pair_id")):
            found.unread["tasks without data.pair_hash and data.pair_id"] += 1
            continue
        annotations = task.get("annotations") or []
        found.unread["tasks without an annotation"] += not annotations
        for each in annotations:
            if each.get("was_cancelled"):
                found.unread["annotations that were skipped"] += 1
            elif (word := _chosen(each.get("result") or ())) is None:
                found.unread["annotations without choices or pairwise"] += 1
            else:
                found.answers.append(_answer(data, each, word))
    return found


def _answer(data: Mapping[str, Any], each: Mapping[str, Any], word: str) -> ForeignAnswer:
    return ForeignAnswer(
        annotator=_person(each.get("completed_by")),
        word=word,
        answered_at=str(each.get("updated_at") or each.get("created_at") or ""),
        pair_hash=data.get("pair_hash"),
        pair_id=data.get("pair_id"),
        shown=data.get("shown") if data.get("shown") in ("ab", "ba") else None,
        note=_note(each.get("result") or ()),
    )


def _result(word: str, note: str) -> list[dict[str, Any]]:
    chosen = {"choices": [word]}
    of = {"to_name": FIRST, "origin": "manual"}
    result = [{"from_name": QUESTION, "type": "choices", "value": chosen, **of}]
    texts = {"text": [note]}
    return [
        *result,
        *([{"from_name": NOTE, "type": "textarea", "value": texts, **of}] * bool(note)),
    ]


def _chosen(result: Iterable[Mapping[str, Any]]) -> str | None:
    """What was chosen: the first region that is a choice of one or a side."""
    for region in result:
        value = region.get("value") or {}
        if region.get("type") == "pairwise" and value.get("selected") in _SIDES:
            return _SIDES[value["selected"]]
        if region.get("type") == "choices" and len(value.get("choices") or ()) == 1:
            return str(value["choices"][0])
    return None


def _note(result: Iterable[Mapping[str, Any]]) -> str:
    texts = (
        region["value"].get("text") or ()
        for region in result
        if region.get("type") == "textarea" and isinstance(region.get("value"), Mapping)
    )
    return "\n".join(
        str(line) for text in texts for line in ([text] if isinstance(text, str) else text)
    )


def _person(completed_by: object) -> str:
    if isinstance(completed_by, Mapping):
        return str(completed_by.get("email") or completed_by.get("id") or "")
    return "" if completed_by is None else str(completed_by)
