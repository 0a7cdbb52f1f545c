"""The older form of a mapping, paths to columns, translated to expressions.

::

    pair_id: id
    prompt: query
    images: image
    response_a: response[0]             # text, or {text: …, images: …, videos: …, model: …}
    response_b: {text: answers.second, model: {const: gpt-x}}
    gold: {ranking: human_ranking}      # or {column: Better, values: {Output1: a, Output2: b}}
    candidates: {each: completions, text: response, model: model}   # or a list of responses
    gold_scores: {each: completions, score: rating}                 # or a list of columns
    source: {const: vl-rewardbench}
    metadata: {fields: {set: query_source}}
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

_FIELDS = {"prompt": "messages", "response_a": "a", "response_b": "b"}
_PARTS = ("text", "images", "videos", "model")
_PATH = re.compile(r"([^.\[\]]+)((?:\[\d+\]|\.[^.\[\]]+)*)")
_STEP = re.compile(r"\[(\d+)\]|\.([^.\[\]]+)")
_PLAIN = re.compile(r"[A-Za-z_]\w*")


def as_expressions(columns: Mapping[str, Any]) -> dict[str, str | None]:
    """JMESPath by field of a pair, for sources by column of pairs v1.

    Raises:
        ValueError: a source has none of the forms.
    """
    made: dict[str, str | None] = {}
    for column, source in columns.items():
        field = _FIELDS.get(column, column)
        try:
            text = None if source is None else _expression(column, source)
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"columns.{column}: {source!r} has none of the known forms") from error
        if made.get(field) is not None and text is not None:
            text = f"one_of({made[field]}, {text})"
        made[field] = text
    return made


def literal(value: object) -> str:
    """A value as a literal of JMESPath."""
    return "`" + json.dumps(value, ensure_ascii=False).replace("`", "\\`") + "`"


def _expression(column: str, source: Any) -> str:
    if isinstance(source, list):
        return f"[{', '.join(_one(each) for each in source)}]"
    if isinstance(source, Mapping):
        keys = set(source)
        if keys == {"ranking"}:
            return f"winner_of_ranks({_path(source['ranking'])})"
        if keys == {"column", "values"}:
            table = {_code(code): gold for code, gold in source["values"].items()}
            return f"recode({_path(source['column'])}, {literal(table)})"
        if keys == {"fields"}:
            return _object({key: _one(each) for key, each in source["fields"].items()})
        if "each" in keys:
            return f"map(&{_of_each(source)}, items({_path(source['each'])}))"
    return _one(source)


def _one(source: Any) -> str:
    """One value, or one response of several parts."""
    if isinstance(source, str):
        return _path(source)
    keys = set(source)
    if keys == {"column"}:
        return _path(source["column"])
    if keys == {"const"}:
        return literal(source["const"])
    if not keys or not keys <= set(_PARTS) or keys == {"model"}:
        raise KeyError(*keys)
    return _object({part: _one(source[part]) for part in _PARTS if part in source})


def _of_each(source: Mapping[str, Any]) -> str:
    """What each item gives: a score, the mean of some, or a response."""
    if set(source) == {"each", "score"}:
        score = source["score"]
        return _path(score) if isinstance(score, str) else f"mean([{', '.join(map(_path, score))}])"
    return _one({part: each for part, each in source.items() if part != "each"})


def _object(parts: Mapping[str, str]) -> str:
    if not parts:
        raise KeyError("fields")
    return "{" + ", ".join(f"{_name(key)}: {text}" for key, text in parts.items()) + "}"


def _path(path: str) -> str:
    """A path such as ``answers[0].text``; a column that is called so, dots and all, comes first."""
    match = _PATH.fullmatch(path)
    if match is None:
        if not path:
            raise KeyError(path)
        return _name(path)
    steps = "".join(
        f"[{index}]" if index else f".{_name(name)}" for index, name in _STEP.findall(match[2])
    )
    whole = f"{_name(path)} || " if "." in path else ""
    return f"{whole}{_name(match[1])}{steps}"


def _name(name: str) -> str:
    return name if _PLAIN.fullmatch(name) else json.dumps(name, ensure_ascii=False)


def _code(code: object) -> str:
    return str(code).lower() if isinstance(code, bool) else str(code)
