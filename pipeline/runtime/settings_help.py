"""The settings of a configuration as text: for ``--help-settings``, and for jobs/README.md."""

from __future__ import annotations

import ast
import functools
import inspect
import itertools
import sys
import textwrap
import types
from collections.abc import Iterator
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from pipeline.runtime.config_file import Setting, settings_of

_WIDTH = 100


def settings_text(model: type[BaseModel]) -> str:
    """Every setting with its type, default and meaning, for a terminal."""
    lines = ["Every setting, as --SETTING VALUE or in the YAML of --config (values are YAML):", ""]
    for setting in settings_of(model):
        name, _, field = setting
        lines.append(f"--{name} {kind_of(field.annotation)}{_default(field, ' = {}')}")
        lines += textwrap.wrap(
            meaning_of(setting), _WIDTH, initial_indent="    ", subsequent_indent="    "
        )
    return "\n".join(lines) + "\n"


def settings_table(model: type[BaseModel]) -> Iterator[str]:
    """The same as rows of Markdown tables, one for each section."""
    section = None
    for setting in settings_of(model):
        name, _, field = setting
        if (here := name.rpartition(".")[0]) != section:
            section = here
            yield from (
                "",
                f"### `{section or 'top level'}`",
                "",
                "| setting | type | default | meaning |",
                "|---|---|---|---|",
            )
        kind = kind_of(field.annotation).replace("|", "\\|")
        meaning = meaning_of(setting).replace("|", "\\|")
        yield f"| `{name.rpartition('.')[2]}` | {kind} | {_default(field, '`{}`')} | {meaning} |"


def meaning_of(setting: Setting) -> str:
    """What a setting means, in one paragraph: the text under it, where its model defines it."""
    name = setting.name.rpartition(".")[2]
    for owner in setting.section.__mro__:
        if text := _texts_of(owner.__module__).get((owner.__name__, name)):
            return " ".join(text.split())
    return ""


@functools.cache
def _texts_of(module: str) -> dict[tuple[str, str], str]:
    """The text under each annotated attribute, by class and name, of a module of ours.

    Read from the source when help is asked for: pydantic's ``use_attribute_docstrings`` reads it
    as each model is made, which took a third of what every command and worker needs to start.
    """
    if not module.startswith("pipeline."):
        return {}
    tree = ast.parse(inspect.getsource(sys.modules[module]))
    return {
        (made.name, attribute.target.id): text.value.value
        for made in tree.body
        if isinstance(made, ast.ClassDef)
        for attribute, text in itertools.pairwise(made.body)
        if isinstance(attribute, ast.AnnAssign)
        and isinstance(attribute.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
        and isinstance(text.value.value, str)
    }


def kind_of(annotation: Any) -> str:
    """The type of a setting as users write it: ``int``, ``a|b``, ``list of text``."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return "|".join(
            repr(value) if value != str(value).strip() or not value else str(value)
            for value in inner
        )
    if origin in (Union, types.UnionType):
        return "|".join(
            dict.fromkeys("null" if kind is type(None) else kind_of(kind) for kind in inner)
        )
    if origin in (tuple, list):
        return f"list of {kind_of(inner[0])}"
    if origin is dict:
        return "mapping"
    names = {str: "text", bool: "true|false", float: "number", int: "int"}
    return names.get(annotation) or _named(annotation)


def _named(annotation: Any) -> str:
    name = getattr(annotation, "__name__", str(annotation))
    return {"Path": "path", "Any": "any"}.get(name, "mapping")


def _default(field: Any, form: str) -> str:
    value = field.get_default(call_default_factory=True)
    if value is PydanticUndefined:
        return ""
    if value is None:
        shown = "null"
    elif isinstance(value, bool):
        shown = str(value).lower()
    elif isinstance(value, tuple):
        shown = str([*value])
    elif isinstance(value, int | float):
        shown = f"{value:g}" if isinstance(value, float) else str(value)
    else:
        shown = repr(value) if value == "" else str(value)
    return form.format(shown)
